//! A test environment with a network with injected faults before its database, and little time.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::cluster::Cluster;
use super::database::{Database, Session, server};
use super::proxy::Proxy;
use super::response::Response;
use super::test_environment::{SECRET, TestEnvironment};

/// A test environment, and the network between its function and its database.
pub struct FaultInjection {
    /// Everything around the function.
    pub env: TestEnvironment,
    /// The network.
    pub proxy: Proxy,
    /// What Lambda leaves for each invocation.
    pub time: Duration,
}

impl FaultInjection {
    /// A function with this many seconds for each event.
    pub fn new(seconds: u64) -> Self {
        let env = TestEnvironment::new().with_seconds(seconds);
        let time = Duration::from_secs(seconds);
        Self { env, proxy: Proxy::to(server().port), time }
    }

    /// The same with a private cluster, where the database is `postgres`.
    pub fn at(cluster: &Cluster, seconds: u64) -> Self {
        let environment = [("PGSSLROOTCERT", cluster.server.ca.clone())];
        let env = TestEnvironment::with(Database::create(), &environment).with_seconds(seconds);
        let (proxy, time) = (Proxy::to(cluster.server.port), Duration::from_secs(seconds));
        env.keep_secret(&cluster.server.password);
        let secret = cluster.server.secret(proxy.port, "postgres");
        env.secrets.put(SECRET, "AWSCURRENT", secret.to_string());
        Self { env, proxy, time }
    }

    /// An event for this `PluginsMap`, through the network with injected faults.
    pub fn event(&self, kind: &str, map: &Value) -> Value {
        let port = self.proxy.port.to_string();
        self.env.event(kind, &json!({ "PluginsMap": map, "Port": port }))
    }

    /// A Create of `hstore` 1.7.
    pub fn create_event(&self) -> Value {
        self.event("Create", &json!({ "hstore": "1.7" }))
    }

    /// Creates `hstore` 1.7, once; the response must come before Lambda's deadline.
    #[track_caller]
    pub fn create(&self) -> Response {
        self.deliver(&self.create_event())
    }

    /// Delivers an event once; the response must come before Lambda's deadline.
    #[track_caller]
    pub fn deliver(&self, event: &Value) -> Response {
        let started = Instant::now();
        let response = self.env.deliver_once(event);
        assert!(started.elapsed() < self.time, "Lambda would have stopped it: {response:#?}");
        response
    }

    /// Creates `hstore` 1.7 while something else goes on.
    #[track_caller]
    pub fn create_while(&self, meanwhile: impl FnOnce()) -> Response {
        thread::scope(|scope| {
            let creating = scope.spawn(|| self.create());
            meanwhile();
            creating.join().expect("a response")
        })
    }

    /// Lets `hstore` take this long to create.
    pub fn create_slowly(&self, seconds: f32) {
        self.env.run_after_create("hstore", &format!("PERFORM pg_sleep({seconds})"));
    }

    /// Lets the COMMIT of a transaction that creates `hstore` take this long.
    pub fn commit_slowly(&self, seconds: f32) {
        self.env.database.query(&format!(
            "CREATE TABLE public.late (at int);
             CREATE FUNCTION public.late() RETURNS trigger LANGUAGE plpgsql
               AS 'BEGIN PERFORM pg_sleep({seconds}); RETURN NULL; END';
             CREATE CONSTRAINT TRIGGER late AFTER INSERT ON public.late
               DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.late()"
        ));
        self.env.run_after_create("hstore", "INSERT INTO public.late VALUES (1)");
    }

    /// Waits until the function is creating, or committing, `hstore` that takes long.
    #[track_caller]
    pub fn until_creating(&self) {
        eventually(|| self.env.database.value(&backends("AND wait_event = 'PgSleep'")) != "0");
    }

    /// Waits until the function waits for a lock.
    #[track_caller]
    pub fn until_locked(&self) {
        let locked = backends("AND wait_event_type = 'Lock'");
        eventually(|| self.env.database.value(&locked) != "0");
    }

    /// Waits until the log has these words.
    #[track_caller]
    pub fn until_logged(&self, words: &str) {
        eventually(|| self.env.function.output().contains(words));
    }

    /// Waits until no session of the function's is left in the database.
    #[track_caller]
    pub fn until_no_session_is_left(&self) {
        eventually(|| self.env.database.value(&backends("")) == "0");
    }

    /// The installed extensions but for `plpgsql`, once nobody is at work any more.
    #[track_caller]
    pub fn installed(&self) -> String {
        self.until_no_session_is_left();
        self.env.database.installed()
    }

    /// Ends the function's session, as an administrator would.
    pub fn terminate(&self) {
        self.env.database.query(&format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {SESSIONS}"
        ));
    }
}

/// The function's sessions in one database.
const SESSIONS: &str =
    "application_name = 'cfn-postgres-extensions' AND datname = current_database()";

/// A query for the number of the function's sessions in one database.
pub fn backends(and: &str) -> String {
    format!("SELECT count(*) FROM pg_stat_activity WHERE {SESSIONS} {and}")
}

/// The extensions of a private cluster's database, but for `plpgsql`: `cube 1.5, hstore 1.7`.
pub fn extensions(admin: &Session) -> String {
    admin.value(
        "SELECT coalesce(string_agg(extname || ' ' || extversion, ', ' ORDER BY extname), '')
         FROM pg_catalog.pg_extension WHERE extname <> 'plpgsql'",
    )
}

/// The port of a URL on 127.0.0.1.
pub fn port_of(url: &str) -> u16 {
    let rest = url.strip_prefix("http://127.0.0.1:").expect("a URL of the test's");
    let digits = rest.split('/').next().unwrap_or_default();
    digits.parse().expect("a port")
}

/// The same URL with another port.
pub fn through(url: &str, port: u16) -> String {
    url.replacen(&port_of(url).to_string(), &port.to_string(), 1)
}

/// Waits until it is so.
#[track_caller]
pub fn eventually(so: impl Fn() -> bool) {
    for _ in 0..1200 {
        if so() {
            return;
        }
        thread::sleep(Duration::from_millis(25));
    }
    panic!("it never came to that");
}
