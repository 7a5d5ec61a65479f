//! Events that come again, processes that die, requests that overlap.

use std::time::{Duration, Instant};

use crate::support::database::server;
use crate::support::fault_injection::{FaultInjection, backends, eventually};
use crate::support::function::Function;
use crate::support::http_server::Reply;
use crate::support::response::Response;
use crate::support::runtime_api::Invocation;
use crate::support::secrets::Fault;
use crate::support::test_environment::SECRET;
use serde_json::{Value, json};

/// What Lambda leaves for each event.
const TIME: Duration = Duration::from_secs(20);

/// A test environment, and a function that will be killed.
struct Redelivery {
    faults: FaultInjection,
    function: Function,
    event: Value,
}

impl Redelivery {
    fn new() -> Self {
        let faults = FaultInjection::new(TIME.as_secs());
        let function = another(&faults);
        let mut event = faults.create_event();
        event["ResponseURL"] = json!(faults.env.bucket.url().url);
        Self { faults, function, event }
    }

    /// Hands the event to the function that will be killed.
    fn begin(&self) -> Invocation {
        self.function.send(self.event.to_string().as_bytes(), TIME)
    }

    fn puts(&self) -> usize {
        self.faults.env.bucket.puts().len()
    }

    /// Kills the function; Lambda then delivers the same event to another one.
    fn kill_and_replay(&self, changed: &str) {
        self.function.kill();
        let mut event = self.event.clone();
        event["ResponseURL"] = Value::Null;
        let response = self.faults.deliver(&event).succeeded();
        assert_eq!(response.data("Changed"), changed);
        assert_eq!(self.faults.installed(), "hstore 1.7");
    }
}

#[test]
fn killed_before_it_connected() {
    let redelivery = Redelivery::new();
    redelivery.faults.env.secrets.fail(SECRET, [Fault::Hang]);
    redelivery.begin();
    eventually(|| !redelivery.faults.env.secrets.calls().is_empty());
    redelivery.kill_and_replay("true");
}

#[test]
fn killed_while_it_waited_for_the_lock() {
    let redelivery = Redelivery::new();
    let holder = server().connect(&redelivery.faults.env.database.name);
    holder.query("BEGIN; SELECT pg_advisory_xact_lock(7162533686429448308)");
    redelivery.begin();
    redelivery.faults.until_locked();
    redelivery.function.kill();
    std::thread::scope(|scope| {
        let replay = scope.spawn(|| redelivery.faults.create());
        let both = backends("AND wait_event_type = 'Lock'");
        eventually(|| redelivery.faults.env.database.value(&both) == "2");
        holder.query("ROLLBACK");
        // The dead one gets the lock first, and loses it when the server sees that it is dead.
        assert_eq!(replay.join().expect("a response").succeeded().data("Changed"), "true");
    });
    assert_eq!(redelivery.faults.installed(), "hstore 1.7");
}

#[test]
fn killed_while_the_server_made_the_changes() {
    let redelivery = Redelivery::new();
    let barrier = redelivery.faults.pause_create();
    redelivery.begin();
    barrier.until_reached();
    redelivery.function.kill();
    barrier.open();
    // The server finds that the function is gone, and rolls back.
    redelivery.kill_and_replay("true");
}

#[test]
fn killed_while_the_server_committed() {
    let redelivery = Redelivery::new();
    let barrier = redelivery.faults.pause_commit();
    redelivery.begin();
    barrier.until_reached();
    // Paused, so that it does not see the reply.
    redelivery.function.pause();
    barrier.open();
    eventually(|| redelivery.faults.env.database.installed() == "hstore 1.7");
    redelivery.kill_and_replay("false");
}

#[test]
fn killed_between_the_commit_and_the_response() {
    let redelivery = Redelivery::new();
    redelivery.faults.env.bucket.fail([Reply::Hang]);
    redelivery.begin();
    eventually(|| redelivery.puts() == 1);
    redelivery.kill_and_replay("false");
}

#[test]
fn killed_after_the_response() {
    let redelivery = Redelivery::new();
    let call = redelivery.begin();
    assert_eq!(redelivery.function.result(&call), Some(Ok(Value::Null)));
    redelivery.kill_and_replay("false");
}

#[test]
fn killed_in_an_update_of_many() {
    let redelivery = Redelivery::new();
    let env = &redelivery.faults.env;
    env.database.query("CREATE EXTENSION citext VERSION '1.4'");
    redelivery.faults.env.run_after_create("hstore", "PERFORM pg_sleep(600)");
    let map = json!({ "citext": "1.6", "hstore": "1.7", "earthdistance": "" });
    let mut event = redelivery.faults.event("Update", &map);
    event["PhysicalResourceId"] = json!("Extensions-01234567");
    event["ResponseURL"] = json!(env.bucket.url().url);
    redelivery.function.send(event.to_string().as_bytes(), TIME);
    redelivery.faults.until_sleeping();
    redelivery.function.kill();
    // The server goes on without a client; another request would wait for the lock.
    redelivery.faults.terminate();
    assert_eq!(redelivery.faults.installed(), "citext 1.4", "all or nothing");
}

