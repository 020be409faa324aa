//! Where a round plays: the job under its links and services, and what is done to them, step by step.

use crate::ask;
use crate::campaign::Told;
use crate::checks::Checks;
use crate::link::{Link, Mood};
use crate::load::{Load, Mix, Sender, newest};
use crate::oracle::{Fate, Oracle};
use crate::own::{Own, Service};
use crate::recovery::{Awaited, Pending};
use crate::schedule::{Event, Fault, Moment, Step};
use crate::tail::Tail;
use rdkafka::producer::Producer;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use stream::{Clock, SystemClock};
use tests::process::signal;
use tests::{Running, Setup, kafka, until, wait::LONG};

/// Longer without any commit, and the job hangs. Behind its load on a starved machine it commits, and is waited for …
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);
/// … but not for ever: what it does then is not what is waited for.
const PATIENCE_WITH_COMMITS: Duration = Duration::from_secs(900);
const LIVES: &str = "liveness: it goes on within 180 s of the last fault or commit";
/// One check of each who watches, the last one that a look of theirs makes.
const LOOKS: [&str; 3] =
    ["all_time = log up to its offsets", "a pointer points at a board", "a reader answers 200 or 503"];
const LOOK_AT_JOB: &str = "memory, files and threads are bounded";
/// More partitions are not added.
const PARTITIONS_MAX: i32 = 12;

/// The round cannot go on; what is wrong is among the violations.
#[derive(Debug)]
pub(crate) struct Over;

/// The job and all around it.
pub(crate) struct Stage {
    pub(crate) setup: Setup,
    pub(crate) own: Own,
    pub(crate) links: BTreeMap<Service, Link>,
    pub(crate) load: Option<Load>,
    pub(crate) mix: Mix,
    pub(crate) oracle: Arc<Oracle>,
    pub(crate) checks: Arc<Checks>,
    pub(crate) told: Told,
    /// How often Redis was made to lose everything.
    pub(crate) losses: Arc<AtomicU64>,
    pub(crate) clock: SystemClock,
    pub(crate) job: Option<Running>,
    pub(crate) tail: Tail,
    pub(crate) pending: Vec<Pending>,
    pub(crate) partitions: i32,
    /// Nothing is waited for any more once something is wrong.
    pub(crate) to_first_violation: bool,
}

/// What ends a fault.
enum End {
    Nothing,
    StartJob,
    Up(Service),
    Thaw(Vec<u32>),
    ThawService(Service),
    Clear(Service),
    Transaction { sender: Box<Sender>, records: Vec<(i32, i64, Fate)>, newest: Option<i64>, commits: bool },
}

impl Stage {
    /// Wait for the step's moment, and do it: all its faults begin, then each ends in its time.
    pub(crate) fn step(&mut self, step: &Step) -> Result<(), Over> {
        self.wait_for(step.moment)?;
        let mut ends = Vec::new();
        for event in &step.events {
            *self.told.events.entry(event.fault.kind()).or_default() += 1;
            let began = self.clock.monotonic();
            let end = self.begin(event)?;
            ends.push((began + Duration::from_millis(event.millis), began, *event, end));
        }
        ends.sort_by_key(|(at, ..)| *at);
        for (at, began, event, end) in ends {
            while self.clock.monotonic() < at && !self.is_settled() {
                std::thread::sleep(at.saturating_sub(self.clock.monotonic()).min(Duration::from_millis(100)));
            }
            self.end(&event, end);
            // Of several at once only what comes after the last is measured.
            let since = if step.events.len() == 1 { began } else { self.clock.monotonic() };
            self.recovers(event.fault, since);
        }
        Ok(())
    }

    fn wait_for(&mut self, moment: Moment) -> Result<(), Over> {
        match moment {
            Moment::Blind { millis } => {
                // How long a recovery takes that is hit again says nothing.
                self.pending.clear();
                std::thread::sleep(Duration::from_millis(millis));
                self.tend()
            }
            Moment::Commits { commits, millis } => {
                self.wait_until_recovered()?;
                let target = self.tail.epochs + commits;
                self.wait_until("commits go on", |stage| stage.tail.epochs >= target)?;
                std::thread::sleep(Duration::from_millis(millis));
                self.tend()
            }
        }
    }

    /// Wait until all that was hit works again, and note how long that took.
    pub(crate) fn wait_until_recovered(&mut self) -> Result<(), Over> {
        self.wait_until("it works again", |stage| {
            let now = stage.clock.monotonic();
            let pending = std::mem::take(&mut stage.pending);
            for pending in pending {
                if pending.is_over(&stage.setup, &stage.tail) {
                    let millis = u64::try_from((now - pending.since).as_millis()).expect("minutes");
                    stage.told.recoveries.entry(pending.victim.clone()).or_default().push(millis);
                } else {
                    stage.pending.push(pending);
                }
            }
            stage.pending.is_empty()
        })
    }

