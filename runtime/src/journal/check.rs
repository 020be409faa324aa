//! Whether a journal is whole: every object's bytes, every link, every part of the base, and whether what they say adds
//! up. Reads everything and changes nothing, beside a running job too.

use super::chain::{self, Record, in_parallel};
use super::compact::BASES;
use super::fold::{Effect, Gains, Layer};
use super::format::Kind;
use super::record::{FIRST, PartObject};
use super::recover::{self, Gathered, Origin};
use super::{Journal, slots};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use stream::{Fault, Sequence, WallTime, WindowId, WindowState};

/// Told while a check runs, by any thread: objects read, and how many there are.
pub type Progress<'a> = &'a (dyn Fn(u64, u64) + Sync);

/// What a check found.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Findings {
    /// What is wrong, by object or by account. None: the journal is whole.
    pub wrong: Vec<String>,
    /// Records from the oldest that is still linked to the last, and how many.
    pub records: (Sequence, Sequence, u64),
    /// Parts of the base that counts.
    pub base_parts: u64,
    /// Keys in the base and the records above it, and counts in windows that are still in memory.
    pub keys: u64,
    /// See `keys`.
    pub counts: u64,
    /// Objects that belong to nothing, and their bytes: a crash left them; a later compaction deletes what it may.
    pub left_over: (u64, u64),
    /// Bytes read.
    pub bytes: u64,
}

/// How often a check begins again because compaction deleted what it was reading.
const TRIES: u32 = 5;

impl Journal {
    /// Check everything; none if the journal is empty.
    ///
    /// # Errors
    /// The store cannot be read, or compaction is always faster. Whatever is wrong with the journal is a finding, but for
    /// lost commits, which are refused as at a start (exit 3).
    pub fn check(&self, progress: Progress<'_>) -> Result<Option<Findings>, Fault> {
        for _ in 0..TRIES {
            let Some(tail) = slots::tail(&self.objects)? else { return Ok(None) };
            let findings = Check { journal: self, tail: &tail, progress, done: AtomicU64::new(0) }.run()?;
            let is_still = chain::tail(&self.objects)?.is_some_and(|newer| newer.base() == tail.base());
            if findings.wrong.is_empty() || is_still {
                return Ok(Some(findings));
            }
        }
        Err(Fault::transient(
            "cannot check the journal",
            format!("it was compacted {TRIES} times while it was being read"),
            "check it while the job is stopped or has less to do",
        ))
    }
}

struct Check<'a> {
    journal: &'a Journal,
    tail: &'a Record,
    progress: Progress<'a>,
    done: AtomicU64,
}

