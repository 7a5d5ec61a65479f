//! Faults of the wire: events of any shape, responses that are not accepted, time that runs out.

use std::time::Duration;

use crate::support::database::server;
use crate::support::fault_injection::eventually;
use crate::support::http_server::{HttpServer, Reply};
use crate::support::response::Response;
use crate::support::response_bucket::ResponseBucket;
use crate::support::secrets::Fault;
use crate::support::test_environment::{SECRET, TestEnvironment};
use crate::support::unreachable_address::UnreachableAddress;
use serde_json::{Value, json};

/// The map that most of these stories ask for.
fn hstore() -> Value {
    json!({ "hstore": "1.7" })
}

/// A Create of it.
fn create(env: &TestEnvironment) -> Value {
    env.event("Create", &json!({ "PluginsMap": hstore() }))
}

#[test]
fn an_event_of_any_shape_is_answered() {
    let env = TestEnvironment::new();
    let usual = create(&env);
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
        let response = env.deliver(&event);
        assert_eq!(response.status, "FAILED", "{event}: {response:#?}");
    }
    let long = "x".repeat(20_000);
    env.deliver(&with("RequestType", json!(long))).failed(&["RequestType"]);
    let mut strange = create(&env);
    strange["ResourceProperties"]["PluginsMap"] = json!({ long: "1" });
    env.deliver(&strange).failed(&["20000 bytes, not shown", "no such extension"]);
    assert_eq!(env.database.installed(), "");
    env.deliver(&with("Surprise", json!({ "from": "the future" }))).succeeded();
}

