//! The machine loses power at any moment: of all that the job wrote only what was synced is left, by the strictest reading of
//! POSIX: a file's bytes as of its last fsync, a folder's names as of the folder's. System calls are watched by strace; what the
//! job relies on at a step (`stream::FailPoint`) must have been on disk by then.

mod disk;
mod trace;

use crate::exactness::{Answer, write_views};
use disk::Disk;
use std::path::{Path, PathBuf};
use std::process::Command;
use stream::FailPoint;
use tests::{FailPoints, Running, Setup, wait::LONG};
use trace::{Call, calls};

fn strace(output: &Path) -> Command {
    let mut command = Command::new("strace");
    let watched = "openat,write,pwrite64,ftruncate,fsync,fdatasync,link,linkat,rename,renameat,renameat2,unlink,unlinkat,mkdir,mkdirat";
    command.args(["-f", "-y", "-s", "0", "-e", &format!("trace={watched}"), "-e", "signal=none", "-o"]).arg(output);
    command
}

fn can_watch(setup: &Setup) -> bool {
    let mut command = strace(&setup.path("probe"));
    command.arg("true").output().is_ok_and(|output| output.status.success())
}

/// The folders of the journal whose objects must all be on disk at a step.
fn relies_on(step: FailPoint) -> &'static [&'static str] {
    match step {
        FailPoint::GenesisCreated | FailPoint::FenceCreated | FailPoint::CommitCreated | FailPoint::CommitChecked => {
            &["commit"]
        }
        FailPoint::FenceSlotsClosed => &["commit", "generation"],
        FailPoint::BaseBeforeCreate => &["base"],
        FailPoint::BaseChecked => &["commit", "base"],
        _ => &[],
    }
}

/// A watched run to the end: its calls, and where its journal is.
fn watched_run(job: &mut Setup) -> (Vec<Call>, PathBuf) {
    let points = FailPoints::plan(job, "");
    let trace = job.path("trace");
    let mut command = strace(&trace);
    let topk = job.command(&["run", "--until-end"]);
    command.arg(topk.get_program()).args(topk.get_args());
    for (name, value) in topk.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    Running::start(command, &job.path(""), "watched").wait(LONG).expect_code(0);
    points.end(job);
    let journal = job.path("data").join("journal").join(job.name());
    (calls(&std::fs::read_to_string(trace).expect("strace wrote its file")), journal)
}

/// Follow the calls; at each step, what it relies on and is not on disk.
fn unsynced(calls: &[Call], root: &Path, journal: &Path, mut at_step: impl FnMut(FailPoint, &Disk)) -> Vec<String> {
    let (mut disk, mut complaints) = (Disk::new(root), Vec::new());
    for call in calls {
        disk.follow(call);
        let Some(step) = step_of(call) else { continue };
        for folder in relies_on(step) {
            let lost = disk.lost_below(&journal.join(folder));
            complaints
                .extend(lost.into_iter().map(|name| format!("{}: {} is not on disk", step.name(), name.display())));
        }
        at_step(step, &disk);
    }
    complaints
}

/// A write to `NAME.hits` is a step.
fn step_of(call: &Call) -> Option<FailPoint> {
    let Call::Write(path) = call else { return None };
    let name = path.file_name()?.to_str()?.strip_suffix(".hits")?;
    FailPoint::ALL.iter().copied().find(|step| step.name() == name)
}

fn small(setup: Setup) -> Setup {
    setup.with("epoch.interval", "1s").with("epoch.max_events", 40).with("time.idle_timeout", "1h")
}

#[test]
fn what_the_job_relies_on_survives_a_loss_of_power() {
    let log = small(Setup::embedded("power")).with("sink.postgres.flush_every", "1ms");
    write_views(&log, 2, 2_000);
    log.run_until_end();
    let expected = Answer::of(&log);
    if !can_watch(&log) {
        println!("left out: strace is not installed here, or may not watch");
        return;
    }

    // Compaction and deletion.
    let mut busy = log.beside("power").with("journal.retain", "1ms").with("epoch.max_events", 10);
    let (calls, journal) = watched_run(&mut busy);
    let mut steps = std::collections::BTreeMap::new();
    let complaints = unsynced(&calls, &busy.path(""), &journal, |step, _| *steps.entry(step).or_insert(0) += 1);
    println!("{} calls; steps looked at: {steps:?}", calls.len());
    for step in
        [FailPoint::GenesisCreated, FailPoint::FenceSlotsClosed, FailPoint::CommitChecked, FailPoint::BaseChecked]
    {
        assert!(steps.contains_key(&step), "{} was not reached", step.name());
    }
    assert!(
        complaints.is_empty(),
        "{} things are not on disk, first\n{}",
        complaints.len(),
        complaints[..complaints.len().min(5)].join("\n")
    );

    // The watcher can fail: without any one kind of sync something is missing.
    for kind in ["files", "folders", "folders above"] {
        let is_left_out = |call: &&Call| match call {
            Call::Sync(path) if kind == "folders above" => journal.starts_with(path) && *path != journal,
            Call::Sync(path) => path.is_dir() == (kind == "folders"),
            _ => false,
        };
        let lazy: Vec<Call> = calls.iter().filter(|call| !is_left_out(call)).cloned().collect();
        assert!(lazy.len() < calls.len(), "there was no sync of {kind}");
        assert!(!unsynced(&lazy, &busy.path(""), &journal, |_, _| ()).is_empty(), "nobody misses the sync of {kind}");
    }

    // And from what is left the job goes on to the same answer.
    let mut whole = log.beside("power");
    let (calls, journal) = watched_run(&mut whole);
    let mut commits = 0;
    let mut left = Vec::new();
    unsynced(&calls, &whole.path(""), &journal, |step, disk| {
        commits += usize::from(step == FailPoint::CommitChecked);
        if step == FailPoint::CommitChecked && [1, 2, 20, 61].contains(&commits) {
            left.push((commits, disk.left_below(&journal)));
        }
    });
    assert!(left.len() >= 3, "only {commits} commits");
    for (commits, names) in left {
        let after = log.beside("power").with("job.name", whole.name());
        restore(&whole, &after, &journal, &names);
        let run = after.run_until_end();
        assert!(run.stderr.contains("journal loaded") && !run.stderr.contains("created=true"), "{}", run.stderr);
        let mut answer = Answer::of(&after);
        // The file of letters is another one, and begins after what the first had acknowledged.
        answer.take_letters_of(&expected);
        expected.assert_same(&answer, &format!("after a loss of power at commit {commits}"));
    }
}

/// What was on disk of one job's journal, as the journal of another of the same name.
fn restore(from: &Setup, to: &Setup, journal: &Path, names: &[PathBuf]) {
    assert!(!names.is_empty(), "nothing was on disk of {}", from.name());
    for name in names {
        let below = name.strip_prefix(journal).expect("below the journal");
        let path = to.path("data").join("journal").join(from.name()).join(below);
        std::fs::create_dir_all(path.parent().expect("a file lies in a folder")).expect("the folder can be made");
        std::fs::copy(name, &path).unwrap_or_else(|error| panic!("{}: {error}", name.display()));
    }
}
