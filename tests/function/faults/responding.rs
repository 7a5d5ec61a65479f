//! Faults of the answer's way and of Secrets Manager's, and the second function.

use std::time::{Duration, Instant};

use crate::support::function::Function;
use crate::support::http_server::{HttpServer, Reply};
use crate::support::proxy::{Proxy, Way};
use crate::support::secrets::Fault;
use crate::support::stage::{SECRET, Stage};
use crate::support::trouble::{eventually, port_of, through};
use serde_json::{Value, json};

/// A Create of `hstore` 1.7.
fn create(stage: &Stage) -> Value {
    stage.event("Create", &json!({ "PluginsMap": { "hstore": "1.7" } }))
}

/// Creates it, with a bad network before the bucket; the result of the function.
fn create_through(stage: &Stage, proxy: &Proxy, seconds: u64) -> Result<Value, Value> {
    let url = stage.bucket.url();
    stage.plant(&url.signature);
    let mut event = create(stage);
    event["ResponseURL"] = json!(through(&url.url, proxy.port));
    let (started, time) = (Instant::now(), Duration::from_secs(seconds));
    let outcome = stage.function.invoke(event.to_string().as_bytes(), time);
    assert!(started.elapsed() < time, "Lambda would have stopped it: {outcome:?}");
    assert!(!stage.function.output().contains(&url.signature), "{}", stage.function.output());
    outcome
}

/// Where the bucket is.
fn bucket(stage: &Stage) -> u16 {
    port_of(&stage.bucket.url().url)
}

#[test]
fn the_bucket_resets_and_then_takes_it() {
    let stage = Stage::new();
    let proxy = Proxy::to(bucket(&stage));
    proxy.next([Way::Reset; 3]);
    let outcome = create_through(&stage, &proxy, 20);
    assert_eq!(outcome, Ok(Value::Null));
    assert_eq!(stage.bucket.puts().len(), 1, "it came through once");
}

#[test]
fn the_bucket_answers_byte_by_byte() {
    let stage = Stage::new();
    let proxy = Proxy::to(bucket(&stage));
    proxy.usual(Way::Slow(1, Duration::from_millis(10)));
    let outcome = create_through(&stage, &proxy, 20);
    assert_eq!(outcome, Ok(Value::Null));
    assert_eq!(stage.bucket.puts().len(), 1);
}

#[test]
fn the_bucket_answers_too_slowly_to_wait_for() {
    let stage = Stage::new();
    let proxy = Proxy::to(bucket(&stage));
    proxy.usual(Way::Slow(1, Duration::from_secs(2)));
    let outcome = create_through(&stage, &proxy, 6);
    assert_eq!(outcome.expect_err("nobody said that it was taken")["errorType"], "NotDelivered");
    assert_eq!(stage.database.installed(), "hstore 1.7");
}

#[test]
fn the_bucket_talks_nonsense() {
    let stage = Stage::new().with_seconds(6);
    let nonsense = Proxy::to(crate::support::database::server().port);
    let outcome = create_through(&stage, &nonsense, 6);
    assert_eq!(outcome.expect_err("that was no bucket")["errorType"], "NotDelivered");
}

#[test]
fn the_bucket_cannot_be_reached_at_first() {
    let stage = Stage::new();
    let proxy = Proxy::closed(bucket(&stage));
    std::thread::scope(|scope| {
        let creating = scope.spawn(|| create_through(&stage, &proxy, 20));
        eventually(|| stage.function.output().contains("sending the answer"));
        proxy.open();
        assert_eq!(creating.join().expect("an outcome"), Ok(Value::Null));
    });
    assert_eq!(stage.bucket.puts().len(), 1);
}

#[test]
fn a_redirect_is_final_and_not_followed() {
    let stage = Stage::new();
    for status in [301, 307, 308] {
        let elsewhere = Stage::new();
        let place = elsewhere.bucket.url();
        stage.plant(&place.signature);
        let headers = vec![("Location", place.url)];
        stage.bucket.fail([Reply::Http(status, headers, Vec::new())]);
        let answer = stage.deliver_once(&create(&stage)).succeeded();
        assert_eq!(answer.handed_over(), answer.document);
        assert_eq!(elsewhere.bucket.puts().len(), 0, "who holds the answer may be anybody");
        assert!(answer.log.join("\n").contains(&status.to_string()));
    }
}

#[test]
fn a_url_that_has_expired() {
    let stage = Stage::new();
    let document = "<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code><Message>Request has \
                    expired</Message><X-Amz-Expires>7200</X-Amz-Expires></Error>";
    let before = stage.bucket.puts().len();
    stage.bucket.fail([Reply::status(403, document)]);
    let answer = stage.deliver_once(&create(&stage)).succeeded();
    assert_eq!(stage.bucket.puts().len() - before, 1, "asking again would not help");
    assert_eq!(answer.handed_over(), answer.document);
    let log = answer.log.join("\n");
    for word in ["403", "AccessDenied", "expired", "aws:PrincipalOrgID"] {
        assert!(log.contains(word), "{word}: {log}");
    }
}

#[test]
fn a_refusal_without_a_document_and_one_that_never_ends() {
    let stage = Stage::new();
    let endless = "x".repeat(8 << 20);
    for body in ["", "<Error><Code>s3cr3t-in-the-clear</Code></Error>", endless.as_str()] {
        stage.plant("s3cr3t-in-the-clear");
        stage.bucket.fail([Reply::status(403, body)]);
        let answer = stage.deliver_once(&create(&stage)).succeeded();
        assert!(answer.log.join("\n").contains("no S3 error code"), "{answer:#?}");
    }
}

#[test]
fn secrets_manager_is_silent_for_one_call() {
    let stage = Stage::new().with_seconds(60);
    stage.secrets.fail(SECRET, [Fault::Hang]);
    stage.deliver_once(&create(&stage)).succeeded();
    assert_eq!(stage.secrets.calls().len(), 2);
}

#[test]
fn secrets_manager_is_out_of_reach() {
    let environment = [("AWS_ENDPOINT_URL_SECRETS_MANAGER", "http://127.0.0.1:1".to_owned())];
    let stage =
        Stage::with(crate::support::database::Database::create(), &environment).with_seconds(3);
    let answer = stage.deliver_once(&create(&stage));
    answer.failed(&["gave up waiting for Secrets Manager", "interface endpoint", "443"]);
    assert_eq!(stage.database.installed(), "");
}

#[test]
fn secrets_manager_resets_stutters_and_talks_nonsense() {
    let stage = Stage::new();
    let proxy = Proxy::to(port_of(&stage.secrets.url()));
    let nonsense = HttpServer::start(|_| Reply::status(200, "<html>a captive portal</html>"));
    let endpoint = through(&stage.secrets.url(), proxy.port);
    let function = Function::start(&[("AWS_ENDPOINT_URL_SECRETS_MANAGER", endpoint)]);
    proxy.next([Way::Reset, Way::Slow(16, Duration::from_millis(2))]);
    stage.deliver_to(&function, &create(&stage)).succeeded();
    proxy.lead_to(nonsense.port);
    let stage = stage.with_seconds(3);
    stage.deliver_to(&function, &create(&stage)).failed(&["Secrets Manager", "app/db"]);
}

#[test]
fn an_access_that_is_granted_a_little_late() {
    let stage = Stage::new().with_seconds(20);
    stage.secrets.fail(SECRET, (0..4).map(|_| Fault::Error("AccessDeniedException")));
    stage.deliver_once(&create(&stage)).succeeded();
    assert_eq!(stage.secrets.calls().len(), 5);
    assert_eq!(stage.database.installed(), "hstore 1.7");
}