#[test]
fn a_map_of_any_size_is_answered_in_time() {
    let env = TestEnvironment::new().with_seconds(30);
    let keys = |count: usize, value: &str| -> Value {
        (0..count).map(|it| (format!("extension_{it}"), json!(value))).collect()
    };
    let long = "hstore".repeat(150_000);
    env.create(&json!({ long.as_str(): "1.7" })).failed(&["no such extension"]);
    env.create(&keys(50_000, "1.7")).failed(&[
        "the first 100 problems",
        "`extension_0`: this server",
        "offers no such extension; the same for `extension_1`, `extension_10`",
    ]);
    env.create(&keys(50_000, "*")).failed(&["the first 100 problems", "ambiguous"]);
    let mut properties = keys(50_000, "x");
    properties["PluginsMap"] = json!({ "hstore": keys(50_000, "1.7") });
    env.create_with(&properties).failed(&["the first 100 problems", "unknown property"]);
    let wrong =
        json!({ "PluginsMap": {}, "SslMode": long, "RemovalPolicy": long, long.as_str(): 1 });
    env.create_with(&wrong).failed(&["bytes, not shown"]);
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
fn a_property_that_is_json_is_answered_however_odd() {
    let mut env = TestEnvironment::new();
    for odd in odd_json() {
        env = env.with_map(&odd);
        for name in ["PluginsMap", "Trigger", "ServiceTimeout", "DBSecret", "Unknown"] {
            let properties = json!({ name: "MAP" });
            let response = env.create_with(&properties).failed(&["the properties cannot be read"]);
            assert_eq!(response.id, "Extensions-create-failed");
            let mut properties = json!({ "RemovalPolicy": "Drop" });
            properties[name] = json!("MAP");
            let delete = env.event_about("Delete", "Extensions-01234567", &properties);
            env.deliver(&delete).succeeded();
        }
    }
    assert_eq!(env.database.installed(), "");
}

#[test]
fn an_event_that_is_json_is_answered_however_odd() {
    let mut env = TestEnvironment::new();
    for odd in odd_json() {
        env = env.with_map(&odd);
        for member in ["Surprise", "ResourceType", "OldResourceProperties", "PhysicalResourceId"] {
            let mut event = create(&env);
            event[member] = json!("MAP");
            env.deliver(&event).succeeded();
            event["ResourceProperties"] = json!("MAP");
            env.deliver(&event).failed(&["properties"]);
        }
        for member in ["RequestType", "StackId", "RequestId", "LogicalResourceId"] {
            let mut event = create(&env);
            let url = env.bucket.url();
            event["ResponseURL"] = json!(url.url);
            event[member] = json!("MAP");
            let text = event.to_string().replace("\"MAP\"", &odd);
            let outcome = env.function.invoke(text.as_bytes(), Duration::from_secs(60));
            assert_eq!(outcome, Ok(Value::Null), "{member} {odd}");
            let puts = env.bucket.puts();
            let put = puts.last().expect("a response");
            assert!(put.target.contains(&url.signature), "{member} {odd}");
        }
    }
    assert_eq!(env.database.installed(), "hstore 1.7");
}

#[test]
fn an_update_without_an_id_and_a_delete_without_properties() {
    let env = TestEnvironment::new();
    let mut event = create(&env);
    event["RequestType"] = json!("Update");
    env.deliver(&event);
    event["RequestType"] = json!("Delete");
    event["PhysicalResourceId"] = json!("Extensions-01234567");
    event["ResourceProperties"] = json!(null);
    assert_eq!(env.deliver(&event).succeeded().id, "Extensions-01234567");
}

#[test]
fn the_response_is_sent_again_until_it_is_accepted() {
    let env = TestEnvironment::new();
    let busy = || Reply::status(503, "<Error><Code>SlowDown</Code></Error>");
    for faults in [
        vec![busy(), busy(), busy()],
        vec![Reply::Cut],
        vec![Reply::Cut, busy(), Reply::status(500, "")],
        vec![Reply::Hang],
    ] {
        let (before, attempts) = (env.bucket.puts().len(), faults.len() + 1);
        env.bucket.fail(faults);
        let response = env.deliver_once(&create(&env)).succeeded();
        assert_eq!(env.bucket.puts().len() - before, attempts);
        assert_eq!(response.outcome, Ok(Value::Null));
    }
    let before = env.bucket.puts().len();
    env.deliver_once(&create(&env)).succeeded();
    assert_eq!(env.bucket.puts().len() - before, 1, "exactly one where all is well");
}

#[test]
fn a_refusal_is_final_and_the_function_fails() {
    let env = TestEnvironment::new();
    for status in [403, 400, 404] {
        let before = env.bucket.puts().len();
        env.bucket.fail([Reply::status(
            status,
            "<?xml?><Error><Code>AccessDenied</Code><HostId>x</HostId></Error>",
        )]);
        let response = env.deliver_once(&create(&env)).succeeded();
        assert_eq!(env.bucket.puts().len() - before, 1);
        assert_eq!(response.handed_to_lambda(), response.document);
        let log = response.log.join("\n");
        assert!(log.contains("AccessDenied") && log.contains(&status.to_string()), "{log}");
    }
}

#[test]
fn a_response_that_is_not_accepted_is_returned_to_lambda() {
    let env = TestEnvironment::new().with_seconds(6);
    env.bucket.fail((0..100).map(|_| Reply::status(503, "")));
    let response = env.deliver_once(&create(&env)).succeeded();
    assert_eq!(response.handed_to_lambda(), response.document);
    assert_eq!(env.database.installed(), "hstore 1.7");
}

#[test]
fn a_response_without_a_usable_url() {
    let env = TestEnvironment::new().with_seconds(6);
    let gone = format!("http://127.0.0.1:1/{}", ResponseBucket::start().url().target);
    for url in [
        gone.as_str(),
        "http://192.0.2.1/answer?X-Amz-Signature=5ecre7ab1e",
        "ftp://127.0.0.1/answer?X-Amz-Signature=5ecre7ab1e",
        "no URL at all 5ecre7ab1e",
        "",
    ] {
        let mut event = create(&env);
        event["ResponseURL"] = json!(url);
        let outcome = env.function.invoke(event.to_string().as_bytes(), Duration::from_secs(4));
        let error = outcome.expect_err("not delivered");
        let document = error["errorMessage"].as_str().unwrap_or_default().to_owned();
        let response = Response::read(&event, document.as_bytes(), Err(error));
        if !url.is_empty() {
            env.keep_secret(url);
        }
        env.keep_secret("5ecre7ab1e");
        env.check_nothing_leaked(&env.function, &response);
    }
    env.deliver(&create(&env)).succeeded();
}

#[test]
fn a_direct_invocation_returns_the_document() {
    let env = TestEnvironment::new();
    let event = json!({
        "RequestType": "Create",
        "ResourceProperties": create(&env)["ResourceProperties"],
    });
    let response = env.invoke(&event).succeeded();
    assert_eq!(response.data("hstore"), "1.7");
    assert_eq!(response.data("Changed"), "true");
    let mut wrong = event.clone();
    wrong["ResourceProperties"]["PluginsMap"] = json!({ "hstore": "9.9" });
    env.invoke(&wrong).failed(&["9.9"]);
    // Nobody but CloudFormation has a limit of 4096 bytes.
    let last = format!("`{}99`", "x".repeat(50));
    for number in 10..100 {
        wrong["ResourceProperties"]["PluginsMap"][format!("{}{number}", "x".repeat(50))] =
            json!("");
    }
    let response = env.invoke(&wrong).failed(&["9.9", &last]);
    assert!(response.reason.len() > 4096, "{}", response.reason);
    wrong["ResourceProperties"] = json!(null);
    env.invoke(&wrong).failed(&["ResourceProperties"]);
    for shapeless in [json!(null), json!([]), json!("Create"), json!(7)] {
        env.invoke(&shapeless).failed(&["RequestType"]);
    }
    assert_eq!(env.bucket.puts().len(), 0);
}

#[test]
fn a_lock_that_others_hold_is_waited_for() {
    let env = TestEnvironment::new();
    let session = server().connect(&env.database.name);
    session.query("BEGIN; LOCK TABLE pg_catalog.pg_extension IN SHARE MODE");
    let first = env.another_function();
    let event = create(&env);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| env.deliver_to(&first, &event));
        let stuck = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'
            AND datname = current_database()";
        eventually(|| env.database.value(stuck) == "1");
        // The responder waits for the first one, and has less time.
        let hasty = env.another_function();
        let mut event = event.clone();
        event["ResourceProperties"]["ServiceTimeout"] = json!("3");
        let response = env.deliver_to(&hasty, &event).failed(&["time", "lock"]);
        assert_eq!(response.id, "Extensions-create-failed");
        session.query("COMMIT");
        let response = waiting.join().expect("a response").succeeded();
        assert_eq!(response.data("Changed"), "true");
    });
}

