//! TLS to Postgres as users of libpq know it: `sslmode` and `sslrootcert` in the URL. rustls speaks it; what the modes
//! ask of a certificate is decided here.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use stream::Fault;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::Socket;
use tokio_postgres::config::SslMode;
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::server::ParsedCertificate;
use tokio_rustls::rustls::{
    ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme, version::TLS12, version::TLS13,
};

/// Where systems keep the authorities they trust, for `sslrootcert=system`.
const SYSTEM_ROOTS: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// What a server's certificate must prove.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Proof {
    /// Nothing: the line is encrypted, whoever is at its end.
    None,
    /// One of our authorities has signed it.
    Authority,
    /// And it is of the host we asked for.
    Host,
}

/// Makes connections encrypted, as far as the mode asks for it.
#[derive(Clone)]
pub(super) struct Tls {
    pub(super) mode: SslMode,
    config: Arc<ClientConfig>,
}

impl Tls {
    /// Take what is about TLS out of a URL (or a list of `key=value`); the rest of it is for tokio-postgres.
    ///
    /// # Errors
    /// An unknown mode, or certificates that cannot be read.
    pub(super) fn of(url: &str) -> Result<(String, Self), Fault> {
        let (rest, mode, roots) = split(url);
        let (ssl_mode, proof) = match (mode.as_deref().unwrap_or("prefer"), &roots) {
            ("disable", _) => (SslMode::Disable, Proof::None),
            ("prefer", _) => (SslMode::Prefer, Proof::None),
            // As libpq has it: whoever names authorities wants them asked.
            ("require", None) => (SslMode::Require, Proof::None),
            ("require", Some(_)) | ("verify-ca", _) => (SslMode::Require, Proof::Authority),
            ("verify-full", _) => (SslMode::Require, Proof::Host),
            (other, _) => {
                return Err(Fault::usage(
                    "sink.postgres.url cannot be used",
                    format!("it has sslmode={other}"),
                    "use one of disable, prefer, require, verify-ca and verify-full",
                ));
            }
        };
        let roots = if proof == Proof::None { Vec::new() } else { read_roots(roots)? };
        Ok((rest, Tls { mode: ssl_mode, config: Arc::new(client(proof, roots)?) }))
    }
}

/// URL without TLS, `sslmode`, `sslrootcert`.
fn split(url: &str) -> (String, Option<String>, Option<String>) {
    let (mut mode, mut roots) = (None, None);
    let mut is_other = |parameter: &str, decode: &dyn Fn(&str) -> String| {
        match parameter.split_once('=') {
            Some(("sslmode", value)) => mode = Some(decode(value)),
            Some(("sslrootcert", value)) => roots = Some(decode(value)),
            _ => return true,
        }
        false
    };
    let rest = match url.split_once("://") {
        Some(_) => match url.split_once('?') {
            Some((before, parameters)) => {
                let decode = |value: &str| percent_encoding::percent_decode_str(value).decode_utf8_lossy().into_owned();
                let others: Vec<&str> =
                    parameters.split('&').filter(|parameter| is_other(parameter, &decode)).collect();
                if others.is_empty() { before.to_owned() } else { format!("{before}?{}", others.join("&")) }
            }
            None => url.to_owned(),
        },
        None => {
            let decode = |value: &str| value.trim_matches('\'').to_owned();
            url.split_whitespace().filter(|parameter| is_other(parameter, &decode)).collect::<Vec<_>>().join(" ")
        }
    };
    (rest, mode, roots)
}

fn read_roots(named: Option<String>) -> Result<Vec<CertificateDer<'static>>, Fault> {
    let path = match named.as_deref() {
        Some("system") => {
            let own = std::env::var_os("SSL_CERT_FILE").map(PathBuf::from);
            own.into_iter().chain(SYSTEM_ROOTS.map(PathBuf::from)).find(|path| path.exists()).unwrap_or_default()
        }
        Some(path) => PathBuf::from(path),
        None => Path::new(&std::env::var_os("HOME").unwrap_or_default()).join(".postgresql").join("root.crt"),
    };
    let unreadable = |why: &dyn fmt::Display| {
        Fault::usage(
            format!("cannot check the certificate of Postgres with {}", path.display()),
            why,
            "name the authority's certificate (PEM) in sink.postgres.url: sslrootcert=PATH, or sslrootcert=system",
        )
    };
    let certificates = CertificateDer::pem_file_iter(&path).map_err(|error| unreadable(&error))?;
    let certificates: Vec<_> = certificates.collect::<Result<_, _>>().map_err(|error| unreadable(&error))?;
    if certificates.is_empty() { Err(unreadable(&"there is no certificate in it")) } else { Ok(certificates) }
}

