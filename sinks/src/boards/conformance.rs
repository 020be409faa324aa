//! The cases that every board store must pass, and each store under them.

use super::memory::{MemoryBoard, MemoryStore};
use super::redis::{RedisAddress, RedisReadings, RedisStore};
use super::settings::BoardSettings;
use super::store::{Age, Board, BoardStore, Put};
use super::{BoardFollower, BoardReadings};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use stream::{
    Blob, Claim, Commit, EventTime, Fault, Follower, Generation, Key, KindIndex, ManualClock, Pointers, Progress,
    Ranking, RecordHash, Sequence, Step, Vocabulary, WallTime, Window, WindowKind, WindowState, WindowTotals, Windows,
    Zone,
};

mod loss;

const HOUR: KindIndex = 0;
const ALL_TIME: KindIndex = 1;
/// 2025-10-19T14:00:00Z
const TWO: i64 = 1_760_882_400_000;
const HOUR_MILLIS: i64 = 3_600_000;

/// A store of its own for one case, empty at first.
trait Bench {
    fn store(&self) -> Box<dyn BoardStore>;
    fn readings(&self) -> BoardReadings;
    fn prefix(&self) -> String;
    /// Let time pass, by the store's own clock.
    fn pass(&self, time: Duration);
    /// Remove a key, as somebody else would.
    fn remove(&self, key: &str);
}

struct Memory {
    clock: Arc<ManualClock>,
    board: MemoryBoard,
}

impl Memory {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::at(WallTime(1_000)));
        Memory { board: MemoryBoard::new(clock.clone()), clock }
    }
}

impl Bench for Memory {
    fn store(&self) -> Box<dyn BoardStore> {
        Box::new(MemoryStore::new(self.board.clone()))
    }

    fn readings(&self) -> BoardReadings {
        BoardReadings::Memory(self.board.clone())
    }

    fn prefix(&self) -> String {
        "topk".into()
    }

    fn pass(&self, time: Duration) {
        self.clock.advance(time);
    }

    fn remove(&self, key: &str) {
        self.board.remove(key);
    }
}

/// A prefix of its own in the Redis that `./test` starts.
struct Redis {
    url: String,
    prefix: String,
}

impl Redis {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let url = std::env::var("TOPK_TEST_REDIS")
            .expect("TOPK_TEST_REDIS names no Redis: run ./test, which starts one, or set it to redis://host:port");
        let prefix = format!("conformance-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        Redis { url, prefix }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let mut connection = ::redis::Client::open(self.url.as_str()).unwrap().get_connection().unwrap();
        let keys: Vec<String> = ::redis::cmd("KEYS").arg(format!("{}:*", self.prefix)).query(&mut connection).unwrap();
        if !keys.is_empty() {
            ::redis::cmd("DEL").arg(keys).exec(&mut connection).unwrap();
        }
    }
}

impl Bench for Redis {
    fn store(&self) -> Box<dyn BoardStore> {
        Box::new(RedisStore::new(&RedisAddress::new(&self.url)).unwrap())
    }

    fn readings(&self) -> BoardReadings {
        BoardReadings::Redis(RedisReadings::new(&RedisAddress::new(&self.url)).unwrap())
    }

    fn prefix(&self) -> String {
        self.prefix.clone()
    }

    fn pass(&self, time: Duration) {
        std::thread::sleep(time);
    }

    fn remove(&self, key: &str) {
        let mut connection = ::redis::Client::open(self.url.as_str()).unwrap().get_connection().unwrap();
        ::redis::cmd("DEL").arg(key).exec(&mut connection).unwrap();
    }
}

fn settings(bench: &dyn Bench) -> BoardSettings {
    let kinds = ["hour", "all_time"].map(|name| WindowKind::named(name).unwrap()).to_vec();
    BoardSettings {
        job: "songs".into(),
        redis: RedisAddress::default(),
        prefix: bench.prefix(),
        words: Vocabulary::new("play", "plays", "song", "songs"),
        windows: Windows::new(kinds, Zone::utc()).unwrap(),
        retention: vec![Some(Duration::from_secs(3600)), None],
        k: 10,
        publish_every: Duration::from_millis(250),
        tables_beside: true,
    }
}

