//! What a process does at a fail point, as its environment says. Only in binaries built with `fail-points`.

use super::FailPoint;
use crate::Fault;
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What to do, by step and hit; and where to say so.
struct Plan {
    actions: BTreeMap<(FailPoint, u64), Action>,
    folder: PathBuf,
    hits: Vec<AtomicU64>,
    /// One for each step that was reached, a byte for each hit.
    told: Vec<OnceLock<Option<File>>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Action {
    Kill,
    Stop,
    Fail,
    Sleep(Duration),
}

fn plan() -> Option<&'static Plan> {
    static PLAN: OnceLock<Option<Plan>> = OnceLock::new();
    let read = || {
        let folder = std::env::var_os("TOPK_FAIL_POINTS_IN")?.into();
        let actions = match std::env::var("TOPK_FAIL_POINTS") {
            Ok(text) => parse(&text).unwrap_or_else(|part| panic!("TOPK_FAIL_POINTS: {part} is not understood")),
            Err(_) => BTreeMap::new(),
        };
        let hits = FailPoint::ALL.iter().map(|_| AtomicU64::new(0)).collect();
        let told = FailPoint::ALL.iter().map(|_| OnceLock::new()).collect();
        Some(Plan { actions, folder, hits, told })
    };
    PLAN.get_or_init(read).as_ref()
}

fn parse(text: &str) -> Result<BTreeMap<(FailPoint, u64), Action>, String> {
    let parts = text.split(';').filter(|part| !part.is_empty());
    parts.map(|part| parse_part(part).ok_or_else(|| part.to_owned())).collect()
}

fn parse_part(part: &str) -> Option<((FailPoint, u64), Action)> {
    let (name, rest) = part.split_once('=')?;
    let (hit, action) = rest.split_once(':')?;
    let step = FailPoint::ALL.iter().find(|step| step.name() == name)?;
    let action = match action.split_once(':') {
        None if action == "kill" => Action::Kill,
        None if action == "stop" => Action::Stop,
        None if action == "fail" => Action::Fail,
        Some(("sleep", millis)) => Action::Sleep(Duration::from_millis(millis.parse().ok()?)),
        _ => return None,
    };
    Some(((*step, hit.parse().ok()?), action))
}

pub(super) fn reach(step: FailPoint, can_fail: bool) -> Result<(), Fault> {
    let Some(plan) = plan() else { return Ok(()) };
    let index = FailPoint::ALL.iter().position(|other| *other == step).expect("every step is in the list");
    let hit = plan.hits[index].fetch_add(1, Ordering::SeqCst) + 1;
    plan.tell(index);
    let Some(action) = plan.actions.get(&(step, hit)) else { return Ok(()) };
    let name = match action {
        Action::Kill => "kill",
        Action::Stop => "stop",
        Action::Fail => "fail",
        Action::Sleep(_) => "sleep",
    };
    if !plan.note(&format!("{}.{hit}.{name}", step.name())) {
        return Ok(());
    }
    match action {
        Action::Kill => raise(libc::SIGKILL),
        Action::Stop => raise(libc::SIGSTOP),
        Action::Sleep(time) => std::thread::sleep(*time),
        Action::Fail if can_fail => {
            return Err(Fault::transient(
                format!("cannot go past the step {}", step.name()),
                "a test wants an I/O error here",
                "unset TOPK_FAIL_POINTS",
            ));
        }
        // What was tried there is done.
        Action::Fail => {}
    }
    Ok(())
}

impl Plan {
    fn tell(&self, index: usize) {
        let open = || {
            let name = format!("{}.hits", FailPoint::ALL[index].name());
            OpenOptions::new().append(true).create(true).open(self.folder.join(name)).ok()
        };
        if let Some(mut file) = self.told[index].get_or_init(open).as_ref() {
            // The test counts fewer hits then, and says so.
            let _ = file.write_all(b".");
        }
    }

    /// Leave a file behind. False: it was there, or could not be made.
    fn note(&self, name: &str) -> bool {
        let file = OpenOptions::new().write(true).create_new(true).open(self.folder.join(name));
        file.and_then(|mut file| file.write_all(std::process::id().to_string().as_bytes())).is_ok()
    }
}

#[allow(unsafe_code, reason = "a signal to this process, and to all of it: raise(3) means one thread")]
fn raise(signal: libc::c_int) {
    // SAFETY: kill(2) touches no memory of ours.
    unsafe { libc::kill(libc::getpid(), signal) };
    // The signal may reach another thread first: nothing goes on here before it has.
    std::thread::sleep(Duration::from_millis(50));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_read_or_refused_by_the_part_that_is_wrong() {
        let plan = parse("commit.created=3:kill;flush.begun=1:sleep:20;base.created=2:stop;").unwrap();
        assert_eq!(plan[&(FailPoint::CommitCreated, 3)], Action::Kill);
        assert_eq!(plan[&(FailPoint::FlushBegun, 1)], Action::Sleep(Duration::from_millis(20)));
        assert_eq!(plan.len(), 3);
        for wrong in ["commit.create=1:kill", "commit.created=1", "commit.created=x:kill", "commit.created=1:die"] {
            assert_eq!(parse(wrong), Err(wrong.to_owned()));
        }
    }
}