#[test]
fn a_delete_while_the_create_runs() {
    let redelivery = Redelivery::new();
    let barrier = redelivery.faults.pause_create();
    let call = redelivery.begin();
    barrier.until_reached();
    let invented = "db_Extensions_1A2B3C4D5E6F";
    let properties = redelivery.event["ResourceProperties"].clone();
    let event = redelivery.faults.env.event_about("Delete", invented, &properties);
    let response = redelivery.faults.deliver(&event).succeeded();
    assert_eq!(response.id, invented);
    barrier.open();
    assert_eq!(redelivery.function.result(&call), Some(Ok(Value::Null)));
    assert_eq!(redelivery.faults.installed(), "hstore 1.7", "`Retain` touches nothing");
}

#[test]
fn a_request_id_that_comes_again_with_other_properties() {
    let faults = FaultInjection::new(60);
    let created = faults.deliver(&faults.event("Create", &json!({ "hstore": "1.6" })));
    let mut event = faults.event("Update", &json!({ "hstore": "1.7" }));
    event["PhysicalResourceId"] = json!(created.succeeded().id);
    let response = faults.deliver(&event).succeeded();
    assert_eq!(response.data("Changes"), "updated hstore 1.6 to 1.7", "the id decides nothing");
    assert_eq!(faults.installed(), "hstore 1.7");
}

#[test]
fn the_same_event_twice_at_the_same_time() {
    let faults = FaultInjection::new(60);
    faults.env.run_after_create("hstore", "PERFORM pg_sleep(0.5)");
    let functions = [faults.env.another_function(), faults.env.another_function()];
    let responses = faults.env.deliver_to_all(&functions, &faults.create_event());
    let mut changed: Vec<_> = responses
        .into_iter()
        .map(|response| response.succeeded().data("Changed").to_owned())
        .collect();
    changed.sort();
    assert_eq!(changed, ["false", "true"], "one did it, the other found it done");
    assert_eq!(faults.installed(), "hstore 1.7");
}

#[test]
fn an_invented_id_on_an_update() {
    let faults = FaultInjection::new(60);
    let mut event = faults.event("Update", &json!({ "hstore": "1.7" }));
    event["PhysicalResourceId"] = json!("db_Extensions_1A2B3C4D5E6F");
    assert_eq!(faults.deliver(&event).succeeded().id, "db_Extensions_1A2B3C4D5E6F");
    event["ResourceProperties"]["PluginsMap"] = json!({ "hstore": "9.9" });
    assert_eq!(faults.deliver(&event).failed(&["9.9"]).id, "db_Extensions_1A2B3C4D5E6F");
}

#[test]
fn an_event_that_comes_too_late() {
    let redelivery = Redelivery::new();
    let bucket = &redelivery.faults.env.bucket;
    let urls = [0, 20, 300].map(|milliseconds| {
        let url = bucket.url();
        let mut event = redelivery.event.clone();
        event["ResponseURL"] = json!(url.url);
        redelivery.function.send(event.to_string().as_bytes(), Duration::from_millis(milliseconds));
        url
    });
    // The function takes one event after the other: with this response it is done with the others.
    let call = redelivery.begin();
    assert_eq!(
        redelivery.function.result(&call),
        Some(Ok(Value::Null)),
        "the next one is answered"
    );
    for url in urls {
        assert!(bucket.accepted(&url).len() <= 1, "no second response");
    }
    redelivery.kill_and_replay("false");
}

#[test]
fn a_process_that_is_paused() {
    let redelivery = Redelivery::new();
    redelivery.faults.env.run_after_create("hstore", "PERFORM pg_sleep(600)");
    let call =
        redelivery.function.send(redelivery.event.to_string().as_bytes(), Duration::from_secs(8));
    let env = &redelivery.faults.env;
    let sleeping = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'
        AND datname = current_database()";
    eventually(|| env.database.value(sleeping) == "1");
    redelivery.function.pause();
    // Half of the time is for work: resumed when that is over.
    let deadline = call.deadline().expect("an event that was taken");
    let left = deadline.saturating_duration_since(Instant::now());
    std::thread::sleep(left.saturating_sub(Duration::from_millis(3500)));
    redelivery.function.resume();
    assert_eq!(redelivery.function.result(&call), Some(Ok(Value::Null)));
    let puts = env.bucket.puts();
    assert_eq!(puts.len(), 1, "one response");
    Response::read(&redelivery.event, &puts[0].body, Ok(Value::Null)).failed(&["time ran out"]);
    assert_eq!(env.database.installed(), "");
}

/// A function that can be killed.
fn another(faults: &FaultInjection) -> Function {
    Function::start(&[
        ("AWS_ENDPOINT_URL_SECRETS_MANAGER", faults.env.secrets.url()),
        ("PGSSLROOTCERT", server().ca.clone()),
    ])
}
