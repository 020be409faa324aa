//! How far tables have got, and whether a step may be written over that.

use super::ownership::newer;
use stream::{Bug, Commit, EventTime, Fault, Generation, Progress, RecordHash, Sequence, seeded};

/// The row of `topk_progress`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct StoredProgress {
    pub(crate) generation: Generation,
    pub(crate) epoch: Sequence,
    pub(crate) top_k_epoch: Option<Sequence>,
    pub(crate) hash: RecordHash,
    pub(crate) as_of: Option<EventTime>,
}

impl StoredProgress {
    pub(crate) fn progress(&self) -> Progress {
        Progress { generation: self.generation, sequence: self.epoch, hash: Some(self.hash) }
    }
}

/// A stored hash.
pub(crate) fn hash_of(text: &str) -> Result<RecordHash, Fault> {
    text.parse()
        .map_err(|error: String| Fault::failed("cannot read topk_progress", error, "look who else writes these tables"))
}

/// What a look tells: the greatest generation, also where it was claimed and nothing written yet (sequence 0, no hash).
pub(crate) fn looked(claimed: Generation, stored: Option<&StoredProgress>) -> Progress {
    let nothing = Progress { generation: claimed, sequence: Sequence(0), hash: None };
    let progress = stored.map_or(nothing, StoredProgress::progress);
    Progress { generation: progress.generation.max(claimed), ..progress }
}

/// Whether `commit` may be written by incarnation `ours`, which has written up to `acknowledged`. The same epoch
/// again is a retry after an unknown outcome: every value is absolute, so writing it again changes nothing.
pub(crate) fn admit(
    place: &str,
    claimed: Generation,
    stored: Option<&StoredProgress>,
    ours: Generation,
    acknowledged: Option<Sequence>,
    commit: &Commit,
) -> Result<(), Fault> {
    if seeded(Bug::UnfencedFlush) {
        return Ok(());
    }
    if claimed > ours {
        return Err(newer(place, claimed, ours));
    }
    if let Some(acknowledged) = acknowledged
        && stored.is_none_or(|stored| stored.epoch < acknowledged)
    {
        return Err(Fault::failed(
            format!("the tables in {place} went back in time"),
            format!("epoch {acknowledged} was acknowledged and is gone; was a standby promoted, or a backup restored?"),
            "start again: the tables are then brought up to date from the journal",
        ));
    }
    let Some(stored) = stored else { return Ok(()) };
    if stored.epoch > commit.sequence || (stored.epoch == commit.sequence && stored.hash != commit.hash) {
        return Err(Fault::refused(
            format!("the tables in {place} are not from this journal"),
            format!(
                "they show epoch {} with hash {}, and the journal has epoch {} with hash {}",
                stored.epoch, stored.hash, commit.sequence, commit.hash
            ),
            "the journal lost commits, or the database is another job's life: restore the right one of the two",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(generation: u64, epoch: u64, hash: u8) -> StoredProgress {
        StoredProgress {
            generation: Generation(generation),
            epoch: Sequence(epoch),
            top_k_epoch: None,
            hash: RecordHash([hash; 32]),
            as_of: None,
        }
    }

    #[test]
    fn a_step_is_admitted_only_over_its_own_past() {
        let commit = crate::sql::conformance::commit(2, 10, None);
        let hash = commit.hash.0[0];
        let verdict = |claimed, stored: Option<StoredProgress>, acknowledged: Option<u64>| {
            admit("here", Generation(claimed), stored.as_ref(), Generation(2), acknowledged.map(Sequence), &commit)
                .map_err(|fault| fault.exit.code())
        };
        assert_eq!(verdict(2, None, None), Ok(()));
        assert_eq!(verdict(2, Some(stored(1, 9, 0)), None), Ok(()));
        assert_eq!(verdict(2, Some(stored(2, 10, hash)), Some(9)), Ok(()), "a retry after an unknown outcome");
        assert_eq!(verdict(3, Some(stored(2, 9, 0)), None), Err(4), "fenced");
        assert_eq!(verdict(2, Some(stored(2, 10, hash + 1)), None), Err(3), "another chain");
        assert_eq!(verdict(2, Some(stored(2, 11, 0)), None), Err(3), "ahead of the journal");
        assert_eq!(verdict(2, Some(stored(2, 8, 0)), Some(9)), Err(1), "an acknowledged flush is gone");
        assert_eq!(verdict(2, None, Some(9)), Err(1));
    }
}
