//! Bugs on demand: a harness that has never been red proves nothing. Behind the cargo feature `seeded-bugs`, for tests
//! alone, the product breaks one promise per process, the one that `TOPK_SEEDED_BUG` names; without the feature
//! [`seeded`] is false at compile time, and nothing of this is in the program.

/// Who must catch a bug.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Catcher {
    /// The deterministic simulation (`runtime/src/simulation/`).
    Simulation,
    /// The nemesis over real services (`tests/`).
    Nemesis,
}

macro_rules! bugs {
    ($($catcher:ident: $($bug:ident $name:literal $promise:literal)*;)*) => {
        /// A bug that can be switched on; its sentence says the promise that it breaks.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Bug { $($(#[doc = $promise] $bug,)*)* }

        impl Bug {
            /// Every one.
            pub const ALL: &[Bug] = &[$($(Bug::$bug,)*)*];

            /// What `TOPK_SEEDED_BUG` says.
            pub fn name(self) -> &'static str {
                match self { $($(Bug::$bug => $name,)*)* }
            }

            /// The promise that it breaks.
            pub fn promise(self) -> &'static str {
                match self { $($(Bug::$bug => $promise,)*)* }
            }

            /// Who must catch it.
            pub fn catcher(self) -> Catcher {
                match self { $($(Bug::$bug => Catcher::$catcher,)*)* }
            }
        }
    };
}

bugs! {
    // In stream, operators and runtime.
    Simulation:
    ShowBeforeCommit "show-before-commit" "Nothing of an epoch is shown before its record is durable."
    CommittedByFrontier "committed-by-frontier" "A frontier that empties never means that an epoch was committed."
    FlushLive "flush-live" "A flush has the values as of the committed epoch it is stamped with, not what was counted since."
    NoSlotCheck "no-slot-check" "After each record, and before it is shown, nobody has taken over."
    SlotsDeleted "slots-deleted" "A generation's slot is kept for ever; a missing one may be created, a deleted one must never be."
    FenceNotRetried "fence-not-retried" "While fencing, whoever loses a number tries the next: the newest start wins."
    RecutAfterFailure "recut-after-failure" "A put that failed is offered again with the same bytes, never cut anew."
    ExistsIsOurs "exists-is-ours" "A name that is taken is ours only if our bytes are there."
    PanesDroppedEarly "panes-dropped-early" "A base keeps every pane that the slowest follower has not got as final."
    DeletedBeforeBase "deleted-before-base" "Records are deleted only once the base that replaces them is durable."
    DeletedOneTooMany "deleted-one-too-many" "Records above the one that a base covers are never deleted."
    LinkNotChecked "link-not-checked" "Every record names the hash of the one before, and a reader checks it."
    LateByJob "late-by-job" "Lateness is judged by a partition's own watermark, never by the job's."
    WokenNotHeld "woken-not-held" "A partition that wakes is held until it is granted a floor."
    IdleNotJournaled "idle-not-journaled" "That a partition is idle is journaled with the epoch that leaves it out."
    FloorNotJournaled "floor-not-journaled" "A granted floor is journaled, and kept for ever."
    FloorNotApplied "floor-not-applied" "What was held is judged from the floor that was granted."
    WatermarkGoesBack "watermark-goes-back" "The job watermark never goes back, by a restart neither."
    KeysRenumbered "keys-renumbered" "A key keeps its number for ever."
    CountWraps "count-wraps" "A count never wraps."
    LocalDays "local-days" "A day is cut by the offset that its zone has at that time."
    PartDropped "part-dropped" "Every worker's part is in the epoch's record."
    ReportDropped "report-dropped" "Every reader's report is in the epoch's record."
    AckedBeforeWritten "acked-before-written" "An acknowledgement is journaled only once the follower has written."
    FutureMovesWatermark "future-moves-watermark" "A record from the future never moves a watermark."
    LateByLevel "late-by-level" "For which windows a record is late is a set: being late for a long one does not mean for the short ones."
    TiesByArrival "ties-by-arrival" "Equal counts are ranked by key, not by who came first."
    ;
    // In sinks and sources, and where the runtime finds partitions that were added.
    Nemesis:
    AdditiveUpsert "additive-upsert" "Every value written is absolute: the same flush again changes nothing."
    UnknownCommitAdded "unknown-commit-added" "A COMMIT without an answer may have been done: what became of it is asked for, not assumed."
    UnfencedFlush "unfenced-flush" "The transaction that flushes looks whether a newer generation has claimed the tables."
    RetentionByClock "retention-by-clock" "Retention is counted from the watermark, never from the wall clock."
    UnguardedPublish "unguarded-publish" "A board is never overwritten by an older generation or epoch."
    PointerFirst "pointer-first" "A board is written before the pointer to it."
    LettersTwice "letters-twice" "A start takes the epoch of the last letter as written."
    AddedAtLatest "added-at-latest" "A partition that is added is read from its beginning."
    ResetLatest "reset-latest" "An offset that is gone ends the job; the client never chooses another (latest)."
    ResetEarliest "reset-earliest" "An offset that is gone ends the job; the client never chooses another (earliest)."
    NoTopicId "no-topic-id" "A topic that was created anew is another topic."
    NoFingerprint "no-fingerprint" "A log that was cut and filled again is refused."
    OffsetsOfGroup "offsets-of-group" "Positions are the journal's, whatever the consumer group says."
    ;
}

/// Whether this bug is switched on in this process.
#[cfg(not(feature = "seeded-bugs"))]
#[inline(always)]
pub const fn seeded(_: Bug) -> bool {
    false
}

/// Whether this bug is switched on in this process.
#[cfg(feature = "seeded-bugs")]
pub fn seeded(bug: Bug) -> bool {
    static CHOSEN: std::sync::OnceLock<Option<Bug>> = std::sync::OnceLock::new();
    let chosen = || {
        let name = std::env::var("TOPK_SEEDED_BUG").ok()?;
        let bug = Bug::ALL.iter().find(|bug| bug.name() == name);
        Some(*bug.unwrap_or_else(|| panic!("TOPK_SEEDED_BUG: there is no bug {name:?}")))
    };
    *CHOSEN.get_or_init(chosen) == Some(bug)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_bug_has_a_name_of_its_own() {
        let names: BTreeSet<&str> = Bug::ALL.iter().map(|bug| bug.name()).collect();
        assert_eq!(names.len(), Bug::ALL.len());
        assert!(!Bug::ALL.iter().any(|bug| seeded(*bug)), "none is on unless it is asked for");
    }
}
