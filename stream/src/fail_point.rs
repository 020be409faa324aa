//! Fail points: every numbered step between two of which a process can die, freeze or fail. A test names one, a hit and an
//! action; without the cargo feature `fail-points` a step is nothing at all.
//!
//! ```text
//! TOPK_FAIL_POINTS=commit.created=3:kill;flush.committed=1:stop   at the 3rd and the 1st hit in a process, by kind of step
//! TOPK_FAIL_POINTS_IN=FOLDER                                      where a process says what it reached and what it did
//! ```
//!
//! Actions: `kill` (SIGKILL to this process), `stop` (SIGSTOP), `fail` (an I/O error from this step, if one can come from there), `sleep:MILLISECONDS`.
//! In the folder, `NAME.hits` grows by a byte with each hit of any process; `NAME.HIT.ACTION`, with the process id in it, appears before the
//! action is done. What stands there already is not done again: a process that is started anew goes on.
//!
//! Our own rather than the crate `fail`: that one has no list of its points, hence no way to find one that
//! nobody reaches, no kill and no stop, nothing that outlives the process, and brings `rand` and `log`.

use crate::Fault;

macro_rules! steps {
    ($($step:ident $name:literal $holds:literal)*) => {
        /// A step, in the order in which a process comes to it; the text of each says what is true there.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
        pub enum FailPoint { $(#[doc = $holds] $step,)* }

        impl FailPoint {
            /// Every step.
            pub const ALL: &[FailPoint] = &[$(FailPoint::$step,)*];

            /// Its name in `TOPK_FAIL_POINTS`.
            pub const fn name(self) -> &'static str {
                match self { $(FailPoint::$step => $name,)* }
            }

            /// What is true there.
            pub const fn holds(self) -> &'static str {
                match self { $(FailPoint::$step => $holds,)* }
            }
        }
    };
}

steps! {
    // A start. The fence is the first thing that it writes.
    GenesisBeforeCreate "genesis.before-create" "The journal is empty and sinks were looked at; nothing is written."
    GenesisCreated "genesis.created" "The genesis record is durable; no slot is closed."
    FenceBeforeCreate "fence.before-create" "The tail was read; the older instance may go on committing."
    FenceCreated "fence.created" "The fence is durable; the slot of its generation is open, so an older instance on a deleted name would not notice."
    FenceSlotsClosed "fence.slots-closed" "Every slot up to ours is closed; no older instance can show anything more of the journal."
    ClaimBefore "claim.before" "The journal is ours; the next follower is still the older instance's."
    ClaimDone "claim.done" "This follower is ours; the next may not be."
    FenceBeforeLoad "fence.before-load" "Every follower that is there is ours; state is not read."
    StartLoaded "start.loaded" "State is in memory; nothing was read from the source."

    // An epoch.
    CommitBeforeCreate "commit.before-create" "The epoch is decided and its bytes are made; nothing is written."
    CommitCreated "commit.created" "The record is durable; the slot was not looked at, so nobody may see anything of it."
    CommitChecked "commit.checked" "The slot was open: the epoch is ours; nobody has been told."
    CommitBeforeTell "commit.before-tell" "The commit thread knows; worker 0 and the followers do not."

    // Compaction and deletion.
    CompactStart "compact.start" "A fold is due and begins; nothing is read or written."
    CompactPart "compact.part" "One more part is durable; no record names it."
    BaseBeforeCreate "base.before-create" "All parts are durable and what may go was listed; no record names them."
    BaseCreated "base.created" "The base record is durable; the slot was not looked at, so nothing may be deleted."
    BaseChecked "base.checked" "The slot was open; what the base record lists may be deleted; nothing is."
    DeleteNext "delete.next" "What was listed before this object is deleted or about to be; this one is there."
    DeleteDone "delete.done" "All that the base record lists is deleted."

    // Tables: SQLite and Postgres alike. One flush is one transaction.
    FlushBegun "flush.begun" "The transaction has begun; neither owner nor progress was read."
    FlushAdmitted "flush.admitted" "The owner's row is ours and locked; nothing is written."
    FlushMidBatch "flush.mid-batch" "Counts of one kind of window are written; others, statuses, lists and progress are not."
    FlushBeforeCommit "flush.before-commit" "Rows and progress are written; COMMIT was not sent."
    FlushCommitted "flush.committed" "COMMIT was answered; nobody has been told."

    // Boards: memory and Redis alike.
    PublishBegun "publish.begun" "The owner was read and is ours; no board of this step is written."
    PublishBoard "publish.board" "Some boards of this step are written; the others and pointers are not."
    PublishBoards "publish.boards" "All boards of this step are written; pointers may name older windows."
    PublishPointers "publish.pointers" "Pointers are moved; the owner says the epoch before."
    PublishOwned "publish.owned" "The owner says this epoch; the status says the one before."

    // Dead letters in a topic: one transaction for a step.
    LettersBegun "letters.begun" "The transaction has begun; no letter was sent."
    LettersSent "letters.sent" "Every letter was written to the log; the transaction is open."
    LettersCommitted "letters.committed" "The transaction is committed; nobody has been told."

    // Dead letters in a file.
    LinesBefore "lines.before" "The file ends where the progress file says; no letter of this step is written."
    LinesWritten "lines.written" "The letters are on disk; the progress file says the epoch before."
    LinesRotated "lines.rotated" "The full file has another name and an empty one has begun; the progress file tells the full one's length."
    LinesDone "lines.done" "The progress file says this epoch; nobody has been told."

    // Every follower.
    StepVisible "step.visible" "A step is visible outside; it is not acknowledged, so the journal does not know."
}

impl FailPoint {
    /// Come to this step, where an I/O error may be returned.
    ///
    /// # Errors
    /// A test asked for one. Never without the feature.
    #[inline(always)]
    pub fn reach(self) -> Result<(), Fault> {
        #[cfg(feature = "fail-points")]
        act::reach(self, true)?;
        Ok(())
    }

    /// Come to this step, where what was tried is done and no error can come from.
    #[inline(always)]
    pub fn pass(self) {
        #[cfg(feature = "fail-points")]
        act::reach(self, false).expect("nothing can fail here");
    }
}

#[cfg(feature = "fail-points")]
mod act;

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_different_and_say_something() {
        let names: BTreeSet<_> = FailPoint::ALL.iter().map(|step| step.name()).collect();
        assert_eq!(names.len(), FailPoint::ALL.len());
        for step in FailPoint::ALL {
            assert!(step.holds().ends_with('.') && step.name().contains('.'), "{step:?}");
            step.pass();
            assert_eq!(step.reach(), Ok(()), "nothing happens where nobody asks");
        }
    }
}
