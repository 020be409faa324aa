//! What goes wrong on the way to Postgres: silence at any moment, and a COMMIT whose answer is lost.

use super::*;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Mutex;
use std::time::Duration;

/// How what passes through a [`Proxy`] is treated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mode {
    Pass,
    /// Connections stand, and nothing goes through them any more.
    Silent,
    /// Silent once so many bytes have gone to the server.
    SilentAfter(usize),
    /// The next COMMIT reaches the server, and its answer ends the connection instead of coming back.
    LoseAnswerToCommit,
    /// That answer is due.
    AnswerIsLost,
}

/// Between a follower and the real Postgres.
struct Proxy {
    address: SocketAddr,
    mode: Arc<Mutex<Mode>>,
}

impl Proxy {
    fn to(url: &str) -> Self {
        let server = url.rsplit('@').next().and_then(|rest| rest.split('/').next()).unwrap().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = Proxy { address: listener.local_addr().unwrap(), mode: Arc::new(Mutex::new(Mode::Pass)) };
        let mode = proxy.mode.clone();
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (client, server) = (client.unwrap(), TcpStream::connect(&server).unwrap());
                let [there, back] = [(&client, &server), (&server, &client)]
                    .map(|(from, to)| (from.try_clone().unwrap(), to.try_clone().unwrap()));
                let (asked, answered) = (mode.clone(), mode.clone());
                std::thread::spawn(move || pump(there, |bytes| to_server(&asked, bytes)));
                std::thread::spawn(move || pump(back, |_| from_server(&answered)));
            }
        });
        proxy
    }

    fn set(&self, mode: Mode) {
        *self.mode.lock().unwrap() = mode;
    }

    fn settings(&self, schema: &Schema) -> TablesSettings {
        let settings = schema.settings();
        let server = settings.url.rsplit('@').next().and_then(|rest| rest.split('/').next()).unwrap().to_owned();
        // The proxy looks for words in what passes, which TLS would hide.
        let url = format!("{}?sslmode=disable", settings.url.replace(&server, &self.address.to_string()));
        TablesSettings { url, ..settings }
    }
}

/// Whether these bytes may go on now; none: the connection ends.
type Verdict = Option<bool>;

fn to_server(mode: &Mutex<Mode>, bytes: &[u8]) -> Verdict {
    let mut mode = mode.lock().unwrap();
    *mode = match *mode {
        Mode::LoseAnswerToCommit if bytes.windows(7).any(|word| word == b"COMMIT\0") => Mode::AnswerIsLost,
        Mode::SilentAfter(left) if bytes.len() > left => Mode::Silent,
        Mode::SilentAfter(left) => Mode::SilentAfter(left - bytes.len()),
        as_it_is => as_it_is,
    };
    Some(*mode != Mode::Silent)
}

fn from_server(mode: &Mutex<Mode>) -> Verdict {
    let mut mode = mode.lock().unwrap();
    match *mode {
        Mode::AnswerIsLost => {
            *mode = Mode::Pass;
            None
        }
        mode => Some(mode != Mode::Silent),
    }
}

fn pump((mut from, mut to): (TcpStream, TcpStream), verdict: impl Fn(&[u8]) -> Verdict) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        let passes = loop {
            match verdict(&buffer[..length]) {
                Some(true) => break true,
                Some(false) => std::thread::sleep(Duration::from_millis(5)),
                None => break false,
            }
        };
        if !passes || to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    // An end on either side ends both.
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}

fn impatient(settings: TablesSettings) -> PostgresTables {
    let clock = Arc::new(SystemClock::default());
    let mut tables = PostgresTables::with_deadline(settings, clock, Duration::from_millis(500)).unwrap();
    tables.copy_from = 1000;
    tables
}

/// Write until it works, which must not take for ever: a transaction that a silence left behind holds its locks for ten
/// seconds.
fn eventually(follower: &mut PostgresTables, step: &stream::Step) {
    for _ in 0..100 {
        match follower.write(step) {
            Ok(()) => return,
            Err(fault) => assert!(fault.is_transient(), "{fault}"),
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    panic!("it never works again");
}

#[test]
fn a_commit_whose_answer_was_lost_is_settled_by_the_progress_row() {
    let schema = Schema::new();
    let proxy = Proxy::to(&schema.url);
    let mut follower = schema.open(proxy.settings(&schema));
    claim(&mut *follower, 1).unwrap();
    follower.write(&step(commit(1, 1, None)).rows(HOUR, TWO, &[("a", 1)])).unwrap();
    proxy.set(Mode::LoseAnswerToCommit);
    let second = step(commit(1, 2, None)).rows(HOUR, TWO, &[("a", 2)]);
    let fault = follower.write(&second).unwrap_err();
    assert!(fault.is_transient(), "{fault}");
    assert_eq!(schema.query("SELECT epoch FROM {table:topk_progress}"), [["2"]], "it was committed all the same");
    let version = || schema.query("SELECT xmin, ctid FROM {table:topk_progress}");
    let before = version();
    follower.write(&second).unwrap();
    assert_eq!(version(), before, "and is not written twice");
    // One that did not get through is.
    proxy.set(Mode::Silent);
    let third = step(commit(1, 3, None)).rows(HOUR, TWO, &[("a", 3)]);
    let mut follower = impatient(proxy.settings(&schema));
    follower.claim(&Claim { job: "songs".into(), generation: Generation(1) }).unwrap_err();
    proxy.set(Mode::Pass);
    follower.claim(&Claim { job: "songs".into(), generation: Generation(1) }).unwrap();
    proxy.set(Mode::Silent);
    assert!(follower.write(&third).unwrap_err().is_transient());
    proxy.set(Mode::Pass);
    eventually(&mut follower, &third);
    assert_eq!(schema.query("SELECT plays FROM {table:song_plays_hour}"), [["3"]]);
}

#[test]
fn a_server_that_falls_silent_at_any_moment_is_survived() {
    let schema = Schema::new();
    let proxy = Proxy::to(&schema.url);
    let mut follower = impatient(proxy.settings(&schema));
    follower.claim(&Claim { job: "songs".into(), generation: Generation(1) }).unwrap();
    let names: Vec<String> = (0..30_000).map(|number| format!("a song with a long name {number}")).collect();
    // In the first question, in the middle of a COPY, with full buffers, and near the end of the flush.
    for (sequence, silent_after) in (1..).zip([0, 300, 3_000, 100_000, 1_500_000]) {
        let rows: Vec<(&str, u64)> = names.iter().map(|name| (name.as_str(), sequence)).collect();
        let flush = step(commit(1, sequence, None)).rows(HOUR, TWO, &rows);
        proxy.set(Mode::SilentAfter(silent_after));
        let fault = follower.write(&flush).unwrap_err();
        assert!(fault.is_transient(), "{fault}");
        proxy.set(Mode::Pass);
        let mut patient = PostgresTables::new(proxy.settings(&schema), Arc::new(SystemClock::default())).unwrap();
        patient.claim(&Claim { job: "songs".into(), generation: Generation(1) }).unwrap();
        eventually(&mut patient, &flush);
        let sums = schema.query("SELECT count(*), sum(plays) FROM {table:song_plays_hour}");
        assert_eq!(sums, [["30000".to_owned(), (30_000 * sequence).to_string()]]);
    }
}
