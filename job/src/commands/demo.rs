//! `topk demo`: everything embedded, nothing to install.

use super::run::{Mode, supervised};
use crate::assemble::Assembly;
use crate::cli::DemoArguments;
use crate::settings::Settings;
use crate::{logging, supervise};
use runtime::Accepted;
use sources::{Carrier, GeneratorSettings, Shares, SyntheticSettings, SyntheticWords};
use std::process::ExitCode;
use std::time::Duration;
use stream::{EventTime, Fault};

/// How far back the demo's event time starts.
const BACK: Duration = Duration::from_secs(30 * 86_400);

pub(super) fn demo(arguments: &DemoArguments) -> Result<ExitCode, Fault> {
    let data = arguments.data.display();
    // The demo's own settings stand above the defaults and below what the user gives. Retention keeps ./data small.
    let own = format!(
        "[job]\nname = \"demo\"\nstate = {state:?}\n[source]\nkind = \"generator\"\n[sink]\ntables = \"sqlite\"\nboard = \"memory\"\n\
         [sink.sqlite]\npath = {tables:?}\n[sink.dead_letters]\ntopic = \"\"\nfile = {dead:?}\nrotate_at = \"64MiB\"\n\
         [retention]\nminute = \"1h\"\nhour = \"7d\"\nday = \"60d\"\n[journal]\nretain = \"5m\"\n",
        state = format!("file:{data}"),
        tables = format!("{data}/topk.db"),
        dead = format!("{data}/dead.ndjson"),
    );
    let settings = Settings::read(&super::layers(&arguments.settings)?.built_in("demo", &own).load())?;
    logging::start();
    if !supervise::is_child() {
        eprintln!("topk demo: generated views, event time from 30 days back at {}x, state in {data}", arguments.speed);
        return supervise::run();
    }
    let mut assembly = Assembly::new(settings);
    let now = assembly.clock.now();
    assembly.generator = Some(GeneratorSettings {
        events: SyntheticSettings {
            seed: 42,
            start: EventTime::from_millis(now.0).minus(BACK),
            events_per_1000_s: u64::from(arguments.rate) * 1000,
            keys: 20_000,
            exponent_per_1000: 900,
            trend: Some(Duration::from_secs(6 * 3600)),
            shares: Shares { disordered: 100_000, late: 2_000, duplicate: 0, malformed: 500, future: 50 },
            disorder: assembly.settings.rules.out_of_orderness,
            late_by: assembly.settings.rules.out_of_orderness + assembly.settings.rules.allowed_lateness,
            max_bytes: assembly.settings.event.max_bytes as u64,
            max_key_bytes: assembly.settings.event.max_key_bytes as u64,
            carrier: Carrier::Direct,
            words: SyntheticWords { key: "video_id".into(), time: "view_timestamp".into(), prefix: "v".into() },
        },
        partitions: 4,
        base: now.0,
        speed: arguments.speed,
    });
    supervised(&assembly, &Mode { until_end: false, serve: true, demo: true, accepted: Accepted::default() })
}
