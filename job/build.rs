//! Tells the binary which commit and which librdkafka it was built from.

use std::process::Command;

fn main() {
    let commit = Command::new("git").args(["rev-parse", "--short=12", "HEAD"]).output().ok();
    let commit =
        commit.filter(|output| output.status.success()).and_then(|output| String::from_utf8(output.stdout).ok());
    println!("cargo::rustc-env=TOPK_COMMIT={}", commit.as_deref().map_or("unknown", str::trim));
    // rdkafka-sys carries librdkafka's version in its own, as 4.10.0+2.12.1.
    let lock = std::fs::read_to_string("../Cargo.lock").unwrap_or_default();
    let after = lock.split("name = \"rdkafka-sys\"").nth(1).and_then(|rest| rest.split('+').nth(1));
    let version = after.and_then(|rest| rest.split('"').next()).unwrap_or("unknown");
    println!("cargo::rustc-env=TOPK_LIBRDKAFKA={version}");
    // HEAD names a branch, and the branch's file changes with every commit. A path that is absent would rebuild always.
    let head = std::fs::read_to_string("../.git/HEAD").unwrap_or_default();
    let branch = head.trim().strip_prefix("ref: ").map(|branch| format!("../.git/{branch}"));
    for path in [Some("../.git/HEAD".to_owned()), branch, Some("../.git/packed-refs".to_owned())].into_iter().flatten()
    {
        if std::path::Path::new(&path).exists() {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    println!("cargo::rerun-if-changed=../Cargo.lock");
    println!("cargo::rerun-if-changed=build.rs");
}
