//! A Redis server of a test's own, to be emptied, frozen, killed, and started again with what it once saved.

use crate::until;
use crate::wait::LONG;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A server on a port of its own, with its files in a folder of its own. Dropping ends it.
#[derive(Debug)]
pub struct RedisServer {
    folder: tempfile::TempDir,
    port: u16,
    options: Vec<String>,
    process: Option<Child>,
}

impl RedisServer {
    /// Start one that saves nothing by itself.
    ///
    /// # Panics
    /// There is no redis-server, or it does not answer.
    pub fn start() -> Self {
        Self::with(|_, _| Vec::new())
    }

    /// The same, which speaks TLS on a second port; returned are its URL there and the file of its authority.
    ///
    /// # Panics
    /// As [`RedisServer::start`]; also without openssl.
    pub fn with_tls() -> (Self, String, PathBuf) {
        let tls_port = free_port();
        let server = Self::with(|folder, _| {
            certify(folder);
            let file = |name: &str| folder.join(name).display().to_string();
            let files = [("cert", "server.crt"), ("key", "server.key"), ("ca-cert", "ca.crt")];
            let files = files.map(|(option, name)| [format!("--tls-{option}-file"), file(name)]);
            let port = ["--tls-port".to_owned(), tls_port.to_string()];
            let no_clients = ["--tls-auth-clients".to_owned(), "no".to_owned()];
            [port, no_clients].into_iter().chain(files).flatten().collect()
        });
        let authority = server.folder.path().join("ca.crt");
        (server, format!("rediss://127.0.0.1:{tls_port}"), authority)
    }

    fn with(options: impl FnOnce(&Path, u16) -> Vec<String>) -> Self {
        let folder = tempfile::Builder::new().prefix("topk-redis-").tempdir().expect("a temporary folder");
        let port = free_port();
        let options = options(folder.path(), port);
        let mut server = RedisServer { folder, port, options, process: None };
        server.start_again();
        server
    }

    /// Start it again, with what was in its file.
    ///
    /// # Panics
    /// It runs, or does not answer.
    pub fn start_again(&mut self) {
        assert!(self.process.is_none(), "it runs");
        let mut command = Command::new("redis-server");
        command.args(["--bind", "127.0.0.1", "--port", &self.port.to_string(), "--save", "", "--appendonly", "no"]);
        command.arg("--dir").arg(self.folder.path()).args(&self.options);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.process = Some(command.spawn().expect("redis-server is installed"));
        until("a Redis of the test's own answers", LONG, || self.connection()?.ping::<String>().ok());
    }

    /// `redis://…`
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// A file in the server's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn connection(&self) -> Option<Connection> {
        redis::Client::open(self.url()).ok()?.get_connection().ok().map(Connection)
    }

    /// What it answers to a command.
    ///
    /// # Panics
    /// It refuses, or is not there.
    pub fn ask<T: redis::FromRedisValue>(&self, words: &[&str]) -> T {
        let mut connection = self.connection().expect("it answers");
        let mut command = redis::cmd(words[0]);
        words[1..].iter().for_each(|word| {
            command.arg(*word);
        });
        command.query(&mut connection.0).unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    /// Write what it holds to its file, as a start finds it.
    pub fn save(&self) {
        self.ask::<()>(&["SAVE"]);
    }

    /// Stop it in its tracks: connections stay, nothing answers.
    pub fn freeze(&self) {
        self.signal("STOP");
    }

    /// Let it go on.
    pub fn thaw(&self) {
        self.signal("CONT");
    }

    fn signal(&self, name: &str) {
        let process = self.process.as_ref().expect("it runs").id().to_string();
        let sent = Command::new("kill").args([&format!("-{name}"), &process]).status();
        assert!(sent.is_ok_and(|status| status.success()), "a process of ours takes a signal");
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            // It may have ended by itself.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}

struct Connection(redis::Connection);

impl Connection {
    fn ping<T: redis::FromRedisValue>(mut self) -> redis::RedisResult<T> {
        redis::cmd("PING").query(&mut self.0)
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port").port()
}

/// An authority (ca.crt), a server's certificate for 127.0.0.1 that it signed, and another authority (other.crt).
fn certify(folder: &Path) {
    let openssl = |words: &[&str]| {
        let output = Command::new("openssl").args(words).current_dir(folder).output().expect("openssl is installed");
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    let new_key = ["req", "-newkey", "rsa:2048", "-nodes", "-days", "2"];
    for name in ["ca", "other"] {
        let (key, crt, subject) = (format!("{name}.key"), format!("{name}.crt"), format!("/CN={name} of a test"));
        openssl(&[&new_key[..], &["-x509", "-keyout", &key, "-out", &crt, "-subj", &subject]].concat());
    }
    openssl(&[&new_key[..4], &["-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=127.0.0.1"]].concat());
    std::fs::write(folder.join("names"), "subjectAltName=IP:127.0.0.1,DNS:localhost\n").expect("a file");
    let sign = ["x509", "-req", "-in", "server.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial"];
    openssl(&[&sign[..], &["-out", "server.crt", "-days", "2", "-extfile", "names"]].concat());
}
