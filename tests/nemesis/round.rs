//! One round: its schedule is printed, a job of its own is started, everything happens, and it is judged.

use crate::answers::{Answered, Asker};
use crate::campaign::{Round, Told, revision};
use crate::checks::Checks;
use crate::judge::Verdict;
use crate::link::Link;
use crate::load::{Load, Mix};
use crate::own::{Own, PROXY, Service, behind};
use crate::schedule::{Family, Schedule};
use crate::stage::{Over, Stage};
use crate::tail::Tail;
use crate::watcher::{Most, Watched, Watcher};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;
use stream::{Clock, SystemClock};
use tests::{Running, Setup, kafka, services, until, wait::LONG};

/// How often the watcher looks.
const LOOK_EVERY: Duration = Duration::from_millis(1500);

/// A round to be.
pub(crate) struct Plan<'a> {
    pub(crate) schedule: &'a Schedule,
    /// The length that was asked for.
    pub(crate) seconds: u64,
    /// Settings beside those of every round.
    pub(crate) settings: &'a [(&'a str, &'a str)],
    /// A bug to switch on.
    pub(crate) bug: Option<&'a str>,
    /// What is done after the steps, in place of reading to the end.
    pub(crate) script: Option<Script>,
    /// How often the watcher looks.
    pub(crate) look_every: Duration,
    /// A link keeps back an answer at the least.
    pub(crate) keeps_answers: bool,
    /// What is wrong is found out as soon as anything is.
    pub(crate) to_first_violation: bool,
}

/// Acts by itself; says whether there is a job at rest to judge then.
pub(crate) type Script = fn(&mut Stage) -> Result<bool, Over>;

impl<'a> Plan<'a> {
    /// Of a campaign.
    pub(crate) fn of(schedule: &'a Schedule, seconds: u64) -> Self {
        let look_every = LOOK_EVERY;
        Plan {
            schedule,
            seconds,
            settings: &[],
            bug: None,
            script: None,
            look_every,
            keeps_answers: false,
            to_first_violation: false,
        }
    }
}

/// Print what is going to happen.
pub(crate) fn announce(schedule: &Schedule) {
    println!("seed {}, {}: {:?}", schedule.seed, schedule.family.name(), schedule.terms);
    for (number, step) in schedule.steps.iter().enumerate() {
        println!("  {:>4}  {step}", number + 1);
    }
}

/// Do it.
pub(crate) fn run(plan: &Plan<'_>) -> Round {
    let schedule = plan.schedule;
    let clock = SystemClock::default();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let links = runtime.block_on(links());
    let mut stage = set(plan, links, clock);
    kafka::create_topic(stage.setup.name(), schedule.terms.partitions, &[]);
    stage.load = Some(Load::start(stage.mix, stage.setup.name(), stage.partitions, stage.oracle.clone(), clock));
    stage.start_job(schedule.terms.workers);
    let watched = Watched {
        name: stage.setup.name().to_owned(),
        k: schedule.terms.k,
        endpoints: stage.setup.path("data").join("endpoints.json"),
        oracle: stage.oracle.clone(),
        checks: stage.checks.clone(),
        losses: stage.losses.clone(),
        clock,
    };
    let watcher = Watcher::start(watched.clone(), plan.look_every);
    let (reader, url) = serve(&stage.setup);
    let asker = Asker::start(url, watched);

    let played = play(&mut stage, plan);
    if played.is_ok() && !stage.is_settled() {
        stage.is_watched();
    }
    let (answered, most) = (asker.stop(), watcher.stop());
    drop(reader);
    let verdict = match played {
        Ok(true) => stage.judge(),
        Ok(false) | Err(Over) => {
            stage.kill_job();
            Verdict::default()
        }
    };
    if let Some(load) = stage.load.take() {
        load.stop();
    }
    let unanswered: u64 = stage.links.values().map(Link::unanswered).sum();
    if plan.keeps_answers {
        let checks = &stage.checks;
        checks.hold("answers are kept back where that is the plot", unanswered > 0, || "not one".to_owned());
    }
    if unanswered > 0 {
        stage.told.events.insert("answers kept back".to_owned(), unanswered);
    }
    let round = told(plan, &stage, verdict, &answered, most, clock.monotonic());
    if !round.ok && plan.bug.is_none() {
        // Kept as after a failed test.
        println!("kept: {}", stage.setup.keep().display());
    }
    round
}

