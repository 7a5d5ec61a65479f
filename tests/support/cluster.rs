//! A server of one test's own, which can be killed and started again.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use native_tls::{Certificate, TlsConnector};
use postgres_native_tls::MakeTlsConnector;
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};
use tokio_postgres::{Client, Config, SimpleQueryMessage};

/// How long one call to a server may take: nothing that is asked here takes so long, and whoever
/// waits longer waits for somebody who never answers.
const PATIENCE: Duration = Duration::from_secs(30);

/// A private cluster, removed at the end.
pub struct Cluster {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    place: Place,
}

/// Where a server is, and how its superuser gets in.
#[derive(Debug, Clone)]
pub struct Place {
    /// Its TCP port: another one after each start.
    pub port: u16,
    /// The superuser.
    pub user: String,
    /// The superuser's password.
    pub password: String,
    /// The PEM file of the CA that signed its certificate.
    pub ca: String,
}

impl Cluster {
    /// Starts a server with these settings, `name=value`.
    pub fn start(settings: &[&str]) -> Self {
        let driver = format!("{}/tests/support/cluster.py", env!("CARGO_MANIFEST_DIR"));
        let mut child = Command::new("python3")
            .arg(driver)
            .args(settings)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3");
        let input = child.stdin.take();
        let mut output = BufReader::new(child.stdout.take().expect("a pipe"));
        let place = place(&mut output);
        Self { child, input, output, place }
    }

    /// Where it is.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Kills the server and all its backends, as a power failure would.
    pub fn kill(&mut self) {
        self.command("kill");
    }

    /// Lets nobody in any more; it ends with its last session.
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

    fn command(&mut self, command: &str) {
        let input = self.input.as_mut().expect("a pipe");
        writeln!(input, "{command}").expect("the driver of the cluster");
        self.place = place(&mut self.output);
    }
}

fn place(output: &mut impl BufRead) -> Place {
    let mut line = String::new();
    output.read_line(&mut line).expect("the driver of the cluster");
    let told: Value = serde_json::from_str(&line).expect("the driver of the cluster");
    let text = |name: &str| told[name].as_str().expect("a text").to_owned();
    let port = told["port"].as_u64().and_then(|port| port.try_into().ok()).expect("a port");
    Place { port, user: text("user"), password: text("password"), ca: text("ca") }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.input = None;
        let _ = self.child.wait();
    }
}

impl Place {
    /// The secret that opens one of its databases through another port.
    pub fn secret(&self, port: u16, database: &str) -> Value {
        json!({ "engine": "postgres", "host": "localhost", "port": port, "username": self.user,
                "password": self.password, "dbname": database })
    }

    /// A session of the superuser's; the server may still be starting.
    pub fn connect(&self, database: &str) -> Admin {
        let started = Instant::now();
        loop {
            match self.connect_once(database) {
                Ok(admin) => return admin,
                Err(error) if started.elapsed() > PATIENCE => {
                    panic!("the private cluster lets nobody in: {error}")
                }
                Err(_) => thread::sleep(Duration::from_millis(50)),
            }
        }
    }

    /// A session of the superuser's, if the server lets it in.
    pub fn connect_once(&self, database: &str) -> Result<Admin, String> {
        let pem = std::fs::read(&self.ca).expect("the CA's file");
        let tls = TlsConnector::builder()
            .disable_built_in_roots(true)
            .add_root_certificate(Certificate::from_pem(&pem).expect("a certificate"))
            .build()
            .expect("TLS");
        let mut config = Config::new();
        config.host("localhost").port(self.port).dbname(database);
        config.user(&self.user).password(&self.password).application_name("admin");
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let connecting = config.connect(MakeTlsConnector::new(tls));
        let (client, connection) = runtime.block_on(patiently(connecting))?;
        runtime.spawn(connection);
        Ok(Admin { runtime, client })
    }
}

/// What a server answers, if it does.
async fn patiently<T>(
    call: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, String> {
    match tokio::time::timeout(PATIENCE, call).await {
        Ok(answer) => answer.map_err(|error| format!("{error:?}")),
        Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
    }
}

/// One connection of the superuser's.
pub struct Admin {
    runtime: Runtime,
    client: Client,
}

impl Admin {
    /// Runs statements; the rows of all of them, their first values.
    pub fn query(&self, sql: &str) -> Result<Vec<String>, String> {
        let messages = self.runtime.block_on(patiently(self.client.simple_query(sql)))?;
        let first = |message| match message {
            SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap_or("∅").to_owned()),
            _ => None,
        };
        Ok(messages.into_iter().filter_map(first).collect())
    }

    /// Runs a query and returns its one value.
    pub fn value(&self, sql: &str) -> String {
        let values = self.query(sql).unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        assert_eq!(values.len(), 1, "{sql}: {values:?}");
        values[0].clone()
    }
}
