//! `topk doctor`: asks every dependency what a start would ask, changes nothing, and says how to mend what fails.

use crate::assemble::Assembly;
use crate::cli::SettingsArguments;
use crate::endpoints::Endpoints;
use crate::settings::{Settings, SourceKind};
use crate::shown::{grouped, printable};
use runtime::Place;
use runtime::journal::Glance;
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::TcpListener;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;
use stream::{Fault, Sequence, SourceIdentity};

/// What a check says.
enum Finding {
    Good(String),
    /// A start works, and perhaps not as meant.
    Doubtful(String),
    Bad(Fault),
}

use Finding::{Bad, Doubtful, Good};

/// Where readers read, if that is another place than where the job writes.
const READER_TABLES: &str = "reader.postgres_url";

pub(super) fn doctor(arguments: &SettingsArguments) -> Result<ExitCode, Fault> {
    let settings = Settings::read(&super::loaded(arguments)?)?;
    let from = arguments.config.as_ref().map_or("the defaults".to_owned(), |path| path.display().to_string());
    let assembly = Assembly::new(settings);
    let mut failed = 0;
    let mut tell = |name: &str, findings: Vec<Finding>| {
        for finding in findings {
            super::say(match finding {
                Good(says) => format!("ok    {name:<18} {says}\n"),
                Doubtful(says) => format!("warn  {name:<18} {says}\n"),
                Bad(Fault { what, why, hint, .. }) => {
                    failed += 1;
                    let advice = if hint.is_empty() { hint } else { format!("      {:<18} what to do: {hint}\n", "") };
                    format!("FAIL  {name:<18} {what}: {why}\n{advice}")
                }
            })?;
        }
        Ok(())
    };
    tell("settings", vec![Good(from)])?;
    let (journal, findings) = journal(&assembly);
    tell("journal", findings)?;
    tell("source", source(&assembly, journal.as_ref()))?;
    for (name, findings) in followers(&assembly, journal.as_ref()) {
        tell(name, findings)?;
    }
    if let Some(looked) = assembly.reader_tables() {
        let looked = looked.and_then(|mut tables| tables.look());
        tell(READER_TABLES, vec![looked.map_or_else(Bad, |_| Good("reached".to_owned()))])?;
    }
    let running = running(assembly.settings.local_state());
    for (key, address) in
        [("job.listen", &assembly.settings.listen), ("reader.listen", &assembly.settings.reader_listen)]
    {
        tell(key, vec![port(address, running.is_some())])?;
    }
    if let Some(pid) = running {
        let says =
            format!("process {pid} runs this job: one that starts now takes over, and that one ends with exit 4");
        tell("running", vec![Doubtful(says)])?;
    }
    match failed {
        0 => Ok(ExitCode::SUCCESS),
        _ => Ok(ExitCode::FAILURE),
    }
}

/// What the journal says of itself.
struct Journaled {
    glance: Glance,
    /// The source that is read, which may have been accepted in place of the first.
    source: SourceIdentity,
    /// The next offset of each partition.
    positions: BTreeMap<String, i64>,
}

fn journal(assembly: &Assembly) -> (Option<Journaled>, Vec<Finding>) {
    let place = assembly.journal_place();
    let not_begun = || match &assembly.settings.state {
        Place::Directory(path) => writable(path, &place),
        Place::Bucket(_) => Good(format!("{place}: not begun yet; the bucket answers")),
    };
    if !assembly.may_have_journal() {
        return (None, vec![not_begun()]);
    }
    let looked = assembly.existing_journal().and_then(|journal| Ok((journal.look()?, journal.standing()?)));
    let (glance, standing) = match looked {
        Ok((Some(glance), Some(standing))) => (glance, standing),
        Ok(_) => return (None, vec![not_begun()]),
        Err(fault) => return (None, vec![Bad(fault)]),
    };
    let age = Duration::from_millis(u64::try_from(assembly.clock.now().0 - glance.written_at.0).unwrap_or(0));
    let mut findings = vec![Good(format!(
        "{place}: record {} of generation {}, written {} ago",
        glance.sequence,
        glance.generation,
        humane(age)
    ))];
    let differences = glance.genesis.differences(&assembly.settings.semantic());
    findings.extend(differences.into_iter().map(|(name, journaled, configured)| {
        Bad(Fault::refused(
            format!("{name} has changed"),
            format!("the journal counts by {journaled}, and the settings say {configured}"),
            "put it back; to count anew, give the job a new name, state and tables",
        ))
    }));
    let partitions = standing["partitions"].as_object().into_iter().flatten();
    let position = |(name, state): (&String, &serde_json::Value)| Some((name.clone(), state["next_offset"].as_i64()?));
    let source = serde_json::from_value(standing["source"].clone()).unwrap_or_else(|_| glance.genesis.source.clone());
    (Some(Journaled { glance, source, positions: partitions.filter_map(position).collect() }), findings)
}

