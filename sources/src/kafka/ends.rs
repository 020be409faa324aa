//! Asking where partitions end, beside the reading: a thread with a client of its own, so that a broker that is slow to
//! answer delays no record. Its client reads uncommitted: the high watermark counts an open transaction as something
//! that is still to come, where the last stable offset, which readers see, would call it silence.

use super::KafkaSettings;
use super::client::{self, Watch};
use super::offsets;
use rdkafka::consumer::{BaseConsumer, Consumer};
use std::sync::mpsc::{Receiver, Sender, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use stream::Fault;

/// The answer about the partition that a reader knows by this index; none if no leader answered in time.
pub(super) type Told = (usize, Option<i64>);

/// Questions under way; more are answered with "unknown" at once.
const QUESTIONS: usize = 1024;

struct Question {
    number: i32,
    index: usize,
    answer: Sender<Told>,
}

/// Asks for all readers of a source. The thread starts with the first question.
pub(super) struct Ends {
    settings: KafkaSettings,
    line: Mutex<Option<SyncSender<Question>>>,
}

impl Ends {
    pub(super) fn new(settings: KafkaSettings) -> Self {
        Ends { settings, line: Mutex::new(None) }
    }

    /// Ask; exactly one answer follows.
    pub(super) fn ask(&self, number: i32, index: usize, answer: &Sender<Told>) -> Result<(), Fault> {
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        let line = match &mut *line {
            Some(line) => line,
            none => none.insert(start(&self.settings)?),
        };
        if line.try_send(Question { number, index, answer: answer.clone() }).is_err() {
            // The asking reader holds the other end.
            let _ = answer.send((index, None));
        }
        Ok(())
    }
}

fn start(settings: &KafkaSettings) -> Result<SyncSender<Question>, Fault> {
    let mut config = client::config(&settings.brokers, &settings.properties)?;
    config.set("isolation.level", "read_uncommitted");
    let client: BaseConsumer<Watch> = client::create(&config)?;
    let (ask, asked) = sync_channel(QUESTIONS);
    let topic = settings.topic.clone();
    let thread = std::thread::Builder::new().name("ends".to_owned()).spawn(move || answer_all(&client, &topic, &asked));
    thread.map_err(|error| Fault::failed("cannot start thread ends", error, "check the limits on threads"))?;
    Ok(ask)
}

/// Until the source is gone. A query begins after its question, so after the silence that led to it.
fn answer_all(client: &BaseConsumer<Watch>, topic: &str, asked: &Receiver<Question>) {
    while let Ok(Question { number, index, answer }) = asked.recv() {
        client::hear(client, Duration::from_millis(1));
        let end = match offsets::bounds(client, topic, number) {
            Ok((_, end)) => {
                client.context().here();
                Some(end)
            }
            Err(fault) => {
                tracing::debug!(%fault, "not known to be idle");
                None
            }
        };
        // A reader that is gone needs no answer.
        let _ = answer.send((index, end));
    }
}