fn open(bench: &dyn Bench) -> BoardFollower {
    let clock = Arc::new(ManualClock::at(WallTime(TWO + 77)));
    BoardFollower::over(bench.store(), settings(bench), clock)
}

fn claim(follower: &mut BoardFollower, generation: u64) -> Result<Option<Progress>, Fault> {
    follower.claim(&Claim { job: "songs".into(), generation: Generation(generation) })
}

fn claimed(bench: &dyn Bench, generation: u64) -> BoardFollower {
    let mut follower = open(bench);
    claim(&mut follower, generation).unwrap();
    follower
}

fn window(kind: KindIndex, at: i64) -> Window {
    let kinds = ["hour", "all_time"].map(|name| WindowKind::named(name).unwrap()).to_vec();
    Windows::new(kinds, Zone::utc()).unwrap().window(kind, EventTime::from_millis(at))
}

fn step(generation: u64, sequence: u64, rankings: &[(KindIndex, i64, u64)]) -> Step {
    let commit = Commit {
        hash: RecordHash([sequence as u8; 32]),
        watermark: Some(EventTime::from_millis(TWO)),
        ..Commit::empty(Generation(generation), Sequence(sequence))
    };
    let ranking = |(kind, at, count): &(KindIndex, i64, u64)| {
        let totals = WindowTotals { events: *count, keys: 1, late: 0 };
        let entries = vec![(Key::new("s\"1 \"generation\":9"), *count)];
        Arc::new(Ranking { window: window(*kind, *at), state: WindowState::Open, totals, entries })
    };
    let pointer = |kind: KindIndex| {
        let starts = rankings.iter().filter(|ranking| ranking.0 == kind);
        let current = starts.map(|ranking| window(kind, ranking.1).start).max();
        Pointers { kind, current, closed: None }
    };
    Step {
        with_rankings: true,
        rankings: rankings.iter().map(ranking).collect(),
        pointers: vec![pointer(HOUR), pointer(ALL_TIME)],
        ..Step::empty(commit)
    }
}

fn block<T>(future: impl Future<Output = Result<T, Fault>>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(future).unwrap()
}

fn read(bench: &dyn Bench, name: &str) -> Option<Blob> {
    let key = format!("{}:{name}", bench.prefix());
    let bytes = block(bench.readings().get(&key))?;
    Some(Blob::decode(&bytes, &settings(bench).words).unwrap())
}

fn pointer(bench: &dyn Bench, name: &str) -> Option<String> {
    block(bench.readings().pointer(&format!("{}:{name}", bench.prefix())))
}

fn exit<T: std::fmt::Debug>(outcome: Result<T, Fault>) -> u8 {
    outcome.unwrap_err().exit.code()
}

fn a_publish_is_read_back(bench: &dyn Bench) {
    let mut follower = claimed(bench, 3);
    follower.write(&step(3, 17, &[(HOUR, TWO, 5), (HOUR, TWO + HOUR_MILLIS, 6), (ALL_TIME, TWO, 11)])).unwrap();
    let blob = read(bench, "hour:2025-10-19T14:00").unwrap();
    assert_eq!((blob.generation, blob.epoch, blob.total_events), (Generation(3), Sequence(17), 5));
    assert_eq!((blob.job.as_str(), blob.k, blob.published_at.millis()), ("songs", 10, TWO + 77));
    assert_eq!(read(bench, "all_time:all").unwrap().items[0].1, 11);
    assert_eq!(pointer(bench, "hour:current").unwrap(), "2025-10-19T15:00");
    assert_eq!(pointer(bench, "all_time:current").unwrap(), "all");
    assert_eq!(pointer(bench, "hour:closed"), None);
    assert_eq!(read(bench, "hour:2025-10-19T13:00"), None);
}

fn replays_change_nothing(bench: &dyn Bench) {
    let mut follower = claimed(bench, 1);
    let publish = step(1, 4, &[(HOUR, TWO, 5)]);
    follower.write(&publish).unwrap();
    let once = read(bench, "hour:2025-10-19T14:00");
    follower.write(&publish).unwrap();
    assert_eq!(read(bench, "hour:2025-10-19T14:00"), once);
    let written = Progress { generation: Generation(1), sequence: Sequence(4), hash: None };
    assert_eq!(claim(&mut open(bench), 1), Ok(Some(written)));
}

