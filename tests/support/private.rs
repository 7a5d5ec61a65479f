//! A PostgreSQL of one test's own: for stories about everything that is on a server.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use super::database::{Server, server};

/// Says what the server is, and stays until its input ends.
const SCRIPT: &str = "env | grep ^TEST_PG_; echo; exec cat";

/// A running cluster, gone at the end.
pub struct Cluster {
    /// How to get in.
    pub server: &'static Server,
    child: Child,
}

impl Cluster {
    /// A new one with the binaries of the server that `make test` started, and its extensions.
    pub fn start() -> Self {
        Self::with(&[])
    }

    /// One with these settings; `None` where the server has no such library.
    pub fn of_library(library: &str, settings: &[&str]) -> Option<Self> {
        let found = server().connect("postgres").value(&format!(
            "SELECT pg_stat_file(setting || '/{library}.so', true) IS NULL
             FROM pg_config WHERE name = 'PKGLIBDIR'"
        ));
        if found == "t" {
            println!("skipped: this server has no library {library}");
            return None;
        }
        Some(Self::with(settings))
    }

    /// The same with these settings, `name=value`.
    pub fn with(settings: &[&str]) -> Self {
        let tool = concat!(env!("CARGO_MANIFEST_DIR"), "/tools/postgres.py");
        let mut child = Command::new("python3")
            .args([tool, "run", "--bin", &server().bin])
            .args(settings.iter().flat_map(|setting| ["--set", setting]))
            .args(["--", "sh", "-c", SCRIPT])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3");
        let mut variables = BTreeMap::new();
        let output = BufReader::new(child.stdout.take().expect("its output"));
        for line in output.lines().map_while(Result::ok).take_while(|line| !line.is_empty()) {
            let (name, value) = line.split_once('=').expect("a variable");
            variables.insert(name.to_owned(), value.to_owned());
        }
        let variable =
            |name: &str| variables.get(name).cloned().expect("a server that was started");
        // A few of them in the life of a process: no need to give them back.
        let server = Box::leak(Box::new(Server::described_by(variable)));
        Self { server, child }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // Its input ends, and with it the server.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}
