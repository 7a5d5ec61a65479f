//! A stage with a bad network before its database, and little time.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::answer::Answer;
use super::cluster::Cluster;
use super::database::{Database, Session, server};
use super::proxy::Proxy;
use super::stage::{SECRET, Stage};

/// A stage, and the network between its function and its database.
pub struct Trouble {
    /// Everything around the function.
    pub stage: Stage,
    /// The network.
    pub proxy: Proxy,
    /// What Lambda leaves for each invocation.
    pub time: Duration,
}

impl Trouble {
    /// A function with this many seconds for each event.
    pub fn new(seconds: u64) -> Self {
        let stage = Stage::new().with_seconds(seconds);
        let time = Duration::from_secs(seconds);
        Self { stage, proxy: Proxy::to(server().port), time }
    }

    /// The same with a private cluster, where the database is `postgres`.
    pub fn at(cluster: &Cluster, seconds: u64) -> Self {
        let environment = [("PGSSLROOTCERT", cluster.server.ca.clone())];
        let stage = Stage::with(Database::create(), &environment).with_seconds(seconds);
        let (proxy, time) = (Proxy::to(cluster.server.port), Duration::from_secs(seconds));
        stage.plant(&cluster.server.password);
        let secret = cluster.server.secret(proxy.port, "postgres");
        stage.secrets.put(SECRET, "AWSCURRENT", secret.to_string());
        Self { stage, proxy, time }
    }

    /// An event for this `PluginsMap`, through the bad network.
    pub fn event(&self, kind: &str, map: &Value) -> Value {
        let port = self.proxy.port.to_string();
        self.stage.event(kind, &json!({ "PluginsMap": map, "Port": port }))
    }

    /// A Create of `hstore` 1.7.
    pub fn create_event(&self) -> Value {
        self.event("Create", &json!({ "hstore": "1.7" }))
    }

    /// Creates `hstore` 1.7, once; the answer must come before Lambda's deadline.
    #[track_caller]
    pub fn create(&self) -> Answer {
        self.deliver(&self.create_event())
    }

    /// Delivers an event once; the answer must come before Lambda's deadline.
    #[track_caller]
    pub fn deliver(&self, event: &Value) -> Answer {
        let started = Instant::now();
        let answer = self.stage.deliver_once(event);
        assert!(started.elapsed() < self.time, "Lambda would have stopped it: {answer:#?}");
        answer
    }

    /// Creates `hstore` 1.7 while something else goes on.
    #[track_caller]
    pub fn create_while(&self, meanwhile: impl FnOnce()) -> Answer {
        thread::scope(|scope| {
            let creating = scope.spawn(|| self.create());
            meanwhile();
            creating.join().expect("an answer")
        })
    }

    /// Lets `hstore` take this long to create.
    pub fn take_long(&self, seconds: f32) {
        self.stage.refuse("hstore", &format!("PERFORM pg_sleep({seconds})"));
    }

    /// Lets the COMMIT of a transaction that creates `hstore` take this long.
    pub fn commit_slowly(&self, seconds: f32) {
        self.stage.database.query(&format!(
            "CREATE TABLE public.late (at int);
             CREATE FUNCTION public.late() RETURNS trigger LANGUAGE plpgsql
               AS 'BEGIN PERFORM pg_sleep({seconds}); RETURN NULL; END';
             CREATE CONSTRAINT TRIGGER late AFTER INSERT ON public.late
               DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.late()"
        ));
        self.stage.refuse("hstore", "INSERT INTO public.late VALUES (1)");
    }

    /// Waits until the function is creating, or committing, `hstore` that takes long.
    #[track_caller]
    pub fn until_creating(&self) {
        eventually(|| self.stage.database.value(&backends("AND wait_event = 'PgSleep'")) != "0");
    }

    /// Waits until the function waits for a lock.
    #[track_caller]
    pub fn until_locked(&self) {
        let locked = backends("AND wait_event_type = 'Lock'");
        eventually(|| self.stage.database.value(&locked) != "0");
    }

    /// Waits until the log has these words.
    #[track_caller]
    pub fn until_logged(&self, words: &str) {
        eventually(|| self.stage.function.output().contains(words));
    }

    /// Waits until no session of the function's is left in the database.
    #[track_caller]
    pub fn until_nobody_is_left(&self) {
        eventually(|| self.stage.database.value(&backends("")) == "0");
    }

    /// The installed extensions but for `plpgsql`, once nobody is at work any more.
    #[track_caller]
    pub fn installed(&self) -> String {
        self.until_nobody_is_left();
        self.stage.database.installed()
    }

    /// Ends the function's session, as an administrator would.
    pub fn terminate(&self) {
        self.stage.database.query(&format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {VISITORS}"
        ));
    }
}

/// The function's sessions in one database.
const VISITORS: &str =
    "application_name = 'cfn-postgres-extensions' AND datname = current_database()";

/// A query for the number of the function's sessions in one database.
pub fn backends(and: &str) -> String {
    format!("SELECT count(*) FROM pg_stat_activity WHERE {VISITORS} {and}")
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
