//! Dead letters to a topic, each exactly once for a read_committed reader: one transaction per step, a transactional id
//! that fences older incarnations, and the topic itself as the record of how far it got.

use super::client::{self, Watch};
use super::last_letter::{self, PARTITION};
use super::topic;
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::types::RDKafkaErrorCode;
use std::collections::BTreeMap;
use std::time::Duration;
use stream::{Bug, Claim, DeadLetter, FailPoint, Fault, Follower, Generation, Progress, Sequence, Step, Wants, seeded};

/// How long one call to the transaction coordinator may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long one try to abort a transaction may take.
const ABORT_TRY: Duration = Duration::from_millis(500);
/// Room for the greatest record that a consumer is given, and our headers.
const MAX_MESSAGE_BYTES: &str = "100000000";

/// Where dead letters go.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeadLetterSettings {
    /// `host:port`, several by commas.
    pub brokers: String,
    /// The topic of the letters.
    pub topic: String,
    /// The topic whose letters they are.
    pub source_topic: String,
    /// More librdkafka properties.
    pub properties: BTreeMap<String, String>,
    /// A transaction at most this often.
    pub every: Duration,
}

/// Writes dead letters to Kafka.
///
/// Where it stands is the epoch of the last letter in the topic; its generation is not known from there and is given as
/// 0. A topic may hold letters of an earlier life of the job: those before the mark that the job was begun with.
pub struct DeadLetterProducer {
    settings: DeadLetterSettings,
    producer: Option<BaseProducer<Watch>>,
    /// A step whose commit was sent and not answered yet.
    committing: Option<Sequence>,
    /// The epoch of the last letter whose transaction was confirmed.
    confirmed: Option<Sequence>,
    /// The coordinator has failed us since: what it confirmed is looked for before more is sent.
    in_doubt: bool,
    /// Letters before this offset are of an earlier life.
    after: i64,
}

impl DeadLetterProducer {
    /// A follower. Nothing is contacted yet.
    ///
    /// # Errors
    /// Properties that are unknown, refused, or need the feature `kafka-tls`.
    pub fn new(settings: DeadLetterSettings) -> Result<Self, Fault> {
        client::config(&settings.brokers, &settings.properties)?;
        Ok(DeadLetterProducer {
            settings,
            producer: None,
            committing: None,
            confirmed: None,
            in_doubt: false,
            after: 0,
        })
    }

    fn config(&self) -> Result<rdkafka::ClientConfig, Fault> {
        client::config(&self.settings.brokers, &self.settings.properties)
    }

    fn progress(&self) -> Result<Option<Progress>, Fault> {
        let found = last_letter::find(&self.config()?, &self.settings.topic, &self.settings.source_topic, self.after)?;
        // Letters do not tell who wrote them; the mark in genesis tells ours from those of an earlier life.
        let found =
            found.map(|found| if seeded(Bug::LettersTwice) { Sequence(found.0.saturating_sub(1)) } else { found });
        Ok(found.map(|sequence| Progress { generation: Generation(0), sequence, hash: None }))
    }

    /// A broker that is stopped may confirm a commit and never mark it, so that the next producer to be initialized, or our own
    /// abort, undoes it (Kafka 4.3.1, one broker; docs/reliability.md). Whoever delivers on would leave a hole.
    fn settle(&mut self) -> Result<(), Fault> {
        if !self.in_doubt || self.committing.is_some() {
            return Ok(());
        }
        let found = self.progress()?.map(|progress| progress.sequence);
        if found < self.confirmed {
            return Err(Fault::failed(
                format!("dead letters that the topic \"{}\" had taken are gone from it", self.settings.topic),
                format!(
                    "those up to epoch {} were confirmed, and the last one there is of {}",
                    said(self.confirmed),
                    said(found)
                ),
                "nothing: the job starts again, and delivers again what is missing",
            ));
        }
        self.in_doubt = false;
        Ok(())
    }