fn an_older_generation_is_fenced(bench: &dyn Bench) {
    let mut old = claimed(bench, 1);
    old.write(&step(1, 4, &[(HOUR, TWO, 5)])).unwrap();
    let mut new = claimed(bench, 2);
    assert_eq!(exit(old.write(&step(1, 5, &[]))), 4, "already before the new one has written");
    new.write(&step(2, 6, &[(HOUR, TWO, 7)])).unwrap();
    assert_eq!(exit(old.write(&step(1, 5, &[(HOUR, TWO, 6)]))), 4);
    assert_eq!(exit(claim(&mut old, 1)), 4);
    assert_eq!(read(bench, "hour:2025-10-19T14:00").unwrap().total_events, 7);
}

fn a_second_job_is_refused(bench: &dyn Bench) {
    claimed(bench, 1);
    let clock = Arc::new(ManualClock::default());
    let other = BoardSettings { job: "posts".into(), ..settings(bench) };
    let mut other = BoardFollower::over(bench.store(), other, clock);
    let fault = other.claim(&Claim { job: "posts".into(), generation: Generation(9) }).unwrap_err();
    assert_eq!(fault.exit.code(), 2);
    assert!(fault.why.contains("\"songs\""), "the first is named: {fault}");
}

fn progress_is_that_of_the_last_whole_publish(bench: &dyn Bench) {
    assert_eq!(open(bench).look(), Ok(None));
    let mut follower = claimed(bench, 5);
    let nothing = Progress { generation: Generation(5), sequence: Sequence(0), hash: None };
    assert_eq!(open(bench).look(), Ok(Some(nothing)), "a genesis must start above this generation");
    follower.write(&step(5, 8, &[(HOUR, TWO, 5)])).unwrap();
    follower.write(&step(5, 9, &[])).unwrap();
    let written = Progress { generation: Generation(5), sequence: Sequence(9), hash: None };
    assert_eq!(open(bench).look(), Ok(Some(written.clone())));
    assert_eq!(claim(&mut follower, 6), Ok(Some(written.clone())));
    assert_eq!(open(bench).look(), Ok(Some(Progress { generation: Generation(6), ..written })));
}

fn boards_show_their_generation_without_an_owner(bench: &dyn Bench) {
    claimed(bench, 7).write(&step(7, 9, &[(HOUR, TWO, 5)])).unwrap();
    let owner = format!("{}:owner", bench.prefix());
    let mut store = bench.store();
    let stored = store.get(std::slice::from_ref(&owner)).unwrap().remove(0).unwrap();
    assert!(store.swap(&owner, Some(&stored), "{\"job\":\"songs\",\"generation\":1,\"epoch\":null}").unwrap());
    let shown = open(bench).look().unwrap().unwrap();
    assert_eq!(shown.generation, Generation(7));
    assert_eq!(exit(claim(&mut open(bench), 6)), 4);
    assert_eq!(claim(&mut open(bench), 8), Ok(None), "all is to be published again");
}

fn a_board_of_a_life_that_is_over_is_overwritten(bench: &dyn Bench) {
    claimed(bench, 1).write(&step(1, 900, &[(HOUR, TWO, 5)])).unwrap();
    let mut follower = claimed(bench, 2);
    follower.write(&step(1, 20, &[(HOUR, TWO, 6)])).unwrap();
    let blob = read(bench, "hour:2025-10-19T14:00").unwrap();
    assert_eq!((blob.epoch, blob.total_events), (Sequence(20), 6));
}

fn pointers_only_go_forward(bench: &dyn Bench) {
    let mut follower = claimed(bench, 1);
    follower.write(&step(1, 1, &[(HOUR, TWO + HOUR_MILLIS, 5)])).unwrap();
    follower.write(&step(1, 2, &[(HOUR, TWO, 5), (ALL_TIME, TWO, 5)])).unwrap();
    assert_eq!(pointer(bench, "hour:current").unwrap(), "2025-10-19T15:00");
    follower.write(&step(1, 3, &[(HOUR, TWO + 20 * HOUR_MILLIS, 5), (ALL_TIME, TWO, 6)])).unwrap();
    assert_eq!(pointer(bench, "hour:current").unwrap(), "2025-10-20T10:00");
    assert_eq!(pointer(bench, "all_time:current").unwrap(), "all");
}