    /// Wait for something that the job does, and see to it that there is a job.
    pub(crate) fn wait_until(&mut self, what: &str, mut is_so: impl FnMut(&mut Self) -> bool) -> Result<(), Over> {
        let began = self.clock.monotonic();
        let mut moved = (self.tail.newest, began);
        loop {
            self.tail.look();
            if self.tail.newest != moved.0 {
                moved = (self.tail.newest, self.clock.monotonic());
            }
            if self.is_settled() {
                return Err(Over);
            }
            if is_so(self) {
                self.checks.hold(LIVES, true, String::new);
                return Ok(());
            }
            self.tend()?;
            let now = self.clock.monotonic();
            if now - moved.1 > PATIENCE || now - began > PATIENCE_WITH_COMMITS {
                let found = format!("waited in vain until {what}; {}", self.who_stands_still());
                self.checks.hold(LIVES, false, || found);
                return Err(Over);
            }
            std::thread::sleep(Duration::from_millis(4));
        }
    }

    /// Whether it is the load, the log or the job that does not go on.
    fn who_stands_still(&mut self) -> String {
        let pending = std::mem::take(&mut self.pending);
        let sent = self.load.as_ref().map(|load| (load.number(), load.is_over()));
        let (topic, acknowledged) = (self.setup.name(), self.oracle.ends());
        let log = kafka::ends(topic, self.partitions);
        let consumed =
            ask::postgres(&format!("SELECT partition, consumed FROM {topic}.topk_ledger ORDER BY partition"));
        let told = self.job.as_ref().map(Running::stderr).unwrap_or_default();
        let last: Vec<_> = told.lines().rev().take(8).collect();
        format!(
            "{pending:?}; the load is at (view, over) {sent:?}, acknowledged up to {acknowledged:?}; the log ends at {log:?}; tables have \
             consumed {consumed:?}; the job's last words, backwards: {last:#?}"
        )
    }

    /// Who watches has looked at everything once more, now that nothing is in the way: a watcher that sees nothing has
    /// found nothing wrong all along.
    pub(crate) fn is_watched(&self) {
        let began = self.clock.monotonic();
        let looks = LOOKS.into_iter().chain(self.job.is_some().then_some(LOOK_AT_JOB));
        let made: Vec<_> = looks.map(|look| (look, self.checks.times(look))).collect();
        for (look, before) in made {
            while self.checks.times(look) == before && self.clock.monotonic() - began < LONG {
                std::thread::sleep(Duration::from_millis(20));
            }
            self.checks.hold("what is watched is seen", self.checks.times(look) > before, || {
                format!("{look}: not looked at within {LONG:?}, {before} times before")
            });
        }
    }

    /// Whether the round has shown what it was for.
    pub(crate) fn is_settled(&self) -> bool {
        self.to_first_violation && !self.checks.all_held()
    }

    fn begin(&mut self, event: &Event) -> Result<End, Over> {
        Ok(match event.fault {
            Fault::KillJob => {
                let child = self.child()?;
                signal("KILL", child);
                until("a killed job is gone", LONG, || (!tests::process::is_alive(child)).then_some(()));
                self.tail.look();
                End::Nothing
            }
            Fault::KillBoth => {
                self.kill_job();
                self.tail.look();
                End::StartJob
            }
            Fault::RestartJob => {
                let code = self.drain_job();
                let is_known = [Some(0), Some(1), Some(143)].contains(&code);
                self.checks.hold("SIGTERM ends it", is_known, || format!("with {code:?}"));
                End::StartJob
            }
            Fault::KillService(service) => {
                self.loses(service);
                self.own.kill(service);
                End::Up(service)
            }
            Fault::RestartService(service) => {
                self.loses(service);
                self.own.down(service);
                End::Up(service)
            }
            Fault::KillBackend => {
                let serving = "SELECT pid FROM pg_stat_activity WHERE application_name = 'topk' ORDER BY backend_start";
                let pid =
                    ask::postgres(serving).ok().and_then(|said| said.first()?.first()?.first()?.clone()?.parse().ok());
                // None: it is not connected just now.
                let _ = pid.is_some_and(|pid| signal("KILL", pid));
                End::Nothing
            }
            Fault::FreezeJob => {
                let child = self.child()?;
                signal("STOP", child);
                End::Thaw(vec![child])
            }
            Fault::FreezeBoth => {
                let both = vec![self.job.as_ref().ok_or(Over)?.pid(), self.child()?];
                for process in &both {
                    signal("STOP", *process);
                }
                End::Thaw(both)
            }
            Fault::FreezeService(service) => {
                self.own.freeze(service, true);
                End::ThawService(service)
            }
            Fault::Link(service, mood) => {
                self.links[&service].set(mood);
                End::Clear(service)
            }
            Fault::Reset(service) => {
                self.links[&service].reset();
                End::Nothing
            }
            Fault::Second => {
                let second = self.second(event.workers);
                self.one_stays(second)?;
                End::Nothing
            }
            Fault::SecondBesideFrozen => {
                self.second_beside_frozen(event)?;
                End::Nothing
            }
            Fault::TwoAtOnce => {
                self.kill_job();
                self.start_job(event.workers);
                let second = self.second(event.workers);
                self.one_stays(second)?;
                End::Nothing
            }
            Fault::AddPartition => {
                if self.partitions < PARTITIONS_MAX {
                    self.partitions += 1;
                    let in_all = usize::try_from(self.partitions).expect("few");
                    kafka::add_partitions(self.setup.name(), in_all);
                    self.load.as_ref().expect("the load runs").spread(self.partitions);
                }
                End::Nothing
            }
            Fault::OpenTransaction { commits } => self.transaction(commits),
            Fault::AbortedTransaction => {
                let open = self.transaction(false);
                self.end(event, open);
                End::Nothing
            }
        })
    }

