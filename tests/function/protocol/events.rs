//! Faults of the wire: events of any shape, answers that do not get through, time that runs out.

use std::time::{Duration, Instant};

use crate::support::answer::Answer;
use crate::support::database::server;
use crate::support::http_server::Reply;
use crate::support::response_bucket::ResponseBucket;
use crate::support::stage::Stage;
use serde_json::{Value, json};

/// The map that most of these stories ask for.
fn hstore() -> Value {
    json!({ "hstore": "1.7" })
}

/// A Create of it.
fn create(stage: &Stage) -> Value {
    stage.event("Create", &json!({ "PluginsMap": hstore() }))
}

#[test]
fn an_event_of_any_shape_is_answered() {
    let stage = Stage::new();
    let usual = create(&stage);
    let with = |name: &str, value: Value| {
        let mut event = usual.clone();
        event[name] = value;
        event
    };
    for event in [
        json!({}),
        json!({ "RequestType": "Create" }),
        with("RequestType", json!(null)),
        with("RequestType", json!("Explode")),
        with("RequestType", json!(7)),
        with("RequestType", json!("create")),
        with("ResourceProperties", json!(null)),
        with("ResourceProperties", json!("PluginsMap")),
        with("ResourceProperties", json!([{ "PluginsMap": {} }])),
        with("ResourceProperties", json!({})),
    ] {
        let answer = stage.deliver(&event);
        assert_eq!(answer.status, "FAILED", "{event}: {answer:#?}");
    }
    let long = "x".repeat(20_000);
    stage.deliver(&with("RequestType", json!(long))).failed(&["RequestType"]);
    let mut strange = create(&stage);
    strange["ResourceProperties"]["PluginsMap"] = json!({ long: "1" });
    stage.deliver(&strange).failed(&["20000 bytes, not shown", "no such extension"]);
    assert_eq!(stage.database.installed(), "");
    stage.deliver(&with("Surprise", json!({ "from": "the future" }))).succeeded();
}

#[test]
fn a_map_of_any_size_is_answered_in_time() {
    let stage = Stage::new().with_seconds(30);
    let keys = |count: usize, value: &str| -> Value {
        (0..count).map(|it| (format!("extension_{it}"), json!(value))).collect()
    };
    let long = "hstore".repeat(150_000);
    stage.create(&json!({ long.as_str(): "1.7" })).failed(&["no such extension"]);
    stage.create(&keys(50_000, "1.7")).failed(&[
        "the first 100 problems",
        "`extension_0`: this server",
        "offers no such extension; the same for `extension_1`, `extension_10`",
    ]);
    stage.create(&keys(50_000, "*")).failed(&["the first 100 problems", "says too little"]);
    let mut properties = keys(50_000, "x");
    properties["PluginsMap"] = json!({ "hstore": keys(50_000, "1.7") });
    stage.create_with(&properties).failed(&["the first 100 problems", "unknown property"]);
    let wrong =
        json!({ "PluginsMap": {}, "SslMode": long, "RemovalPolicy": long, long.as_str(): 1 });
    stage.create_with(&wrong).failed(&["bytes, not shown"]);
}

