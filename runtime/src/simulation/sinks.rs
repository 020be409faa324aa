//! Tables and boards as models: they keep the guards that the real ones keep, and judge every write. Dead letters: `letters`.

use super::fibers::point;
use super::log::KEYS;
use super::oracle::{Counts, LATENESS, Oracle, Snapshot, WindowKey};
use super::world::World;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use stream::{
    Claim, Commit, Fault, Follower, Generation, Progress, Ranking, RowBlock, Step, Wants, WindowState, WindowTotals,
};

type Best = Vec<(&'static str, u64)>;

#[derive(Clone, Default)]
pub(super) struct Tables {
    pub(super) rows: Counts,
    statuses: BTreeMap<WindowKey, (WindowState, WindowTotals)>,
    rankings: BTreeMap<WindowKey, Best>,
    generation: Generation,
    progress: Option<Progress>,
    pub(super) acted: u64,
    /// The epoch that rankings are as of.
    pub(super) ranked: u64,
    pub(super) is_away: bool,
    /// They are older than what they once acknowledged.
    pub(super) is_restored: bool,
}

#[derive(Default)]
pub(super) struct Boards {
    /// Generation, epoch, state and entries of each.
    pub(super) lists: BTreeMap<WindowKey, (Generation, u64, WindowState, Best)>,
    current: BTreeMap<u8, (Generation, i64)>,
    generation: Generation,
    progress: Option<Progress>,
    pub(super) is_away: bool,
    /// How often everything was lost.
    wipes: u64,
}

/// Which of the three.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Tables,
    Boards,
    Letters,
}

/// An instance's end of a sink.
pub(super) struct Sink {
    pub(super) kind: Kind,
    pub(super) world: Arc<World>,
    pub(super) instance: usize,
    pub(super) generation: Generation,
    /// How often the boards had been wiped when they were last written.
    seen_wipes: u64,
    found_wiped: bool,
}

fn away<T>() -> Result<T, Fault> {
    Err(Fault::transient("cannot reach the sink", "as the seed has it", "wait"))
}

fn key_of(key: &str) -> &'static str {
    KEYS.iter().find(|known| *known == key).expect("keys are known")
}

fn entries(ranking: &Ranking) -> Best {
    ranking.entries.iter().map(|(key, n)| (key_of(key.as_str()), *n)).collect()
}

/// What was committed as this commit says; anything else must never be shown.
pub(super) fn committed(oracle: &Oracle, commit: &Commit) -> Result<Arc<Snapshot>, String> {
    let link = oracle.link(commit.sequence.0).filter(|link| link.hash == commit.hash);
    let link = link.ok_or_else(|| format!("{} is shown, and is not in the chain", commit.sequence))?;
    let snapshot = link.snapshot.clone().ok_or_else(|| format!("{} is shown, and is no epoch", commit.sequence))?;
    let watermark = commit.watermark.map(|watermark| watermark.millis());
    match snapshot.watermark == watermark {
        true => Ok(snapshot),
        false => Err(format!("{} is shown with W {watermark:?}: {:?}", commit.sequence, snapshot.watermark)),
    }
}

fn state(oracle: &Oracle, snapshot: &Snapshot, window: WindowKey) -> WindowState {
    let inside = if window.0 == 3 { oracle.place.begin() } else { window.1 };
    let end = oracle.place.windows(inside)[usize::from(window.0)].1;
    match snapshot.watermark {
        Some(watermark) if end + LATENESS <= watermark => WindowState::Final,
        Some(watermark) if end <= watermark => WindowState::Closed,
        _ => WindowState::Open,
    }
}

fn totals(snapshot: &Snapshot, window: WindowKey) -> WindowTotals {
    let counts = snapshot.counts.get(&window);
    WindowTotals {
        events: counts.map_or(0, |counts| counts.values().sum()),
        keys: counts.map_or(0, |counts| counts.len() as u64),
        late: snapshot.late.get(&window).copied().unwrap_or(0),
    }
}

