//! A PostgreSQL of the simulator's own, that offers the extensions of the model and no others.
//!
//! The server reads every control file there is for each query of what it offers: with few of them
//! that takes a millisecond and not fifty. And the same seed makes the same history on every server.

use std::fs;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::catalog::EXTENSIONS;
use crate::support::database::server;

/// Set in the child process.
pub const CHILD: &str = "SIMULATOR_CHILD";

/// Runs a test of this program again, in a child process beside a cluster of its own.
///
/// The child's log goes nowhere; what the test has to report it writes to standard error.
pub fn run_beside(test: &str) -> String {
    let extensions: Value = EXTENSIONS
        .iter()
        .map(|it| (it.name.to_owned(), it.files()))
        .collect::<serde_json::Map<_, _>>()
        .into();
    let file = format!("{}/simulator-{}.json", env!("CARGO_TARGET_TMPDIR"), std::process::id());
    fs::write(&file, extensions.to_string()).expect("a file");
    let output = Command::new("python3")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tools/postgres.py"))
        .args(["run", "--bin", &server().bin, "--extensions", &file, "--others=", "--"])
        .arg(std::env::current_exe().expect("this very program"))
        .args(["--exact", test, "--nocapture"])
        .env(CHILD, "1")
        // OpenSSL would read the system's whole bundle for every connection.
        .env("SSL_CERT_FILE", "/dev/null")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .output()
        .expect("python3, which starts the server");
    fs::remove_file(&file).expect("the file");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{}:\n{said}", output.status);
    said
}
