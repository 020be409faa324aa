//! What is missing from the log, and that a person has accepted to go on without. A loss is accepted by its exact name,
//! once: the journal keeps it, and the same range missing again has another name.

use crate::{Sequence, WallTime};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// What is missing of a partition: `4:1200-1399`, or `4:1200-end` where nobody knows how far it went. When the same range
/// is missing for the second time, `4:1200-1399#2`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct LossName {
    /// The partition.
    pub partition: Arc<str>,
    /// The first offset.
    pub first: i64,
    /// The last offset; none if the log that had it is gone.
    pub last: Option<i64>,
    /// The how manieth time it is, from 1.
    pub time: usize,
}

impl fmt::Display for LossName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}-", self.partition, self.first)?;
        match self.last {
            Some(last) => write!(f, "{last}")?,
            None => f.write_str("end")?,
        }
        if self.time > 1 { write!(f, "#{}", self.time) } else { Ok(()) }
    }
}

impl FromStr for LossName {
    type Err = String;

    /// A partition's name may hold any of the signs: everything is split off from behind.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "\"{text}\" is not PARTITION:FIRST-LAST, such as 4:1200-1399 or 4:1200-end; the refusal has it ready"
            )
        };
        let (partition, range) =
            text.rsplit_once(':').filter(|(partition, _)| !partition.is_empty()).ok_or_else(wrong)?;
        let (range, time) = match range.split_once('#') {
            Some((range, time)) => (range, time.parse().ok().filter(|time| *time > 1).ok_or_else(wrong)?),
            None => (range, 1),
        };
        let (first, last) = range.split_once('-').ok_or_else(wrong)?;
        let offset = |text: &str| text.parse::<i64>().ok().filter(|offset| *offset >= 0).ok_or_else(wrong);
        let first = offset(first)?;
        let last = if last == "end" { None } else { Some(offset(last)?) };
        if last.is_some_and(|last| last < first) {
            return Err(wrong());
        }
        Ok(LossName { partition: partition.into(), first, last, time })
    }
}

/// How it came to be missing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LossKind {
    /// Gone before it was read: it is in no count.
    Unread,
    /// The log ends before it. It was counted, and what is written there from now on is counted too.
    Cut,
    /// Something else stands there now, which stays uncounted; which of it is new, nobody can tell.
    Replaced,
    /// The whole partition is gone. Should it come back, reading goes on where it stood.
    Gone,
    /// The source was made anew; reading goes on where the new log begins.
    Renewed,
}

/// An accepted loss, as the journal keeps it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Loss {
    /// The partition.
    pub partition: Arc<str>,
    /// The first offset that is missing.
    pub first: i64,
    /// The last one; none if the log that had it is gone.
    pub last: Option<i64>,
    /// How it came to be missing.
    pub kind: LossKind,
    /// Where reading went on.
    pub next_offset: i64,
    /// When it was accepted.
    pub at: WallTime,
    /// The journal's record that says so; the writer fills it in.
    #[serde(default)]
    pub record: Sequence,
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Loss { partition, first, last, .. } = self;
        LossName { partition: partition.clone(), first: *first, last: *last, time: 1 }.fmt(f)
    }
}

impl Loss {
    /// Whether what was read of the log cannot be read there again.
    pub fn hides_what_was_counted(&self) -> bool {
        matches!(self.kind, LossKind::Cut | LossKind::Replaced | LossKind::Renewed)
    }

    /// Whether this is the loss of that range, whichever time.
    pub fn is_of(&self, name: &LossName) -> bool {
        (&self.partition, self.first, self.last) == (&name.partition, name.first, name.last)
    }

    /// How many offsets it names; 0 where nobody knows.
    pub fn offsets(&self) -> u64 {
        self.last.map_or(0, |last| (last - self.first + 1).unsigned_abs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_reads_back_whatever_the_partition_is_called() {
        for partition in ["4", "part-1.ndjson", "a:b#3-x", "it's"] {
            for (last, time) in [(Some(1399), 1), (None, 1), (Some(1200), 2), (None, 11)] {
                let name = LossName { partition: partition.into(), first: 1200, last, time };
                assert_eq!(name.to_string().parse(), Ok(name));
            }
        }
        let name: LossName = "4:1200-1399".parse().expect("as the contract has it");
        assert_eq!((&*name.partition, name.first, name.last, name.time), ("4", 1200, Some(1399), 1));
    }

    #[test]
    fn anything_else_is_no_name() {
        for text in [
            "", "4", "4:", "4:1200", ":1-2", "4:2-1", "4:-1-2", "4:1-2#0", "4:1-2#1", "4:1-2#x", "4:1-", "4:a-b",
            "4:1-2 ",
        ] {
            assert!(text.parse::<LossName>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_loss_counts_the_offsets_it_names() {
        let loss = |last| Loss {
            partition: "4".into(),
            first: 10,
            last,
            kind: LossKind::Unread,
            next_offset: 20,
            at: WallTime(0),
            record: Sequence(0),
        };
        assert_eq!((loss(Some(19)).offsets(), loss(Some(10)).offsets(), loss(None).offsets()), (10, 1, 0));
        assert!(loss(None).is_of(&"4:10-end#3".parse().expect("a name")));
        assert!(!loss(None).is_of(&"4:10-19".parse().expect("a name")));
    }
}
