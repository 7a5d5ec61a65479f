//! A PostgreSQL of one test's own, which can be killed and started again.

use std::collections::BTreeMap;
use std::env;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use super::database::{Server, server};

/// A private cluster, removed at the end.
pub struct Cluster {
    /// How to connect to it: on another port after each start.
    pub server: &'static Server,
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Cluster {
    /// A new one with the programs and the extensions of the server that `make test` started, and
    /// these settings, `name=value`.
    pub fn start(settings: &[&str]) -> Self {
        let settings = settings.iter().flat_map(|setting| ["--set", setting]);
        let bin = ["--bin", &server().bin];
        Self::control(&bin.into_iter().chain(settings).collect::<Vec<_>>())
    }

    /// The same, that offers these extensions and no others.
    pub fn offering(extensions: &[&str], settings: &[&str]) -> Self {
        let others = format!("--others={}", extensions.join(","));
        let mut arguments = vec!["--bin", &server().bin, &others];
        arguments.extend(settings.iter().flat_map(|setting| ["--set", setting]));
        Self::control(&arguments)
    }

    /// One of the machine's own server, for [`upgrade`](Self::upgrade) to the server under test; `None`
    /// where that is no newer, or has no `pg_upgrade`.
    pub fn to_upgrade() -> Option<Self> {
        let Ok(packages) = env::var("TEST_PG_UPGRADE") else {
            println!(
                "skipped: no pg_upgrade (TEST_PG_UPGRADE is not set): run `make test-versions`"
            );
            return None;
        };
        let cluster = Self::control(&["--upgrade-to", &server().bin, "--pg-upgrade", &packages]);
        let version = |server: &Server| -> u32 {
            let version = server.connect("postgres").value("SHOW server_version_num");
            version.parse().expect("a number")
        };
        let (from, to) = (version(cluster.server) / 10_000, version(server()) / 10_000);
        if from < to {
            return Some(cluster);
        }
        println!("skipped: no upgrade leads from the machine's PostgreSQL {from} to {to}");
        None
    }

    fn control(arguments: &[&str]) -> Self {
        let mut child = Command::new("python3")
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tools/postgres.py"))
            .arg("control")
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3");
        let input = child.stdin.take();
        let mut output = BufReader::new(child.stdout.take().expect("a pipe"));
        let server = described(&mut output);
        Self { server, child, input, output }
    }

    /// The same; `None` where the server has no such library.
    pub fn of_library(library: &str, settings: &[&str]) -> Option<Self> {
        let found = server().connect("postgres").value(&format!(
            "SELECT pg_stat_file(setting || '/{library}.so', true) IS NULL
             FROM pg_config WHERE name = 'PKGLIBDIR'"
        ));
        if found == "t" {
            println!("skipped: this server has no library {library}");
            return None;
        }
        Some(Self::start(settings))
    }

    /// The folder of its data.
    pub fn data(&self) -> PathBuf {
        Path::new(&self.server.ca).with_file_name("data")
    }

    /// What the server has logged since it started.
    pub fn log(&self) -> String {
        let path = self.log_path();
        String::from_utf8_lossy(&std::fs::read(path).expect("the server's log")).into_owned()
    }

    /// The file of its log.
    pub fn log_path(&self) -> PathBuf {
        Path::new(&self.server.ca).with_file_name("server.log")
    }

    /// Kills the server and all its backends, as a power failure would.
    pub fn kill(&mut self) {
        self.command("kill");
    }

    /// Accepts no more connections; the server ends with its last session.
    pub fn stop(&mut self) {
        self.command("stop");
    }

    /// Starts it again, on another port, and waits until it is ready.
    pub fn restart(&mut self) {
        self.command("start");
    }

    /// The same, but it may still be recovering.
    pub fn begin_to_restart(&mut self) {
        self.command("begin");
    }

    /// Upgrades it by `pg_upgrade` to the server under test, and starts that, on another port.
    pub fn upgrade(&mut self) {
        self.command("upgrade");
    }

    fn command(&mut self, command: &str) {
        let input = self.input.as_mut().expect("a pipe");
        writeln!(input, "{command}").expect("the cluster's script");
        self.server = described(&mut self.output);
    }
}

/// The server that the script describes in one line of JSON.
fn described(output: &mut impl BufRead) -> &'static Server {
    let mut line = String::new();
    output.read_line(&mut line).expect("the cluster's script");
    let told: BTreeMap<String, String> =
        serde_json::from_str(&line).expect("a server that was started");
    // A few of them in the life of a process: no need to free them.
    Box::leak(Box::new(Server::described_by(|name| told[name].clone())))
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // The end of its input ends the script, and with it the server.
        drop(self.input.take());
        let _ = self.child.wait();
    }
}
