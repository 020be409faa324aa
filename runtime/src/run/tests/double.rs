//! A follower that stands in for tables, boards or dead letters, and refuses whatever breaks a promise of the runtime.

use super::*;
use std::cmp::Reverse;
use stream::{Ranking, Step, WindowId, WindowStatus, WindowTotals};

/// What a store outside would hold; survives restarts.
#[derive(Default)]
pub(super) struct Shown {
    pub(super) rows: BTreeMap<WindowId, BTreeMap<String, u64>>,
    pub(super) statuses: BTreeMap<WindowId, WindowStatus>,
    pub(super) boards: BTreeMap<WindowId, Arc<Ranking>>,
    pub(super) letters: BTreeSet<(String, i64)>,
    pub(super) closed: Vec<Option<i64>>,
    pub(super) progress: Option<Progress>,
    pub(super) steps: u64,
    pub(super) claims: u64,
    /// The newest generation that claimed it; older ones are fenced, as by every real store.
    pub(super) generation: Generation,
    /// Neither looking nor writing works.
    pub(super) is_away: bool,
    /// Steps that brought what was dropped.
    pub(super) rebuilt: u64,
}

/// See the module.
pub(super) struct Double {
    pub(super) name: &'static str,
    pub(super) wants: Wants,
    pub(super) shown: Arc<Mutex<Shown>>,
    pub(super) store: Gate,
    /// So many claims, then so many writes, fail as if the store were away.
    pub(super) away: (u32, u32),
    /// While this is set, every write does.
    pub(super) shut: Arc<AtomicBool>,
    refused: Option<String>,
    generation: Generation,
    watermark: Option<EventTime>,
}

impl Double {
    pub(super) fn new(name: &'static str, wants: Wants, shown: &Arc<Mutex<Shown>>, store: &Gate) -> Self {
        let (shown, store) = (shown.clone(), store.clone());
        Double {
            name,
            wants,
            shown,
            store,
            away: (0, 0),
            shut: Arc::default(),
            refused: None,
            generation: Generation(0),
            watermark: None,
        }
    }

    fn check(&mut self, step: &Step) -> Result<(), String> {
        let commit = &step.commit;
        let mut shown = self.shown.lock().unwrap();
        if shown.generation > self.generation {
            return Err(format!("fenced by {:?}", shown.generation));
        }
        if !self.store.records().contains(&commit.sequence.0) {
            return Err(format!("record {} is not in the journal yet", commit.sequence));
        }
        if commit.generation != self.generation {
            return Err(format!("{:?} is not the claimed {:?}", commit.generation, self.generation));
        }
        if shown.progress.as_ref().is_some_and(|progress| progress.sequence > commit.sequence)
            || commit.watermark < self.watermark
        {
            return Err("a step went back".to_owned());
        }
        if self.refused.take().is_some_and(|refused| refused != format!("{step:?}")) {
            return Err("another step than the one that failed".to_owned());
        }
        self.watermark = commit.watermark;
        shown.progress =
            Some(Progress { generation: commit.generation, sequence: commit.sequence, hash: Some(commit.hash) });
        shown.steps += 1;
        shown.closed = step.pointers.iter().map(|pointers| pointers.closed.map(EventTime::millis)).collect();
        for (sequence, letter) in &step.dead_letters {
            if *sequence > commit.sequence || !shown.letters.insert((letter.partition.to_string(), letter.offset)) {
                return Err(format!("dead letter {} {} twice or too early", letter.partition, letter.offset));
            }
        }
        for block in &step.rows {
            let rows = shown.rows.entry(block.window.id()).or_default();
            for (key, count) in block.keys.iter().zip(&block.counts) {
                let before = rows.insert(key.to_owned(), *count);
                if before > Some(*count) {
                    return Err(format!("{key} went from {before:?} to {count}"));
                }
            }
        }
        if let Some(lost) = &step.lost {
            shown.rebuilt += 1;
            let mut seen = BTreeSet::new();
            for block in lost.rows.open().map_err(|fault| fault.to_string())?.flat_map(|chunk| chunk.unwrap()) {
                let rows = shown.rows.entry(block.window.id()).or_default();
                for (key, count) in block.keys.iter().zip(&block.counts) {
                    let before = rows.insert(key.to_owned(), *count);
                    if before > Some(*count) || !seen.insert((block.window.id(), key.to_owned())) {
                        return Err(format!("{key} went from {before:?} to {count}, or came twice"));
                    }
                }
            }
            for window in &lost.rankings {
                let entries = best(&shown.rows[&window.id()]).into_iter();
                let ranking = Ranking {
                    window: *window,
                    state: window.state(commit.watermark, Duration::from_millis(LATENESS as u64)),
                    totals: WindowTotals::default(),
                    entries: entries.map(|(key, count)| (stream::Key::new(&key), count)).collect(),
                };
                shown.boards.insert(window.id(), Arc::new(ranking));
            }
        }
        for status in &step.statuses {
            shown.statuses.insert(status.window.id(), *status);
        }
        for ranking in &step.rankings {
            if ranking.entries.is_empty() {
                return Err(format!("an emptied list of {:?}", ranking.id()));
            }
            shown.boards.insert(ranking.id(), ranking.clone());
        }
        if self.wants.counts { all_is_of_one_epoch(&shown, step) } else { Ok(()) }
    }
}