#[test]
fn a_statement_that_takes_too_long_is_ended() {
    let env = TestEnvironment::new().with_seconds(6);
    env.run_after_create("hstore", "PERFORM pg_sleep(600)");
    let response = env.deliver_once(&create(&env)).failed(&["time", "57014", "hstore"]);
    assert_eq!(response.id, "Extensions-create-failed");
    assert_eq!(env.database.installed(), "");
    let sleeping = "SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()";
    eventually(|| env.database.value(sleeping) == "0");
}

#[test]
fn the_time_that_the_service_leaves_counts() {
    let env = TestEnvironment::new().with_seconds(900);
    let unreachable = UnreachableAddress::new();
    for timeout in [json!("2"), json!(2)] {
        let properties = json!({ "PluginsMap": hstore(), "Port": unreachable.port.to_string(),
                                 "ServiceTimeout": timeout });
        // Half of the time is for work. Of 900 s an attempt would get more.
        env.create_with(&properties).failed(&["no response within 1 s"]);
    }
}

#[test]
fn a_secrets_manager_that_does_not_respond() {
    let env = TestEnvironment::new().with_seconds(6);
    env.secrets.fail(SECRET, (0..20).map(|_| Fault::Hang));
    env.create(&hstore()).failed(&["Secrets Manager", "interface endpoint", "NAT"]);
}

#[test]
fn a_server_that_does_not_respond() {
    let env = TestEnvironment::new().with_seconds(6);
    let silent = HttpServer::start(|_| Reply::Hang);
    let properties = json!({ "PluginsMap": hstore(), "Port": silent.port.to_string() });
    env.create_with(&properties).failed(&["waiting", "security group"]);
}
