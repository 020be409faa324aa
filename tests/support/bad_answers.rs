//! A server in front of a bucket that answers badly, as buckets do: it refuses, does what it was asked and says that it
//! failed, or says nothing. Which request gets which answer is a plan's decision.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{Read, Result, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// What is asked of the bucket.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[allow(missing_docs, reason = "the requests of S3 by their names")]
pub enum Kind {
    Put,
    Get,
    Head,
    List,
    Delete,
}

/// What the client gets.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Answer {
    /// The bucket's own.
    True,
    /// 409: another request for the same name is under way. Nothing was done.
    Conflict,
    /// 412, though nothing was done and nothing is there.
    Precondition,
    /// 503: too many requests. Nothing was done.
    SlowDown,
    /// 500, but it was done.
    DoneThenError,
    /// None, for as long as the client waits. Nothing was done.
    Silence,
    /// None, but it was done.
    DoneThenSilence,
    /// The connection breaks before the request is read.
    Reset,
    /// The connection breaks after it was done.
    DoneThenReset,
    /// The first half of what is there.
    Half,
}

/// Decides the answer from the kind, how many of that kind came before it, and the request's target.
pub type Plan = dyn Fn(Kind, u64, &str) -> Answer + Send + Sync;

/// Stops listening when it is dropped.
pub struct BadAnswers {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    server: SocketAddr,
    plan: Mutex<Arc<Plan>>,
    seen: Mutex<BTreeMap<Kind, u64>>,
    given: Mutex<BTreeMap<(Kind, Answer), u64>>,
    /// The server behind looks whether a name is free and takes it in two steps. A bucket does it in one.
    one_put: Mutex<()>,
    is_over: AtomicBool,
}

impl fmt::Debug for BadAnswers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BadAnswers at {}: {:?}", self.address, self.given())
    }
}

impl BadAnswers {
    /// Before `server`; everything is true until a plan is given.
    ///
    /// # Panics
    /// No port is free.
    pub fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it listens");
        let shared = Arc::new(Shared {
            server,
            plan: Mutex::new(Arc::new(|_, _, _| Answer::True)),
            seen: Mutex::default(),
            given: Mutex::default(),
            one_put: Mutex::new(()),
            is_over: AtomicBool::new(false),
        });
        let accepting = shared.clone();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if accepting.is_over.load(Ordering::Relaxed) {
                    return;
                }
                let shared = accepting.clone();
                // A client that went away is its own business.
                thread::spawn(move || shared.serve(client));
            }
        });
        BadAnswers { address, shared }
    }

    /// `http://host:port`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on.
    pub fn plan(&self, plan: impl Fn(Kind, u64, &str) -> Answer + Send + Sync + 'static) {
        *lock(&self.shared.plan) = Arc::new(plan);
    }

    /// How many requests of a kind have come.
    pub fn seen(&self, kind: Kind) -> u64 {
        lock(&self.shared.seen).get(&kind).copied().unwrap_or(0)
    }

    /// How often each answer was given.
    pub fn given(&self) -> BTreeMap<(Kind, Answer), u64> {
        lock(&self.shared.given).clone()
    }
}

impl Drop for BadAnswers {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
    }
}

/// A plan by a seed: of each kind every tenth request or so gets one of the bad answers that fit it.
pub fn by_seed(seed: u64) -> impl Fn(Kind, u64, &str) -> Answer + Send + Sync + 'static {
    use Answer::{
        Conflict, DoneThenError, DoneThenReset, DoneThenSilence, Half, Precondition, Reset, Silence, SlowDown,
    };
    move |kind, number, _| {
        let bad: &[Answer] = match kind {
            // Silence takes the client's whole patience: less of it.
            Kind::Put => &[
                Conflict,
                Conflict,
                Conflict,
                Precondition,
                Precondition,
                SlowDown,
                SlowDown,
                SlowDown,
                DoneThenError,
                DoneThenError,
                DoneThenError,
                Silence,
                DoneThenSilence,
                Reset,
                Reset,
                DoneThenReset,
                DoneThenReset,
            ],
            Kind::Get | Kind::List => {
                &[SlowDown, SlowDown, SlowDown, SlowDown, Reset, Reset, Reset, Half, Half, Half, Half, Silence]
            }
            Kind::Head => &[SlowDown, Reset],
            Kind::Delete => &[SlowDown, DoneThenError, DoneThenReset],
        };
        // SplitMix64 of all three.
        let mut mixed = seed ^ ((kind as u64) << 56) ^ number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^= mixed >> 31;
        if mixed.is_multiple_of(10) { bad[(mixed / 10) as usize % bad.len()] } else { Answer::True }
    }
}

