//! Late and twice: events that come again, processes that die, requests that overlap.

use std::time::{Duration, Instant};

use crate::support::answer::Answer;
use crate::support::database::server;
use crate::support::function::Function;
use crate::support::http_server::Reply;
use crate::support::runtime_api::Invocation;
use crate::support::secrets::Fault;
use crate::support::stage::SECRET;
use crate::support::trouble::{Trouble, backends, eventually};
use serde_json::{Value, json};

/// What Lambda leaves for each event.
const TIME: Duration = Duration::from_secs(20);

/// A stage, and a function that will be killed.
struct Scene {
    trouble: Trouble,
    victim: Function,
    event: Value,
}

impl Scene {
    fn new() -> Self {
        let trouble = Trouble::new(TIME.as_secs());
        let victim = another(&trouble);
        let mut event = trouble.create_event();
        event["ResponseURL"] = json!(trouble.stage.bucket.url().url);
        Self { trouble, victim, event }
    }

    /// Hands the event to the function that will be killed.
    fn begin(&self) -> Invocation {
        self.victim.send(self.event.to_string().as_bytes(), TIME)
    }

    fn puts(&self) -> usize {
        self.trouble.stage.bucket.puts().len()
    }

    /// Kills the function; Lambda then delivers the same event to another one.
    fn kill_and_replay(&self, changed: &str) {
        self.victim.kill();
        let mut event = self.event.clone();
        event["ResponseURL"] = Value::Null;
        let answer = self.trouble.deliver(&event).succeeded();
        assert_eq!(answer.data("Changed"), changed);
        assert_eq!(self.trouble.installed(), "hstore 1.7");
    }
}

#[test]
fn killed_before_it_came_to_the_database() {
    let scene = Scene::new();
    scene.trouble.stage.secrets.fail(SECRET, [Fault::Hang]);
    scene.begin();
    eventually(|| !scene.trouble.stage.secrets.calls().is_empty());
    scene.kill_and_replay("true");
}

#[test]
fn killed_while_it_waited_for_the_lock() {
    let scene = Scene::new();
    let holder = server().connect(&scene.trouble.stage.database.name);
    holder.query("BEGIN; SELECT pg_advisory_xact_lock(7162533686429448308)");
    scene.begin();
    scene.trouble.until_locked();
    scene.victim.kill();
    std::thread::scope(|scope| {
        let replay = scope.spawn(|| scene.trouble.create());
        let both = backends("AND wait_event_type = 'Lock'");
        eventually(|| scene.trouble.stage.database.value(&both) == "2");
        holder.query("ROLLBACK");
        // The dead one gets the lock first, and loses it when the server sees that it is dead.
        assert_eq!(replay.join().expect("an answer").succeeded().data("Changed"), "true");
    });
    assert_eq!(scene.trouble.installed(), "hstore 1.7");
}

#[test]
fn killed_while_the_server_was_at_work() {
    let scene = Scene::new();
    scene.trouble.take_long(1.0);
    scene.begin();
    scene.trouble.until_creating();
    // The server finds nobody there, and takes it back.
    scene.kill_and_replay("true");
}

#[test]
fn killed_while_the_server_committed() {
    let scene = Scene::new();
    scene.trouble.commit_slowly(1.0);
    scene.begin();
    scene.trouble.until_creating();
    scene.kill_and_replay("false");
}

#[test]
fn killed_between_the_commit_and_the_answer() {
    let scene = Scene::new();
    scene.trouble.stage.bucket.fail([Reply::Hang]);
    scene.begin();
    eventually(|| scene.puts() == 1);
    scene.kill_and_replay("false");
}

#[test]
fn killed_after_the_answer() {
    let scene = Scene::new();
    let call = scene.begin();
    assert_eq!(scene.victim.result(&call), Some(Ok(Value::Null)));
    scene.kill_and_replay("false");
}

#[test]
fn killed_in_an_update_of_many() {
    let scene = Scene::new();
    let stage = &scene.trouble.stage;
    stage.database.query("CREATE EXTENSION citext VERSION '1.4'");
    scene.trouble.take_long(60.0);
    let map = json!({ "citext": "1.6", "hstore": "1.7", "earthdistance": "" });
    let mut event = scene.trouble.event("Update", &map);
    event["PhysicalResourceId"] = json!("Extensions-01234567");
    event["ResponseURL"] = json!(stage.bucket.url().url);
    scene.victim.send(event.to_string().as_bytes(), TIME);
    scene.trouble.until_creating();
    scene.victim.kill();
    // The server goes on for nobody; whoever waits for it waits no longer than the lock lasts.
    scene.trouble.terminate();
    assert_eq!(scene.trouble.installed(), "citext 1.4", "all or nothing");
}