fn more_boards_than_go_together(bench: &dyn Bench) {
    let mut follower = claimed(bench, 1);
    let rankings: Vec<_> = (0..150).map(|hour| (HOUR, TWO + hour * HOUR_MILLIS, hour as u64 + 1)).collect();
    follower.write(&step(1, 1, &rankings)).unwrap();
    assert_eq!(read(bench, "hour:2025-10-25T19:00").unwrap().total_events, 150);
}

fn compare_and_set(bench: &dyn Bench) {
    let (mut store, key) = (bench.store(), format!("{}:hour:x", bench.prefix()));
    let mut put = |generation: u64, epoch: u64| {
        let bytes = format!("{{\"epoch\":{epoch},\"generation\":{generation},\"items\":[[\"generation\",9]]}}");
        let age = Age { generation: Generation(generation), epoch: Sequence(epoch) };
        let window = window(HOUR, TWO).id();
        store.put(&[Board { window, key: key.clone(), bytes, age, time_to_live: None }]).unwrap()[0]
    };
    let refused = |generation, epoch| Put::Refused {
        stored: Age { generation: Generation(generation), epoch: Sequence(epoch) },
        is_final: false,
    };
    assert_eq!(put(2, 10), Put::Written);
    assert_eq!(put(2, 10), Put::Written, "equal: a retry");
    assert_eq!(put(2, 9), refused(2, 10));
    assert_eq!(put(1, 11), refused(2, 10));
    assert_eq!(put(2, 11), Put::Written);
    assert_eq!(put(3, 1), Put::Written);
    let greatest = (1 << 53) - 1;
    assert_eq!(put(greatest, greatest), Put::Written);
    assert_eq!(put(greatest, greatest - 1), refused(greatest, greatest), "as exact as it must be");
}

fn swaps_need_what_is_expected(bench: &dyn Bench) {
    let (mut store, key) = (bench.store(), format!("{}:owner", bench.prefix()));
    assert!(!store.swap(&key, Some(b"a"), "b").unwrap());
    assert!(store.swap(&key, None, "a").unwrap());
    assert!(!store.swap(&key, None, "b").unwrap());
    assert!(store.swap(&key, Some(b"a"), "b").unwrap());
    assert_eq!(store.get(&[key]).unwrap()[0].as_deref(), Some(&b"b"[..]));
}

fn boards_live_as_long_as_they_should(bench: &dyn Bench) {
    let mut store = bench.store();
    let mut put = |name: &str, epoch: u64, time_to_live: Option<u64>| {
        let board = Board {
            window: window(HOUR, TWO).id(),
            key: format!("{}:{name}", bench.prefix()),
            bytes: "{}".into(),
            age: Age { generation: Generation(1), epoch: Sequence(epoch) },
            time_to_live: time_to_live.map(Duration::from_millis),
        };
        assert_eq!(store.put(&[board]).unwrap(), [Put::Written]);
    };
    put("short", 9, Some(20));
    put("long", 9, Some(3_600_000));
    put("forever", 9, None);
    bench.pass(Duration::from_millis(40));
    put("short-again", 1, Some(3_600_000));
    let there = |name: &str| block(bench.readings().get(&format!("{}:{name}", bench.prefix()))).is_some();
    assert_eq!(["short", "long", "forever", "short-again"].map(there), [false, true, true, true]);
    put("short", 1, Some(3_600_000));
    assert!(there("short"), "what is gone refuses nothing");
}

