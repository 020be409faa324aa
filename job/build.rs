//! Tells the binary which commit and which librdkafka it was built from.

use std::process::Command;

fn main() {
    let commit = Command::new("git").args(["rev-parse", "--short=12", "HEAD"]).output().ok();
    let commit = commit.filter(|output| output.status.success()).and_then(|output| String::from_utf8(output.stdout).ok());
    println!("cargo::rustc-env=TOPK_COMMIT={}", commit.as_deref().map_or("unknown", str::trim));
    // rdkafka-sys carries librdkafka's version in its own, as 4.10.0+2.12.1.
    let lock = std::fs::read_to_string("../Cargo.lock").unwrap_or_default();
    let after = lock.split("name = \"rdkafka-sys\"").nth(1).and_then(|rest| rest.split('+').nth(1));
    let version = after.and_then(|rest| rest.split('"').next()).unwrap_or("unknown");
    println!("cargo::rustc-env=TOPK_LIBRDKAFKA={version}");
    println!("cargo::rerun-if-changed=../.git/HEAD");
    println!("cargo::rerun-if-changed=../Cargo.lock");
}
