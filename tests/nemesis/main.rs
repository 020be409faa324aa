//! The nemesis: lets a job count under faults that a seed decides, over real Kafka, Postgres and Redis of its own, watches
//! it meanwhile, and counts again at the end. What it survived is in docs/reliability.md.
//!
//! ```text
//! nemesis run --seed 1 --minutes 3 --rounds 10 --faults kills --campaign FILE
//! nemesis plan --seed 1 --minutes 3                            prints the schedule, does nothing
//! nemesis bugs [--only NAME,…]                                 breaks one promise after the other; each must be seen
//! nemesis report --campaign FILE                               what all rounds of a file say together
//! ```

mod answers;
mod ask;
mod boards;
mod bugs;
mod campaign;
mod checks;
mod instances;
mod judge;
mod link;
mod load;
mod mixture;
mod oracle;
mod own;
mod plots;
mod recovery;
mod report;
mod round;
mod schedule;
mod scripts;
mod stage;
mod tables;
mod tail;
mod watcher;

use crate::own::Own;
use crate::schedule::Family;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use tokio::signal::unix::{SignalKind, signal};

const USAGE: &str = "nemesis run|plan [--seed N] [--minutes M] [--rounds R] [--faults kills|all] [--campaign FILE]
nemesis bugs [--only NAME,…]    needs a build with --features seeded-bugs
nemesis report --campaign FILE";

/// The words of the command line.
struct Words {
    verb: String,
    seed: u64,
    seconds: u64,
    rounds: u64,
    family: Family,
    campaign: Option<PathBuf>,
    /// Seeded bugs; none: all.
    only: Vec<String>,
}

fn words() -> Result<Words, String> {
    let mut given = std::env::args().skip(1);
    let verb = given.next().ok_or("say what to do")?;
    let mut words =
        Words { verb, seed: 1, seconds: 180, rounds: 1, family: Family::All, campaign: None, only: Vec::new() };
    while let Some(name) = given.next() {
        let value = given.next().ok_or(format!("{name} needs a value"))?;
        let number = || value.parse::<f64>().map_err(|error| format!("{name} {value}: {error}"));
        match name.as_str() {
            "--seed" => words.seed = number()? as u64,
            "--minutes" => words.seconds = (number()? * 60.0) as u64,
            "--rounds" => words.rounds = number()? as u64,
            "--faults" => {
                words.family = Family::named(&value).ok_or(format!("--faults {value}: there are kills, all"))?
            }
            "--only" => words.only = value.split(',').map(str::to_owned).collect(),
            "--campaign" => words.campaign = Some(PathBuf::from(value)),
            _ => return Err(format!("unknown option {name}")),
        }
    }
    Ok(words)
}

fn main() -> ExitCode {
    let words = match words() {
        Ok(words) => words,
        Err(why) => {
            eprintln!("nemesis: {why}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match words.verb.as_str() {
        "run" | "bugs" if Own::given().is_none() => with_services(),
        "run" => run(&words),
        "bugs" => bugs::run(&words.only),
        "plan" => {
            let seeds = words.seed..words.seed + words.rounds;
            seeds.for_each(|seed| round::announce(&round::schedule(seed, words.family, words.seconds)));
            ExitCode::SUCCESS
        }
        "report" => match &words.campaign {
            Some(file) => {
                print!("{}", report::of(&campaign::rounds(file)));
                ExitCode::SUCCESS
            }
            None => {
                eprintln!("nemesis: report needs --campaign FILE");
                ExitCode::from(2)
            }
        },
        verb => {
            eprintln!("nemesis: unknown command {verb}\n{USAGE}");
            ExitCode::from(2)
        }
    }
}

/// Start services, and this program again where they are found; end both, whatever happens.
fn with_services() -> ExitCode {
    let folder = tempfile::Builder::new().prefix("nemesis-").tempdir().expect("a temporary folder");
    let services = folder.path().join("services");
    let (own, variables) = Own::start(&services);
    let inner = std::env::current_exe().and_then(|program| {
        // A group of its own, so that all of it can be ended at once.
        Command::new(program).args(std::env::args_os().skip(1)).envs(variables).process_group(0).spawn()
    });
    let mut inner = inner.expect("this program can be started");
    let group = inner.id();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let code = runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).expect("signals");
        let mut interrupt = signal(SignalKind::interrupt()).expect("signals");
        loop {
            if let Some(status) = inner.try_wait().expect("a process of ours can be asked") {
                return u8::try_from(status.code().unwrap_or(1)).unwrap_or(1);
            }
            tokio::select! {
                _ = terminate.recv() => return 143,
                _ = interrupt.recv() => return 130,
                () = tokio::time::sleep(std::time::Duration::from_millis(100)) => {}
            }
        }
    });
    // Bash: not every kill takes a group behind two dashes.
    let _ = Command::new("bash").args(["-c", &format!("kill -KILL -- -{group} 2>/dev/null")]).status();
    own.stop();
    ExitCode::from(code)
}

/// All rounds that have no line in the campaign yet.
fn run(words: &Words) -> ExitCode {
    let mut failed = 0;
    let done = words.campaign.as_deref().map(campaign::rounds).unwrap_or_default();
    for seed in words.seed..words.seed + words.rounds {
        let schedule = round::schedule(seed, words.family, words.seconds);
        if done.iter().any(|round| round.is_of(&schedule, words.seconds)) {
            println!("seed {seed} is in the campaign already");
            continue;
        }
        round::announce(&schedule);
        let round = round::run(&round::Plan::of(&schedule, words.seconds));
        if let Some(file) = &words.campaign {
            campaign::add(file, &round);
        }
        print!("{}", report::one(&round));
        failed += u64::from(!round.ok);
    }
    println!(
        "nemesis result: {}. {} passed; {failed} failed",
        if failed == 0 { "ok" } else { "FAILED" },
        words.rounds - failed
    );
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