impl Shared {
    fn serve(&self, mut client: TcpStream) -> Result<()> {
        // Longer than any client here waits.
        client.set_read_timeout(Some(Duration::from_secs(60)))?;
        let (head, mut body) = read_head(&mut client)?;
        let mut words = head.split(' ');
        let (method, target) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
        let (kind, answer) = self.decide(method, target);
        if answer == Answer::Reset {
            return Ok(());
        }
        let missing = content_length(&head).saturating_sub(body.len());
        let already = body.len();
        body.resize(already + missing, 0);
        client.read_exact(&mut body[already..])?;
        match answer {
            Answer::Conflict => return refuse(&mut client, "409 Conflict", "ConditionalRequestConflict"),
            Answer::Precondition => return refuse(&mut client, "412 Precondition Failed", "PreconditionFailed"),
            Answer::SlowDown => return refuse(&mut client, "503 Slow Down", "SlowDown"),
            Answer::Silence => return wait_for_the_end(&mut client),
            _ => {}
        }
        let true_answer = {
            let _alone = (kind == Kind::Put).then(|| lock(&self.one_put));
            self.ask(&head, &body)?
        };
        match answer {
            Answer::DoneThenError => refuse(&mut client, "500 Internal Server Error", "InternalError"),
            Answer::DoneThenSilence => wait_for_the_end(&mut client),
            Answer::DoneThenReset => Ok(()),
            Answer::Half => {
                let head = true_answer.windows(4).position(|end| end == b"\r\n\r\n").map_or(0, |at| at + 4);
                client.write_all(&true_answer[..head + (true_answer.len() - head) / 2])
            }
            _ => client.write_all(&true_answer),
        }
    }

    fn decide(&self, method: &str, target: &str) -> (Kind, Answer) {
        let query = target.split_once('?').map_or("", |(_, query)| query);
        let kind = match method {
            "PUT" => Kind::Put,
            "HEAD" => Kind::Head,
            "POST" | "DELETE" => Kind::Delete,
            _ if query.contains("list-type") => Kind::List,
            _ => Kind::Get,
        };
        let number = {
            let mut seen = lock(&self.seen);
            let seen = seen.entry(kind).or_default();
            *seen += 1;
            *seen
        };
        let plan = lock(&self.plan).clone();
        let answer = plan(kind, number, target);
        *lock(&self.given).entry((kind, answer)).or_default() += 1;
        (kind, answer)
    }

    /// The bucket's own answer, whole.
    fn ask(&self, head: &str, body: &[u8]) -> Result<Vec<u8>> {
        let mut server = TcpStream::connect(self.server)?;
        server.set_read_timeout(Some(Duration::from_secs(60)))?;
        server.write_all(format!("{}\r\nConnection: close\r\n\r\n", head.trim_end()).as_bytes())?;
        server.write_all(body)?;
        let mut answer = Vec::new();
        server.read_to_end(&mut answer)?;
        Ok(answer)
    }
}

/// The request up to its empty line, and what of the body came with it.
fn read_head(client: &mut TcpStream) -> Result<(String, Vec<u8>)> {
    let mut read = Vec::new();
    let mut piece = [0; 8192];
    loop {
        if let Some(end) = read.windows(4).position(|end| end == b"\r\n\r\n") {
            let body = read.split_off(end + 4);
            return Ok((String::from_utf8_lossy(&read).into_owned(), body));
        }
        match client.read(&mut piece)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            length => read.extend_from_slice(&piece[..length]),
        }
    }
}

fn content_length(head: &str) -> usize {
    let lengths = head.lines().filter_map(|line| line.split_once(':'));
    let mut lengths = lengths.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    lengths.next().and_then(|(_, length)| length.trim().parse().ok()).unwrap_or(0)
}

fn refuse(client: &mut TcpStream, status: &str, code: &str) -> Result<()> {
    let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>as planned</Message></Error>");
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/xml\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    client.write_all((head + &body).as_bytes())
}

/// The client gives up, or the time is over.
fn wait_for_the_end(client: &mut TcpStream) -> Result<()> {
    let mut rest = [0; 64];
    while client.read(&mut rest)? > 0 {}
    Ok(())
}

fn lock<T: ?Sized>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
