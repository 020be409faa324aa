//! Who lets things happen: first everything at once (safety), then nothing more (liveness): the newest instance must have
//! counted and shown all there is, within a bound.

use super::fibers::point;
use super::instance;
use super::sinks::Tables;
use super::store::land;
use super::swarm::{Deed, Phase};
use super::world::{Instance, World};
use crate::journal::relinked;
use futures_util::FutureExt;
use object_store::{ObjectStoreExt, path::Path};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use stream::{Exit, Fault};

/// Instances that a run may have in its trouble, unless none is left.
const INSTANCES: usize = 12;
/// Turns in which a healed world must come to rest.
const PATIENCE: u64 = 20_000;

pub(super) struct Director {
    world: Arc<World>,
    /// Copies of the tables to go back to.
    backups: Vec<Tables>,
    added: u64,
    phase: Phase,
}

impl Director {
    pub(super) fn new(world: &Arc<World>) -> Self {
        let phase = Phase::draw(|bound| world.fibers.below(bound));
        Director { world: world.clone(), backups: Vec::new(), added: 0, phase }
    }

    fn below(&self, bound: u64) -> u64 {
        self.world.fibers.below(bound)
    }

    fn is_over(&self) -> bool {
        self.world.fibers.failure().is_some()
    }

    /// The whole run.
    pub(super) fn run(&mut self) {
        self.start();
        for _ in 0..self.world.setup.trouble {
            if self.is_over() {
                return;
            }
            self.trouble();
            (0..1 + self.below(self.world.setup.pace)).for_each(|_| point());
        }
        self.heal();
        if !self.comes_to_rest() {
            return;
        }
        if self.below(3) == 0 {
            self.wait_and_start();
            if !self.comes_to_rest() {
                return;
            }
        }
        self.audit();
    }

    /// Whether everything gets where it must, and no promise is broken on the way.
    fn comes_to_rest(&mut self) -> bool {
        for _ in 0..PATIENCE {
            if self.is_over() {
                return false;
            }
            if self.is_at_rest() {
                return true;
            }
            self.goes_on();
        }
        let why = self.unrest();
        self.world.fibers.fail(format!("it does not come to rest: {why}"));
        false
    }

    fn goes_on(&mut self) {
        self.world.pass(20 + self.below(60));
        self.alive().iter().for_each(|one| self.world.fibers.poke(*one));
        if self.alive().is_empty() {
            self.replace_tables();
            self.start();
        }
        point();
    }

    /// Nothing comes for a while, so that partitions fall silent, all of them perhaps; then an instance starts with what
    /// the journal has, and more comes.
    fn wait_and_start(&mut self) {
        for _ in 0..self.below(300) {
            if self.is_over() {
                return;
            }
            self.goes_on();
        }
        if self.world.oracle.lock().expect("never poisoned").now.partitions.values().all(|standing| !standing.active) {
            self.world.meet("every partition is silent at a start");
        }
        self.alive().into_iter().for_each(|one| self.world.kill(one));
        self.start();
        (0..1 + self.below(4)).for_each(|_| self.append());
    }

    /// Instances that have not ended, frozen ones too.
    fn alive(&self) -> Vec<usize> {
        let instances = self.world.instances();
        (0..instances.len()).filter(|index| instances[*index].ended.is_none()).collect()
    }

    fn start(&self) {
        let workers = 1 + self.below(3) as usize;
        let (index, before) = {
            let mut instances = self.world.instances();
            instances.push(Instance { workers, born_healed: self.world.is_healed(), ..Instance::default() });
            (instances.len() - 1, instances.len().checked_sub(2).map(|last| instances[last].workers))
        };
        if before.is_some_and(|before| before != workers) {
            self.world.meet("rescaled");
        }
        if self.alive().len() > 1 {
            self.world.meet("taken over while another lives");
        }
        self.world.note(|| format!("director: start {index} with {workers}"));
        let world = self.world.clone();
        self.world.fibers.start(index, move || instance::run(&world, index, workers));
    }

    fn one_of(&self, of: &[usize]) -> Option<usize> {
        (!of.is_empty()).then(|| of[self.below(of.len() as u64) as usize])
    }