    /// Send a step's letters and commit them.
    fn transact(&mut self, producer: &BaseProducer<Watch>, step: &Step) -> Result<(), Fault> {
        if self.committing != Some(step.commit.sequence) {
            let begun = producer.begin_transaction().and_then(|()| {
                FailPoint::LettersBegun.reach().map_err(|_| KafkaError::Canceled)?;
                step.dead_letters.iter().try_for_each(|(epoch, letter)| self.send(producer, *epoch, letter))
            });
            begun.and_then(|()| producer.flush(PATIENCE)).map_err(|error| self.give_up(producer, &error))?;
            if let Some(error) = producer.context().take_undelivered() {
                return Err(self.give_up(producer, &error));
            }
            self.committing = Some(step.commit.sequence);
            FailPoint::LettersSent.reach()?;
        }
        match producer.commit_transaction(PATIENCE) {
            Ok(()) => {
                FailPoint::LettersCommitted.pass();
                self.committing = None;
                self.confirmed = step.dead_letters.last().map(|(epoch, _)| *epoch);
                Ok(())
            }
            Err(KafkaError::Transaction(error)) if error.txn_requires_abort() => {
                self.committing = None;
                Err(self.give_up(producer, &KafkaError::Transaction(error)))
            }
            // Unanswered: the same step comes again and only its commit is repeated.
            Err(error) => Err(self.fault(producer, &error)),
        }
    }

    fn send(&self, producer: &BaseProducer<Watch>, epoch: Sequence, letter: &DeadLetter) -> Result<(), KafkaError> {
        let mut record = BaseRecord::<[u8], [u8]>::to(&self.settings.topic).partition(PARTITION);
        record.key = letter.key.as_deref();
        record.payload = letter.value.as_deref();
        // The timestamp is the time of writing: an old one would fall to the topic's retention, and a broker refuses
        // one that is far ahead.
        record = record.headers(headers(letter, epoch, &self.settings.source_topic));
        loop {
            record = match producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), again)) => again,
                Err((error, _)) => return Err(error),
            };
            producer.poll(Duration::from_millis(10));
        }
    }

    /// Undo what was sent; the caller gives the whole step again if that helps.
    fn give_up(&self, producer: &BaseProducer<Watch>, error: &KafkaError) -> Fault {
        let first = producer.context().take_undelivered();
        match abort(producer) {
            Ok(()) => {
                producer.context().take_undelivered();
                self.fault(producer, first.as_ref().unwrap_or(error))
            }
            Err(aborting) => self.fault(producer, &aborting),
        }
    }

    fn fault(&self, producer: &BaseProducer<Watch>, error: &KafkaError) -> Fault {
        use RDKafkaErrorCode as Code;
        let what = format!("cannot write dead letters to the topic \"{}\"", self.settings.topic);
        let fatal = producer.client().fatal_error();
        let code = fatal.as_ref().map(|(code, _)| *code).or(error.rdkafka_error_code());
        let retriable = matches!(error, KafkaError::Transaction(error) if error.is_retriable());
        match (code, fatal) {
            (Some(Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch), _) => {
                Fault::fenced(what, format!("a newer producer has its transactional id ({error})"))
            }
            (_, Some((_, why))) => Fault::failed(what, why, "the job must start again to take up its dead letters"),
            (Some(Code::MessageSizeTooLarge), None) => {
                // One large record must not end the job again and again: it is written once there is room for it.
                let hint = format!("raise max.message.bytes of the topic to {MAX_MESSAGE_BYTES}; counting goes on");
                Fault::transient(what, error, hint)
            }
            // Given up with the transaction that it was in, which comes again as a whole.
            (Some(Code::PurgeQueue | Code::PurgeInflight), None) => {
                Fault::transient(what, error, "nothing: it is sent again")
            }
            (_, None) if retriable => Fault::transient(what, error, "check that the brokers can be reached"),
            (_, None) => client::fault(what, error),
        }
    }
}

