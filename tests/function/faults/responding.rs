//! The bucket or Secrets Manager fails, or cannot be reached.

use std::time::Duration;

use crate::support::database::{Database, server};
use crate::support::fault_injection::{eventually, port_of, through};
use crate::support::function::Function;
use crate::support::http_server::{HttpServer, Reply};
use crate::support::proxy::{Behavior, Proxy};
use crate::support::secrets::Fault;
use crate::support::test_environment::{SECRET, TestEnvironment};
use serde_json::{Value, json};

/// A Create of `hstore` 1.7.
fn create(env: &TestEnvironment) -> Value {
    env.event("Create", &json!({ "PluginsMap": { "hstore": "1.7" } }))
}

/// Creates it, with a network with injected faults before the bucket; the result of the function.
fn create_through(env: &TestEnvironment, proxy: &Proxy, seconds: u64) -> Result<Value, Value> {
    let url = env.bucket.url();
    env.keep_secret(&url.signature);
    let mut event = create(env);
    event["ResponseURL"] = json!(through(&url.url, proxy.port));
    let time = Duration::from_secs(seconds);
    let outcome = env.function.invoke(event.to_string().as_bytes(), time);
    assert!(!env.function.output().contains(&url.signature), "{}", env.function.output());
    outcome
}

/// Where the bucket is.
fn bucket(env: &TestEnvironment) -> u16 {
    port_of(&env.bucket.url().url)
}

#[test]
fn the_bucket_resets_and_then_accepts() {
    let env = TestEnvironment::new();
    let proxy = Proxy::to(bucket(&env));
    proxy.next_connections([Behavior::Reset; 3]);
    let outcome = create_through(&env, &proxy, 20);
    assert_eq!(outcome, Ok(Value::Null));
    assert_eq!(env.bucket.puts().len(), 1, "it came through once");
}

#[test]
fn the_bucket_answers_byte_by_byte() {
    let env = TestEnvironment::new();
    let proxy = Proxy::to(bucket(&env));
    proxy.set_default(Behavior::Slow(1, Duration::from_millis(10)));
    let outcome = create_through(&env, &proxy, 20);
    assert_eq!(outcome, Ok(Value::Null));
    assert_eq!(env.bucket.puts().len(), 1);
}

#[test]
fn the_bucket_answers_too_slowly_to_wait_for() {
    let env = TestEnvironment::new();
    let proxy = Proxy::to(bucket(&env));
    proxy.set_default(Behavior::Slow(1, Duration::from_secs(2)));
    let outcome = create_through(&env, &proxy, 6);
    assert_eq!(outcome.expect_err("no reply")["errorType"], "NotDelivered");
    assert_eq!(env.database.installed(), "hstore 1.7");
}

#[test]
fn the_bucket_does_not_speak_http() {
    let env = TestEnvironment::new().with_seconds(6);
    let nonsense = Proxy::to(server().port);
    let outcome = create_through(&env, &nonsense, 6);
    assert_eq!(outcome.expect_err("that was no bucket")["errorType"], "NotDelivered");
}

#[test]
fn the_bucket_cannot_be_reached_at_first() {
    let env = TestEnvironment::new();
    let proxy = Proxy::closed(bucket(&env));
    std::thread::scope(|scope| {
        let creating = scope.spawn(|| create_through(&env, &proxy, 20));
        eventually(|| env.function.output().contains("sending the response"));
        proxy.open();
        assert_eq!(creating.join().expect("an outcome"), Ok(Value::Null));
    });
    assert_eq!(env.bucket.puts().len(), 1);
}

#[test]
fn a_redirect_is_final_and_not_followed() {
    let env = TestEnvironment::new();
    for status in [301, 307, 308] {
        let elsewhere = TestEnvironment::new();
        let place = elsewhere.bucket.url();
        env.keep_secret(&place.signature);
        let headers = vec![("Location", place.url)];
        env.bucket.fail([Reply::Http(status, headers, Vec::new())]);
        let response = env.deliver_once(&create(&env)).succeeded();
        assert_eq!(response.handed_to_lambda(), response.document);
        assert_eq!(elsewhere.bucket.puts().len(), 0, "the response goes nowhere else");
        assert!(response.log.join("\n").contains(&status.to_string()));
    }
}

#[test]
fn a_url_that_has_expired() {
    let env = TestEnvironment::new();
    let document = "<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code><Message>Request has \
                    expired</Message><X-Amz-Expires>7200</X-Amz-Expires></Error>";
    let before = env.bucket.puts().len();
    env.bucket.fail([Reply::status(403, document)]);
    let response = env.deliver_once(&create(&env)).succeeded();
    assert_eq!(env.bucket.puts().len() - before, 1, "asking again would not help");
    assert_eq!(response.handed_to_lambda(), response.document);
    let log = response.log.join("\n");
    for word in ["403", "AccessDenied", "expired", "aws:PrincipalOrgID"] {
        assert!(log.contains(word), "{word}: {log}");
    }
}

#[test]
fn a_refusal_without_a_document_and_one_that_never_ends() {
    let env = TestEnvironment::new();
    let endless = "x".repeat(8 << 20);
    for body in ["", "<Error><Code>s3cr3t-in-the-clear</Code></Error>", endless.as_str()] {
        env.keep_secret("s3cr3t-in-the-clear");
        env.bucket.fail([Reply::status(403, body)]);
        let response = env.deliver_once(&create(&env)).succeeded();
        assert!(response.log.join("\n").contains("no S3 error code"), "{response:#?}");
    }
}

#[test]
fn secrets_manager_does_not_respond_once() {
    let env = TestEnvironment::new().with_seconds(60);
    env.secrets.fail(SECRET, [Fault::Hang]);
    env.deliver_once(&create(&env)).succeeded();
    assert_eq!(env.secrets.calls().len(), 2);
}

#[test]
fn secrets_manager_is_out_of_reach() {
    let environment = [("AWS_ENDPOINT_URL_SECRETS_MANAGER", "http://127.0.0.1:1".to_owned())];
    let env = TestEnvironment::with(Database::create(), &environment).with_seconds(6);
    let response = env.deliver_once(&create(&env));
    response.failed(&["gave up waiting for Secrets Manager", "interface endpoint", "443"]);
    assert_eq!(env.database.installed(), "");
}

#[test]
fn secrets_manager_resets_is_slow_or_does_not_speak_json() {
    let env = TestEnvironment::new();
    let proxy = Proxy::to(port_of(&env.secrets.url()));
    let nonsense = HttpServer::start(|_| Reply::status(200, "<html>a captive portal</html>"));
    let endpoint = through(&env.secrets.url(), proxy.port);
    let function = Function::start(&[("AWS_ENDPOINT_URL_SECRETS_MANAGER", endpoint)]);
    proxy.next_connections([Behavior::Reset, Behavior::Slow(16, Duration::from_millis(2))]);
    env.deliver_to(&function, &create(&env)).succeeded();
    proxy.set_upstream(nonsense.port);
    let env = env.with_seconds(6);
    env.deliver_to(&function, &create(&env)).failed(&["Secrets Manager", "app/db"]);
}

#[test]
fn an_access_that_is_granted_a_little_late() {
    let env = TestEnvironment::new().with_seconds(20);
    env.secrets.fail(SECRET, (0..4).map(|_| Fault::Error("AccessDeniedException")));
    env.deliver_once(&create(&env)).succeeded();
    assert_eq!(env.secrets.calls().len(), 5);
    assert_eq!(env.database.installed(), "hstore 1.7");
}