impl Check<'_> {
    fn run(&self) -> Result<Findings, Fault> {
        let objects = &self.journal.objects;
        let mut findings = Findings::default();
        let records = objects.list(chain::COMMITS)?;
        let parts = objects.list(BASES)?;
        let numbers: Vec<(Sequence, u64)> = records
            .iter()
            .filter_map(|object| Some((chain::sequence_of(&object.name)?, object.size)))
            .filter(|(sequence, _)| *sequence <= self.tail.link.sequence)
            .collect();
        let total = (numbers.len() + parts.len()) as u64;
        let opened = in_parallel(numbers.len(), |index| {
            let opened = self.open(numbers[index].0);
            self.tick(total);
            opened
        })?;
        let linked = self.links(&numbers, opened, &mut findings);
        for (sequence, size) in &numbers {
            findings.bytes += size;
            if *sequence != FIRST && *sequence < findings.records.0 {
                findings.left_over = (findings.left_over.0 + 1, findings.left_over.1 + size);
            }
        }
        self.slots(&mut findings)?;
        let Some(origin) = linked else { return Ok(findings) };
        let through = self.tail.link.sequence;
        let gathered = match self.found(recover::gather(objects, &origin, self.tail.base(), through), &mut findings)? {
            Some(gathered) => gathered,
            None => return Ok(findings),
        };
        let live: BTreeSet<&str> =
            gathered.base.iter().flat_map(|base| &base.parts).map(|part| part.name.as_str()).collect();
        findings.base_parts = live.len() as u64;
        for part in &parts {
            findings.bytes += part.size;
            if !live.contains(part.name.as_str()) {
                findings.left_over = (findings.left_over.0 + 1, findings.left_over.1 + part.size);
            }
        }
        self.accounts(&gathered, &mut findings);
        self.counts(gathered, total, &mut findings)?;
        Ok(findings)
    }

    fn tick(&self, total: u64) {
        (self.progress)((self.done.fetch_add(1, Ordering::Relaxed) + 1).min(total), total);
    }

    /// Every record by itself: what cannot be opened is a finding, what is not there any more is not.
    fn open(&self, sequence: Sequence) -> Result<Option<Result<Record, String>>, Fault> {
        let whole = |record: Record| -> Result<Record, Fault> {
            match record.opened.kind {
                Kind::Epoch => drop(record.epoch()?),
                Kind::Base | Kind::Genesis => drop(record.opened.json::<serde_json::Value>(0)?),
                Kind::Fence | Kind::Part => {}
            }
            Ok(record)
        };
        match chain::read(&self.journal.objects, sequence).and_then(|record| record.map(whole).transpose()) {
            Ok(record) => Ok(record.map(Ok)),
            Err(fault) if fault.is_transient() => Err(fault),
            Err(fault) => Ok(Some(Err(format!("{}: {}", fault.what, fault.why)))),
        }
    }

    /// From the last record backwards, as far as one names the other; then genesis.
    fn links(
        &self,
        numbers: &[(Sequence, u64)],
        opened: Vec<Option<Result<Record, String>>>,
        findings: &mut Findings,
    ) -> Option<Origin> {
        let mut by_number = BTreeMap::new();
        for ((sequence, _), opened) in numbers.iter().zip(opened) {
            match opened {
                Some(Ok(record)) => drop(by_number.insert(*sequence, record)),
                Some(Err(why)) => findings.wrong.push(why),
                None => {}
            }
        }
        let last = self.tail.link.sequence;
        let mut oldest = last;
        while let (Some(record), Some(before)) =
            (by_number.get(&oldest), by_number.get(&Sequence(oldest.0.saturating_sub(1))))
        {
            // Below what the base covers another's record may lie on a deleted name.
            if chain::follows(before, record).is_err() {
                break;
            }
            oldest = before.link.sequence;
        }
        findings.records = (oldest, last, last.0 + 1 - oldest.0);
        match by_number.get(&FIRST) {
            Some(first) => match first.opened.json(0) {
                Ok(body) => Some(Origin {
                    body,
                    hash: first.opened.hash,
                    generation: first.link.generation,
                    began_at: WallTime(first.link.written_at),
                }),
                Err(fault) => {
                    findings.wrong.push(format!("{}: {}", fault.what, fault.why));
                    None
                }
            },
            None => {
                if !findings.wrong.iter().any(|wrong| wrong.contains(&chain::name_of(FIRST))) {
                    findings.wrong.push(format!("{}: it is not there", chain::name_of(FIRST)));
                }
                None
            }
        }
    }

    /// Every generation before ours has its slot closed; without it, an instance that slept could come back.
    fn slots(&self, findings: &mut Findings) -> Result<(), Fault> {
        let closed = slots::closed(&self.journal.objects)?;
        // The last one is closed a moment after its fence is written.
        for generation in (1..self.tail.link.generation.0).filter(|generation| !closed.contains(generation)) {
            let name = slots::name_of(stream::Generation(generation));
            findings.wrong.push(format!("{name} is not there: it is kept for ever, against instances that slept"));
        }
        Ok(())
    }

    /// A fault of the store ends the check; one of the content is a finding.
    fn found<T>(&self, outcome: Result<T, Fault>, findings: &mut Findings) -> Result<Option<T>, Fault> {
        match outcome {
            Ok(value) => Ok(Some(value)),
            Err(fault) if fault.is_transient() => Err(fault),
            Err(fault) => {
                let finding = format!("{}: {}", fault.what, fault.why);
                if !findings.wrong.contains(&finding) {
                    findings.wrong.push(finding);
                }
                Ok(None)
            }
        }
    }

    /// consumed = counted + dead_lettered, for every partition that has a position.
    fn accounts(&self, gathered: &Gathered, findings: &mut Findings) {
        for (partition, line) in &gathered.summary.ledger {
            if line.consumed != line.counted + line.dead_lettered {
                findings.wrong.push(format!(
                    "partition {partition}: consumed {} is not counted {} + dead_lettered {}",
                    line.consumed, line.counted, line.dead_lettered
                ));
            }
            if !gathered.summary.partitions.contains_key(partition) {
                findings.wrong.push(format!("partition {partition} has an account and no position"));
            }
        }
    }

    /// Fold everything, and compare each window's counts with its totals.
    fn counts(&self, mut gathered: Gathered, total: u64, findings: &mut Findings) -> Result<(), Fault> {
        let Journal { objects, settings, .. } = self.journal;
        let layers: Vec<Layer> = std::mem::take(&mut gathered.epochs)
            .into_iter()
            .map(|epoch| Layer { sequence: epoch.sequence, delta: epoch.delta, effect: Effect::Count })
            .collect();
        let (ranges, dropped) = (gathered.ranges(), gathered.dropped());
        let folded = in_parallel(ranges.len(), |index| {
            let range: &((u16, u16), Option<PartObject>) = &ranges[index];
            let folded = recover::fold_range(objects, settings, &layers, dropped, range);
            self.tick(total);
            Ok(folded.map(|(groups, gains)| {
                let mut held = Gains::new();
                let (mut keys, mut counts) = (0, 0);
                for group in &groups {
                    keys += group.keys.len() as u64;
                    counts += group.panes.len() as u64;
                    for pane in &group.panes {
                        let (events, keys) = held.entry(WindowId { kind: pane.kind, start: pane.start }).or_default();
                        *events += pane.count;
                        *keys += 1;
                    }
                }
                (held, gains, keys, counts)
            }))
        })?;
        let mut held = Gains::new();
        let mut summary = gathered.summary;
        for outcome in folded {
            let Some((of_range, gains, keys, counts)) = self.found(outcome, findings)? else { continue };
            findings.keys += keys;
            findings.counts += counts;
            for (window, (events, keys)) in of_range {
                let sum = held.entry(window).or_default();
                (sum.0, sum.1) = (sum.0 + events, sum.1 + keys);
            }
            if let Err(why) = summary.gain(gains) {
                findings.wrong.push(why);
            }
        }
        if !findings.wrong.is_empty() {
            // With something missing, every sum would be wrong too.
            return Ok(());
        }
        let lateness = settings.rules.allowed_lateness;
        for (id, totals) in &summary.totals {
            let window = settings.windows.find(*id);
            if window.state(dropped, lateness) == WindowState::Final {
                continue;
            }
            let (events, keys) = held.remove(id).unwrap_or_default();
            if (events, keys) != (totals.events, totals.keys) {
                let name = &settings.windows.kind(id.kind).name;
                findings.wrong.push(format!(
                    "window {name} {}: its counts add up to {events} events of {keys} keys, and its totals say {} of {}",
                    id.start, totals.events, totals.keys
                ));
            }
        }
        Ok(())
    }
}
