//! The real PostgreSQL: one server for all tests, one database for each.

use std::collections::BTreeMap;
use std::env;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use native_tls::{Certificate, TlsConnector};
use postgres_native_tls::MakeTlsConnector;
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};
use tokio_postgres::{Client, Config, SimpleQueryMessage, SimpleQueryRow};

/// How long a server may take to start.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// Where the server is, and how its superuser logs in.
pub struct Server {
    /// The name in its certificate.
    pub host: String,
    /// Its TCP port.
    pub port: u16,
    /// The superuser.
    pub user: String,
    /// The superuser's password.
    pub password: String,
    /// The PEM file of the CA that signed its certificate.
    pub ca: String,
    /// The folder of its programs.
    pub bin: String,
    connector: MakeTlsConnector,
}

/// The server that `make test` started.
pub fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| {
        Server::described_by(|name| {
            env::var(name).unwrap_or_else(|_| {
                // Past the test harness, which would hide it and repeat it for every test.
                let _ = writeln!(
                    std::io::stderr(),
                    "no PostgreSQL to test against ({name} is not set): run `make test`"
                );
                std::process::exit(101)
            })
        })
    })
}

impl Server {
    /// The server that the `TEST_PG_*` variables of `tools/postgres.py` describe.
    pub fn described_by(variable: impl Fn(&str) -> String) -> Self {
        let ca = variable("TEST_PG_CA");
        let pem = std::fs::read(&ca).expect("the CA's file");
        let connector = TlsConnector::builder()
            .disable_built_in_roots(true)
            .add_root_certificate(Certificate::from_pem(&pem).expect("a certificate"))
            .build()
            .expect("TLS");
        Self {
            host: variable("TEST_PG_HOST"),
            port: variable("TEST_PG_PORT").parse().expect("a port"),
            user: variable("TEST_PG_USER"),
            password: variable("TEST_PG_PASSWORD"),
            bin: variable("TEST_PG_BIN"),
            ca,
            connector: MakeTlsConnector::new(connector),
        }
    }

    /// Its Unix socket, without a password for everybody who may read its folder.
    pub fn socket(&self) -> PathBuf {
        Path::new(&self.ca).with_file_name(format!(".s.PGSQL.{}", self.port))
    }

    /// A session of the superuser's; a server that is starting is waited for.
    pub fn connect(&self, database: &str) -> Session {
        let started = Instant::now();
        loop {
            match self.try_connect(database) {
                Ok(session) => return session,
                Err(error) if started.elapsed() > CONNECT_TIMEOUT => {
                    panic!("no connection to the test server: {error:?}")
                }
                Err(_) => thread::sleep(Duration::from_millis(50)),
            }
        }
    }

    /// A session of the superuser's, if the server accepts it.
    pub fn try_connect(&self, database: &str) -> Result<Session, tokio_postgres::Error> {
        let mut config = Config::new();
        config.host(&self.host).port(self.port).dbname(database);
        config.user(&self.user).password(&self.password);
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let (client, connection) = runtime.block_on(config.connect(self.connector.clone()))?;
        runtime.spawn(connection);
        Ok(Session { runtime, client })
    }

    /// The secret for one of its databases, through a port of the test's choice.
    pub fn secret(&self, port: u16, database: &str) -> Value {
        json!({ "engine": "postgres", "host": self.host, "port": port, "username": self.user,
                "password": self.password, "dbname": database })
    }
}

/// One connection, used from outside of any runtime.
pub struct Session {
    runtime: Runtime,
    client: Client,
}

impl Session {
    /// Runs statements; the rows of all of them, each value as text and null as `∅`.
    pub fn query(&self, sql: &str) -> Vec<Vec<String>> {
        self.attempt(sql).unwrap_or_else(|error| panic!("{sql}: {:?}", error.as_db_error()))
    }