/// Whether a first start could write there. The nearest directory that exists is tried, with a file that is removed.
fn writable(state: &Path, place: &str) -> Finding {
    let absolute = std::path::absolute(state).unwrap_or_else(|_| state.to_owned());
    let nearest = absolute.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/")).to_owned();
    let probe = nearest.join(format!(".topk-doctor-{}", std::process::id()));
    match std::fs::write(&probe, b"").and_then(|()| std::fs::remove_file(&probe)) {
        Ok(()) => Good(format!("{place}: not begun yet; {} can be written to", nearest.display())),
        Err(error) => Bad(Fault::failed(
            format!("cannot write to {}", nearest.display()),
            error,
            "make job.state a directory that this user can write to",
        )),
    }
}

/// Who the source is, its partitions, and whether what the journal has not read is still there.
fn source(assembly: &Assembly, journaled: Option<&Journaled>) -> Vec<Finding> {
    if assembly.settings.source == SourceKind::Generator {
        return vec![Good("made up by the job itself".to_owned())];
    }
    let asked = assembly.outside_source(true).and_then(|source| Ok((source.identity()?, source.partitions()?)));
    let (identity, partitions) = match asked {
        Ok(answered) => answered,
        Err(fault) => return vec![Bad(fault)],
    };
    let mut findings = Vec::new();
    let (mut behind, mut lost) = (0, Vec::new());
    for partition in &partitions {
        let position = journaled.and_then(|journaled| journaled.positions.get(&*partition.name).copied());
        behind += (partition.end - position.unwrap_or(partition.start)).max(0);
        match position {
            Some(position) if position < partition.earliest => {
                lost.push(format!("{}: {position} to {}", partition.name, partition.earliest - 1));
            }
            Some(position) if position > partition.end => {
                lost.push(format!("{}: ends at {}, and {position} was reached", partition.name, partition.end));
            }
            _ => {}
        }
    }
    let unit = if identity.kind == "file" { "bytes" } else { "offsets" };
    findings.push(Good(format!(
        "{} {}: {} partitions, {} {unit} to read",
        identity.kind,
        printable(&identity.topic),
        partitions.len(),
        grouped(behind.unsigned_abs())
    )));
    if let Some(journaled) = journaled.filter(|journaled| journaled.source != identity) {
        let of = |source: &stream::SourceIdentity| {
            format!("{} {} of {} {}", source.kind, source.topic, source.cluster, source.topic_id)
        };
        findings.push(Bad(Fault::refused(
            "this is not the source that the journal was read from",
            format!("it was {}, and this is {}", of(&journaled.source), of(&identity)),
            "bring the right one back; a start names the flag that accepts this one",
        )));
    }
    if partitions.is_empty() {
        findings.push(Doubtful("there is nothing to read from: it has no partitions or files".to_owned()));
    }
    if !lost.is_empty() {
        findings.push(Bad(Fault::refused(
            "what was not read yet has left the log",
            lost.join("; "),
            "restore the log; a start names the flag that goes on without it; next time keep the log longer than the job may stand still",
        )));
    }
    findings
}

/// What every follower has, and whether the journal knows it.
fn followers(assembly: &Assembly, journaled: Option<&Journaled>) -> Vec<(&'static str, Vec<Finding>)> {
    let followers = match assembly.followers() {
        Ok(followers) => followers,
        Err(fault) => return vec![("sinks", vec![Bad(fault)])],
    };
    let last = journaled.map_or(Sequence(0), |journaled| journaled.glance.sequence);
    let look = |mut follower: Box<dyn stream::Follower>| {
        let findings = match follower.look() {
            Ok(Some(progress)) if follower.wants().counts && progress.sequence > last => vec![Bad(Fault::refused(
                format!("it is as of record {}", progress.sequence),
                format!("the journal in {} ends with record {last}", assembly.journal_place()),
                "bring the right journal back; to count anew, give the job a new schema (or SQLite file)",
            ))],
            Ok(Some(progress)) if progress.sequence.0 > 0 => {
                vec![Good(format!("reached; as of record {} of generation {}", progress.sequence, progress.generation))]
            }
            Ok(_) => vec![Good("reached; nothing is written there yet".to_owned())],
            Err(fault) => vec![Bad(fault)],
        };
        (follower.name(), findings)
    };
    followers.into_iter().map(look).collect()
}

/// The process that runs this job on this machine, if one answers.
fn running(state: &Path) -> Option<u32> {
    let endpoints = Endpoints::read(state).ok()??;
    let agent: ureq::Agent = ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(2))).build().into();
    agent.get(format!("{}/livez", endpoints.job?)).call().ok().map(|_| endpoints.pid)
}

fn port(address: &str, is_running: bool) -> Finding {
    match TcpListener::bind(address) {
        Ok(_) => Good(format!("{address} is free")),
        Err(error) if error.kind() == ErrorKind::AddrInUse && is_running => {
            Good(format!("{address} is in use, and the job runs"))
        }
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            Doubtful(format!("{address} is busy: the next free port will be used"))
        }
        Err(error) => Bad(Fault::usage(
            format!("cannot listen on {address}"),
            error,
            "give an address and port of this machine, such as 127.0.0.1:8080",
        )),
    }
}

fn humane(age: Duration) -> String {
    let seconds = age.as_secs();
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7199 => format!("{} min", seconds / 60),
        7200..=172_799 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}