/// JSON that no string or tree of ours can hold.
fn odd_json() -> [String; 5] {
    let deep = |open: &str, close: &str| format!("{}1{}", open.repeat(300), close.repeat(300));
    [
        deep("[", "]"),
        deep(r#"{"x":"#, "}"),
        r#""half a pair: \ud800""#.to_owned(),
        r#"{"hst\udc00re":"1.7"}"#.to_owned(),
        "1e999".to_owned(),
    ]
}

#[test]
fn an_event_that_is_json_is_answered_however_odd() {
    let mut stage = Stage::new();
    for odd in odd_json() {
        stage = stage.with_map(&odd);
        for name in ["PluginsMap", "Trigger", "ServiceTimeout", "DBSecret", "Unknown"] {
            let properties = json!({ name: "MAP" });
            let answer = stage.create_with(&properties).failed(&["the properties cannot be read"]);
            assert_eq!(answer.id, "Extensions-create-failed");
            let mut properties = json!({ "RemovalPolicy": "Drop" });
            properties[name] = json!("MAP");
            let delete = stage.event_about("Delete", "Extensions-01234567", &properties);
            stage.deliver(&delete).succeeded();
        }
        for member in ["Surprise", "ResourceType", "OldResourceProperties", "PhysicalResourceId"] {
            let mut event = create(&stage);
            event[member] = json!("MAP");
            stage.deliver(&event).succeeded();
            event["ResourceProperties"] = json!("MAP");
            stage.deliver(&event).failed(&["properties"]);
        }
        for member in ["RequestType", "StackId", "RequestId", "LogicalResourceId"] {
            let mut event = create(&stage);
            let url = stage.bucket.url();
            event["ResponseURL"] = json!(url.url);
            event[member] = json!("MAP");
            let text = event.to_string().replace("\"MAP\"", &odd);
            let outcome = stage.function.invoke(text.as_bytes(), Duration::from_secs(60));
            assert_eq!(outcome, Ok(Value::Null), "{member} {odd}");
            let puts = stage.bucket.puts();
            let put = puts.last().expect("an answer");
            assert!(put.target.contains(&url.signature), "{member} {odd}");
        }
    }
    assert_eq!(stage.database.installed(), "hstore 1.7");
}

#[test]
fn an_update_without_an_id_and_a_delete_without_properties() {
    let stage = Stage::new();
    let mut event = create(&stage);
    event["RequestType"] = json!("Update");
    stage.deliver(&event);
    event["RequestType"] = json!("Delete");
    event["PhysicalResourceId"] = json!("Extensions-01234567");
    event["ResourceProperties"] = json!(null);
    assert_eq!(stage.deliver(&event).succeeded().id, "Extensions-01234567");
}

#[test]
fn the_answer_is_sent_again_until_it_is_taken() {
    let stage = Stage::new();
    let busy = || Reply::status(503, "<Error><Code>SlowDown</Code></Error>");
    for faults in [
        vec![busy(), busy(), busy()],
        vec![Reply::Cut],
        vec![Reply::Cut, busy(), Reply::status(500, "")],
        vec![Reply::Hang],
    ] {
        let (before, attempts) = (stage.bucket.puts().len(), faults.len() + 1);
        stage.bucket.fail(faults);
        let answer = stage.deliver_once(&create(&stage)).succeeded();
        assert_eq!(stage.bucket.puts().len() - before, attempts);
        assert_eq!(answer.outcome, Ok(Value::Null));
    }
    let before = stage.bucket.puts().len();
    stage.deliver_once(&create(&stage)).succeeded();
    assert_eq!(stage.bucket.puts().len() - before, 1, "exactly one where all is well");
}

#[test]
fn a_refusal_is_final_and_the_function_fails() {
    let stage = Stage::new();
    for status in [403, 400, 404] {
        let before = stage.bucket.puts().len();
        stage.bucket.fail([Reply::status(
            status,
            "<?xml?><Error><Code>AccessDenied</Code><HostId>x</HostId></Error>",
        )]);
        let answer = stage.deliver_once(&create(&stage)).succeeded();
        assert_eq!(stage.bucket.puts().len() - before, 1);
        assert_eq!(answer.handed_over(), answer.document);
        let log = answer.log.join("\n");
        assert!(log.contains("AccessDenied") && log.contains(&status.to_string()), "{log}");
    }
}

#[test]
fn an_answer_that_nobody_takes_is_handed_to_lambda() {
    let stage = Stage::new().with_seconds(6);
    stage.bucket.fail((0..100).map(|_| Reply::status(503, "")));
    let answer = stage.deliver_once(&create(&stage)).succeeded();
    assert_eq!(answer.handed_over(), answer.document);
    assert_eq!(stage.database.installed(), "hstore 1.7");
}

#[test]
fn an_answer_that_has_nowhere_to_go() {
    let stage = Stage::new().with_seconds(4);
    let gone = format!("http://127.0.0.1:1/{}", ResponseBucket::start().url().target);
    for url in [
        gone.as_str(),
        "http://192.0.2.1/answer?X-Amz-Signature=5ecre7ab1e",
        "ftp://127.0.0.1/answer?X-Amz-Signature=5ecre7ab1e",
        "no URL at all 5ecre7ab1e",
        "",
    ] {
        let mut event = create(&stage);
        event["ResponseURL"] = json!(url);
        let outcome = stage.function.invoke(event.to_string().as_bytes(), Duration::from_secs(4));
        let error = outcome.expect_err("nobody was told");
        let document = error["errorMessage"].as_str().unwrap_or_default().to_owned();
        let answer = Answer::read(&event, document.as_bytes(), Err(error));
        if !url.is_empty() {
            stage.plant(url);
        }
        stage.plant("5ecre7ab1e");
        stage.check_silence(&stage.function, &answer);
    }
    stage.deliver(&create(&stage)).succeeded();
}

#[test]
fn a_direct_invocation_returns_the_document() {
    let stage = Stage::new();
    let event = json!({
        "RequestType": "Create",
        "ResourceProperties": create(&stage)["ResourceProperties"],
    });
    let answer = stage.invoke(&event).succeeded();
    assert_eq!(answer.data("hstore"), "1.7");
    assert_eq!(answer.data("Changed"), "true");
    let mut wrong = event.clone();
    wrong["ResourceProperties"]["PluginsMap"] = json!({ "hstore": "9.9" });
    stage.invoke(&wrong).failed(&["9.9"]);
    // Nobody but CloudFormation has a limit of 4096 bytes.
    let last = format!("`{}99`", "x".repeat(50));
    for number in 10..100 {
        wrong["ResourceProperties"]["PluginsMap"][format!("{}{number}", "x".repeat(50))] =
            json!("");
    }
    let answer = stage.invoke(&wrong).failed(&["9.9", &last]);
    assert!(answer.reason.len() > 4096, "{}", answer.reason);
    wrong["ResourceProperties"] = json!(null);
    stage.invoke(&wrong).failed(&["ResourceProperties"]);
    for shapeless in [json!(null), json!([]), json!("Create"), json!(7)] {
        stage.invoke(&shapeless).failed(&["RequestType"]);
    }
    assert_eq!(stage.bucket.puts().len(), 0);
}

#[test]
fn a_lock_that_others_hold_is_waited_for() {
    let stage = Stage::new();
    let session = server().connect(&stage.database.name);
    session.query("BEGIN; LOCK TABLE pg_catalog.pg_extension IN SHARE MODE");
    let first = stage.another_function();
    let event = create(&stage);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| stage.deliver_to(&first, &event));
        let stuck = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'
            AND datname = current_database()";
        eventually(|| stage.database.value(stuck) == "1");
        // The second function waits for the first one, and has less time.
        let hasty = stage.another_function();
        let mut event = event.clone();
        event["ResourceProperties"]["ServiceTimeout"] = json!("3");
        let answer = stage.deliver_to(&hasty, &event).failed(&["time", "lock"]);
        assert_eq!(answer.id, "Extensions-create-failed");
        session.query("COMMIT");
        let answer = waiting.join().expect("an answer").succeeded();
        assert_eq!(answer.data("Changed"), "true");
    });
}

