//! The responder as a process: Lambda's records in, responses out.

use std::time::Duration;

use crate::support::fault_injection::{port_of, through};
use crate::support::function::{Function, record};
use crate::support::http_server::Reply;
use crate::support::proxy::Proxy;
use crate::support::response::Response;
use crate::support::runtime_api::Outcome;
use crate::support::test_environment::TestEnvironment;
use serde_json::{Value, json};

/// What Lambda leaves it.
const TIME: Duration = Duration::from_secs(6);

/// The responder, and where it sends its responses.
struct Second {
    env: TestEnvironment,
    function: Function,
}

impl Second {
    fn start() -> Self {
        let function = Function::start(&[("_HANDLER", "responder".to_owned())]);
        Self { env: TestEnvironment::new(), function }
    }

    /// An event of `CloudFormation`'s, with a URL of its own.
    fn event(&self, kind: &str) -> Value {
        let mut event = self.env.event(kind, &json!({ "PluginsMap": { "hstore": "1.7" } }));
        let url = self.env.bucket.url();
        self.env.keep_secret(&url.signature);
        event["ResponseURL"] = json!(url.url);
        event
    }

    /// The document of the one PUT that a record leads to, as it came.
    fn put_after(&self, record: &str) -> (Vec<u8>, Outcome) {
        let before = self.env.bucket.puts().len();
        let outcome = self.function.invoke(record.as_bytes(), TIME);
        let puts = self.env.bucket.puts();
        assert_eq!(puts.len() - before, 1, "{outcome:?}");
        (puts[before].body.clone(), outcome)
    }

    /// The response that a record leads to.
    fn response_to(&self, event: &Value, record: &Value) -> Response {
        let (body, outcome) = self.put_after(&record.to_string());
        let response = Response::read(event, &body, outcome);
        self.env.check_nothing_leaked(&self.function, &response);
        response
    }
}

#[test]
fn a_function_that_died_is_answered_for() {
    let second = Second::start();
    for (kind, words) in [
        ("Runtime.ExitError", "RequestId: e4b4 Error: Runtime exited with error: signal: killed"),
        ("Sandbox.Timedout", "RequestId: e4b4 Error: Task timed out after 900.00 seconds"),
        ("Runtime.OutOfMemory", "RequestId: e4b4 Error: Runtime exited with error: memory"),
        ("Runtime.InvalidEntrypoint", "RequestId: e4b4 Error: fork/exec /var/task/bootstrap"),
    ] {
        let event = second.event("Create");
        let response = json!({ "errorType": kind, "errorMessage": words });
        let response = second.response_to(&event, &record(&event, "RetriesExhausted", &response));
        let response =
            response.failed(&[kind, words, "the log of the function `postgres-extensions`"]);
        assert_eq!(response.id, "Extensions-create-unknown");
        assert_eq!(response.outcome, Ok(Value::Null));
    }
}

#[test]
fn a_record_that_repeats_the_url_is_answered_without_it() {
    let second = Second::start();
    let event = second.event("Create");
    let url = event["ResponseURL"].as_str().expect("a URL");
    let query = url.split_once('?').expect("a query").1;
    let words = format!("panicked at {url}, with {query}: the end");
    let response = json!({ "errorType": "Runtime.Panic", "errorMessage": words });
    second
        .response_to(&event, &record(&event, "RetriesExhausted", &response))
        .failed(&["panicked at (hidden), with (hidden): the end"]);
}

#[test]
fn an_event_that_cannot_be_read_is_answered_for() {
    let second = Second::start();
    let deep = format!("{}1{}", "[".repeat(300), "]".repeat(300));
    for odd in [deep.as_str(), r#""\ud800""#, r#"{"\udc00":1}"#, "1e999"] {
        let sent = |event: &Value, response: &Value| {
            let record = record(event, "RetriesExhausted", response);
            let (body, outcome) = second.put_after(&record.to_string().replace("\"ODD\"", odd));
            Response::read(event, &body, outcome)
        };
        let crash = json!({ "errorType": "Runtime.ExitError", "errorMessage": "killed" });
        for member in ["ResourceProperties", "OldResourceProperties", "ResourceType", "Odd"] {
            let mut event = second.event("Create");
            event[member] = json!("ODD");
            sent(&event, &crash)
                .failed(&["killed", "the log of the function `postgres-extensions`"]);
            event[member] = json!({ "Trigger": "ODD", "PluginsMap": [1, "ODD"] });
            sent(&event, &crash).failed(&["killed"]);
        }
        let event = second.event("Create");
        sent(&event, &json!({ "errorType": "ODD", "errorMessage": "killed", "trace": "ODD" }))
            .failed(&["killed"]);
        sent(&event, &json!("ODD")).failed(&["no error message"]);
    }
}

#[test]
fn an_event_that_was_never_started_is_answered_for() {
    let second = Second::start();
    let event = second.event("Create");
    let mut throttled = record(&event, "EventAgeExceeded", &Value::Null);
    throttled.as_object_mut().expect("a record").remove("responseContext");
    let response = second.response_to(&event, &throttled);
    response.failed(&["throttled", "nothing was changed", "concurrency"]);
}

#[test]
fn an_update_and_a_delete_keep_their_id() {
    let second = Second::start();
    for (kind, id) in [
        ("Update", "Extensions-01234567"),
        ("Delete", "Extensions-01234567"),
        ("Update", "2021/06/01/[$LATEST]0f1e2d3c"),
    ] {
        let mut event = second.event(kind);
        event["PhysicalResourceId"] = json!(id);
        let response = json!({ "errorType": "Runtime.ExitError", "errorMessage": "killed" });
        let response = second.response_to(&event, &record(&event, "RetriesExhausted", &response));
        assert_eq!(response.failed(&["killed"]).id, id);
    }
}

