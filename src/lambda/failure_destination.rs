//! The failure destination: responds for the first function, from Lambda's record of its failure.
//!
//! It is the target of that function's `OnFailure` and runs outside the VPC. Record:
//! <https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html>

use std::time::{Duration, Instant};

use lambda_runtime::{Context, Diagnostic};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::cloudformation::event::{Event, RequestType};
use crate::cloudformation::physical_id;
use crate::cloudformation::response::{MAX_BYTES, Outcome, document};
use crate::cloudformation::response_url::ResponseUrl;
use crate::cloudformation::upload;
use crate::json::Object;
use crate::lambda::invocation::{NOT_DELIVERED, function_error, time_left};
use crate::log;
use crate::redact;
use crate::text::chain;

/// The `errorType` of a record that is not ours.
const NOT_OURS: &str = "NotOurs";

/// What is kept of the time for returning from the function.
const MARGIN: Duration = Duration::from_millis(500);

/// Responds from records.
#[derive(Debug, Clone)]
pub struct FailureDestination {
    /// For the response.
    pub http: reqwest::Client,
    /// The function's region.
    pub region: Option<String>,
}

impl FailureDestination {
    /// Sends the response that the first function could not.
    ///
    /// # Errors
    /// The record is not of an event that `CloudFormation` sent, or the response could not be delivered.
    pub async fn handle(
        &self,
        record: Box<RawValue>,
        context: Context,
    ) -> Result<Value, Diagnostic> {
        redact::forget();
        log::set_context([
            ("requestId", &context.request_id),
            ("stackId", ""),
            ("logicalResourceId", ""),
        ]);
        let record = Object::read(record.get());
        let (event, url) = ours(&record, self.region.as_deref()).map_err(|why| {
            log::error(&format!("refused a record: {why}"));
            function_error(NOT_OURS, format!("refused: {why}"))
        })?;
        log::set_context([
            ("requestId", &context.request_id),
            ("stackId", &event.stack_id),
            ("logicalResourceId", &event.logical_resource_id),
        ]);
        log::info(&format!("responding for the first function: {event}"));
        let until = Instant::now() + time_left(&context).saturating_sub(MARGIN);
        let (response, forwarded) = match finished(&record, &event) {
            Some(document) => (document, true),
            None => (failure(&record, &event, &context), false),
        };
        match upload::put(&self.http, &url, &response, until).await {
            Ok(()) => {
                log::info(if forwarded { "delivered its response" } else { "responded FAILED" });
                Ok(Value::Null)
            }
            Err(why) => {
                log::error(&format!("the response was not delivered: {}", chain(&why)));
                Err(function_error(NOT_DELIVERED, response))
            }
        }
    }
}

/// The event in the record, if it is one of `CloudFormation`'s.
fn ours(record: &Object, region: Option<&str>) -> Result<(Event, ResponseUrl), &'static str> {
    if record.object("requestContext").text("condition").is_none() {
        return Err("not a record of a failed asynchronous invocation");
    }
    let event = Event::read(record.get("requestPayload").unwrap_or_default());
    let known = !matches!(event.request_type, RequestType::Inspect | RequestType::Unknown(_));
    let ids = [&event.stack_id, &event.request_id, &event.logical_resource_id];
    if !known || ids.iter().any(|id| id.is_empty()) {
        return Err("its requestPayload is no event of a custom resource");
    }
    match event.response_url.clone() {
        Some(Ok(url)) if url.is_loopback() => Ok((event, url)),
        Some(Ok(url)) if url.is_cloudformations(region.unwrap_or_default()) => Ok((event, url)),
        // Who may send records could use the function as a way out of a closed network.
        Some(Ok(_)) => Err("its ResponseURL does not lead to CloudFormation's own bucket"),
        Some(Err(_)) => Err("its ResponseURL is neither https nor http to a loopback address"),
        None => Err("it has no ResponseURL to respond to"),
    }
}

/// The first function's own document, where it finished and only had no route: exactly as it was,
/// if it is for this very request.
fn finished(record: &Object, event: &Event) -> Option<String> {
    let text = record.object("responsePayload").text("errorMessage")?;
    let document: Value = serde_json::from_str(&text).ok()?;
    let same = |field: &str, id: &str| document[field].as_str() == Some(id);
    let status = document["Status"].as_str()?;
    let answers = text.len() <= MAX_BYTES
        && ["SUCCESS", "FAILED"].contains(&status)
        && document["PhysicalResourceId"].as_str().is_some_and(|id| !id.is_empty())
        && same("StackId", &event.stack_id)
        && same("RequestId", &event.request_id)
        && same("LogicalResourceId", &event.logical_resource_id);
    answers.then_some(text)
}

/// FAILED, with the reason that the record gives.
fn failure(record: &Object, event: &Event, context: &Context) -> String {
    let incoming =
        event.physical_resource_id.clone().filter(|_| event.request_type != RequestType::Create);
    let physical_id =
        incoming.unwrap_or_else(|| physical_id::create_unknown(&event.logical_resource_id));
    let outcome = Outcome { physical_id, result: Err(reason(record)), server: None };
    let log = format!("the failure destination's log stream: {}", context.env_config.log_stream);
    document(event, &outcome, &log)
}