impl Tables {
    /// One transaction: all of it or nothing.
    fn apply(&mut self, step: &Step, again: &[RowBlock], oracle: &Oracle) -> Result<(), String> {
        let commit = &step.commit;
        let snapshot = committed(oracle, commit)?;
        if self.progress.as_ref().is_some_and(|before| before.sequence > commit.sequence) {
            return Err(format!("tables go back from {:?} to {}", self.progress, commit.sequence));
        }
        for block in step.rows.iter().chain(again) {
            let rows = self.rows.entry((block.window.kind, block.window.start.millis())).or_default();
            rows.extend(block.keys.iter().map(key_of).zip(block.counts.iter().copied()));
        }
        if self.rows != snapshot.counts {
            let (shown, counted) = differing(&self.rows, &snapshot.counts);
            return Err(format!("tables as of {}: {shown:?}, and it must be {counted:?}", commit.sequence));
        }
        for status in &step.statuses {
            let window = (status.window.kind, status.window.start.millis());
            self.statuses.insert(window, (status.state, status.totals));
        }
        for window in snapshot.counts.keys().chain(snapshot.late.keys()) {
            let expected = (state(oracle, &snapshot, *window), totals(&snapshot, *window));
            if self.statuses.get(window) != Some(&expected) {
                let shown = self.statuses.get(window);
                return Err(format!("status of {window:?} as of {}: {shown:?}: {expected:?}", commit.sequence));
            }
        }
        for ranking in &step.rankings {
            self.rankings.insert((ranking.window.kind, ranking.window.start.millis()), entries(ranking));
        }
        for window in step.lost.iter().flat_map(|lost| &lost.rankings) {
            let window = (window.kind, window.start.millis());
            self.rankings.insert(window, snapshot.best(window));
        }
        for window in snapshot.counts.keys().filter(|_| step.with_rankings) {
            let (shown, expected) = (self.rankings.get(window), snapshot.best(*window));
            if shown != Some(&expected) {
                return Err(format!("ranking of {window:?} as of {}: {shown:?}: {expected:?}", commit.sequence));
            }
        }
        if step.with_rankings {
            self.ranked = commit.sequence.0;
        }
        self.progress =
            Some(Progress { generation: commit.generation, sequence: commit.sequence, hash: Some(commit.hash) });
        self.acted = self.acted.max(commit.sequence.0);
        self.is_restored = false;
        Ok(())
    }

    /// Whether every ranking is as of this.
    pub(super) fn ranks(&self, snapshot: &Snapshot) -> bool {
        snapshot.counts.keys().all(|window| self.rankings.get(window) == Some(&snapshot.best(*window)))
    }

    pub(super) fn sequence(&self) -> u64 {
        self.progress.as_ref().map_or(0, |progress| progress.sequence.0)
    }
}

/// The first window that differs.
fn differing(shown: &Counts, counted: &Counts) -> (Counts, Counts) {
    let windows: BTreeSet<WindowKey> = shown.keys().chain(counted.keys()).copied().collect();
    let first = windows.into_iter().find(|window| shown.get(window) != counted.get(window));
    let only = |of: &Counts| -> Counts {
        let it = of.iter().filter(|(window, _)| Some(**window) == first);
        it.map(|(window, counts)| (*window, counts.clone())).collect()
    };
    (only(shown), only(counted))
}

impl Boards {
    fn put(&mut self, ranking: &Ranking, commit: &Commit, oracle: &Oracle) -> Result<(), String> {
        let snapshot = committed(oracle, commit)?;
        let window = (ranking.window.kind, ranking.window.start.millis());
        let expected = (state(oracle, &snapshot, window), totals(&snapshot, window), snapshot.best(window));
        let shown = (ranking.state, ranking.totals, entries(ranking));
        // What has left memory was final, and its late counter may have gone on since.
        let same = shown.0 == expected.0 && shown.2 == expected.2 && shown.1.events == expected.1.events;
        if !same {
            return Err(format!("board {window:?} as of {}: {shown:?}: {expected:?}", commit.sequence));
        }
        let next = (commit.generation, commit.sequence.0, shown.0, shown.2);
        if let Some(before) = self.lists.get(&window) {
            if (before.0, before.1) > (next.0, next.1) {
                return Err(format!("board {window:?} goes back from {before:?} to {next:?}"));
            }
            if before.2 == WindowState::Final && before.3 != next.3 {
                return Err(format!("final board {window:?} changes from {before:?} to {next:?}"));
            }
        }
        self.lists.insert(window, next);
        Ok(())
    }

