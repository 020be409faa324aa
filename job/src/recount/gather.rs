//! Reading all that is compared, in the order in which it can be compared while the job runs: tables first, then boards
//! that are at least as new, then the journal, which is ahead of both.

use crate::assemble::Assembly;
use crate::video_views;
use sinks::{BoardReadings, TableReadings};
use std::time::Duration;
use stream::{BoardKeys, Clock, Fault, Sequence};
use verify::{Boards, Counts, Rules, Tables};

/// How long boards may take to be as new as the tables. A job that runs publishes every `topk.publish_every`.
const BOARDS_BEHIND: Duration = Duration::from_secs(5);
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// What was found outside.
#[derive(Default)]
pub struct Gathered {
    /// Rows, and what is expected of them.
    pub counts: Counts,
    /// The rest of the tables.
    pub tables: Tables,
    /// Boards.
    pub boards: Boards,
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// The settings as the recount needs them.
///
/// # Errors
/// A kind of window that the recount does not know.
pub fn rules_of(assembly: &Assembly) -> Result<Rules, Fault> {
    let settings = &assembly.settings;
    let kinds: Vec<&str> = settings.windows.kinds().iter().map(|kind| kind.name.as_str()).collect();
    let mut rules = Rules::new(&kinds, settings.windows.zone().name(), video_views::words())?;
    rules.job = settings.name.clone();
    rules.table_prefix = settings.table_prefix.clone();
    rules.board_prefix = settings.redis_prefix.clone();
    rules.out_of_orderness = millis(settings.rules.out_of_orderness);
    rules.allowed_lateness = millis(settings.rules.allowed_lateness);
    rules.max_future_skew = millis(settings.rules.max_future_skew);
    rules.retention = settings.retention.iter().map(|kept| kept.map(millis)).collect();
    rules.k = settings.k as usize;
    Ok(rules)
}

/// Everything in the tables, from one snapshot. False where nothing was written yet.
///
/// # Errors
/// The tables cannot be read.
pub fn tables_of(
    readings: &TableReadings,
    rules: &mut Rules,
    gathered: &mut Gathered,
    rows: &dyn Fn(u64),
) -> Result<bool, Fault> {
    let Gathered { counts, tables, .. } = gathered;
    let mut number = 0;
    readings.whole(&mut |row| {
        tables.take(row, rules, counts);
        number += 1;
        if number % 10_000 == 0 {
            rows(number);
        }
        Ok(())
    })
}

/// Every board, once they are as new as `tables`; or as they are, if they do not get there.
///
/// # Errors
/// The store cannot be read; it belongs to another job.
pub fn boards_of(
    assembly: &Assembly,
    readings: &BoardReadings,
    tables: Option<Sequence>,
    rules: &mut Rules,
    gathered: &mut Gathered,
) -> Result<(), Fault> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime =
        runtime.map_err(|error| Fault::failed("cannot prepare to read boards", error, "check the process's limits"))?;
    let settings = &assembly.settings;
    let keys = BoardKeys::new(&settings.redis_prefix, settings.windows.clone());
    let clock: &dyn Clock = &*assembly.clock;
    let began = clock.monotonic();
    let published = loop {
        let published = runtime.block_on(readings.published(&keys.owner()))?;
        if let Some((job, _)) = published.as_ref().filter(|(job, _)| *job != settings.name) {
            return Err(Fault::usage(
                format!("cannot compare the boards under \"{}\"", settings.redis_prefix),
                format!("they belong to job \"{job}\""),
                "give the settings that this job runs with (--config FILE)",
            ));
        }
        let published = published.map(|(_, progress)| progress.sequence);
        if published >= tables || clock.monotonic() - began > BOARDS_BEHIND {
            break published;
        }
        std::thread::sleep(LOOK_AGAIN);
    };
    gathered.boards.published = published;
    let kinds = 0..settings.windows.len() as u8;
    let pointers: Vec<String> = kinds.clone().flat_map(|kind| [keys.current(kind), keys.closed(kind)]).collect();
    let named = pointers.iter().map(|key| runtime.block_on(readings.pointer(key)));
    let named = named.collect::<Result<Vec<Option<String>>, Fault>>()?;
    let still = runtime.block_on(readings.published(&keys.owner()))?.map(|(_, progress)| progress.sequence);
    let of_kind = named.chunks(2).map(|pair| [pair[0].clone(), pair[1].clone()]).collect();
    gathered.boards.pointers = (still == published).then_some(of_kind);
    for kind in kinds {
        let mut found = runtime.block_on(readings.keys(&keys.of_kind(kind)))?;
        found.retain(|key| !pointers.contains(key));
        for (key, bytes) in found.iter().zip(runtime.block_on(readings.get_all(&found))?) {
            // What expired since it was listed is judged as absent.
            if let Some(bytes) = bytes {
                gathered.boards.take(key, &bytes, rules, &mut gathered.counts);
            }
        }
    }
    Ok(())
}