fn reason(record: &Object) -> String {
    let context = record.object("requestContext");
    let arn = context.text("functionArn").unwrap_or_default();
    let function = arn.split(":function:").nth(1).and_then(|name| name.split(':').next());
    let function = function.unwrap_or("the function");
    let payload = record.object("responsePayload");
    let said = |name, otherwise: &str| payload.text(name).unwrap_or_else(|| otherwise.to_owned());
    let kind = said("errorType", "no error type");
    let message = said("errorMessage", "no error message");
    match context.text("condition").as_deref() {
        Some("EventAgeExceeded") => format!(
            "Lambda could not start `{function}` in time (throttled: EventAgeExceeded), and nothing \
             was changed: raise its concurrency, or the account's, and deploy again"
        ),
        _ if serde_json::from_str::<Map<String, Value>>(&message).is_ok() => {
            format!(
                "`{function}` could not deliver its response ({kind}), and what it left is not a response \
                 to this request: see the log of the function `{function}`, and deploy again"
            )
        }
        condition => format!(
            "`{function}` ended without a response ({}: {kind}: {message}); what it was changing is \
             rolled back when its connection closes, unless it was committed already: see the log \
             of the function `{function}`, and deploy again",
            condition.unwrap_or("no condition"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn record(response: &Value) -> Value {
        json!({
            "version": "1.0",
            "requestContext": {
                "functionArn": "arn:aws:lambda:eu-west-1:123456789012:function:postgres-extensions:$LATEST",
                "condition": "RetriesExhausted",
            },
            "requestPayload": {
                "RequestType": "Create", "ResponseURL": "https://127.0.0.1/x", "StackId": "s",
                "RequestId": "r", "LogicalResourceId": "Extensions",
            },
            "responsePayload": response,
        })
    }

    fn message(document: &Value) -> Value {
        json!({ "errorType": NOT_DELIVERED, "errorMessage": document.to_string() })
    }

    #[test]
    fn a_document_of_this_request_is_forwarded_and_no_other() {
        let good = json!({ "Status": "SUCCESS", "PhysicalResourceId": "p", "StackId": "s",
                           "RequestId": "r", "LogicalResourceId": "Extensions" });
        let forwarded = |document: &Value| {
            let record = record(&message(document)).to_string();
            let record = Object::read(&record);
            let (event, _) = ours(&record, None).expect("ours");
            finished(&record, &event)
        };
        assert_eq!(forwarded(&good), Some(good.to_string()));
        for (field, value) in [
            ("StackId", json!("other")),
            ("RequestId", json!("other")),
            ("LogicalResourceId", json!(null)),
            ("Status", json!("DONE")),
            ("PhysicalResourceId", json!("")),
            ("Reason", json!("x".repeat(MAX_BYTES))),
        ] {
            let mut bad = good.clone();
            bad[field] = value;
            assert_eq!(forwarded(&bad), None, "{field}");
        }
    }

    fn is_ours(record: &Value) -> bool {
        ours(&Object::read(&record.to_string()), None).is_ok()
    }

    #[test]
    fn what_is_not_ours_is_refused() {
        for field in ["RequestType", "ResponseURL", "StackId", "RequestId", "LogicalResourceId"] {
            let mut record = record(&json!({}));
            record["requestPayload"].as_object_mut().expect("an object").remove(field);
            assert!(!is_ours(&record), "{field}");
        }
        let mut insecure = record(&json!({}));
        insecure["requestPayload"]["ResponseURL"] = json!("http://example.com/x");
        let mut foreign = record(&json!({}));
        foreign["requestPayload"]["ResponseURL"] = json!("https://example.com/x");
        for other in [json!({}), json!(null), json!({ "Records": [] }), insecure, foreign] {
            assert!(!is_ours(&other), "{other}");
        }
        assert!(is_ours(&record(&json!({}))));
    }

    #[test]
    fn the_reason_is_the_record_s() {
        let timeout = json!({ "errorType": "Sandbox.Timedout",
                              "errorMessage": "RequestId: 1 Error: Task timed out after 900.00 seconds" });
        let mut throttled = record(&Value::Null);
        throttled["requestContext"]["condition"] = json!("EventAgeExceeded");
        let reasons = [record(&timeout), throttled, record(&message(&json!({})))]
            .map(|record| reason(&Object::read(&record.to_string())));
        insta::assert_snapshot!(reasons.join("\n"), @r"
        `postgres-extensions` ended without a response (RetriesExhausted: Sandbox.Timedout: RequestId: 1 Error: Task timed out after 900.00 seconds); what it was changing is rolled back when its connection closes, unless it was committed already: see the log of the function `postgres-extensions`, and deploy again
        Lambda could not start `postgres-extensions` in time (throttled: EventAgeExceeded), and nothing was changed: raise its concurrency, or the account's, and deploy again
        `postgres-extensions` could not deliver its response (NotDelivered), and what it left is not a response to this request: see the log of the function `postgres-extensions`, and deploy again
        ");
    }
}
