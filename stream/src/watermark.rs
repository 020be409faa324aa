//! Lateness and watermarks as pure rules (architecture, event-time rules). A record is judged by its own partition's
//! prefix, so how partitions interleave never matters. Watermarks here are exclusive: nothing *earlier than* W is
//! expected, hence `end <= W` closes; Flink's are one millisecond lower and inclusive.

use crate::{Assigner, Bug, EventTime, KindIndex, seeded};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// One bit per window kind: set means late, and so not counted there. A set, not a level: with an offset of half an
/// hour an hour may end after the local day does.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LateMask(pub u8);

impl LateMask {
    /// Late nowhere.
    pub const NONE: LateMask = LateMask(0);

    /// Whether it is late for this kind.
    pub fn is_late(self, kind: KindIndex) -> bool {
        self.0 & (1 << kind) != 0
    }
}

/// The settings that decide lateness. Semantic: they are in the genesis record.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TimeRules {
    /// How far behind the greatest event time seen records may still arrive in a partition.
    pub out_of_orderness: Duration,
    /// How long after its end a window still takes records.
    pub allowed_lateness: Duration,
    /// How far in the future a record may lie before it is a dead letter.
    pub max_future_skew: Duration,
}

impl TimeRules {
    /// W(p) after a record at `at` was accepted: never back.
    #[inline]
    pub fn advance(&self, watermark: Option<EventTime>, at: EventTime) -> EventTime {
        let new = at.minus(self.out_of_orderness);
        watermark.map_or(new, |old| old.max(new))
    }

    /// The windows for which a record at `at` is late under `watermark`, W(p) *before* the record moves it:
    /// `end + allowed_lateness <= W(p)`.
    #[inline]
    pub fn judge(&self, at: EventTime, watermark: Option<EventTime>, assigner: &mut Assigner) -> LateMask {
        let Some(watermark) = watermark else { return LateMask::NONE };
        // end > at, so nothing can be late before this.
        if at.plus(self.allowed_lateness) > watermark {
            return LateMask::NONE;
        }
        let mut mask = 0;
        for kind in 0..assigner.windows().len() as KindIndex {
            if assigner.assign(kind, at).end.plus(self.allowed_lateness) <= watermark {
                mask |= 1 << kind;
                if seeded(Bug::LateByLevel) {
                    mask |= (1 << kind) - 1;
                }
            }
        }
        LateMask(mask)
    }
}

/// W = max(previous W, min of W(p) over active partitions); an active partition without W(p) keeps W where it is,
/// and so does having no active partition (Flink D9: we do not flush to the maximum).
pub fn job_watermark(
    previous: Option<EventTime>,
    active: impl IntoIterator<Item = Option<EventTime>>,
) -> Option<EventTime> {
    let mut least: Option<EventTime> = None;
    for watermark in active {
        let Some(watermark) = watermark else { return previous };
        least = Some(least.map_or(watermark, |least| least.min(watermark)));
    }
    previous.max(least)
}

#[cfg(test)]
mod tests;