    /// Runs statements that may fail.
    pub fn attempt(&self, sql: &str) -> Result<Vec<Vec<String>>, tokio_postgres::Error> {
        let messages = self.runtime.block_on(self.client.simple_query(sql))?;
        let rows = messages.into_iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        let text = |row: &SimpleQueryRow, at| row.get(at).unwrap_or("∅").to_owned();
        Ok(rows.map(|row| (0..row.len()).map(|at| text(&row, at)).collect()).collect())
    }

    /// Runs a query and returns its one value.
    pub fn value(&self, sql: &str) -> String {
        let rows = self.query(sql);
        assert_eq!(rows.len(), 1, "{sql}: {rows:?}");
        rows[0][0].clone()
    }
}

/// A database of one test's, dropped at its end.
pub struct Database {
    /// Its name.
    pub name: String,
    /// Where it is.
    pub server: &'static Server,
    roles: Mutex<Vec<String>>,
    session: Option<Mutex<Session>>,
}

impl Database {
    /// A new database, empty but for `plpgsql`.
    pub fn create() -> Self {
        Self::named(&unique("db"))
    }

    /// A new database with a name of the test's choice, which it shares with no other test.
    pub fn named(name: &str) -> Self {
        Self::at(server(), name)
    }

    /// A new database at a server of the test's choice.
    pub fn at(server: &'static Server, name: &str) -> Self {
        server.connect("postgres").query(&format!("CREATE DATABASE {}", quoted(name)));
        let session = Some(Mutex::new(server.connect(name)));
        Self { name: name.to_owned(), server, roles: Mutex::default(), session }
    }

    /// A copy of another one, made as a template's is.
    pub fn copy_of(other: &Self) -> Self {
        let name = unique("copy");
        other.alone(|admin| {
            let (copy, other) = (quoted(&name), quoted(&other.name));
            admin.query(&format!("CREATE DATABASE {copy} TEMPLATE {other}"));
        });
        let session = Some(Mutex::new(other.server.connect(&name)));
        Self { name, server: other.server, roles: Mutex::default(), session }
    }

    /// Becomes a copy of another one, under its own name.
    pub fn become_copy_of(&self, other: &Self) {
        self.alone(|admin| {
            other.alone(|_| {
                let (name, other) = (quoted(&self.name), quoted(&other.name));
                admin.query(&format!("DROP DATABASE {name} WITH (FORCE)"));
                admin.query(&format!("CREATE DATABASE {name} TEMPLATE {other}"));
            });
        });
    }

    /// Dumps it, drops it, and restores it under the same name, in one transaction; only some servers
    /// have the programs for that.
    pub fn dump_and_restore(&self) -> bool {
        if !Path::new(&self.server.bin).join("pg_dump").exists() {
            println!("skipped: this server has no pg_dump");
            return false;
        }
        let dump = self.program("pg_dump", &self.name, &[]).output().expect("pg_dump");
        assert!(dump.status.success(), "{}", String::from_utf8_lossy(&dump.stderr));
        self.alone(|admin| {
            let name = quoted(&self.name);
            admin.query(&format!("DROP DATABASE {name} WITH (FORCE)"));
            admin.query(&format!("CREATE DATABASE {name}"));
        });
        let mut psql = self.program("psql", &self.name, &["-1", "-q", "-v", "ON_ERROR_STOP=1"]);
        let mut psql = psql.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("psql");
        psql.stdin.take().expect("a pipe").write_all(&dump.stdout).expect("psql reads");
        assert!(psql.wait().expect("psql ends").success());
        true
    }

    /// One of PostgreSQL's programs, about this database, as the superuser.
    fn program(&self, name: &str, database: &str, more: &[&str]) -> Command {
        let server = self.server;
        let mut command = Command::new(Path::new(&server.bin).join(name));
        command.env("PGHOST", &server.host).env("PGPORT", server.port.to_string());
        command.env("PGUSER", &server.user).env("PGPASSWORD", &server.password);
        command.env("PGSSLMODE", "verify-full").env("PGSSLROOTCERT", &server.ca);
        command.env("PGDATABASE", database).args(more);
        command
    }