/// Whether there is a job to judge.
fn play(stage: &mut Stage, plan: &Plan<'_>) -> Result<bool, Over> {
    stage.calm()?;
    for (number, step) in plan.schedule.steps.iter().enumerate() {
        let at = stage.clock.monotonic().as_secs_f64();
        println!("{at:>8.2}  {:>4}  {step}", number + 1);
        stage.step(step)?;
    }
    if let Some(script) = plan.script
        && !script(stage)?
    {
        return Ok(false);
    }
    stage.heal().map(|()| true)
}

async fn links() -> BTreeMap<Service, Link> {
    let mut links = BTreeMap::new();
    for service in Service::ALL {
        let address = match service {
            Service::Kafka => std::env::var(PROXY).expect("the services were started with a proxy"),
            Service::Postgres | Service::Redis => "127.0.0.1:0".to_owned(),
        };
        let link = Link::open(&address, service, behind(service)).await;
        links.insert(service, link.unwrap_or_else(|error| panic!("{address}: {error}")));
    }
    links
}

fn set(plan: &Plan<'_>, links: BTreeMap<Service, Link>, clock: SystemClock) -> Stage {
    let schedule = plan.schedule;
    let terms = &schedule.terms;
    let through = |url: String, service: Service| url.replace(tests::door::host_of(&url), &links[&service].address());
    let millis = |millis: u64| format!("{millis}ms");
    let mut setup = Setup::on_services("nemesis")
        .with("source.kafka.brokers", links[&Service::Kafka].address())
        // Without TLS, which both speak by themselves: the link tells a COMMIT by its bytes.
        .with("sink.postgres.url", through(services::postgres(), Service::Postgres) + "?sslmode=disable")
        .with("sink.redis.url", through(services::redis(), Service::Redis))
        .with("epoch.interval", millis(terms.epoch_millis))
        .with("epoch.max_events", terms.max_events as i64)
        .with("sink.postgres.flush_every", millis(terms.flush_millis))
        .with("sink.postgres.top_k_every", "2s")
        .with("topk.k", terms.k as i64)
        .with("journal.retain", format!("{}s", terms.retain_seconds))
        .with("time.idle_timeout", "1h")
        .with("time.max_drift", format!("{}s", terms.drift_seconds))
        .with("retention.minute", "forever")
        .with("retention.hour", "forever")
        .with("retention.day", "forever");
    plan.settings.iter().for_each(|(name, value)| setup.set(name, *value));
    if let Some(bug) = plan.bug {
        setup = setup.in_environment("TOPK_SEEDED_BUG", bug);
    }
    let tail = Tail::of(setup.path("data").join("journal").join(setup.name()).join("commit"));
    // Minutes become final in about a second.
    let mix = Mix { seed: schedule.seed, rate: 400, speed: 60, videos: terms.videos };
    Stage {
        setup,
        own: Own::given().expect("the services' folder is named"),
        links,
        load: None,
        mix,
        oracle: Arc::default(),
        checks: Arc::new(Checks::default()),
        told: Told::default(),
        losses: Arc::new(AtomicU64::new(0)),
        clock,
        job: None,
        tail,
        pending: Vec::new(),
        partitions: terms.partitions,
        to_first_violation: plan.to_first_violation,
    }
}

/// A reader alone, over the same links.
pub(crate) fn serve(setup: &Setup) -> (Running, String) {
    let reader = setup.start(&["serve"]);
    let url = until("the reader listens", LONG, || reader.said_after("reader: "));
    let url = url.trim_end_matches('/').to_owned();
    (reader, url)
}

fn told(plan: &Plan<'_>, stage: &Stage, verdict: Verdict, answered: &Answered, most: Most, took: Duration) -> Round {
    let Answered { answers, staleness } = answered.clone();
    let schedule = plan.schedule;
    Round {
        seed: schedule.seed,
        family: schedule.family.name().to_owned(),
        seconds: plan.seconds,
        took_seconds: took.as_secs(),
        revision: revision(),
        build: if cfg!(debug_assertions) { "dev" } else { "release" }.to_owned(),
        ok: stage.checks.all_held(),
        told: stage.told.clone(),
        records: verdict.records,
        counted: verdict.counted,
        lost: verdict.lost,
        duplicated: verdict.duplicated,
        checks: stage.checks.by_name(),
        violations: stage.checks.violations(),
        first: stage.checks.first(),
        answers,
        staleness,
        resident_mib: most.resident_mib,
        files: most.files,
        threads: most.threads,
    }
}

/// A schedule by what was asked for.
pub(crate) fn schedule(seed: u64, family: Family, seconds: u64) -> Schedule {
    Schedule::new(seed, family, seconds)
}
