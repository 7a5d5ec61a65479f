//! The watchdog: the async side is really stuck, and there is an answer nevertheless.

mod support;

use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::answer::Answer;
use support::database::{server, unique};
use support::sandbox::{Call, Sandbox};
use support::stage::Stage;
use support::trouble::eventually;
use support::wire::Reply;

/// What Lambda leaves: half of it for work, and the watchdog wakes at three quarters.
const TIME: Duration = Duration::from_secs(8);

/// A stage, and a Create of `hstore` 1.7 with a URL of its own.
fn scene() -> (Stage, Value) {
    let stage = Stage::new();
    let mut event = stage.event("Create", &json!({ "PluginsMap": { "hstore": "1.7" } }));
    event["ResponseURL"] = json!(stage.sink.url().url);
    (stage, event)
}

/// The usual environment of a function there, with other roots.
fn environment(stage: &Stage, roots: &str) -> [(&'static str, String); 2] {
    [("AWS_ENDPOINT_URL_SECRETS_MANAGER", stage.secrets.url()), ("PGSSLROOTCERT", roots.to_owned())]
}

/// A file that blocks who reads it: a FIFO that nobody writes.
struct Fifo(PathBuf);

impl Fifo {
    fn make() -> Self {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(unique("fifo"));
        assert!(Command::new("mkfifo").arg(&path).status().is_ok_and(|status| status.success()));
        Self(path)
    }
}

impl Drop for Fifo {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// The one answer that was sent by Lambda's deadline.
#[track_caller]
fn answer(stage: &Stage, event: &Value, call: &Call) -> Answer {
    while stage.sink.puts().is_empty() && Instant::now() < call.deadline {
        thread::sleep(Duration::from_millis(10));
    }
    let puts = stage.sink.puts();
    assert_eq!(puts.len(), 1, "one answer, before Lambda's deadline");
    Answer::read(event, &puts[0].body, Ok(Value::Null))
}

#[test]
fn a_call_that_blocks() {
    let (stage, event) = scene();
    let fifo = Fifo::make();
    let sandbox = Sandbox::start(&environment(&stage, &fifo.0.to_string_lossy()));
    let call = sandbox.send(&event, TIME);
    let answer = answer(&stage, &event, &call).failed(&["time ran out", "stuck", "deploy again"]);
    assert_eq!(answer.id, "Extensions-create-failed", "nothing was begun");
    assert_eq!(sandbox.result(&call), Some(Ok(Value::Null)), "Lambda knows that it is answered");
    eventually(|| sandbox.ended());
    assert_eq!(stage.sink.puts().len(), 1);
    assert_eq!(stage.database.installed(), "");
}

#[test]
fn a_call_that_blocks_in_a_direct_invocation() {
    let (stage, mut event) = scene();
    event.as_object_mut().expect("an event").remove("ResponseURL");
    let fifo = Fifo::make();
    let sandbox = Sandbox::start(&environment(&stage, &fifo.0.to_string_lossy()));
    let call = sandbox.send(&event, TIME);
    let error = sandbox.result(&call).expect("a result in time").expect_err("a function error");
    assert_eq!(error["errorType"], "Failed");
    let document = error["errorMessage"].as_str().unwrap_or_default();
    Answer::read(&event, document.as_bytes(), Err(error.clone())).failed(&["stuck"]);
}

#[test]
fn a_call_that_blocks_and_a_bucket_that_is_busy() {
    let (stage, event) = scene();
    let fifo = Fifo::make();
    stage.sink.fail([Reply::status(503, ""), Reply::Cut]);
    let sandbox = Sandbox::start(&environment(&stage, &fifo.0.to_string_lossy()));
    let call = sandbox.send(&event, TIME);
    assert_eq!(sandbox.result(&call), Some(Ok(Value::Null)), "delivered in the end");
    assert_eq!(stage.sink.puts().len(), 3);
}

#[test]
fn a_call_that_blocks_and_a_bucket_out_of_reach() {
    let (stage, event) = scene();
    let fifo = Fifo::make();
    stage.sink.fail((0..100).map(|_| Reply::status(503, "")));
    let sandbox = Sandbox::start(&environment(&stage, &fifo.0.to_string_lossy()));
    let call = sandbox.send(&event, TIME);
    let error = sandbox.result(&call).expect("a result in time").expect_err("a function error");
    assert_eq!(error["errorType"], "NotDelivered", "the second function delivers it");
    let document = error["errorMessage"].as_str().unwrap_or_default();
    Answer::read(&event, document.as_bytes(), Err(error.clone())).failed(&["stuck"]);
}

#[test]
fn a_log_that_nobody_reads() {
    let (stage, event) = scene();
    let sandbox = Sandbox::gagged(&environment(&stage, &server().ca));
    let call = sandbox.send(&event, TIME);
    answer(&stage, &event, &call);
    assert_eq!(sandbox.result(&call), Some(Ok(Value::Null)), "Lambda knows that it is answered");
    assert!(["", "hstore 1.7"].contains(&stage.database.installed().as_str()), "all or nothing");
}

#[test]
fn a_processor_that_is_taken_away() {
    let (stage, event) = scene();
    let roots = &server().ca;
    stage.refuse("hstore", "PERFORM pg_sleep(600)");
    let sandbox = Sandbox::start(&environment(&stage, roots));
    let call = sandbox.send(&event, TIME);
    let sleeping = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'
        AND datname = current_database()";
    eventually(|| stage.database.value(sleeping) == "1");
    sandbox.freeze();
    // Back when both the work and the watchdog are overdue: one of them answers.
    let left = call.deadline.saturating_duration_since(Instant::now());
    thread::sleep(left.saturating_sub(Duration::from_millis(1500)));
    sandbox.thaw();
    answer(&stage, &event, &call).failed(&["time ran out"]);
    assert!(sandbox.result(&call).is_some());
    assert_eq!(stage.sink.puts().len(), 1, "one, whoever it was");
    assert_eq!(stage.database.installed(), "");
}

#[test]
fn a_process_that_went_well_is_not_bitten() {
    let (stage, mut event) = scene();
    let sandbox = Sandbox::start(&environment(&stage, &server().ca));
    for _ in 0..3 {
        event["ResponseURL"] = json!(stage.sink.url().url);
        let time = Duration::from_secs(2);
        let call = sandbox.send(&event, time);
        assert_eq!(sandbox.result(&call), Some(Ok(Value::Null)));
    }
    // Past the time at which the watchdog of each would have woken.
    thread::sleep(Duration::from_secs(2));
    assert!(!sandbox.ended());
    assert_eq!(stage.sink.puts().len(), 3);
    eventually(|| sandbox.status("Threads") == 1);
}
