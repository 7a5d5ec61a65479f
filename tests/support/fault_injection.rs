//! A test environment whose network between function and database has faults.

use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::barrier::Barrier;
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
}

impl FaultInjection {
    /// A function with this many seconds for each event.
    pub fn new(seconds: u64) -> Self {
        let env = TestEnvironment::new().with_seconds(seconds);
        Self { env, proxy: Proxy::to(server().port) }
    }

    /// The same with a private cluster, where the database is `postgres`.
    pub fn at(cluster: &Cluster, seconds: u64) -> Self {
        let environment = [("PGSSLROOTCERT", cluster.server.ca.clone())];
        let env = TestEnvironment::with(Database::create(), &environment).with_seconds(seconds);
        let proxy = Proxy::to(cluster.server.port);
        env.keep_secret(&cluster.server.password);
        let secret = cluster.server.secret(proxy.port, "postgres");
        env.secrets.put(SECRET, "AWSCURRENT", secret.to_string());
        Self { env, proxy }
    }

    /// An event for this `PluginsMap`, through that network.
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

    /// Delivers an event once.
    #[track_caller]
    pub fn deliver(&self, event: &Value) -> Response {
        self.env.deliver_once(event)
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

    /// Has `hstore` created until a barrier is opened.
    pub fn pause_create(&self) -> Barrier {
        self.env.run_after_create("hstore", &Barrier::statement());
        Barrier::close(&self.env.database)
    }

    /// Has the transaction that creates `hstore` committed until a barrier is opened.
    pub fn pause_commit(&self) -> Barrier {
        self.env.database.query(&format!(
            "CREATE TABLE public.late (at int);
             CREATE FUNCTION public.late() RETURNS trigger LANGUAGE plpgsql
               AS 'BEGIN {}; RETURN NULL; END';
             CREATE CONSTRAINT TRIGGER late AFTER INSERT ON public.late
               DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.late()",
            Barrier::statement()
        ));
        self.env.run_after_create("hstore", "INSERT INTO public.late VALUES (1)");
        Barrier::close(&self.env.database)
    }

    /// Waits until the server sleeps for the function.
    #[track_caller]
    pub fn until_sleeping(&self) {
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

    /// The installed extensions but for `plpgsql`, once no session is left.
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
    panic!("timed out waiting");
}
