//! One stack's deployments: an event, its faults, the response, and whether it is true.

use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;
use serde_json::Value;

use super::World;
use super::faults::Faults;
use super::observer::Observer;
use super::resource::{Catalog, Resource, expected};
use crate::support::fault_injection::eventually;
use crate::support::function::{self, Function};
use crate::support::proxy::Proxy;
use crate::support::response::Response;
use crate::support::response_bucket::{ResponseBucket, ResponseUrl};
use crate::support::runtime_api::Outcome;
use crate::support::secrets::SecretsManager;
use crate::support::test_environment::SECRET;

/// What Lambda leaves for each event: half of it for work.
const TIME: Duration = Duration::from_secs(10);

/// After how many events a function is as big as it gets.
const WARM: usize = 5;

/// How much bigger it may be in the end, in kB: what lies about in the allocator.
const LEEWAY: u64 = 1024;

/// How it went.
#[derive(Debug, Default, Clone, Copy)]
pub struct Tally {
    /// Events that were answered: all.
    pub answered: usize,
    /// Those that succeeded.
    pub succeeded: usize,
    /// Those that failed although they could have succeeded: time ran out, or a change failed.
    pub gave_up: usize,
    /// Those whose outcome was not known.
    pub unknown: usize,
    /// Those that the responder answered.
    pub by_the_responder: usize,
    /// A function's memory when it was warm, and at the end, in kB: the one that grew most.
    pub memory: [u64; 2],
}

impl Tally {
    /// Both together.
    pub fn and(self, other: Self) -> Self {
        let grown = |tally: &Self| tally.memory[1].saturating_sub(tally.memory[0]);
        let more = if other.memory[0] > 0 && grown(&other) >= grown(&self) { other } else { self };
        Self {
            answered: self.answered + other.answered,
            succeeded: self.succeeded + other.succeeded,
            gave_up: self.gave_up + other.gave_up,
            unknown: self.unknown + other.unknown,
            by_the_responder: self.by_the_responder + other.by_the_responder,
            memory: more.memory,
        }
    }
}

/// A function and its stack.
pub struct Worker<'a> {
    world: &'a World,
    proxy: &'a Proxy,
    database: String,
    observer: Observer,
    rng: Rng,
    secrets: SecretsManager,
    bucket: ResponseBucket,
    function: Function,
    second: Function,
    resource: Resource,
    tally: Tally,
}

impl<'a> Worker<'a> {
    /// A stack with a database of its own, where changes take their time.
    pub fn begin(world: &'a World, index: usize, seed: u64) -> Self {
        let (server, proxy) = (world.server(), &world.proxies[index]);
        let database = format!("soak_{index}");
        let admin = server.connect("postgres");
        admin.query(&format!("CREATE DATABASE {database}"));
        server.connect(&database).query(SLOW);
        let secrets = SecretsManager::start();
        let secret = server.secret(proxy.port, &database);
        secrets.put(SECRET, "AWSCURRENT", secret.to_string());
        Self {
            function: start(world, &secrets),
            second: Function::start(&[("_HANDLER", "responder".to_owned())]),
            rng: Rng::with_seed(seed.wrapping_mul(1000).wrapping_add(index as u64)),
            resource: Resource::of(&database),
            bucket: ResponseBucket::start(),
            observer: Observer::of(&database),
            tally: Tally::default(),
            world,
            proxy,
            database,
            secrets,
        }
    }

    /// Delivers so many events.
    pub fn work(mut self, events: usize) -> Tally {
        for number in 0..events {
            self.one(number);
        }
        let [warm, end] = [self.tally.memory[0], self.function.status("RssAnon")];
        if warm > 0 {
            self.tally.memory[1] = end;
            assert!(end <= warm + LEEWAY, "memory grew from {warm} kB to {end} kB");
        }
        eventually(|| self.function.status("Threads") == 1);
        assert!(self.function.files() < 30, "{} files are open", self.function.files());
        self.tally
    }

    fn one(&mut self, number: usize) {
        if self.rng.bool() {
            self.observer.ask(self.world, CLEAN);
        }
        let before = self.catalog();
        let faults = Faults::of(&mut self.rng);
        let url = self.bucket.url();
        let event = self.resource.next_event(&mut self.rng, &url.url);
        let restarts = self.world.restarts.load(SeqCst);
        let ended = self.observer.ask(self.world, ENDED);
        let outcome = self.deliver(&event, &faults);
        let quiet = || restarts.is_multiple_of(2) && self.world.restarts.load(SeqCst) == restarts;
        let fair = faults.is_empty() && quiet();
        let response = self.response(&event, &url, outcome);
        let told =
            format!("event {number} of {}: {event}\n{faults:?}\n{response:#?}", self.database);
        // Then the catalog says what came of it. Where the network is gone the server is not told
        // that the session ends.
        if faults.loses_the_goodbye() {
            self.proxy.cut();
        }
        self.observer.until(self.world, LEFT, "0");
        let ended = [ended, self.observer.ask(self.world, ENDED)];
        if faults.none_for_the_database() && quiet() {
            assert_eq!(ended[0], ended[1], "a session was left to the server to end\n{told}");
        }
        self.proxy.cut();
        self.proxy.reset();
        let after = self.catalog();
        self.check(&event, &response, &before, &after, fair, &told);
        self.resource.answered(&event, &response.document);
        assert!(!self.function.ended(), "the function goes on");
        if number + 1 == WARM {
            self.tally.memory[0] = self.function.status("RssAnon");
        }
    }