    fn point(&mut self, step: &Step) -> Result<(), String> {
        let commit = &step.commit;
        for pointers in &step.pointers {
            let Some(current) = pointers.current.map(|start| start.millis()) else { continue };
            match self.current.get(&pointers.kind) {
                // The store moves them forward only. After a loss nobody owns it, and a zombie may try.
                Some((generation, before)) if *before > current && *generation > commit.generation => {}
                Some((_, before)) if *before > current => {
                    return Err(format!("the pointer of {} goes back from {before} to {current}", pointers.kind));
                }
                _ => _ = self.current.insert(pointers.kind, (commit.generation, current)),
            }
        }
        self.progress = Some(Progress { generation: commit.generation, sequence: commit.sequence, hash: None });
        Ok(())
    }

    /// What is final may have left the job before it was shown, or may have been lost since: boards are held for
    /// `journal.retain` only, and come back from the tables when somebody asks for them. Until then there may be what an
    /// older instance wrote.
    pub(super) fn may_lack(&self, window: WindowKey, newest: Generation, world: &World) -> bool {
        let may_be_gone = self.wipes > 0 || world.setup.retain <= world.went_on();
        may_be_gone && self.lists.get(&window).is_none_or(|list| list.0 < newest)
    }

    /// After a loss a zombie may be the first to own what is empty; each board has its age, which stops it.
    fn guard(&self, ranking: &Ranking, generation: Generation) -> Result<(), Fault> {
        let window = (ranking.window.kind, ranking.window.start.millis());
        match self.lists.get(&window) {
            Some(list) if self.wipes > 0 && list.0 > generation => {
                Err(Fault::fenced("cannot write to the sink", format!("a board is of generation {}", list.0)))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn wipe(&mut self) {
        self.lists.clear();
        self.current.clear();
        self.progress = None;
        // Whoever comes first owns what is empty.
        self.generation = Generation(0);
        self.wipes += 1;
    }
}

impl Sink {
    pub(super) fn new(kind: Kind, world: &Arc<World>, instance: usize) -> Self {
        Sink { kind, world: world.clone(), instance, generation: Generation(0), seen_wipes: 0, found_wiped: false }
    }

    /// One exchange with the sink. None: it did not get there.
    pub(super) fn ask<T>(
        &self,
        what: &'static str,
        effect: impl FnOnce(&World) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        point();
        let world = &*self.world;
        let is_away = match self.kind {
            Kind::Tables => world.tables.lock().expect("never poisoned").is_away,
            Kind::Boards => world.boards.lock().expect("never poisoned").is_away,
            Kind::Letters => world.letters.lock().expect("never poisoned").is_away,
        };
        let fate = world.fails(world.setup.sink_faults).then(|| world.fibers.below(2));
        if is_away || fate == Some(0) {
            return away();
        }
        let outcome = effect(world);
        world.note(|| format!("{}: {what} {:?}: {}", self.instance, self.kind, outcome.is_ok()));
        point();
        if fate.is_some() && outcome.is_ok() {
            world.meet("a sink's answer is lost");
            return away();
        }
        outcome
    }

    fn guard(&self, owner: Generation) -> Result<(), Fault> {
        match owner > self.generation {
            true => Err(Fault::fenced("cannot write to the sink", format!("generation {owner} has taken over"))),
            false => Ok(()),
        }
    }

    fn write_tables(&self, step: &Step) -> Result<(), Fault> {
        let mut again = Vec::new();
        if let Some(lost) = &step.lost {
            self.world.meet("lost rows come from the journal");
            // Whoever reads them would wait for a compaction that is under way, and keep the turn.
            while self.world.instances()[self.instance].is_compacting {
                point();
            }
            for chunk in lost.rows.open()? {
                again.extend(chunk?);
            }
        }
        self.ask("flush", |world| {
            let mut tables = world.tables.lock().expect("never poisoned");
            self.guard(tables.generation)?;
            let applied = tables.apply(step, &again, &world.oracle.lock().expect("never poisoned"));
            drop(tables);
            world.must(applied);
            Ok(())
        })
    }

    fn write_boards(&mut self, step: &Step) -> Result<(), Fault> {
        let wipes = self.ask("own", |world| {
            let mut boards = world.boards.lock().expect("never poisoned");
            self.guard(boards.generation)?;
            boards.generation = self.generation;
            Ok(boards.wipes)
        })?;
        self.found_wiped |= wipes != self.seen_wipes;
        self.seen_wipes = wipes;
        for ranking in &step.rankings {
            self.ask("publish", |world| {
                let mut boards = world.boards.lock().expect("never poisoned");
                self.guard(boards.generation)?;
                boards.guard(ranking, self.generation)?;
                let put = boards.put(ranking, &step.commit, &world.oracle.lock().expect("never poisoned"));
                drop(boards);
                world.must(put);
                Ok(())
            })?;
        }
        self.ask("point", |world| {
            let mut boards = world.boards.lock().expect("never poisoned");
            self.guard(boards.generation)?;
            let done = committed(&world.oracle.lock().expect("never poisoned"), &step.commit);
            let done = done.and_then(|_| boards.point(step));
            drop(boards);
            world.must(done);
            Ok(())
        })
    }
}

impl Follower for Sink {
    fn name(&self) -> &'static str {
        match self.kind {
            Kind::Tables => "tables",
            Kind::Boards => "boards",
            Kind::Letters => "letters",
        }
    }

    fn wants(&self) -> Wants {
        let every = Duration::from_millis(50);
        match self.kind {
            Kind::Tables => Wants { counts: true, rankings_every: Some(3 * every), every, ..Wants::default() },
            Kind::Boards => Wants {
                rankings_every: Some(every),
                refresh_every: Some(Duration::from_millis(2_000)),
                ..Wants::default()
            },
            Kind::Letters => Wants { dead_letters: true, ..Wants::default() },
        }
    }

    fn look(&mut self) -> Result<Option<Progress>, Fault> {
        self.ask("look at", |world| {
            Ok(match self.kind {
                Kind::Tables => world.tables.lock().expect("never poisoned").progress.clone(),
                Kind::Boards => world.boards.lock().expect("never poisoned").progress.clone(),
                Kind::Letters => world.letters.lock().expect("never poisoned").progress(),
            })
        })
    }

    fn claim(&mut self, claim: &Claim) -> Result<Option<Progress>, Fault> {
        self.generation = claim.generation;
        self.seen_wipes = self.world.boards.lock().expect("never poisoned").wipes;
        self.ask("claim", |world| match self.kind {
            Kind::Tables => {
                let mut tables = world.tables.lock().expect("never poisoned");
                self.guard(tables.generation)?;
                tables.generation = claim.generation;
                Ok(tables.progress.clone())
            }
            Kind::Boards => {
                let mut boards = world.boards.lock().expect("never poisoned");
                self.guard(boards.generation)?;
                boards.generation = claim.generation;
                Ok(boards.progress.clone())
            }
            Kind::Letters => {
                let mut letters = world.letters.lock().expect("never poisoned");
                if letters.greatest > claim.generation {
                    world.meet("a claim is undone by an older instance");
                }
                letters.owner = Some(self.instance);
                letters.greatest = letters.greatest.max(claim.generation);
                Ok(letters.progress())
            }
        })
    }

    fn write(&mut self, step: &Step) -> Result<(), Fault> {
        match self.kind {
            Kind::Tables => self.write_tables(step),
            Kind::Boards => self.write_boards(step),
            Kind::Letters => self.write_letters(step),
        }
    }

    fn has_lost(&mut self) -> bool {
        std::mem::take(&mut self.found_wiped)
    }
}
