//! A disk that takes nothing more under a running job, because it is full or read-only: the job waits, says so, and goes on by
//! itself once the disk does.

use crate::exactness::{Answer, write_views};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use tests::setup::text;
use tests::{Setup, until, wait::LONG};

/// A small file system in memory; it goes when this is dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// None where nobody may mount.
    fn mount(at: PathBuf) -> Option<Self> {
        std::fs::create_dir(&at).expect("the temporary folder can be written");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=6m", "tmpfs"]).arg(&at).output();
        mounted.is_ok_and(|output| output.status.success()).then_some(SmallDisk(at))
    }

    /// Take no more writes (`ro`), or take them again (`rw`). Nobody may have a file open for writing.
    fn remount(&self, mode: &str) {
        let done = Command::new("mount").args(["-o", &format!("remount,{mode}")]).arg(&self.0).output();
        let done = done.expect("there is mount, as it was mounted");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }

    /// Take all the room that is left.
    fn fill(&self) -> PathBuf {
        let path = self.0.join("ballast");
        let mut ballast = std::fs::File::create(&path).expect("there is room for a name");
        for size in [65_536, 4096] {
            while ballast.write_all(&vec![1; size]).is_ok() {}
        }
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a process that a failed test left behind may still have it open.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn append(from: &Path, to: &Path) {
    let views = std::fs::read(from).expect("the views are there");
    let file = std::fs::OpenOptions::new().append(true).create(true).open(to);
    file.and_then(|mut file| file.write_all(&views)).expect("the temporary folder can be written");
}

/// How a disk comes to take nothing more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Trouble {
    /// Under journal, tables and dead letters.
    Full,
    /// Under the journal, which keeps no file open.
    ReadOnly,
}

#[test]
fn a_job_waits_on_a_full_disk_and_goes_on_by_itself() {
    waits_and_goes_on(Trouble::Full);
}

#[test]
fn a_job_waits_on_a_read_only_disk_and_goes_on_by_itself() {
    waits_and_goes_on(Trouble::ReadOnly);
}

fn waits_and_goes_on(trouble: Trouble) {
    // What it reads in the end, and what that gives.
    let log = Setup::embedded("room").with("time.idle_timeout", "1h").with("epoch.max_events", 200);
    write_views(&log, 1, 6_000);
    log.run_until_end();
    let expected = Answer::of(&log);
    let whole = std::fs::read(log.path("views").join("part-0.ndjson")).expect("the views are there");
    let half =
        whole.len() / 2 + whole[whole.len() / 2..].iter().position(|byte| *byte == b'\n').expect("a line ends") + 1;

    let mut job = Setup::embedded("room").with("time.idle_timeout", "1h").with("epoch.max_events", 200);
    let Some(disk) = SmallDisk::mount(job.path("disk")) else {
        println!("left out: this user may not mount a file system here");
        return;
    };
    job.set("job.state", format!("file:{}", text(&disk.0.join("data"))));
    if trouble == Trouble::Full {
        job.set("sink.sqlite.path", text(&disk.0.join("topk.db")));
        job.set("sink.dead_letters.file", text(&disk.0.join("dead.ndjson")));
    }
    let (views, more) = (job.path("views").join("part-0.ndjson"), job.path("more.ndjson"));
    std::fs::write(&views, &whole[..half]).expect("the temporary folder can be written");
    std::fs::write(&more, &whole[half..]).expect("the temporary folder can be written");

    let mut running = job.start(&["run"]);
    until("the first half is read", LONG, || running.stderr().contains("the job runs").then_some(()));
    let ballast = match trouble {
        Trouble::Full => Some(disk.fill()),
        Trouble::ReadOnly => {
            disk.remount("ro");
            None
        }
    };
    append(&more, &views);
    until("the journal waits", LONG, || {
        assert!(running.is_running(), "it ended:\n{}", running.stderr());
        running.stderr().contains("the journal waits for its store").then_some(())
    });
    match ballast {
        Some(ballast) => std::fs::remove_file(ballast).expect("it can be removed"),
        None => disk.remount("rw"),
    }
    until("the journal goes on", LONG, || {
        assert!(running.is_running(), "it ended:\n{}", running.stderr());
        running.stderr().contains("the journal's store answers again").then_some(())
    });
    running.signal("TERM");
    running.wait(LONG).expect_code(0);
    job.run_until_end();
    expected.assert_same(&Answer::of(&job), &format!("after a disk was {trouble:?}"));
    job.topk(&["journal", "check"]).expect_code(0);
}
