//! The modes of TLS against a real Postgres with ssl = on, whose certificate is for localhost and 127.0.0.1.

use crate::postgres::connection::Server;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::Duration;

/// An authority that has signed nothing.
const OTHER_AUTHORITY: &str = "-----BEGIN CERTIFICATE-----
MIIBhzCCAS2gAwIBAgIUDqmwPykuvisrIKP6n4B/jal0qNMwCgYIKoZIzj0EAwIw
GDEWMBQGA1UEAwwNc29tZWJvZHkgZWxzZTAgFw0yNjExMjIxMTE4NDJaGA8yMTI2
MTAyOTExMTg0MlowGDEWMBQGA1UEAwwNc29tZWJvZHkgZWxzZTBZMBMGByqGSM49
AgEGCCqGSM49AwEHA0IABFSqCEoCBZaEcGESpeYcprNWniEeWJu2XJU7akyW00x5
XN2G28lxf8OceYKitNBdHLfPoEjKN53zPZuPBipQb+ujUzBRMB0GA1UdDgQWBBTo
Fo5ONxc9Lsr02wqVrUFU7YawBjAfBgNVHSMEGDAWgBToFo5ONxc9Lsr02wqVrUFU
7YawBjAPBgNVHRMBAf8EBTADAQH/MAoGCCqGSM49BAMCA0gAMEUCIQChXLCijU9S
Z+htSLscIPYByOotN3XldD4BdupPId6JwQIgYzlj450rezuzMDP8zpwvEu22R3UC
d/+AXS1cBpxodf4=
-----END CERTIFICATE-----";

/// What signed the certificate of the tests' Postgres.
fn authority() -> String {
    std::env::var("TOPK_TEST_POSTGRES_ROOT").expect(
        "TOPK_TEST_POSTGRES_ROOT names no certificate: run ./test, or set it to the PEM of the authority that signed your Postgres's",
    )
}

/// Connect; whether the connection is encrypted, or why there is none.
fn connect(url: &str) -> Result<bool, String> {
    let server = Server::new(url, "public", Duration::from_secs(20), true).map_err(|fault| fault.to_string())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (client, _) = server.connect().await.map_err(|failure| {
            let fault = server.fault(failure);
            assert!(fault.is_transient() && fault.hint.contains("sslmode"), "{fault}");
            fault.why
        })?;
        let row = client.query_one("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()", &[]).await.unwrap();
        Ok(row.get(0))
    })
}

#[test]
fn each_mode_asks_what_users_of_libpq_expect() {
    let url = std::env::var("TOPK_TEST_POSTGRES").unwrap();
    let (root, folder) = (authority(), tempfile::tempdir().unwrap());
    let other = folder.path().join("other.pem");
    std::fs::write(&other, OTHER_AUTHORITY).unwrap();
    let with = |parameters: &str| connect(&format!("{url}?{parameters}"));
    assert_eq!(with("sslmode=disable"), Ok(false));
    for mode in ["connect_timeout=5", "sslmode=prefer", "sslmode=require"] {
        assert_eq!(with(mode), Ok(true), "{mode}");
    }
    for mode in ["require", "verify-ca", "verify-full"] {
        assert_eq!(with(&format!("sslmode={mode}&sslrootcert={root}")), Ok(true), "{mode}");
        let why = with(&format!("sslmode={mode}&sslrootcert={}", other.display())).unwrap_err();
        assert!(why.contains("UnknownIssuer"), "{mode}: {why}");
    }
    assert_eq!(with(&format!("sslmode=prefer&sslrootcert={}", other.display())), Ok(true), "prefer asks for no proof");
    let system = with("sslmode=verify-full&sslrootcert=system").unwrap_err();
    assert!(system.contains("UnknownIssuer") || system.contains("No such file"), "{system}");
}

#[test]
fn only_verify_full_asks_whose_certificate_it_is() {
    let url = std::env::var("TOPK_TEST_POSTGRES").unwrap();
    let (root, address) = (authority(), url.rsplit('@').next().unwrap().split(':').next().unwrap().to_owned());
    let elsewhere = url.replace(&format!("@{address}:"), "@elsewhere.example:");
    let with = |mode: &str| connect(&format!("{elsewhere}?hostaddr={address}&sslmode={mode}&sslrootcert={root}"));
    assert_eq!(with("verify-ca"), Ok(true));
    let why = with("verify-full").unwrap_err();
    assert!(why.contains("elsewhere.example") && why.contains("not valid for name"), "{why}");
}

#[test]
fn a_server_without_tls_is_refused_where_it_is_required() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = std::thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        let mut request = [0; 8];
        client.read_exact(&mut request).unwrap();
        client.write_all(b"N").unwrap();
        request[4..].to_vec()
    });
    let why = connect(&format!("postgres://topk@{address}/topk?sslmode=require")).unwrap_err();
    assert!(why.contains("server does not support TLS"), "{why}");
    assert_eq!(server.join().unwrap(), 80_877_103_i32.to_be_bytes(), "it was asked for TLS");
}