#[test]
fn a_statement_that_takes_too_long_is_ended() {
    let stage = Stage::new().with_seconds(4);
    stage.refuse("hstore", "PERFORM pg_sleep(600)");
    let answer = stage.deliver_once(&create(&stage)).failed(&["time", "57014", "hstore"]);
    assert_eq!(answer.id, "Extensions-create-failed");
    assert_eq!(stage.database.installed(), "");
    let sleeping = "SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()";
    eventually(|| stage.database.value(sleeping) == "0");
}

#[test]
fn the_time_that_the_service_leaves_counts() {
    let stage = Stage::new().with_seconds(900);
    let started = Instant::now();
    for timeout in [json!("2"), json!(2)] {
        let properties = json!({ "PluginsMap": hstore(), "Port": "1", "ServiceTimeout": timeout });
        stage.create_with(&properties).failed(&["waiting"]);
    }
    assert!(started.elapsed() < Duration::from_mins(2), "of 900 s that Lambda left");
}

#[test]
fn a_secrets_manager_that_says_nothing() {
    let stage = Stage::new().with_seconds(4);
    stage
        .secrets
        .fail(crate::support::stage::SECRET, (0..20).map(|_| crate::support::secrets::Fault::Hang));
    stage.create(&hstore()).failed(&["Secrets Manager", "interface endpoint", "NAT"]);
}

#[test]
fn a_server_that_says_nothing() {
    let stage = Stage::new().with_seconds(4);
    let silent = crate::support::http_server::HttpServer::start(|_| Reply::Hang);
    let properties = json!({ "PluginsMap": hstore(), "Port": silent.port.to_string() });
    stage.create_with(&properties).failed(&["waiting", "security group"]);
}

/// Waits until it is so.
#[track_caller]
fn eventually(so: impl Fn() -> bool) {
    for _ in 0..600 {
        if so() {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("it never came to that");
}
