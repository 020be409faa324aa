//! What waits in memory for followers that take rows, and when it is too much: then it is dropped, nothing is noted
//! any more, and what they lack is read from the journal once they are back.

use std::collections::BTreeMap;
use stream::{RowBlock, RowFlush, RowOrder};

/// All workers' answers of one epoch.
#[derive(Default)]
pub(crate) struct Answer {
    pub(crate) order: RowOrder,
    pub(crate) blocks: Vec<RowBlock>,
    waiting: BTreeMap<u32, u64>,
}

impl Answer {
    pub(crate) fn add(&mut self, flush: RowFlush) {
        self.order = flush.order;
        self.blocks.extend(flush.blocks);
        self.waiting.insert(flush.worker, flush.waiting);
    }
}

/// The rows that wait, all of them.
pub(crate) struct Backlog {
    /// More bytes than this are dropped.
    most: u64,
    waiting: BTreeMap<u32, u64>,
    /// The workers have been told to forget, and have not answered yet.
    pub(crate) is_forgetting: bool,
}

impl Backlog {
    pub(crate) fn new(most: u64) -> Self {
        metrics::gauge!("topk_flush_backlog_bytes").set(0.0);
        metrics::counter!("topk_flush_backlog_dropped_total").absolute(0);
        Backlog { most, waiting: BTreeMap::new(), is_forgetting: false }
    }

    /// What the workers say; `held` is what they have already handed over.
    pub(crate) fn hear(&mut self, answer: &Answer, held: u64) {
        self.waiting.extend(&answer.waiting);
        metrics::gauge!("topk_flush_backlog_bytes").set((self.bytes() + held) as f64);
    }

    fn bytes(&self) -> u64 {
        self.waiting.values().sum()
    }

    /// Whether it is more than may wait, with what the workers have already handed over.
    pub(crate) fn is_too_much(&self, held: u64) -> bool {
        self.bytes() + held > self.most
    }

    /// The workers have forgotten their rows.
    pub(crate) fn is_forgotten(&mut self) {
        self.is_forgetting = false;
        metrics::counter!("topk_flush_backlog_dropped_total").increment(1);
    }
}

/// Bytes of rows in hand.
pub(crate) fn bytes_of(blocks: &[RowBlock]) -> u64 {
    blocks.iter().map(|block| (block.keys.bytes() + 12 * block.counts.len()) as u64).sum()
}