#[test]
fn a_delete_while_the_create_runs() {
    let scene = Scene::new();
    scene.trouble.take_long(1.0);
    let call = scene.begin();
    scene.trouble.until_creating();
    let invented = "db_Extensions_1A2B3C4D5E6F";
    let properties = scene.event["ResourceProperties"].clone();
    let event = scene.trouble.stage.event_about("Delete", invented, &properties);
    let answer = scene.trouble.deliver(&event).succeeded();
    assert_eq!(answer.id, invented);
    assert_eq!(scene.victim.result(&call), Some(Ok(Value::Null)));
    assert_eq!(scene.trouble.installed(), "hstore 1.7", "`Retain` touches nothing");
}

#[test]
fn a_request_id_that_comes_again_with_another_wish() {
    let trouble = Trouble::new(20);
    let created = trouble.deliver(&trouble.event("Create", &json!({ "hstore": "1.6" })));
    let mut event = trouble.event("Update", &json!({ "hstore": "1.7" }));
    event["PhysicalResourceId"] = json!(created.succeeded().id);
    let answer = trouble.deliver(&event).succeeded();
    assert_eq!(answer.data("Changes"), "updated hstore 1.6 to 1.7", "the id decides nothing");
    assert_eq!(trouble.installed(), "hstore 1.7");
}

#[test]
fn the_same_event_twice_at_the_same_time() {
    let trouble = Trouble::new(20);
    trouble.take_long(0.5);
    let functions = [trouble.stage.another_function(), trouble.stage.another_function()];
    let answers = trouble.stage.deliver_to_all(&functions, &trouble.create_event());
    let mut changed: Vec<_> =
        answers.into_iter().map(|answer| answer.succeeded().data("Changed").to_owned()).collect();
    changed.sort();
    assert_eq!(changed, ["false", "true"], "one did it, the other found it done");
    assert_eq!(trouble.installed(), "hstore 1.7");
}

#[test]
fn an_invented_id_on_an_update() {
    let trouble = Trouble::new(20);
    let mut event = trouble.event("Update", &json!({ "hstore": "1.7" }));
    event["PhysicalResourceId"] = json!("db_Extensions_1A2B3C4D5E6F");
    assert_eq!(trouble.deliver(&event).succeeded().id, "db_Extensions_1A2B3C4D5E6F");
    event["ResourceProperties"]["PluginsMap"] = json!({ "hstore": "9.9" });
    assert_eq!(trouble.deliver(&event).failed(&["9.9"]).id, "db_Extensions_1A2B3C4D5E6F");
}

#[test]
fn an_event_that_comes_too_late() {
    let scene = Scene::new();
    let bucket = &scene.trouble.stage.bucket;
    let urls = [0, 20, 300].map(|milliseconds| {
        let url = bucket.url();
        let mut event = scene.event.clone();
        event["ResponseURL"] = json!(url.url);
        scene.victim.send(event.to_string().as_bytes(), Duration::from_millis(milliseconds));
        url
    });
    // The function takes one event after the other: with this response it is done with the others.
    let call = scene.begin();
    assert_eq!(scene.victim.result(&call), Some(Ok(Value::Null)), "the next one is answered");
    for url in urls {
        assert!(bucket.accepted(&url).len() <= 1, "no second response");
    }
    scene.kill_and_replay("false");
}

#[test]
fn a_processor_that_is_taken_away() {
    let scene = Scene::new();
    scene.trouble.stage.refuse("hstore", "PERFORM pg_sleep(600)");
    let call = scene.victim.send(scene.event.to_string().as_bytes(), Duration::from_secs(8));
    let stage = &scene.trouble.stage;
    let sleeping = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'
        AND datname = current_database()";
    eventually(|| stage.database.value(sleeping) == "1");
    scene.victim.pause();
    // Half of the time is for work: resumed when that is over.
    let deadline = call.deadline().expect("an event that was taken");
    let left = deadline.saturating_duration_since(Instant::now());
    std::thread::sleep(left.saturating_sub(Duration::from_millis(3500)));
    scene.victim.resume();
    assert_eq!(scene.victim.result(&call), Some(Ok(Value::Null)));
    let puts = stage.bucket.puts();
    assert_eq!(puts.len(), 1, "one response");
    Answer::read(&scene.event, &puts[0].body, Ok(Value::Null)).failed(&["time ran out"]);
    assert_eq!(stage.database.installed(), "");
}

/// A function that can be killed.
fn another(trouble: &Trouble) -> Function {
    Function::start(&[
        ("AWS_ENDPOINT_URL_SECRETS_MANAGER", trouble.stage.secrets.url()),
        ("PGSSLROOTCERT", server().ca.clone()),
    ])
}