    fn trouble(&mut self) {
        let alive = self.alive();
        if alive.is_empty() {
            self.replace_tables();
            if self.below(3) == 0 {
                self.restore();
            }
            return self.start();
        }
        let may_start = alive.len() < 4 && self.world.instances().len() < INSTANCES;
        let is_awake = alive.iter().any(|one| !self.world.instances()[*one].is_frozen);
        if !is_awake && may_start && self.below(2) == 0 {
            // Whoever watches over the job starts another.
            return self.start();
        }
        let deed = loop {
            match self.phase.next(|bound| self.world.fibers.below(bound)) {
                Some(deed) => break deed,
                None => self.phase = Phase::draw(|bound| self.world.fibers.below(bound)),
            }
        };
        match deed {
            Deed::Append => self.append(),
            Deed::Pass => self.world.pass(self.below(3_000)),
            Deed::Start if may_start => self.start(),
            Deed::Start | Deed::Poke => alive.iter().for_each(|one| self.world.fibers.poke(*one)),
            Deed::Kill => self.one_of(&alive).into_iter().for_each(|one| self.world.kill(one)),
            Deed::Freeze => self.freeze(&alive),
            Deed::Thaw => self.thaw(self.world.setup.sleeps_long && self.below(8) > 0),
            Deed::Outside => self.outside(),
            Deed::Wipe => self.wipe(),
            Deed::AddPartition => self.add_partition(),
            Deed::Land => self.land(),
            Deed::BackUp => self.back_up(),
        }
    }

    fn append(&self) {
        let names: Vec<Arc<str>> = self.world.log.lock().expect("never poisoned").partitions.keys().cloned().collect();
        let name = &names[self.below(names.len() as u64) as usize];
        let now = self.world.setup.place.begin() + 3_600_000;
        let mut log = self.world.log.lock().expect("never poisoned");
        for _ in 0..1 + self.below(6) {
            log.append(name, now, |bound| self.below(bound));
        }
    }

    /// One that is at work on the journal, if there is one and it comes to that.
    fn freeze(&self, alive: &[usize]) {
        let busy = |one: &&usize| {
            let instance = &self.world.instances()[**one];
            instance.in_store || instance.is_compacting
        };
        let busy: Vec<usize> = alive.iter().filter(busy).copied().collect();
        let one = self.one_of(if busy.is_empty() || self.below(2) == 0 { alive } else { &busy });
        one.into_iter().for_each(|one| self.world.freeze(one));
    }

    /// One that is frozen wakes; or one of which two others have taken over.
    fn thaw(&self, long_overtaken: bool) {
        let newest = self.world.oracle.lock().expect("never poisoned").generation();
        let may_wake = |one: &usize| {
            let one = &self.world.instances()[*one];
            one.is_frozen && (!long_overtaken || one.generation.is_some_and(|own| own.0 + 2 <= newest.0))
        };
        let frozen: Vec<usize> = self.alive().into_iter().filter(may_wake).collect();
        let Some(one) = self.one_of(&frozen) else { return };
        let mut instances = self.world.instances();
        instances[one].is_frozen = false;
        if instances[one].generation.is_some_and(|generation| generation < newest) {
            self.world.meet("a zombie wakes");
            if instances[one].in_store {
                self.world.meet("a zombie wakes within an operation");
            }
        }
        drop(instances);
        self.world.note(|| format!("director: thaw {one}"));
        self.world.fibers.thaw(one);
    }

    fn outside(&self) {
        let world = &self.world;
        match self.below(4) {
            3 => {
                world.store_is_away.fetch_xor(true, Ordering::Relaxed);
                world.meet("the store comes or goes");
            }
            0 => world.tables.lock().expect("never poisoned").is_away ^= true,
            1 => world.boards.lock().expect("never poisoned").is_away ^= true,
            _ => world.letters.lock().expect("never poisoned").is_away ^= true,
        }
        world.note(|| "director: a sink or the store comes or goes".to_owned());
    }

    fn wipe(&self) {
        self.world.boards.lock().expect("never poisoned").wipe();
        self.world.meet("boards are lost");
        self.world.note(|| "director: wipe the boards".to_owned());
    }

    fn add_partition(&mut self) {
        if self.added < 2 {
            self.added += 1;
            let front = self.world.setup.place.begin() + self.below(3_600_000) as i64;
            let name = format!("q{}", self.added);
            self.world.note(|| format!("director: add {name}"));
            self.world.log.lock().expect("never poisoned").add(&name, front);
        }
    }

    fn land(&self) {
        let late = {
            let mut in_flight = self.world.in_flight.lock().expect("never poisoned");
            match in_flight.len() as u64 {
                0 => return,
                count => in_flight.swap_remove(self.below(count) as usize),
            }
        };
        land(&self.world, late);
    }

    fn back_up(&mut self) {
        self.backups.push(self.world.tables.lock().expect("never poisoned").clone());
    }

    /// While nobody runs, the tables come back from an old copy.
    fn restore(&mut self) {
        let Some(index) = (!self.backups.is_empty()).then(|| self.below(self.backups.len() as u64) as usize) else {
            return;
        };
        let mut copy = self.backups[index].clone();
        let mut tables = self.world.tables.lock().expect("never poisoned");
        if copy.sequence() < tables.sequence() {
            (copy.is_restored, copy.is_away, copy.acted) = (true, false, tables.acted);
            // What a refusal asks for: the newest copy.
            self.backups.push(std::mem::replace(&mut tables, copy));
            self.world.meet("tables are restored from an old copy");
            self.world.note(|| format!("director: restore the tables of {}", tables.sequence()));
        }
    }