    /// Delivers an event in its faults; the function has ended by Lambda's deadline.
    fn deliver(&self, event: &Value, faults: &Faults) -> Option<Outcome> {
        self.proxy.next_connections(faults.behaviors.iter().copied());
        faults.usual.inspect(|way| self.proxy.set_default(*way));
        self.secrets.fail(SECRET, faults.secrets.iter().cloned());
        self.bucket.fail(faults.bucket.iter().cloned());
        if faults.refused_for.is_some() {
            self.proxy.close();
        }
        let started = Instant::now();
        let call = self.function.send(event.to_string().as_bytes(), TIME);
        let wait = |time: Duration| {
            thread::sleep((started + time).saturating_duration_since(Instant::now()));
        };
        if let Some(time) = faults.refused_for {
            wait(time);
            self.proxy.open();
        }
        if let Some(time) = faults.gone_after {
            wait(time);
            self.proxy.block_all();
        }
        if let Some(time) = faults.killed_after {
            wait(time);
            self.world.kill_the_server();
        }
        let outcome = self.function.result(&call);
        self.bucket.recover();
        outcome
    }

    /// The one response to an event, from the function or the responder.
    fn response(&mut self, event: &Value, url: &ResponseUrl, outcome: Option<Outcome>) -> Response {
        let outcome = outcome.unwrap_or_else(|| {
            panic!("Lambda would have stopped it: {event}\n{}", self.function.output())
        });
        let handed_to_lambda = outcome.as_ref().err().map(|error| {
            assert_eq!(error["errorType"], "NotDelivered", "{error}");
            error["errorMessage"].as_str().expect("the document").to_owned()
        });
        if let Err(error) = &outcome {
            let record = function::record(event, "RetriesExhausted", error);
            let call = self.second.send(record.to_string().as_bytes(), TIME);
            assert_eq!(self.second.result(&call), Some(Ok(Value::Null)), "{record}");
            self.tally.by_the_responder += 1;
        }
        let (puts, accepted) = (self.bucket.puts(), self.bucket.accepted(url));
        self.bucket.clear();
        assert!(puts.iter().all(|put| put.target == url.target), "its own URL: {puts:?}");
        assert_eq!(accepted.len(), 1, "one response: {puts:?}");
        let body = &accepted[0].body;
        assert!(puts.iter().all(|put| put.body == *body), "every attempt sends the same");
        if let Some(document) = handed_to_lambda {
            assert_eq!(document.as_bytes(), *body, "the very document");
        }
        self.tally.answered += 1;
        Response::read(event, body, outcome)
    }

    /// Whether the response is true.
    fn check(
        &mut self,
        event: &Value,
        response: &Response,
        before: &Catalog,
        after: &Catalog,
        fair: bool,
        told: &str,
    ) {
        let expected = expected(event, before);
        let unknown = response.reason.contains("not known") || response.reason.contains("stuck");
        if response.status == "SUCCESS" {
            self.tally.succeeded += 1;
            assert_eq!(Some(after), expected.as_ref(), "{before:?}\n{told}");
            if event["RequestType"] != "Delete" {
                assert_eq!(response.data("Changed"), (before != after).to_string(), "{told}");
                let map = event["ResourceProperties"]["PluginsMap"].as_object();
                for name in map.into_iter().flatten().map(|(name, _)| name) {
                    assert_eq!(Some(response.data(name)), after.get(name).map(String::as_str));
                }
            }
        } else if unknown {
            self.tally.unknown += 1;
            assert!(
                after == before || Some(after) == expected.as_ref(),
                "{before:?}{after:?}{told}"
            );
        } else {
            self.tally.gave_up += usize::from(expected.is_some());
            assert_eq!(after, before, "nothing was changed\n{told}");
            let refused = expected.is_none() || response.reason.contains("not today");
            assert!(!fair || refused, "nothing was in the way\n{told}");
        }
    }

    /// The installed extensions but for `plpgsql`.
    fn catalog(&mut self) -> Catalog {
        let query = "SELECT extname || ' ' || extversion FROM pg_catalog.pg_extension";
        let rows = self.observer.ask(self.world, query);
        let pair = |row: &String| {
            row.split_once(' ').map(|(name, version)| (name.to_owned(), version.to_owned()))
        };
        let mut catalog: Catalog = rows.iter().filter_map(pair).collect();
        catalog.remove("plpgsql");
        catalog
    }
}

/// The function's sessions in one database.
const LEFT: &str = "SELECT count(*) FROM pg_stat_activity
    WHERE application_name = 'cfn-postgres-extensions' AND datname = current_database()";

/// How many sessions the server has ended in one database, which it does with those that it hears
/// nothing of any more. It counts a session before it takes it off the list of sessions.
const ENDED: &str =
    "SELECT sessions_fatal FROM pg_stat_database WHERE datname = current_database()";

/// The function of one worker.
fn start(world: &World, secrets: &SecretsManager) -> Function {
    Function::start(&[
        ("AWS_ENDPOINT_URL_SECRETS_MANAGER", secrets.url()),
        ("PGSSLROOTCERT", world.server().ca.clone()),
    ])
}

/// Takes every extension away: `Retain` never would.
const CLEAN: &str = "DROP EXTENSION IF EXISTS hstore, citext, cube, earthdistance CASCADE";

/// Lets changes take their time, so that faults meet them; and some fail, with others before them.
const SLOW: &str = "CREATE FUNCTION public.slow() RETURNS event_trigger LANGUAGE plpgsql AS
       'BEGIN
          PERFORM pg_sleep(random() / 10);
          IF random() < 0.04 THEN RAISE EXCEPTION ''not today''; END IF;
        END';
     CREATE EVENT TRIGGER slow ON ddl_command_end
       WHEN TAG IN ('CREATE EXTENSION', 'ALTER EXTENSION') EXECUTE FUNCTION public.slow()";
