//! The accept loop, with a bound on everything a client may take. axum's own server sets none: no time for headers,
//! no number of connections, no age.

use crate::service::router;
use crate::settings::{Limits, ReaderSettings};
use crate::stores::Stores;
use axum::Router;
use futures_util::future::{Either, select};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::future::Future;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use stream::Fault;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

/// How many ports after a busy one are tried.
const PORTS_TRIED: u16 = 100;

/// Listen on `address` (`127.0.0.1:8080`), or if its port is busy on the next free one. The second value says whether
/// it moved, for the caller to say aloud.
///
/// # Errors
/// The address means nothing here, may not be used, or a hundred ports from it on are busy.
pub async fn bind_or_next(address: &str) -> Result<(TcpListener, bool), Fault> {
    let what = || format!("cannot listen on {address}");
    let hint = "give reader.listen as address:port of this machine, such as 127.0.0.1:8080";
    let mut found = tokio::net::lookup_host(address).await.map_err(|error| Fault::usage(what(), error, hint))?;
    let first = found.next().ok_or_else(|| Fault::usage(what(), "the name has no address", hint))?;
    let last = first.port().saturating_add(PORTS_TRIED);
    for port in first.port()..=last {
        match TcpListener::bind(SocketAddr::new(first.ip(), port)).await {
            Ok(listener) => return Ok((listener, port != first.port())),
            Err(error) if error.kind() == ErrorKind::AddrInUse => {}
            Err(error) => return Err(Fault::usage(what(), error, hint)),
        }
    }
    Err(Fault::usage(what(), format!("every port up to {last} is busy"), hint))
}

/// Answer requests until `shutdown` is ready; then finish the open ones and return.
///
/// # Errors
/// Neither boards nor tables are given.
pub async fn serve(
    listener: TcpListener,
    settings: ReaderSettings,
    stores: Stores,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), Fault> {
    if stores.boards.is_none() && stores.tables.is_none() {
        return Err(Fault::usage(
            "the reader has nothing to read",
            "sink.board and sink.tables are both \"none\", or live in another process",
            "configure a board or tables that this process can reach",
        ));
    }
    let limits = settings.limits;
    let app = router(settings, stores);
    let slots = Arc::new(Semaphore::new(limits.connections));
    let (closing, closed) = watch::channel(());
    let mut shutdown = pin!(shutdown);
    while let Either::Left((accepted, _)) = select(pin!(accept(&listener, &slots)), shutdown.as_mut()).await {
        let (connection, slot) = accepted;
        let (app, closed) = (app.clone(), closed.clone());
        tokio::spawn(async move {
            converse(connection, app, limits, closed).await;
            drop(slot);
        });
    }
    drop(listener);
    drop(closing);
    // Every slot back means that every connection is over.
    let all = u32::try_from(limits.connections).unwrap_or(u32::MAX);
    if tokio::time::timeout(limits.drain, slots.acquire_many(all)).await.is_err() {
        tracing::warn!("some requests were still open {:?} after the shutdown began and are cut", limits.drain);
    }
    Ok(())
}

