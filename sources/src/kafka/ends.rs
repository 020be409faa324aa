//! Asking where partitions end, beside the reading: a thread with a client of its own, so that a broker that is slow to
//! answer delays no record. The client asked first reads uncommitted: the high watermark counts an open transaction as
//! something that is still to come, where the last stable offset, which readers see, would call it silence. Of a partition
//! that has more than we have read, that offset is asked for too, as only a client that reads committed is told it.

use super::KafkaSettings;
use super::client::{self, Watch};
use super::offsets;
use rdkafka::consumer::{BaseConsumer, Consumer};
use std::sync::mpsc::{Receiver, Sender, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use stream::{Fault, PartitionEnd};

/// The answer about the partition that a reader knows by this index; none if no leader answered in time.
pub(super) type Told = (usize, Option<PartitionEnd>);

/// Questions under way; more are answered with "unknown" at once.
const QUESTIONS: usize = 1024;

struct Question {
    number: i32,
    /// Where our reader stands.
    next: i64,
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
    pub(super) fn ask(&self, number: i32, next: i64, index: usize, answer: &Sender<Told>) -> Result<(), Fault> {
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        let line = match &mut *line {
            Some(line) => line,
            none => none.insert(start(&self.settings)?),
        };
        if line.try_send(Question { number, next, index, answer: answer.clone() }).is_err() {
            // The asking reader holds the other end.
            let _ = answer.send((index, None));
        }
        Ok(())
    }
}

fn start(settings: &KafkaSettings) -> Result<SyncSender<Question>, Fault> {
    let clients =
        Clients { settings: settings.clone(), written: asking(settings, "read_uncommitted")?, readable: None };
    let (ask, asked) = sync_channel(QUESTIONS);
    let thread = std::thread::Builder::new().name("ends".to_owned()).spawn(move || answer_all(clients, &asked));
    thread.map_err(|error| Fault::failed("cannot start thread ends", error, "check the limits on threads"))?;
    Ok(ask)
}

fn asking(settings: &KafkaSettings, isolation: &str) -> Result<BaseConsumer<Watch>, Fault> {
    let mut config = client::config(&settings.brokers, &settings.properties)?;
    client::create(config.set("isolation.level", isolation))
}

struct Clients {
    settings: KafkaSettings,
    written: BaseConsumer<Watch>,
    /// Made when it is first needed.
    readable: Option<BaseConsumer<Watch>>,
}

impl Clients {
    fn end(&mut self, number: i32, next: i64) -> Result<PartitionEnd, Fault> {
        let topic = &self.settings.topic;
        let end = |client: &BaseConsumer<Watch>| {
            client::hear(client, Duration::from_millis(1));
            let (_, end) = offsets::bounds(client, topic, number)?;
            client.context().here();
            Ok::<_, Fault>(end)
        };
        let written = end(&self.written)?;
        if written <= next {
            return Ok(PartitionEnd { written, readable: written });
        }
        let readable = match &mut self.readable {
            Some(client) => client,
            none => none.insert(asking(&self.settings, "read_committed")?),
        };
        Ok(PartitionEnd { written, readable: end(readable)? })
    }
}

/// Until the source is gone. A query begins after its question, so after the silence that led to it.
fn answer_all(mut clients: Clients, asked: &Receiver<Question>) {
    while let Ok(Question { number, next, index, answer }) = asked.recv() {
        let end = clients.end(number, next);
        let end = end.inspect_err(|fault| tracing::debug!(%fault, "not known to be idle")).ok();
        // A reader that is gone needs no answer.
        let _ = answer.send((index, end));
    }
}