    /// A start refused what was restored: the newest copy comes back.
    fn replace_tables(&mut self) {
        let refused = |one: &Instance| matches!(&one.ended, Some(Some(fault)) if fault.exit == Exit::Refused);
        if self.world.instances().last().is_some_and(refused) {
            let newest = self.backups.iter().max_by_key(|copy| copy.sequence()).expect("one was put aside");
            let mut newest = newest.clone();
            newest.is_away = false;
            self.world.note(|| format!("director: restore the newest tables, of {}", newest.sequence()));
            self.world.meet("a restored copy is refused");
            *self.world.tables.lock().expect("never poisoned") = newest;
        }
    }

    /// Nothing fails from now on, and whoever sleeps wakes.
    fn heal(&self) {
        let world = &self.world;
        world.note(|| "director: heal".to_owned());
        world.healed.store(true, Ordering::Relaxed);
        world.tables.lock().expect("never poisoned").is_away = false;
        world.boards.lock().expect("never poisoned").is_away = false;
        world.letters.lock().expect("never poisoned").is_away = false;
        while self.alive().iter().any(|one| world.instances()[*one].is_frozen) {
            self.thaw(false);
        }
        while !world.in_flight.lock().expect("never poisoned").is_empty() {
            self.land();
        }
    }

    fn is_at_rest(&self) -> bool {
        self.unrest().is_empty()
    }

    /// What is still to be done; nothing if everything is where it must come to.
    fn unrest(&self) -> String {
        let world = &self.world;
        if self.alive().len() != 1 {
            return format!("{:?} are alive", self.alive());
        }
        let oracle = world.oracle.lock().expect("never poisoned");
        if oracle.chain.is_empty() {
            return "there is no journal yet".to_owned();
        }
        let log = world.log.lock().expect("never poisoned");
        for (name, partition) in &log.partitions {
            let next = oracle.now.partitions.get(name).map_or(0, |standing| standing.next);
            if next < partition.end {
                return format!("{name} is at {next} of {}", partition.end);
            }
        }
        let tables = world.tables.lock().expect("never poisoned");
        // An epoch that changes no ranking brings none.
        if tables.sequence() != oracle.last || !(tables.ranked == oracle.last || tables.ranks(&oracle.now)) {
            return format!("tables are as of {} ({}) of {}", tables.sequence(), tables.ranked, oracle.last);
        }
        if world.letters.lock().expect("never poisoned").delivered != oracle.now.dead {
            return "dead letters are not all delivered".to_owned();
        }
        let boards = world.boards.lock().expect("never poisoned");
        let lacking = oracle.now.counts.keys().filter(|window| {
            let is_there = boards.lists.get(window).is_some_and(|list| list.3 == oracle.now.best(**window));
            let may_lack = boards.may_lack(**window, oracle.generation(), world);
            !(is_there || may_lack && oracle.is_final(**window))
        });
        let lacking: Vec<_> = lacking.collect();
        if lacking.is_empty() { String::new() } else { format!("boards lack {lacking:?}") }
    }

    /// The end of a run that came to rest: the journal alone gives everything again; and if a record in it is exchanged
    /// for one of another journal, a start finds out.
    fn audit(&mut self) {
        let world = self.world.clone();
        let one = self.alive()[0];
        world.instances()[one].ended = Some(None);
        world.fibers.kill(one);
        let (number, covered) = {
            let oracle = world.oracle.lock().expect("never poisoned");
            (oracle.chain.len() as u64 - 1, oracle.covered.max(1))
        };
        let path = Path::from(format!("commit/{number:020}"));
        if number <= covered || self.below(3) != 0 {
            return;
        }
        let bytes = world.objects.get(&path).now_or_never().expect("memory answers").expect("the tail is there");
        let bytes = bytes.bytes().now_or_never().expect("memory answers").expect("it can be read");
        let other = relinked(path.as_ref(), &bytes).expect("it is a record");
        world.damaged.store(true, Ordering::Relaxed);
        let put = world.objects.put(&path, other.into()).now_or_never();
        put.expect("memory answers").expect("memory takes everything");
        world.meet("a record of another journal");
        self.start();
        for _ in 0..PATIENCE {
            point();
            if self.alive().is_empty() || self.is_over() {
                break;
            }
        }
        let instances = world.instances();
        let ended = instances.last().and_then(|last| last.ended.clone().flatten());
        let is_found = |fault: &Fault| fault.why.contains("does not follow") || fault.what.contains("do not follow");
        if !ended.as_ref().is_some_and(is_found) {
            drop(instances);
            world.fibers.fail(format!("a record of another journal was taken: {ended:?}"));
        }
    }
}