    /// Does something for which no session may be connected, and connects again.
    fn alone(&self, work: impl FnOnce(&Session)) {
        let admin = self.server.connect("postgres");
        let mut session = self.session();
        *session = self.server.connect("postgres");
        work(&admin);
        *session = self.server.connect(&self.name);
    }

    /// The secret that opens it, as RDS's rotation writes it.
    pub fn secret(&self, user: &str, password: &str) -> Value {
        json!({
            "engine": "postgres",
            "host": self.server.host,
            "port": self.server.port,
            "username": user,
            "password": password,
            "dbname": self.name,
            "dbInstanceIdentifier": "app",
        })
    }

    /// Sets a parameter for every session that starts from now on.
    pub fn set(&self, parameter: &str, value: &str) {
        let name = quoted(&self.name);
        self.query(&format!("ALTER DATABASE {name} SET {parameter} = '{value}'"));
    }

    /// Makes a login role with these options; returns its name.
    pub fn role(&self, password: &str, options: &str) -> String {
        let role = unique("role");
        self.role_called(&role, password, options);
        role
    }

    /// Makes a login role with a name of the test's choice.
    pub fn role_called(&self, role: &str, password: &str, options: &str) {
        let (role, password) = (quoted(role), password.replace('\'', "''"));
        self.query(&format!("CREATE ROLE {role} LOGIN {options} PASSWORD '{password}'"));
        self.roles.lock().unwrap().push(role);
    }

    /// Runs statements as the superuser.
    pub fn query(&self, sql: &str) -> Vec<Vec<String>> {
        self.session().query(sql)
    }

    /// Runs a query as the superuser and returns its one value.
    pub fn value(&self, sql: &str) -> String {
        self.session().value(sql)
    }

    fn session(&self) -> MutexGuard<'_, Session> {
        self.session.as_ref().expect("a session").lock().expect("a session that works")
    }

    /// Every installed extension and its version.
    pub fn extensions(&self) -> BTreeMap<String, String> {
        let rows = self.query("SELECT extname, extversion FROM pg_catalog.pg_extension");
        rows.into_iter().map(|mut row| (row.remove(0), row.remove(0))).collect()
    }

    /// The installed extensions but for `plpgsql`, sorted: `cube 1.5, hstore 1.8`.
    pub fn installed(&self) -> String {
        let mut text = String::new();
        for (name, version) in self.extensions().iter().filter(|(name, _)| *name != "plpgsql") {
            let comma = if text.is_empty() { "" } else { ", " };
            write!(text, "{comma}{name} {version}").expect("a string");
        }
        text
    }

    /// The name of the schema that an extension's objects are in.
    pub fn schema_of(&self, extension: &str) -> String {
        self.value(&format!(
            "SELECT nspname FROM pg_extension JOIN pg_namespace AS n ON n.oid = extnamespace
             WHERE extname = '{extension}'"
        ))
    }

    /// Whether the server has the files of an extension.
    pub fn offers(&self, extension: &str) -> bool {
        self.default_version(extension).is_some()
    }

    /// The version that the server would install by itself.
    pub fn default_version(&self, extension: &str) -> Option<String> {
        let rows = self.query(&format!(
            "SELECT default_version FROM pg_available_extensions WHERE name = '{extension}'"
        ));
        rows.into_iter().next().map(|mut row| row.remove(0))
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        self.session = None;
        let admin = self.server.connect("postgres");
        let mut statements = vec![format!("DROP DATABASE {} WITH (FORCE)", quoted(&self.name))];
        statements
            .extend(self.roles.lock().unwrap().iter().map(|role| format!("DROP ROLE {role}")));
        for statement in statements {
            // The whole cluster goes soon after; a failed test shall show its own failure.
            let _ = admin.attempt(&statement);
        }
    }
}

/// A name that no other test has.
pub fn unique(prefix: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("{prefix}_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// A name as SQL writes it.
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
