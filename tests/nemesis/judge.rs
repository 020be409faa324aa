//! The end of a round: everything heals, the job reads to the end and stops, and what it wrote is held against the log by
//! two recounts that share no code with it nor with each other.

use crate::ask;
use crate::instances::last_words;
use crate::link::Mood;
use crate::oracle::{Prefix, video};
use crate::round::serve;
use crate::schedule::Moment;
use crate::stage::{Over, Stage};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use tests::Finished;

/// What the end of a round says.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) records: u64,
    pub(crate) counted: u64,
    pub(crate) lost: u64,
    pub(crate) duplicated: u64,
}

impl Stage {
    /// Nothing is wrong any more; the job reaches the end of the log.
    pub(crate) fn heal(&mut self) -> Result<(), Over> {
        self.links.values().for_each(|link| link.set(Mood::Clear));
        self.wait_until_recovered()?;
        if let Some(load) = self.load.take() {
            load.stop();
        }
        let ends = self.oracle.ends();
        self.wait_until("the tables reach the end of the log", |stage| {
            // The journal is asked first: this is asked over and over.
            std::thread::sleep(std::time::Duration::from_millis(50));
            let offsets = offsets(stage.setup.name());
            ends.iter().all(|(partition, end)| offsets.get(&partition.to_string()).is_some_and(|offset| offset >= end))
        })
    }

    /// Stop, and compare everything.
    pub(crate) fn judge(&mut self) -> Verdict {
        let code = self.drain_job();
        self.checks.hold("drained with 0", code == Some(0), || format!("it ended with {code:?}"));
        let finished = self.setup.topk(&["run", "--until-end"]);
        let read = finished.stdout.lines().find_map(|line| line.strip_prefix("read ")?.trim().parse::<u64>().ok());
        self.checks.hold("nothing was left to read", finished.code == Some(0) && read == Some(0), || told(&finished));

        let name = self.setup.name().to_owned();
        if self.losses.load(Ordering::SeqCst) > 0 {
            self.ask_for_every_window(&name);
        }
        let summary = self.setup.path("summary.json");
        let summary_at = summary.display().to_string();
        let recounted = self.setup.recount(&["--floors", &floors(&name), "--summary", &summary_at]);
        self.checks.hold("recount by Python and the JVM's consumer: no difference", recounted.code == Some(0), || {
            told(&recounted)
        });
        let summary: Value =
            std::fs::read(&summary).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
        let records = self.oracle.records();
        self.checks.hold("every acknowledged record is in the log", summary["consumed"] == records, || {
            format!("the broker acknowledged {records}, the log has {}", summary["consumed"])
        });
        let verified = self.setup.topk(&["verify"]);
        self.checks.hold("topk verify: no difference", verified.code == Some(0), || told(&verified));
        let checked = self.setup.topk(&["journal", "check"]);
        self.checks.hold("topk journal check: whole", checked.code == Some(0), || told(&checked));
        self.compare(&name)
    }

    /// Redis has lost boards: those of windows that were final by then come back when somebody asks a reader for them.
    fn ask_for_every_window(&self, name: &str) {
        let (_reader, url) = serve(&self.setup);
        let query = format!(
            "SELECT \"window\", to_char(window_start AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')
             FROM {name}.window_status WHERE \"window\" <> 'all_time' AND views > 0"
        );
        for row in ask::postgres(&query).unwrap_or_default().iter().flatten() {
            let [Some(window), Some(start)] = row.as_slice() else { continue };
            let url = format!("{url}/v1/top?window={window}&at={start}&k=1");
            let answer = ureq::get(&url).call().map(|answer| answer.status().as_u16());
            let is_there = answer.as_ref().is_ok_and(|status| *status == 200);
            self.checks.hold("a reader has every window", is_there, || format!("{url}: {answer:?}"));
        }
    }

    /// Views by video: what the load was told it sent, and what the table of all time has.
    fn compare(&self, name: &str) -> Verdict {
        let mut sent = Prefix::default();
        sent.advance(&self.oracle, &self.oracle.ends());
        let sent: BTreeMap<String, u64> = sent.views.iter().map(|(number, views)| (video(*number), *views)).collect();
        let said =
            ask::postgres(&format!("SELECT video_id, views FROM {name}.video_views_all_time")).unwrap_or_default();
        let row = |row: &ask::Row| Some((row[0].clone()?, row[1].as_deref()?.parse::<u64>().ok()?));
        let found: BTreeMap<String, u64> = said.first().into_iter().flatten().filter_map(row).collect();
        let missing = |from: &BTreeMap<String, u64>, of: &BTreeMap<String, u64>| {
            of.iter().map(|(name, views)| views.saturating_sub(from.get(name).copied().unwrap_or(0))).sum()
        };
        let (lost, duplicated) = (missing(&found, &sent), missing(&sent, &found));
        self.checks.hold("none lost, none twice", lost == 0 && duplicated == 0, || {
            format!("{lost} lost, {duplicated} counted twice")
        });
        Verdict { records: self.oracle.records(), counted: found.values().sum(), lost, duplicated }
    }

    /// A moment in which nothing more is done.
    pub(crate) fn calm(&mut self) -> Result<(), Over> {
        let rest = crate::schedule::Step { moment: Moment::Commits { commits: 2, millis: 0 }, events: Vec::new() };
        self.step(&rest)
    }
}

fn told(finished: &Finished) -> String {
    let lines: Vec<&str> = finished.stdout.lines().take(12).collect();
    format!("{:?}: {}\n{}", finished.code, lines.join("\n"), last_words(finished))
}

fn progress(name: &str, column: &str) -> Option<Value> {
    let said = ask::postgres(&format!("SELECT {column} FROM {name}.topk_progress")).ok()?;
    serde_json::from_str(said.first()?.first()?.first()?.as_deref()?).ok()
}

/// How far the tables have got, by partition.
fn offsets(name: &str) -> BTreeMap<String, i64> {
    progress(name, "offsets").and_then(|offsets| serde_json::from_value(offsets).ok()).unwrap_or_default()
}

/// The floors that partitions were granted, as the recount wants them.
fn floors(name: &str) -> String {
    let partitions = progress(name, "partitions").unwrap_or_default();
    let mut floors = Vec::new();
    for (partition, state) in partitions.as_object().into_iter().flatten() {
        for floor in state["floors"].as_array().into_iter().flatten() {
            floors.push(json!([partition, floor[0], floor[1]]));
        }
    }
    Value::Array(floors).to_string()
}
