//! The first half of a start: the source, what followers show, whose turn it is, and where the log lets reading go on.

use super::{FAR_BEHIND, Plan};
use crate::follower_thread::{Reached, Taken, Tenure};
use crate::journal::{EpochContent, Genesis, Journal, LoadFrom, Rebuilt, Recovered, Standing, Started, Writer};
use crate::start::{self, Accepted, Rows};
use std::collections::BTreeMap;
use std::time::Duration;
use stream::{
    Claim, FailPoint, Fault, Follower, Forget, Generation, PartitionInfo, PartitionPosition, Progress, Sequence,
    Source, SourceIdentity, WallTime,
};

/// Followers as they were taken over, what they lack, and tables that are built up again.
type Claimed = (Vec<(Taken, Reached)>, LoadFrom, Vec<Rebuilt>);

impl Plan {
    /// Whether the source is the one that the journal was read from, before anything is taken over. Most starts need not
    /// read the journal for it.
    pub(super) fn look_at_source(
        &self,
        journal: &Journal,
        genesis: &Genesis,
        found: &SourceIdentity,
    ) -> Result<(), Fault> {
        if genesis.source == *found && self.accepted.source.is_none() {
            return Ok(());
        }
        let current = journal.decisions()?.map_or_else(|| genesis.source.clone(), |decisions| decisions.source);
        start::check_source(&current, found, &self.accepted).map(drop)
    }

    /// Where the log lets reading go on. What is missing and accepted is journaled before anything is read.
    pub(super) fn go_on(
        &mut self,
        recovered: &mut Recovered,
        writer: &mut Writer,
        found: &[PartitionInfo],
        renewed: bool,
        source: Option<SourceIdentity>,
        rebuilt: Vec<Rebuilt>,
    ) -> Result<(), Fault> {
        let is_there = |position: &PartitionPosition| {
            let info = found.iter().find(|info| info.name == position.name);
            info.is_some_and(|info| (info.earliest..=info.end).contains(&position.offset))
        };
        let positions: Vec<PartitionPosition> = recovered
            .partitions
            .iter()
            .map(|(name, state)| PartitionPosition {
                name: name.clone(),
                offset: state.next_offset,
                fingerprint: state.fingerprint,
            })
            .filter(is_there)
            .collect();
        let replaced = if renewed { Vec::new() } else { self.source.replaced(&positions)? };
        let looked = start::Found {
            journaled: &recovered.partitions,
            partitions: found,
            replaced: &replaced,
            renewed,
            known: &recovered.losses,
        };
        let start::GoOn { partitions, losses } = start::check_log(&looked, &self.accepted, self.clock.now())?;
        if losses.is_empty() && source.is_none() && rebuilt.is_empty() {
            recovered.partitions = partitions;
            return Ok(());
        }
        for loss in &losses {
            tracing::warn!(partition = %loss.partition, missing = %loss, kind = ?loss.kind, on_from = loss.next_offset, "accepted as lost");
        }
        start::add_losses(&mut recovered.ledger, &losses);
        recovered.partitions = partitions;
        recovered.losses.extend(losses.iter().cloned());
        recovered.rebuilt.extend(rebuilt.iter().cloned());
        recovered.source = source.clone().or(recovered.source.take());
        recovered.last_epoch = writer.append(&EpochContent {
            watermark: recovered.watermark,
            partitions: recovered.partitions.clone(),
            ledger: recovered.ledger.clone(),
            losses,
            source,
            rebuilt,
            ..EpochContent::default()
        })?;
        let journal = writer.remembered(recovered)?;
        self.followers.iter_mut().for_each(|follower| follower.remember(&journal));
        Ok(())
    }

    /// Ask a source that may be away, not there yet, or without leaders for a moment: it is waited for.
    pub(super) fn ask_source<T>(&self, ask: impl Fn(&dyn Source) -> Result<T, Fault>) -> Result<T, Fault> {
        let deadline = self.clock.monotonic() + self.start_deadline;
        let mut said = false;
        loop {
            match ask(&*self.source) {
                Err(fault) if fault.is_transient() && self.clock.monotonic() < deadline => {
                    if !said {
                        tracing::warn!(at_most = ?self.start_deadline, %fault, "waiting for the source");
                    }
                    said = true;
                    std::thread::sleep(Duration::from_millis(500));
                }
                answer => return answer,
            }
        }
    }

    /// An empty journal waits for its sinks: what they show decides.
    pub(super) fn look_at_followers(&mut self) -> Result<(Generation, BTreeMap<String, i64>), Fault> {
        let deadline = self.clock.monotonic() + self.start_deadline;
        let (mut found, mut marks) = (Vec::new(), BTreeMap::new());
        for follower in &mut self.followers {
            let mut said = false;
            let (progress, mark) = loop {
                match follower.look().and_then(|progress| Ok((progress, follower.mark()?))) {
                    Ok(seen) => break seen,
                    Err(fault) if fault.is_transient() && self.clock.monotonic() < deadline => {
                        if !said {
                            tracing::warn!(follower = follower.name(), at_most = ?self.start_deadline, %fault, "a fresh start waits for this sink");
                        }
                        said = true;
                        std::thread::sleep(Duration::from_millis(500));
                    }
                    Err(fault) => return Err(fault),
                }
            };
            found.push((follower.name(), follower.wants().counts, progress));
            marks.extend(mark.map(|mark| (follower.name().to_owned(), mark)));
        }
        Ok((start::check_empty_journal(&found)?, marks))
    }

