//! Where a Redis server is, and whom to trust there: the words of redis-cli, and what can be wrong with them.

use redis::{Client, ClientTlsConfig, ConnectionAddr, TlsCertificates};
use std::path::{Path, PathBuf};
use stream::Fault;

/// A server and, for `rediss://`, the files of redis-cli's `--cacert`, `--cert` and `--key`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RedisAddress {
    /// `redis://` or `rediss://[user:password@]host:port[/database]`.
    pub url: String,
    /// PEM of whoever signs the server's certificate; none trusts what the system trusts.
    pub cacert: Option<PathBuf>,
    /// PEM of our own certificate, where the server asks for one …
    pub cert: Option<PathBuf>,
    /// … and of its key.
    pub key: Option<PathBuf>,
}

impl RedisAddress {
    /// A server without files of its own.
    pub fn new(url: &str) -> Self {
        RedisAddress { url: url.to_owned(), ..RedisAddress::default() }
    }

    fn is_tls(&self) -> bool {
        self.url.starts_with("rediss:") || self.url.starts_with("valkeys:")
    }

    /// # Errors
    /// A URL that cannot be used, or files that cannot be read or do not fit.
    pub(super) fn client(&self) -> Result<Client, Fault> {
        let open = if self.is_tls() {
            // redis leaves the choice open, and two providers could be compiled in. One that is installed is as good.
            let _ = tokio_rustls::rustls::crypto::ring::default_provider().install_default();
            Client::build_with_tls(self.url.as_str(), self.certificates()?)
        } else {
            self.refuse_files()?;
            Client::open(self.url.as_str())
        };
        let client = open.map_err(|error| {
            Fault::usage(
                "sink.redis.url cannot be used",
                error,
                "write it as redis:// or, for TLS, rediss://[user:password@]host:port[/database]",
            )
        })?;
        if let ConnectionAddr::TcpTls { insecure: true, .. } = client.get_connection_info().addr() {
            return Err(Fault::usage(
                "sink.redis.url cannot be used",
                "\"#insecure\" asks for TLS that does not know whom it speaks to",
                "leave it out, and name the certificate authority's file in sink.redis.cacert",
            ));
        }
        Ok(client)
    }

    fn refuse_files(&self) -> Result<(), Fault> {
        let files = [("cacert", &self.cacert), ("cert", &self.cert), ("key", &self.key)];
        let given = files.iter().find(|(_, file)| file.is_some());
        given.map_or(Ok(()), |(name, _)| {
            Err(Fault::usage(
                format!("sink.redis.{name} has no effect"),
                "sink.redis.url does not ask for TLS",
                "write the URL as rediss://, or leave the file out",
            ))
        })
    }

    fn certificates(&self) -> Result<TlsCertificates, Fault> {
        let root_cert = self.cacert.as_deref().map(|path| pem("cacert", path, "CERTIFICATE")).transpose()?;
        let client_tls = match (&self.cert, &self.key) {
            (None, None) => None,
            (Some(cert), Some(key)) => Some(ClientTlsConfig {
                client_cert: pem("cert", cert, "CERTIFICATE")?,
                client_key: pem("key", key, "PRIVATE KEY")?,
            }),
            _ => {
                return Err(Fault::usage(
                    "sink.redis.cert and sink.redis.key cannot be used",
                    "a certificate needs its key, and a key its certificate",
                    "give both or neither",
                ));
            }
        };
        Ok(TlsCertificates { client_tls, root_cert })
    }
}

/// The client takes a file without any certificate for one that trusts nobody, so it is looked into here.
fn pem(name: &str, path: &Path, wanted: &str) -> Result<Vec<u8>, Fault> {
    let what = || format!("cannot use {} as sink.redis.{name}", path.display());
    let hint = "name a readable PEM file, as for redis-cli";
    let bytes = std::fs::read(path).map_err(|error| Fault::usage(what(), error, hint))?;
    let begins = |line: &str| line.starts_with("-----BEGIN ") && line.trim_end().ends_with(&format!("{wanted}-----"));
    if !String::from_utf8_lossy(&bytes).lines().any(begins) {
        return Err(Fault::usage(what(), format!("it holds no PEM {}", wanted.to_lowercase()), hint));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(address: &RedisAddress) -> Fault {
        let fault = address.client().err().unwrap_or_else(|| panic!("{address:?} was taken"));
        assert_eq!(fault.exit.code(), 2, "{fault}");
        fault
    }

    #[test]
    fn tls_is_asked_for_by_the_url() {
        for url in ["rediss://localhost", "rediss://user:secret@redis.example:6380/3", "redis://localhost"] {
            assert!(RedisAddress::new(url).client().is_ok(), "{url}");
        }
        assert!(refused(&RedisAddress::new("rediss://localhost/#insecure")).why.contains("#insecure"));
        for url in ["", "localhost:6379", "http://localhost", "redis://", "rediss://localhost/x"] {
            assert!(!refused(&RedisAddress::new(url)).hint.is_empty());
        }
    }

    #[test]
    fn files_that_cannot_be_used_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let empty = folder.path().join("empty.pem");
        std::fs::write(&empty, "not a certificate").unwrap();
        let tls = RedisAddress::new("rediss://localhost");
        let absent = RedisAddress { cacert: Some(folder.path().join("absent.pem")), ..tls.clone() };
        assert!(refused(&absent).what.contains("absent.pem"));
        assert!(refused(&RedisAddress { cacert: Some(empty.clone()), ..tls.clone() }).why.contains("no PEM"));
        assert!(refused(&RedisAddress { cert: Some(empty.clone()), ..tls.clone() }).why.contains("needs its key"));
        let plain = RedisAddress { cacert: Some(empty), ..RedisAddress::new("redis://localhost") };
        assert!(refused(&plain).why.contains("does not ask for TLS"));
    }
}
