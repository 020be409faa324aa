//! A door in front of a service: shut, nobody gets in and whoever was in is thrown out.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// A port of its own that passes everything on while it is open.
#[derive(Debug)]
pub struct Door {
    address: SocketAddr,
    to: String,
    inside: Arc<Mutex<Vec<TcpStream>>>,
    open: Option<(Arc<AtomicBool>, thread::JoinHandle<()>)>,
}

impl Door {
    /// A door to `host:port`, shut.
    ///
    /// # Panics
    /// There is no free port.
    pub fn to(to: &str) -> Self {
        let address = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
        Door { address, to: to.to_owned(), inside: Arc::default(), open: None }
    }

    /// `url` with this door in place of its `host:port`; see [`host_of`].
    pub fn in_front_of(&self, url: &str) -> String {
        url.replace(host_of(url), &self.address.to_string())
    }

    /// Let everybody through from now on.
    ///
    /// # Panics
    /// Somebody else took the port meanwhile.
    pub fn open(&mut self) {
        let listener = TcpListener::bind(self.address).expect("the port is still free");
        listener.set_nonblocking(true).expect("a socket");
        let open = Arc::new(AtomicBool::new(true));
        let (is_open, inside, to) = (open.clone(), self.inside.clone(), self.to.clone());
        let porter = thread::spawn(move || {
            while is_open.load(Ordering::Acquire) {
                match listener.accept() {
                    Ok((from, _)) => let_in(from, &to, &inside),
                    Err(_) => thread::sleep(Duration::from_millis(5)),
                }
            }
        });
        self.open = Some((open, porter));
    }

    /// Nobody gets in any more, and connections end.
    pub fn shut(&mut self) {
        let Some((open, porter)) = self.open.take() else { return };
        open.store(false, Ordering::Release);
        porter.join().expect("the porter does not panic");
        for stream in self.inside.lock().expect("nobody panics inside").drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.shut();
    }
}

/// The `host:port` of a URL.
///
/// # Panics
/// It has none.
pub fn host_of(url: &str) -> &str {
    let after_scheme = url.split_once("://").expect("a URL").1;
    after_scheme.rsplit('@').next().and_then(|rest| rest.split('/').next()).expect("a host")
}

fn let_in(from: TcpStream, to: &str, inside: &Mutex<Vec<TcpStream>>) {
    let Ok(to) = TcpStream::connect(to) else { return };
    from.set_nonblocking(false).expect("a socket");
    let same = |stream: &TcpStream| stream.try_clone().expect("a socket");
    for (mut from, mut to) in [(same(&from), same(&to)), (same(&to), same(&from))] {
        thread::spawn(move || {
            // An end on either side ends both.
            let _ = io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Both);
            let _ = from.shutdown(Shutdown::Both);
        });
    }
    inside.lock().expect("nobody panics inside").extend([from, to]);
}