    /// Raise our generation in every follower; one that is away is claimed later by its own thread.
    pub(super) fn claim(&mut self, started: &Started) -> Result<Claimed, Fault> {
        let claim = Claim { job: self.job.clone(), generation: started.generation };
        let first = started.first_generation()?;
        let mut from = LoadFrom::default();
        let journal = started.remembered()?;
        let (mut taken, mut built_up) = (Vec::new(), Vec::new());
        for follower in &mut self.followers {
            let wants = follower.wants();
            if let Some(mark) = started.genesis().marks.get(follower.name()) {
                follower.begin_after(*mark);
            }
            follower.remember(&journal);
            let how;
            FailPoint::ClaimBefore.reach()?;
            let progress = match follower.claim(&claim) {
                Ok(progress) => {
                    how = Taken::Claimed;
                    // Tables of an earlier life hold its rows: their hash is checked, never passed over.
                    if wants.counts { progress } else { start::own_progress(progress, first) }
                }
                Err(fault) if fault.is_transient() => {
                    tracing::warn!(follower = follower.name(), %fault, "starting without this sink; it will be taken over when it is back");
                    let ack = started.ack(follower.name())?;
                    how = Taken::Away(ack.map(|ack| (ack.sequence, ack.hash)));
                    ack.map(|ack| Progress {
                        generation: started.generation,
                        sequence: ack.sequence,
                        hash: Some(ack.hash),
                    })
                }
                Err(fault) => {
                    // A sink that knows a newer generation than the journal does is no newer instance: the journal is an older copy.
                    let tenure = Tenure { claim, fence: started.fence() };
                    return Err(tenure.judge(fault, follower.name()));
                }
            };
            FailPoint::ClaimDone.reach()?;
            let mut reached = progress.as_ref().map_or(Sequence(0), |progress| progress.sequence);
            let mut rows = Rows::Stay;
            if wants.counts {
                rows = rows_of(started, follower.name(), progress.as_ref(), &self.accepted)?;
                if let Some(rebuilt) = let_go(&mut **follower, rows, started, self.clock.now())? {
                    built_up.push(rebuilt);
                }
                if rows == Rows::Go {
                    reached = Sequence(0);
                }
            }
            let far = reached.0 + FAR_BEHIND * self.journal.compact_records as u64;
            // What is built up again is marked at once, however much it is.
            let is_far_behind = wants.counts && rows == Rows::Stay && far < started.sequence().0;
            taken.push((how, Reached { sequence: reached, is_far_behind }));
            if wants.counts {
                from.tables = Some(if is_far_behind { started.sequence() } else { reached });
            }
            if wants.dead_letters {
                from.dead_letters = Some((follower.name().to_owned(), reached));
            }
        }
        Ok((taken, from, built_up))
    }
}

/// What becomes of the rows of tables that are as of this.
fn rows_of(started: &Started, name: &str, progress: Option<&Progress>, accepted: &Accepted) -> Result<Rows, Fault> {
    let (mut standing, mut acknowledged) = (Standing::InChain, false);
    if let Some(Progress { sequence, hash, .. }) = progress {
        let hash = hash.unwrap_or_default();
        standing = started.standing(*sequence, hash)?;
        let ack = if standing == Standing::Gone { started.ack(name)? } else { None };
        acknowledged = ack.is_some_and(|ack| (ack.sequence, ack.hash) == (*sequence, hash));
    }
    let reached = progress.map_or(Sequence(0), |progress| progress.sequence);
    let gap = started.gap(reached)?.map(|(gap, _)| gap);
    start::check_tables(name, progress, standing, acknowledged, gap, accepted)
}

/// Let rows go where that was accepted; what the tables will lack for it.
fn let_go(follower: &mut dyn Follower, rows: Rows, started: &Started, now: WallTime) -> Result<Option<Rebuilt>, Fault> {
    let until = started.dropped()?;
    let forget = match rows {
        Rows::Stay => return Ok(None),
        Rows::AreOld => Forget::FinalBy(until),
        Rows::Go => Forget::Everything,
    };
    tracing::warn!(follower = follower.name(), ?rows, "its tables are built up again from the journal");
    let after = follower.forget(forget)?.filter(|_| rows == Rows::AreOld);
    let lacks = |until| Rebuilt { follower: follower.name().to_owned(), after, until, at: now, record: Sequence(0) };
    Ok(until.filter(|until| after < Some(*until)).map(lacks))
}