fn client(proof: Proof, trusted: Vec<CertificateDer<'static>>) -> Result<ClientConfig, Fault> {
    let unusable = |error: Error| Fault::failed("cannot prepare TLS to Postgres", error, "report this as a bug");
    let provider = Arc::new(ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(trusted.iter().cloned());
    let judge = Judge { proof, trusted, roots, provider: provider.clone() };
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(unusable)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(judge))
        .with_no_client_auth();
    Ok(config)
}

/// Judges a server's certificate.
#[derive(Debug)]
struct Judge {
    proof: Proof,
    trusted: Vec<CertificateDer<'static>>,
    roots: RootCertStore,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Judge {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.proof == Proof::None {
            return Ok(ServerCertVerified::assertion());
        }
        let parsed = ParsedCertificate::try_from(certificate)?;
        // A server that signs for itself is trusted if just that certificate is.
        if !self.trusted.iter().any(|trusted| trusted.as_ref() == certificate.as_ref()) {
            let algorithms = self.provider.signature_verification_algorithms.all;
            verify_server_cert_signed_by_trust_anchor(&parsed, &self.roots, intermediates, now, algorithms)?;
        }
        if self.proof == Proof::Host {
            verify_server_name(&parsed, name)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

impl MakeTlsConnect<Socket> for Tls {
    type Stream = Encrypted;
    type TlsConnect = Handshake;
    type Error = std::convert::Infallible;

    fn make_tls_connect(&mut self, host: &str) -> Result<Handshake, Self::Error> {
        Ok(Handshake { config: self.config.clone(), host: host.to_owned() })
    }
}

/// A handshake to be made.
pub(super) struct Handshake {
    config: Arc<ClientConfig>,
    host: String,
}

impl TlsConnect<Socket> for Handshake {
    type Stream = Encrypted;
    type Error = Box<dyn std::error::Error + Send + Sync>;
    type Future = Pin<Box<dyn Future<Output = Result<Encrypted, Self::Error>> + Send>>;

    fn connect(self, socket: Socket) -> Self::Future {
        Box::pin(async move {
            let name = ServerName::try_from(self.host)?;
            Ok(Encrypted(TlsConnector::from(self.config).connect(name, socket).await?))
        })
    }
}

/// An encrypted connection.
pub(super) struct Encrypted(tokio_rustls::client::TlsStream<Socket>);

impl TlsStream for Encrypted {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl AsyncRead for Encrypted {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, into)
    }
}

impl AsyncWrite for Encrypted {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_about_tls_is_taken_out_of_the_url() {
        let parts = |url| {
            let (rest, mode, roots) = split(url);
            (rest, mode.unwrap_or_default(), roots.unwrap_or_default())
        };
        let found = parts("postgres://u:p@h/d?sslmode=verify-full&connect_timeout=3&sslrootcert=%2Fa%20b.pem");
        assert_eq!(found, ("postgres://u:p@h/d?connect_timeout=3".into(), "verify-full".into(), "/a b.pem".into()));
        assert_eq!(parts("postgres://h/d?sslmode=require"), ("postgres://h/d".into(), "require".into(), String::new()));
        assert_eq!(parts("postgres://h/d"), ("postgres://h/d".into(), String::new(), String::new()));
        let found = parts("host=h sslmode=verify-ca user=u sslrootcert='/a.pem'");
        assert_eq!(found, ("host=h user=u".into(), "verify-ca".into(), "/a.pem".into()));
    }

    #[test]
    fn what_cannot_be_checked_is_refused_before_anything_is_asked() {
        let fault = |url| Tls::of(url).err().unwrap();
        assert!(fault("postgres://h/d?sslmode=allow").why.contains("sslmode=allow"));
        let missing = fault("postgres://h/d?sslmode=verify-full&sslrootcert=/not/there.pem");
        assert!(missing.exit.code() == 2 && missing.what.contains("/not/there.pem"), "{missing}");
    }
}
