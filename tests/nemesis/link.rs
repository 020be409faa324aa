//! A link between the job and a service, through which all of their bytes go, and which can be made bad: the service's own
//! connections of the nemesis do not pass here.

use crate::own::Service;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What a link does with what passes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mood {
    Clear,
    /// Holds bytes of these directions until it clears; connections stay open.
    Blackhole(Way),
    /// Lets 20 kB pass in a second.
    Slow,
    /// Lets a few bytes pass at a time.
    Sliced,
    /// Everything takes this many milliseconds more.
    Late(u64),
    /// What decides is passed on, its answer is not: the connection is reset. See [`decides`].
    Unanswered,
}

/// Directions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Way {
    /// To the service.
    Up,
    /// From the service.
    Down,
    Both,
}

impl Mood {
    fn holds(self, way: Way) -> bool {
        matches!(self, Mood::Blackhole(held) if held == Way::Both || held == way)
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Weather {
    mood: Mood,
    /// How often all connections were reset.
    resets: u64,
}

/// One link, with a port of its own.
#[derive(Debug)]
pub(crate) struct Link {
    address: SocketAddr,
    weather: watch::Sender<Weather>,
    unanswered: Arc<AtomicU64>,
}

impl Link {
    /// Between `address` and a service.
    ///
    /// # Errors
    /// The address is taken.
    pub(crate) async fn open(address: &str, of: Service, to: String) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let (weather, seen) = watch::channel(Weather { mood: Mood::Clear, resets: 0 });
        let unanswered = Arc::new(AtomicU64::new(0));
        let cut = unanswered.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, to.clone(), of, seen.clone(), cut.clone()));
            }
        });
        Ok(Link { address, weather, unanswered })
    }

    /// `host:port`.
    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }

    pub(crate) fn set(&self, mood: Mood) {
        self.weather.send_modify(|weather| weather.mood = mood);
    }

    /// End all connections with RST.
    pub(crate) fn reset(&self) {
        self.weather.send_modify(|weather| weather.resets += 1);
    }

    /// How many answers it has kept back.
    pub(crate) fn unanswered(&self) -> u64 {
        self.unanswered.load(Ordering::Relaxed)
    }
}

async fn carry(
    client: TcpStream,
    to: String,
    of: Service,
    mut weather: watch::Receiver<Weather>,
    unanswered: Arc<AtomicU64>,
) {
    let born = weather.borrow().resets;
    let Ok(server) = TcpStream::connect(to).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let deaf = AtomicBool::new(false);
    let (up, down) = (weather.clone(), weather.clone());
    let is_cut = tokio::select! {
        cut = pump(&mut from_client, &mut to_server, Way::Up, up, of, &deaf) => cut,
        cut = pump(&mut from_server, &mut to_client, Way::Down, down, of, &deaf) => cut,
        _ = weather.wait_for(|weather| weather.resets != born) => true,
    };
    if is_cut {
        if deaf.load(Ordering::Relaxed) {
            unanswered.fetch_add(1, Ordering::Relaxed);
        }
        // Closing says RST then.
        let _ = (from_client.as_ref().set_zero_linger(), from_server.as_ref().set_zero_linger());
    }
}

/// Passes on until one side ends (`false`) or the link cuts (`true`).
async fn pump(
    from: &mut OwnedReadHalf,
    to: &mut OwnedWriteHalf,
    way: Way,
    mut weather: watch::Receiver<Weather>,
    of: Service,
    deaf: &AtomicBool,
) -> bool {
    let mut bytes = vec![0; 16 << 10];
    loop {
        let Ok(length @ 1..) = from.read(&mut bytes).await else { return false };
        let Ok(now) = weather.wait_for(|weather| !weather.mood.holds(way)).await.map(|weather| weather.mood) else {
            return true;
        };
        let bytes = &bytes[..length];
        if way == Way::Down && deaf.load(Ordering::Relaxed) {
            continue;
        }
        let cuts = now == Mood::Unanswered && way == Way::Up && decides(of, bytes);
        if cuts {
            deaf.store(true, Ordering::Relaxed);
        }
        if pass(to, bytes, now).await.is_err() {
            return false;
        }
        if cuts {
            // Long enough for the service to do what it was told.
            tokio::time::sleep(Duration::from_millis(100)).await;
            return true;
        }
    }
}

async fn pass(to: &mut OwnedWriteHalf, bytes: &[u8], mood: Mood) -> io::Result<()> {
    match mood {
        Mood::Slow => {
            for piece in bytes.chunks(1000) {
                tokio::time::sleep(Duration::from_millis(50)).await;
                to.write_all(piece).await?;
            }
            Ok(())
        }
        Mood::Sliced => {
            for piece in bytes.chunks((bytes.len() / 64).max(1)) {
                to.write_all(piece).await?;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            Ok(())
        }
        Mood::Late(millis) => {
            tokio::time::sleep(Duration::from_millis(millis)).await;
            to.write_all(bytes).await
        }
        Mood::Clear | Mood::Blackhole(_) | Mood::Unanswered => to.write_all(bytes).await,
    }
}

/// Whether what a client says is what takes effect: Postgres' COMMIT, the end of a transaction of Kafka (request 26, in the
/// first frame), any command to Redis.
fn decides(of: Service, bytes: &[u8]) -> bool {
    match of {
        Service::Kafka => bytes.get(4..6) == Some(&[0, 26]),
        Service::Postgres => bytes.windows(6).any(|word| word == b"COMMIT"),
        Service::Redis => bytes.starts_with(b"*"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_effect_is_known_by_its_bytes() {
        assert!(
            decides(Service::Postgres, b"Q\0\0\0\x0bCOMMIT\0") && !decides(Service::Postgres, b"Q\0\0\0\x0aBEGIN\0")
        );
        assert!(
            decides(Service::Kafka, &[0, 0, 0, 9, 0, 26, 0, 1]) && !decides(Service::Kafka, &[0, 0, 0, 9, 0, 1, 0, 1])
        );
        assert!(decides(Service::Redis, b"*1\r\n$4\r\nPING\r\n"));
    }

    #[test]
    fn a_blackhole_holds_its_directions_alone() {
        let held = |way| [Way::Up, Way::Down].map(|passes| Mood::Blackhole(way).holds(passes));
        assert_eq!([Way::Up, Way::Down, Way::Both].map(held), [[true, false], [false, true], [true, true]]);
        assert!(!Mood::Slow.holds(Way::Up));
    }
}
