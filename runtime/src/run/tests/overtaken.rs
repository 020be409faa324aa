//! A start that sleeps while another takes over: whatever it finds when it wakes, it ends as one that was overtaken.

use super::*;
use stream::Step;

/// Tables, and what happens right after a process has claimed them.
struct Sleeper {
    tables: Box<dyn Follower>,
    meanwhile: Option<Box<dyn FnOnce() -> Result<(), Fault> + Send>>,
}

impl Sleeper {
    fn among(plan: &mut Plan, meanwhile: impl FnOnce() -> Result<(), Fault> + Send + 'static) {
        let tables = plan.followers.remove(0);
        plan.followers.insert(0, Box::new(Sleeper { tables, meanwhile: Some(Box::new(meanwhile)) }));
    }
}

impl Follower for Sleeper {
    fn name(&self) -> &'static str {
        self.tables.name()
    }

    fn wants(&self) -> Wants {
        self.tables.wants()
    }

    fn look(&mut self) -> Result<Option<Progress>, Fault> {
        self.tables.look()
    }

    fn claim(&mut self, claim: &Claim) -> Result<Option<Progress>, Fault> {
        let progress = self.tables.claim(claim)?;
        self.meanwhile.take().expect("claimed once")()?;
        Ok(progress)
    }

    fn write(&mut self, step: &Step) -> Result<(), Fault> {
        self.tables.write(step)
    }
}

/// Seed 285242 of the simulation: the record that the tables were as of was compacted away, so that they looked like an
/// older backup, and the start was refused (exit 3) with the advice to build them up again.
#[test]
fn a_start_that_slept_after_its_claim_does_not_take_tables_for_an_old_backup() {
    let all = Script::seeded(4, 1500, 22);
    let world = Arc::new(World { max_events: 20, ..World::of(Script::of(Vec::new())) });
    let records = all.partitions.lock().unwrap().clone();
    let append = |world: &World, from: usize, to: usize| {
        for (name, records) in &records {
            world.script.append(name, records[from..to].iter().cloned());
        }
    };
    append(&world, 0, 500);
    let claimed = world.run(2).sequence;
    append(&world, 500, 1500);
    let newer = world.clone();
    let meanwhile = move || {
        let mut plan = newer.plan(1);
        plan.journal.retain = Duration::ZERO;
        plan.journal.compact_records = 4;
        drained(newer.launch(plan));
        Ok(())
    };
    let mut plan = world.plan(2);
    Sleeper::among(&mut plan, meanwhile);
    let Err(fault) = plan.take_over() else { panic!("a newer instance has taken over") };
    assert!(!world.store.records().contains(&claimed.0), "the record is still there, and this proves nothing");
    assert_eq!(fault.exit, Exit::Fenced, "{fault}");
    world.check(&world.run(1), &recount(&world.script, &[]));
}

/// An older copy of the journal beside sinks that went on: nobody has taken over, and exit 4 would tell a supervisor so.
#[test]
fn a_sink_with_a_newer_generation_than_the_journal_is_no_newer_instance() {
    let world = World::of(Script::seeded(2, 500, 23));
    world.run(1);
    let mut plan = world.plan(1);
    Sleeper::among(&mut plan, || Err(Fault::fenced("cannot claim", "generation 5 has taken over from generation 2")));
    let Err(fault) = plan.take_over() else { panic!("the claim failed") };
    assert_eq!(fault.exit, Exit::Failed, "{fault}");
    assert!(fault.why.contains("generation 5") && fault.hint.contains("older copy"), "{fault}");
    world.check(&world.run(1), &recount(&world.script, &[]));
}
