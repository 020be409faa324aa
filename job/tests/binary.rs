//! That the binary starts. And a test of this package that needs the binary is what makes `cargo test` build it, for the
//! end-to-end tests too.

use std::process::Command;

#[test]
fn the_binary_names_itself() {
    let said = Command::new(env!("CARGO_BIN_EXE_topk")).arg("--version").output().expect("topk starts");
    assert!(said.status.success() && said.stdout.starts_with(b"topk "), "{said:?}");
}
