//! What decides what counts mean, in milliseconds, and how things are called.

use crate::calendar::Calendar;
use stream::{EventTime, Fault, KindIndex, Vocabulary, Window, WindowId, WindowState};

/// A job's rules.
pub struct Rules {
    /// The job's name.
    pub job: String,
    /// What events and keys are called.
    pub words: Vocabulary,
    /// First part of the count tables' names.
    pub table_prefix: String,
    /// First part of the boards' names.
    pub board_prefix: String,
    /// How far behind the greatest event time seen a partition's watermark is.
    pub out_of_orderness: i64,
    /// How long after its end a window still takes records.
    pub allowed_lateness: i64,
    /// How far in the future a record may lie.
    pub max_future_skew: i64,
    /// By kind: how long rows are guaranteed behind the watermark; none for ever.
    pub retention: Vec<Option<i64>>,
    /// Watermarks between which windows became final whose rows the tables lack, which was accepted; from none: all that were
    /// final by the second.
    pub lacking: Vec<(Option<EventTime>, EventTime)>,
    /// Places of a ranking.
    pub k: usize,
    pub(crate) calendar: Calendar,
}

impl Rules {
    /// Rules over these window kinds, in the job's order, and its zone; everything else is zero, to be filled in.
    ///
    /// # Errors
    /// A zone or a kind that is not known.
    pub fn new(kinds: &[&str], zone: &str, words: Vocabulary) -> Result<Self, Fault> {
        let calendar = Calendar::new(kinds, zone)?;
        Ok(Rules {
            job: String::new(),
            words,
            table_prefix: String::new(),
            board_prefix: String::new(),
            out_of_orderness: 0,
            allowed_lateness: 0,
            max_future_skew: 0,
            retention: vec![None; kinds.len()],
            lacking: Vec::new(),
            k: 0,
            calendar,
        })
    }

    /// Open until `end <= W`, closed until `end + allowed_lateness <= W`, then final.
    pub(crate) fn state(&self, end: EventTime, watermark: Option<EventTime>) -> WindowState {
        let Some(watermark) = watermark else { return WindowState::Open };
        if end > watermark {
            WindowState::Open
        } else if end.millis().saturating_add(self.allowed_lateness) > watermark.millis() {
            WindowState::Closed
        } else {
            WindowState::Final
        }
    }

    /// Whether the tables guarantee a window's rows.
    pub(crate) fn is_kept(&self, window: &Window, watermark: Option<EventTime>) -> bool {
        let is_lacking = |(after, until): &(Option<EventTime>, EventTime)| {
            let is_final = |at| self.state(window.end, at) == WindowState::Final;
            is_final(Some(*until)) && !is_final(*after)
        };
        if self.lacking.iter().any(is_lacking) {
            return false;
        }
        match (self.retention[usize::from(window.kind)], watermark) {
            (Some(retention), Some(watermark)) => window.end.millis() > watermark.millis().saturating_sub(retention),
            _ => true,
        }
    }

    /// A window's name for people: `hour 2025-10-19T14:00:00Z`.
    pub(crate) fn window(&self, id: WindowId) -> String {
        let kind = self.calendar.name(id.kind);
        if id.start == EventTime::MIN { kind.to_owned() } else { format!("{kind} {}", id.start) }
    }

    pub(crate) fn counts_table(&self, kind: KindIndex) -> String {
        format!("{}_{}", self.table_prefix, self.calendar.name(kind))
    }

    pub(crate) fn ranked_table(&self) -> String {
        format!("top_k_{}", self.words.keys)
    }
}