/// What a transaction takes with it is reported as not delivered, and librdkafka goes on aborting only once all of that has been taken:
/// nobody else takes it, so it is taken between short tries. One that ran out of time is gone on with by the next.
fn abort(producer: &BaseProducer<Watch>) -> Result<(), KafkaError> {
    let mut tries = PATIENCE.as_millis() / ABORT_TRY.as_millis();
    loop {
        let done = producer.abort_transaction(ABORT_TRY);
        producer.poll(Duration::from_millis(1));
        tries -= 1;
        match done {
            Err(KafkaError::Transaction(error)) if error.is_retriable() && tries > 0 => {}
            done => return done,
        }
    }
}

fn said(sequence: Option<Sequence>) -> String {
    sequence.map_or("none".to_owned(), |sequence| sequence.to_string())
}

/// The record's own headers, then ours.
fn headers(letter: &DeadLetter, epoch: Sequence, source_topic: &str) -> OwnedHeaders {
    let own = letter.headers.iter().fold(OwnedHeaders::new(), |headers, header| {
        headers.insert(Header { key: &header.name, value: header.value.as_ref() })
    });
    let added = [
        ("topk.error", letter.code.name().to_owned()),
        ("topk.detail", letter.detail.clone()),
        ("topk.topic", source_topic.to_owned()),
        ("topk.partition", letter.partition.to_string()),
        ("topk.offset", letter.offset.to_string()),
        ("topk.epoch", epoch.to_string()),
    ];
    added.iter().fold(own, |headers, (key, value)| headers.insert(Header { key, value: Some(value) }))
}

impl Follower for DeadLetterProducer {
    fn name(&self) -> &'static str {
        "dead_letters_kafka"
    }

    fn wants(&self) -> Wants {
        Wants { dead_letters: true, every: self.settings.every, ..Wants::default() }
    }

    fn mark(&mut self) -> Result<Option<i64>, Fault> {
        let prober = client::create(&self.config()?)?;
        match topic::find(&prober, &self.settings.topic)? {
            Some(_) => last_letter::end(&self.config()?, &self.settings.topic).map(Some),
            None => Ok(None),
        }
    }

    fn letters(&mut self, see: &mut dyn FnMut(&str, i64, &str)) -> Result<(), Fault> {
        let prober = client::create(&self.config()?)?;
        match topic::find(&prober, &self.settings.topic)? {
            Some(_) => {
                last_letter::all(&self.config()?, &self.settings.topic, &self.settings.source_topic, self.after, see)
            }
            None => Ok(()),
        }
    }

    fn begin_after(&mut self, mark: i64) {
        self.after = mark;
    }

    fn look(&mut self) -> Result<Option<Progress>, Fault> {
        let prober = client::create(&self.config()?)?;
        match topic::find(&prober, &self.settings.topic)? {
            Some(_) => self.progress(),
            None => Ok(None),
        }
    }

    fn claim(&mut self, claim: &Claim) -> Result<Option<Progress>, Fault> {
        let admin = client::admin(&self.settings.brokers, &self.settings.properties)?;
        topic::ensure(&admin, &self.settings.topic, 1, &[("max.message.bytes", MAX_MESSAGE_BYTES)])?;
        let mut config = self.config()?;
        config
            .set("transactional.id", &claim.job)
            .set("transaction.timeout.ms", "60000")
            .set("linger.ms", "5")
            .set("message.max.bytes", "100000000");
        let producer = client::create::<BaseProducer<Watch>>(&config)?;
        // Aborts or completes what an older incarnation left open, and fences it.
        producer.init_transactions(PATIENCE).map_err(|error| self.fault(&producer, &error))?;
        self.producer = Some(producer);
        (self.committing, self.confirmed, self.in_doubt) = (None, None, false);
        self.progress()
    }

    fn write(&mut self, step: &Step) -> Result<(), Fault> {
        if step.dead_letters.is_empty() {
            return Ok(());
        }
        let Some(producer) = self.producer.take() else {
            let hint = "start the job again; report it as a bug if it comes back";
            return Err(Fault::failed("cannot write dead letters", "the topic was never claimed", hint));
        };
        let done = self.settle().and_then(|()| self.transact(&producer, step));
        self.in_doubt |= done.is_err();
        self.producer = Some(producer);
        done
    }
}

#[cfg(test)]
mod tests;