/// The next connection, once there is a slot for it.
async fn accept(listener: &TcpListener, slots: &Arc<Semaphore>) -> (TcpStream, tokio::sync::OwnedSemaphorePermit) {
    let slot = Arc::clone(slots).acquire_owned().await.expect("the semaphore is never closed");
    loop {
        match listener.accept().await {
            Ok((connection, _)) => return (connection, slot),
            Err(error) => {
                // A client that left while waiting, or no descriptor left: neither is a reason to stop serving.
                tracing::debug!("a connection could not be accepted: {error}");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
}

/// One connection from its first request to its last.
async fn converse(connection: TcpStream, app: Router, limits: Limits, mut closed: watch::Receiver<()>) {
    // Answers are written whole, so waiting to fill a packet only delays them.
    let _ = connection.set_nodelay(true);
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(limits.headers).max_buf_size(limits.header_bytes).max_headers(64);
    let mut conversation = pin!(http.serve_connection(TokioIo::new(connection), TowerToHyperService::new(app)));
    let enough = async {
        // The sender never sends: its end is the word to close.
        let _ = tokio::time::timeout(limits.connection_age, closed.changed()).await;
    };
    if let Either::Right((_, unfinished)) = select(conversation.as_mut(), pin!(enough)).await {
        unfinished.graceful_shutdown();
        let _ = tokio::time::timeout(limits.drain, conversation).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fakes::{FakeBoards, settings};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::oneshot;
    use tokio::task::JoinHandle;

    struct Running {
        address: SocketAddr,
        stop: oneshot::Sender<()>,
        server: JoinHandle<Result<(), Fault>>,
    }

    async fn start(limits: Limits) -> Running {
        let (listener, _) = bind_or_next("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let stores = Stores { boards: Some(Arc::new(FakeBoards::default())), tables: None };
        let settings = ReaderSettings { limits, ..settings() };
        let server = tokio::spawn(serve(listener, settings, stores, async move {
            let _ = stopped.await;
        }));
        Running { address, stop, server }
    }

    async fn say(address: SocketAddr, request: &str) -> String {
        let mut connection = TcpStream::connect(address).await.unwrap();
        connection.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        // A connection that is cut with bytes unread ends in a reset; what came before it counts.
        let _ = connection.read_to_end(&mut answer).await;
        String::from_utf8(answer).unwrap()
    }

    #[tokio::test]
    async fn it_answers_over_a_socket_and_stops_when_told() {
        let Running { address, stop, server } = start(Limits::default()).await;
        let answer = say(address, "GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nok\n"), "{answer}");
        let head = say(address, "HEAD /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
        assert!(head.contains("content-length: 3\r\n") && head.ends_with("\r\n\r\n"), "{head}");
        // An idle connection does not hold the shutdown up: it is closed.
        let mut idle = TcpStream::connect(address).await.unwrap();
        idle.write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let mut first = [0; 12];
        idle.read_exact(&mut first).await.unwrap();
        stop.send(()).unwrap();
        server.await.unwrap().unwrap();
        let mut rest = Vec::new();
        idle.read_to_end(&mut rest).await.unwrap();
        assert!(TcpStream::connect(address).await.is_err());
    }

    #[tokio::test]
    async fn headers_that_never_end_or_are_too_long_are_cut() {
        let limits = Limits { headers: Duration::from_millis(50), ..Limits::default() };
        let running = start(limits).await;
        let address = running.address;
        let slow = say(address, "GET /livez HTTP/1.1\r\nhost: x\r\n").await;
        assert!(!slow.contains("200"), "{slow}");
        let long = say(address, &format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "x".repeat(20_000))).await;
        assert!(!long.contains("200") && !long.contains("404"), "{long}");
        assert!(say(address, "GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.contains("200"));
    }

    #[tokio::test]
    async fn one_slot_is_given_from_hand_to_hand() {
        let limits = Limits { connections: 1, headers: Duration::from_millis(50), ..Limits::default() };
        let running = start(limits).await;
        let address = running.address;
        let silent = TcpStream::connect(address).await.unwrap();
        let answer = say(address, "GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
        assert!(answer.contains("200 OK"), "{answer}");
        drop(silent);
    }

    #[tokio::test]
    async fn a_connection_ends_with_its_age() {
        let limits = Limits { connection_age: Duration::from_millis(50), ..Limits::default() };
        let running = start(limits).await;
        let address = running.address;
        let answer = say(address, "GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").await;
        assert!(answer.contains("200 OK"), "{answer}");
    }

    #[tokio::test]
    async fn a_busy_port_gives_way_to_the_next_and_nonsense_to_an_error() {
        let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = taken.local_addr().unwrap();
        let (next, moved) = bind_or_next(&address.to_string()).await.unwrap();
        assert!(moved && next.local_addr().unwrap().port() > address.port());
        let (_, moved) = bind_or_next("localhost:0").await.unwrap();
        assert!(!moved);
        for wrong in ["", "8080", "127.0.0.1:99999", "192.0.2.1:8080"] {
            assert_eq!(bind_or_next(wrong).await.unwrap_err().exit, stream::Exit::Usage, "{wrong}");
        }
    }

    #[tokio::test]
    async fn a_reader_without_stores_does_not_start() {
        let (listener, _) = bind_or_next("127.0.0.1:0").await.unwrap();
        let fault = serve(listener, settings(), Stores::default(), async {}).await.unwrap_err();
        assert_eq!(fault.exit, stream::Exit::Usage);
    }
}