macro_rules! every_case {
    ($bench:expr) => {
        every_case! { $bench;
            a_publish_is_read_back, replays_change_nothing, an_older_generation_is_fenced, a_second_job_is_refused,
            progress_is_that_of_the_last_whole_publish, boards_show_their_generation_without_an_owner,
            a_board_of_a_life_that_is_over_is_overwritten, pointers_only_go_forward, more_boards_than_go_together,
            compare_and_set, swaps_need_what_is_expected, boards_live_as_long_as_they_should,
        }
    };
    ($bench:expr; $($case:ident),* $(,)?) => {
        $(#[test] fn $case() { super::$case(&$bench); })*
    };
}

mod memory {
    every_case!(super::Memory::new());

    /// Event time may run faster than the clock: what tables no longer keep leaves memory too.
    #[test]
    fn retention_bounds_memory() {
        use super::*;
        let bench = Memory::new();
        let mut follower = claimed(&bench, 1);
        for hour in 0..500 {
            let mut step = step(1, hour + 1, &[(HOUR, TWO + hour as i64 * HOUR_MILLIS, 5), (ALL_TIME, TWO, hour + 1)]);
            let commit = Arc::get_mut(&mut step.commit).unwrap();
            commit.watermark = Some(EventTime::from_millis(TWO + hour as i64 * HOUR_MILLIS));
            follower.write(&step).unwrap();
        }
        // Owner, status, two pointers, all time, the newest hour and the hour that is kept behind it.
        assert_eq!(bench.board.len(), 7);
    }

    #[test]
    fn a_new_process_starts_empty() {
        use super::*;
        claimed(&Memory::new(), 4).write(&step(4, 2, &[(HOUR, TWO, 5)])).unwrap();
        assert_eq!(open(&Memory::new()).look(), Ok(None));
    }
}

mod redis {
    every_case!(super::Redis::new());

    #[test]
    fn a_board_gets_the_full_retention_at_each_write() {
        use super::*;
        let bench = Redis::new();
        claimed(&bench, 1).write(&step(1, 2, &[(HOUR, TWO, 5), (ALL_TIME, TWO, 5)])).unwrap();
        let mut connection = ::redis::Client::open(bench.url.as_str()).unwrap().get_connection().unwrap();
        let mut to_live = |name: &str| -> i64 {
            ::redis::cmd("PTTL").arg(format!("{}:{name}", bench.prefix)).query(&mut connection).unwrap()
        };
        let hour = to_live("hour:2025-10-19T14:00");
        assert!((3_000_000..=3_600_000).contains(&hour), "{hour}");
        assert_eq!([to_live("all_time:all"), to_live("hour:current"), to_live("owner")], [-1, -1, -1], "for ever");
    }

    /// Asleep between its look at the owner and its writes: it touches nothing more, also not what the newer one has yet to
    /// write.
    #[test]
    fn who_sleeps_through_a_take_over_writes_nothing() {
        use super::*;
        let bench = Redis::new();
        let key = |name: &str| format!("{}:{name}", bench.prefix);
        claimed(&bench, 1).write(&step(1, 2, &[(HOUR, TWO, 5)])).unwrap();
        let mut asleep = bench.store();
        asleep.guard(&key("owner"), Generation(1));
        claimed(&bench, 2);
        let age = Age { generation: Generation(1), epoch: Sequence(3) };
        let (window, bytes) = (window(ALL_TIME, TWO).id(), "{}".to_owned());
        let board = Board { window, key: key("all_time:all"), bytes, age, time_to_live: None };
        let refused = Put::Refused { stored: Age { generation: Generation(2), epoch: Sequence(0) }, is_final: false };
        assert_eq!(asleep.put(&[board]).unwrap(), [refused]);
        assert_eq!(asleep.advance(&[(key("all_time:current"), "all".into())]).unwrap_err().exit.code(), 4);
        assert_eq!(asleep.keep(&key("status"), "asleep", Duration::from_secs(9)).unwrap_err().exit.code(), 4);
        assert_eq!(asleep.drop_outdated(&key("hour:"), age), Ok(0));
        let there = ["all_time:all", "all_time:current", "hour:2025-10-19T14:00"].map(key);
        let found = asleep.get(&there).unwrap();
        assert_eq!(found.iter().map(Option::is_some).collect::<Vec<_>>(), [false, false, true]);
        assert_ne!(asleep.get(&[key("status")]).unwrap()[0].as_deref(), Some(&b"asleep"[..]));
    }

    #[test]
    fn nobody_there_is_a_transient_fault_without_the_password() {
        use super::*;
        let mut store = RedisStore::new(&RedisAddress::new("redis://user:secret@127.0.0.1:1/0")).unwrap();
        let fault = store.get(&["x".into()]).unwrap_err();
        assert!(fault.is_transient() && !fault.to_string().contains("secret"), "{fault}");
    }

    #[test]
    fn a_server_that_never_answers_is_a_transient_fault() {
        use super::*;
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("redis://{}", listener.local_addr().unwrap());
        let fault = RedisStore::new(&RedisAddress::new(&url)).unwrap().get(&["x".into()]).unwrap_err();
        assert!(fault.is_transient(), "{fault}");
    }
}
