//! The response to `CloudFormation`, in at most 4096 bytes.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::cloudformation::event::Event;
use crate::redact::scrubbed;
use crate::text::longest_start;

/// The most bytes that `CloudFormation` reads; one more and the reason is lost.
pub const MAX_BYTES: usize = 4096;

/// The most bytes of the result of a direct invocation.
pub const MAX_BYTES_OF_RESULT: usize = 200_000;

/// The values of `Data` that are shortened where the response is too long, in this order.
const SHORTENED: [&str; 3] = ["Before", "After", "Changes"];

/// How a request ended.
#[derive(Debug)]
pub struct Outcome {
    /// The physical resource id to respond with.
    pub physical_id: String,
    /// What was done, or why nothing was.
    pub result: Result<Success, String>,
    /// `Server` of a direct result, where the server is known.
    pub server: Option<Value>,
}

/// A request that succeeded.
#[derive(Debug)]
pub struct Success {
    /// One sentence.
    pub reason: String,
    /// For `Fn::GetAtt`; a Delete has none.
    pub data: BTreeMap<String, String>,
    /// `Plan` of a direct result, under `DryRun`.
    pub plan: Option<Value>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Response<'a> {
    status: &'a str,
    reason: String,
    physical_resource_id: &'a str,
    stack_id: &'a str,
    request_id: &'a str,
    logical_resource_id: &'a str,
    no_echo: bool,
    data: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    plan: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    left_out: Option<&'a str>,
}

/// The response as one JSON document of at most [`MAX_BYTES`], or 200 kB for a direct
/// invocation.
///
/// What does not fit is shortened in the order `Before`, `After`, `Changes`, `Reason`; the keys
/// stay, and so does `log`, which names the log stream, at the end of the reason.
pub fn document(event: &Event, outcome: &Outcome, log: &str) -> String {
    let nothing = BTreeMap::new();
    let (status, reason, data) = match &outcome.result {
        Ok(success) => ("SUCCESS", &success.reason, &success.data),
        Err(reason) => ("FAILED", reason, &nothing),
    };
    let reason = &scrubbed(reason);
    let is_direct = event.response_url.is_none();
    let max = if is_direct { MAX_BYTES_OF_RESULT } else { MAX_BYTES };
    let plan = outcome.result.as_ref().ok().and_then(|success| success.plan.as_ref());
    let mut response = Response {
        status,
        reason: format!("{reason} ({log})"),
        physical_resource_id: &outcome.physical_id,
        stack_id: &event.stack_id,
        request_id: &event.request_id,
        logical_resource_id: &event.logical_resource_id,
        no_echo: false,
        data: data.iter().map(|(key, value)| (key.clone(), scrubbed(value))).collect(),
        plan: plan.filter(|_| is_direct),
        server: outcome.server.as_ref().filter(|_| is_direct),
        left_out: None,
    };
    if length(&response) > max && response.plan.take().is_some() {
        response.left_out = Some("`Plan`: the result would have more than 200 kB");
    }
    for key in SHORTENED {
        if let Some(text) = response.data.get(key).cloned() {
            shorten(&mut response, max, &text, |response, text| {
                response.data.insert(key.to_owned(), text);
            });
        }
    }
    shorten(&mut response, max, reason, |response, text| {
        response.reason = format!("{text} ({log})");
    });
    // Only names and versions of hundreds of extensions, or ids of kilobytes, are still too long.
    while length(&response) > max && response.data.pop_last().is_some() {}
    serde_json::to_string(&response).unwrap_or_default()
}

/// Cuts `text` at its end, on a character, so that the response fits if that can be.
fn shorten(response: &mut Response, max: usize, text: &str, set: impl Fn(&mut Response, String)) {
    if length(response) <= max {
        return;
    }
    // None fits if other parts are too long: then nothing is left of it.
    let start = longest_start(text, |start| {
        set(response, format!("{start}..."));
        length(response) <= max
    });
    set(response, format!("{start}..."));
}

fn length(response: &Response) -> usize {
    serde_json::to_vec(response).map_or(0, |bytes| bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn event() -> Event {
        let event = json!({
            "StackId": "arn:aws:cloudformation:eu-west-1:123456789012:stack/app/guid",
            "ResponseURL": "https://example.com/x",
            "RequestId": "r-1",
            "LogicalResourceId": "Extensions",
        });
        Event::read(&event.to_string())
    }

    fn outcome(result: Result<Success, String>) -> Outcome {
        Outcome { physical_id: "X".into(), result, server: None }
    }

    fn success<const N: usize>(reason: &str, data: [(&str, String); N]) -> Success {
        let data = data.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        Success { reason: reason.to_owned(), data, plan: None }
    }

    fn read(text: &str) -> Value {
        serde_json::from_str(text).expect("a JSON document")
    }

    #[test]
    fn a_failure_says_why_and_where_to_look() {
        let outcome = Outcome { physical_id: "X-1".into(), ..outcome(Err("no such thing".into())) };
        insta::assert_snapshot!(document(&event(), &outcome, "log stream: 2026/11/21/[$LATEST]ab"), @r#"{"Status":"FAILED","Reason":"no such thing (log stream: 2026/11/21/[$LATEST]ab)","PhysicalResourceId":"X-1","StackId":"arn:aws:cloudformation:eu-west-1:123456789012:stack/app/guid","RequestId":"r-1","LogicalResourceId":"Extensions","NoEcho":false,"Data":{}}"#);
    }

    #[test]
    fn no_secret_is_in_the_data() {
        crate::redact::hide("the secret of a test");
        let data = [("After", "the secret of a test 1.0".to_owned())];
        let result = Ok(success("", data));
        let text = document(&event(), &outcome(result), "s");
        assert_eq!(read(&text)["Data"]["After"], "(hidden) 1.0");
    }

    #[test]
    fn before_goes_first_and_the_keys_stay() {
        let data = [
            ("Before", "b".repeat(3000)),
            ("After", "a".repeat(3000)),
            ("Changes", "c".repeat(1000)),
        ];
        let result = Ok(success("done", data));
        let text = document(&event(), &outcome(result), "s");
        assert_eq!(text.len(), MAX_BYTES);
        let data = &read(&text)["Data"];
        assert_eq!(data["Before"], "...");
        assert_eq!(data["Changes"], "c".repeat(1000));
        assert!(data["After"].as_str().is_some_and(|after| after.len() > 1000));
    }

    #[test]
    fn the_log_stream_outlives_a_long_reason() {
        let outcome = outcome(Err("ä\"".repeat(3000)));
        let text = document(&event(), &outcome, "log stream: s");
        assert!(text.len() <= MAX_BYTES && text.len() > MAX_BYTES - 8, "{}", text.len());
        let reason = read(&text)["Reason"].as_str().map(ToOwned::to_owned).expect("a reason");
        assert!(reason.starts_with("ä\"ä\"") && reason.ends_with("... (log stream: s)"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn no_document_is_too_long(
            reason in "\\PC{0,3000}",
            before in "\\PC{0,3000}",
            changes in "[\"\\\\a]{0,4000}",
            names in prop::collection::btree_map("[a-z\"]{1,30}", "[0-9.]{0,10}", 0..150),
            success in any::<bool>(),
        ) {
            let mut data = names;
            data.extend([("Before".to_owned(), before), ("Changes".to_owned(), changes)]);
            let result = if success { Ok(Success { reason, data, plan: None }) } else { Err(reason) };
            let text = document(&event(), &outcome(result), "stream");
            prop_assert!(text.len() <= MAX_BYTES);
            let document = read(&text);
            prop_assert!(document["Status"].is_string() && document["Data"].is_object());
        }
    }
}