    /// Redis has nothing on disk.
    fn loses(&self, service: Service) {
        if service == Service::Redis {
            self.losses.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn transaction(&mut self, commits: bool) -> End {
        let load = self.load.as_ref().expect("the load runs");
        let id = format!("{}-{}", self.setup.name(), self.clock.monotonic().as_millis());
        let sender = Sender::new(self.setup.name(), Some(&id));
        let from = load.number();
        let views: Vec<_> = (from..from + 50).map(|number| self.mix.view(number, self.partitions)).collect();
        until("the broker takes a transaction", PATIENCE, || {
            sender.producer().init_transactions(Duration::from_secs(60)).ok()
        });
        sender.producer().begin_transaction().expect("a transaction begins");
        let records = sender.send(&views);
        End::Transaction { sender: Box::new(sender), records, newest: newest(&views), commits }
    }

    fn end(&mut self, event: &Event, end: End) {
        match end {
            End::Nothing => {}
            End::StartJob => self.start_job(event.workers),
            End::Up(service) => {
                self.own.up(service);
                self.loses(service);
            }
            End::Thaw(processes) => {
                for process in processes.into_iter().rev() {
                    signal("CONT", process);
                }
            }
            End::ThawService(service) => self.own.freeze(service, false),
            End::Clear(service) => self.links[&service].set(Mood::Clear),
            End::Transaction { sender, records, newest, commits } => {
                let wait = Duration::from_secs(60);
                if commits {
                    let ticket = self.oracle.begin();
                    until("the broker commits", PATIENCE, || sender.producer().commit_transaction(wait).ok());
                    self.oracle.end(ticket, &records, newest, self.clock.monotonic());
                } else {
                    until("the broker aborts", PATIENCE, || sender.producer().abort_transaction(wait).ok());
                }
            }
        }
    }

    /// From now on it is awaited that what was hit works again.
    fn recovers(&mut self, fault: Fault, began: Duration) {
        self.tail.look();
        let (counting, now) = (Awaited::Counting { after: self.tail.newest }, self.clock.monotonic());
        let (victim, awaited, since) = match fault {
            Fault::KillJob => ("job", counting, began),
            Fault::KillBoth => ("job, parent too", counting, began),
            Fault::RestartJob => ("job, drained", counting, began),
            Fault::FreezeJob | Fault::FreezeBoth => ("job, thawed", counting, now),
            Fault::Second | Fault::SecondBesideFrozen | Fault::TwoAtOnce => ("instances", counting, now),
            Fault::KillService(Service::Kafka) | Fault::RestartService(Service::Kafka) => ("broker", counting, now),
            Fault::FreezeService(Service::Kafka) => ("broker, thawed", counting, now),
            Fault::Link(Service::Kafka, _) | Fault::Reset(Service::Kafka) => ("link to broker", counting, now),
            Fault::OpenTransaction { .. } | Fault::AbortedTransaction | Fault::AddPartition => ("log", counting, now),
            Fault::KillService(Service::Postgres) | Fault::RestartService(Service::Postgres) | Fault::KillBackend => {
                ("Postgres", Awaited::Tables { epoch: self.tail.newest_epoch }, now)
            }
            Fault::FreezeService(Service::Postgres) => {
                ("Postgres, thawed", Awaited::Tables { epoch: self.tail.newest_epoch }, now)
            }
            Fault::Link(Service::Postgres, _) | Fault::Reset(Service::Postgres) => {
                ("link to Postgres", Awaited::Tables { epoch: self.tail.newest_epoch }, now)
            }
            Fault::KillService(Service::Redis) | Fault::RestartService(Service::Redis) => {
                ("Redis", Awaited::Boards { epoch: self.tail.newest_epoch }, now)
            }
            Fault::FreezeService(Service::Redis) => {
                ("Redis, thawed", Awaited::Boards { epoch: self.tail.newest_epoch }, now)
            }
            Fault::Link(Service::Redis, _) | Fault::Reset(Service::Redis) => {
                ("link to Redis", Awaited::Boards { epoch: self.tail.newest_epoch }, now)
            }
        };
        self.pending.push(Pending { victim: victim.to_owned(), awaited, since });
    }
}