#[test]
fn a_response_of_the_function_is_forwarded_byte_for_byte() {
    let second = Second::start();
    let event = second.event("Create");
    // Not as any of our own code would write it.
    let document = format!(
        "{{ \"Data\":{{\"hstore\" : \"1.7\"}},\"Reason\":\"d\\u00f6ne \u{1f418}\",\n\
         \"PhysicalResourceId\":\"Extensions-01234567\",\"Status\":\"SUCCESS\",\"NoEcho\":false, \
         \"StackId\":{},\"RequestId\":{},\"LogicalResourceId\":{} }}",
        event["StackId"], event["RequestId"], event["LogicalResourceId"]
    );
    let response = json!({ "errorType": "NotDelivered", "errorMessage": document });
    let (body, outcome) =
        second.put_after(&record(&event, "RetriesExhausted", &response).to_string());
    assert_eq!(String::from_utf8(body).expect("UTF-8"), document);
    assert_eq!(outcome, Ok(Value::Null));
}

#[test]
fn a_response_to_another_request_is_not_forwarded() {
    let second = Second::start();
    for field in ["StackId", "RequestId", "LogicalResourceId"] {
        let event = second.event("Create");
        let mut document = json!({
            "Status": "SUCCESS", "Reason": "done", "PhysicalResourceId": "Extensions-01234567",
            "StackId": event["StackId"], "RequestId": event["RequestId"],
            "LogicalResourceId": event["LogicalResourceId"], "NoEcho": false, "Data": {},
        });
        document[field] = json!("somebody else's");
        let message = json!({ "errorType": "NotDelivered", "errorMessage": document.to_string() });
        let response = second.response_to(&event, &record(&event, "RetriesExhausted", &message));
        let response = response.failed(&["not a response to this request"]);
        assert_eq!(response.id, "Extensions-create-unknown");
    }
}

#[test]
fn a_record_that_is_not_ours_is_refused() {
    let second = Second::start();
    let event = second.event("Create");
    let crash = json!({ "errorType": "Runtime.ExitError", "errorMessage": "killed" });
    let without = |name: &str| {
        let mut event = event.clone();
        event.as_object_mut().expect("an event").remove(name);
        record(&event, "RetriesExhausted", &crash)
    };
    let with_url = |url: &str| {
        let mut event = event.clone();
        event["ResponseURL"] = json!(format!("{url}/answer?X-Amz-Signature=5ecre7ab1e"));
        record(&event, "RetriesExhausted", &crash)
    };
    let bucket = "cloudformation-custom-resource-response-euwest1.s3.eu-west-1";
    second.env.keep_secret("5ecre7ab1e");
    for stranger in [
        json!({}),
        json!([1]),
        json!("record"),
        event.clone(),
        json!({ "Records": [{ "Sns": { "Message": event.to_string() } }] }),
        without("RequestType"),
        without("ResponseURL"),
        without("StackId"),
        without("RequestId"),
        without("LogicalResourceId"),
        with_url("http://192.0.2.1"),
        with_url("https://192.0.2.1"),
        with_url("https://localhost.example.com"),
        with_url(&format!("https://{bucket}.example.com")),
        with_url(&format!("https://{bucket}.amazonaws.com@127.0.0.1.example.com")),
        with_url(&format!("https://{bucket}.amazonaws.com:8443")),
        with_url(&format!("http://{bucket}.amazonaws.com")),
    ] {
        let outcome = second.function.invoke(stranger.to_string().as_bytes(), TIME);
        let error = outcome.expect_err("a function error");
        assert_eq!(error["errorType"], "NotOurs", "{stranger}");
        let said = format!("{error}{}", second.function.output());
        assert!(!said.contains("5ecre7ab1e"), "{said}");
    }
    assert_eq!(second.env.bucket.puts().len(), 0, "no response was sent");
}

#[test]
fn the_responder_retries_too() {
    let second = Second::start();
    let event = second.event("Create");
    let crash = json!({ "errorType": "Runtime.ExitError", "errorMessage": "killed" });
    let record = record(&event, "RetriesExhausted", &crash);
    second.env.bucket.fail([Reply::status(503, ""), Reply::Cut]);
    let outcome = second.function.invoke(record.to_string().as_bytes(), TIME);
    assert_eq!(outcome, Ok(Value::Null));
    let puts = second.env.bucket.puts();
    assert_eq!(puts.len(), 3);
    assert!(puts.iter().all(|put| put.body == puts[0].body), "a retry tells the same");
    second.env.bucket.fail([Reply::status(403, "<Error><Code>AccessDenied</Code></Error>")]);
    let (_, outcome) = second.put_after(&record.to_string());
    assert_eq!(outcome.expect_err("refused for good")["errorType"], "NotDelivered");
}

#[test]
fn a_response_that_the_function_could_not_deliver_is_delivered() {
    let second = Second::start();
    let env = &second.env;
    let mut event = second.event("Create");
    let url = event["ResponseURL"].as_str().expect("a URL").to_owned();
    // No route to the bucket, and then one: the responder is outside the VPC.
    let route = Proxy::closed(port_of(&url));
    event["ResponseURL"] = json!(through(&url, route.port));
    let outcome = env.function.invoke(event.to_string().as_bytes(), TIME);
    let error = outcome.expect_err("not accepted");
    assert_eq!(env.database.installed(), "hstore 1.7", "the work itself was done");
    route.open();
    let record = record(&event, "RetriesExhausted", &error);
    let response = second.response_to(&event, &record).succeeded();
    assert_eq!(response.data("hstore"), "1.7");
    let puts = env.bucket.puts();
    let sent = std::str::from_utf8(&puts[0].body).expect("UTF-8");
    assert_eq!(Some(sent), error["errorMessage"].as_str(), "the very document");
}