/// After every step of the tables: rows, totals and lists agree.
fn all_is_of_one_epoch(shown: &Shown, step: &Step) -> Result<(), String> {
    let none = BTreeMap::new();
    for (id, status) in &shown.statuses {
        let rows = shown.rows.get(id).unwrap_or(&none);
        let WindowTotals { events, keys, .. } = status.totals;
        if (rows.values().sum::<u64>(), rows.len() as u64) != (events, keys) {
            return Err(format!("{id:?}: {} rows do not add up to {:?}", rows.len(), status.totals));
        }
    }
    for ranking in &step.rankings {
        if ranking.entries.iter().map(|(key, count)| (key.to_string(), *count)).ne(best(&shown.rows[&ranking.id()])) {
            return Err(format!("the list of {:?} is not that of its rows", ranking.id()));
        }
    }
    Ok(())
}

/// The exact K best.
pub(super) fn best(rows: &BTreeMap<String, u64>) -> Vec<(String, u64)> {
    let mut best: Vec<(String, u64)> = rows.iter().map(|(key, count)| (key.clone(), *count)).collect();
    best.sort_by_key(|(key, count)| (Reverse(*count), key.clone()));
    best.truncate(K);
    best
}

impl Follower for Double {
    fn name(&self) -> &'static str {
        self.name
    }

    fn wants(&self) -> Wants {
        self.wants
    }

    fn look(&mut self) -> Result<Option<Progress>, Fault> {
        let shown = self.shown.lock().unwrap();
        if shown.is_away {
            return Err(Fault::transient("cannot look", "away", "wait"));
        }
        Ok(shown.progress.clone())
    }

    fn claim(&mut self, claim: &Claim) -> Result<Option<Progress>, Fault> {
        if self.away.0 > 0 {
            self.away.0 -= 1;
            return Err(Fault::transient("cannot claim", "away", "wait"));
        }
        self.generation = claim.generation;
        let mut shown = self.shown.lock().unwrap();
        shown.claims += 1;
        shown.generation = shown.generation.max(claim.generation);
        Ok(shown.progress.clone())
    }

    fn write(&mut self, step: &Step) -> Result<(), Fault> {
        if self.away.1 > 0 || self.shut.load(Ordering::SeqCst) {
            self.away.1 = self.away.1.saturating_sub(1);
            let again = format!("{step:?}");
            if self.refused.replace(again.clone()).is_some_and(|before| before != again) {
                return Err(Fault::failed("cannot write", "another step than the one that failed", "mend the runtime"));
            }
            return Err(Fault::transient("cannot write", "away", "wait"));
        }
        if self.shown.lock().unwrap().is_away {
            return Err(Fault::transient("cannot write", "away", "wait"));
        }
        self.check(step)
            .map_err(|why| Fault::failed(format!("{} cannot show a step", self.name), why, "mend the runtime"))
    }
}
