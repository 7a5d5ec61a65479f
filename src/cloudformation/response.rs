//! What `CloudFormation` is told, in at most 4096 bytes.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::cloudformation::event::Event;
use crate::reconcile::report::Data;
use crate::redact::scrubbed;
use crate::text::longest_start;

/// The most bytes that `CloudFormation` reads; one more and the reason is lost.
pub const MOST_BYTES: usize = 4096;

/// The most bytes of the result of a direct invocation.
const MOST_BYTES_OF_A_RESULT: usize = 200_000;

/// How a request ended.
#[derive(Debug)]
pub struct Outcome {
    /// The id to answer with.
    pub physical_id: String,
    /// What was done, or why nothing was.
    pub result: Result<Success, String>,
}

/// A request that was fulfilled.
#[derive(Debug)]
pub struct Success {
    /// One sentence.
    pub reason: String,
    /// For `Fn::GetAtt`; a Delete has none.
    pub data: Option<Data>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Document<'a> {
    status: &'a str,
    reason: String,
    physical_resource_id: &'a str,
    stack_id: &'a str,
    request_id: &'a str,
    logical_resource_id: &'a str,
    no_echo: bool,
    data: BTreeMap<String, String>,
}

/// Puts the answer into one JSON document of at most [`MOST_BYTES`], or 200 kB where nobody but the
/// invoker reads it.
///
/// What does not fit is shortened in the order `Before`, `After`, `Changes`, `Reason`; the keys
/// stay, and so does `log` at the end of the reason: the words for the log stream.
pub fn document(event: &Event, outcome: &Outcome, log: &str) -> String {
    let (status, reason, data) = match &outcome.result {
        Ok(success) => ("SUCCESS", &success.reason, success.data.as_ref()),
        Err(reason) => ("FAILED", reason, None),
    };
    let reason = &scrubbed(reason);
    let place = format!(" ({log})");
    let most = if event.response_url.is_some() { MOST_BYTES } else { MOST_BYTES_OF_A_RESULT };
    let mut document = Document {
        status,
        reason: format!("{reason}{place}"),
        physical_resource_id: &outcome.physical_id,
        stack_id: &event.stack_id,
        request_id: &event.request_id,
        logical_resource_id: &event.logical_resource_id,
        no_echo: false,
        data: data.map(values).unwrap_or_default(),
    };
    for key in ["Before", "After", "Changes"] {
        if let Some(text) = document.data.get(key).cloned() {
            shorten(&mut document, most, &text, |document, text| {
                document.data.insert(key.to_owned(), text);
            });
        }
    }
    shorten(&mut document, most, reason, |document, text| {
        document.reason = format!("{text}{place}");
    });
    // Only names and versions of hundreds of extensions, or ids of kilobytes, get here.
    while length(&document) > most && document.data.pop_last().is_some() {}
    serde_json::to_string(&document).unwrap_or_default()
}

fn values(data: &Data) -> BTreeMap<String, String> {
    let fixed = [
        ("Changed", data.changed.to_string()),
        ("Changes", data.changes.clone()),
        ("Before", data.before.clone()),
        ("After", data.after.clone()),
        ("ServerVersion", data.server_version.clone()),
    ];
    let versions = data.versions.iter().map(|(name, version)| (name.clone(), version.clone()));
    let fixed = fixed.into_iter().map(|(key, value)| (key.to_owned(), value));
    versions.chain(fixed).map(|(key, value)| (key, scrubbed(&value))).collect()
}

/// Cuts `text` at its end, on a character, so that the document fits if that can be.
fn shorten(document: &mut Document, most: usize, text: &str, set: impl Fn(&mut Document, String)) {
    if length(document) <= most {
        return;
    }
    // None fits if other parts are too long: then nothing is left of it.
    let start = longest_start(text, |start| {
        set(document, format!("{start}..."));
        length(document) <= most
    });
    set(document, format!("{start}..."));
}

fn length(document: &Document) -> usize {
    serde_json::to_vec(document).map_or(0, |bytes| bytes.len())
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

    fn read(text: &str) -> Value {
        serde_json::from_str(text).expect("a JSON document")
    }

    #[test]
    fn a_failure_says_why_and_where_to_look() {
        let outcome = Outcome { physical_id: "X-1".into(), result: Err("no such thing".into()) };
        insta::assert_snapshot!(document(&event(), &outcome, "log stream: 2026/11/21/[$LATEST]ab"), @r#"{"Status":"FAILED","Reason":"no such thing (log stream: 2026/11/21/[$LATEST]ab)","PhysicalResourceId":"X-1","StackId":"arn:aws:cloudformation:eu-west-1:123456789012:stack/app/guid","RequestId":"r-1","LogicalResourceId":"Extensions","NoEcho":false,"Data":{}}"#);
    }

    #[test]
    fn no_secret_is_in_the_data() {
        crate::redact::hide("the secret of a test");
        let after = "the secret of a test 1.0".to_owned();
        let result =
            Ok(Success { reason: String::new(), data: Some(Data { after, ..Data::default() }) });
        let text = document(&event(), &Outcome { physical_id: "X".into(), result }, "s");
        assert_eq!(read(&text)["Data"]["After"], "(hidden) 1.0");
    }

    #[test]
    fn before_goes_first_and_the_keys_stay() {
        let data = Data {
            before: "b".repeat(3000),
            after: "a".repeat(3000),
            changes: "c".repeat(1000),
            changed: true,
            ..Data::default()
        };
        let result = Ok(Success { reason: "done".into(), data: Some(data) });
        let text = document(&event(), &Outcome { physical_id: "X".into(), result }, "s");
        assert_eq!(text.len(), MOST_BYTES);
        let data = &read(&text)["Data"];
        assert_eq!(data["Before"], "...");
        assert_eq!(data["Changes"], "c".repeat(1000));
        assert!(data["After"].as_str().is_some_and(|after| after.len() > 1000));
    }

    #[test]
    fn the_log_stream_outlives_a_long_reason() {
        let outcome = Outcome { physical_id: "X".into(), result: Err("ä\"".repeat(3000)) };
        let text = document(&event(), &outcome, "log stream: s");
        assert!(text.len() <= MOST_BYTES && text.len() > MOST_BYTES - 8, "{}", text.len());
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
            let data = Data { before, changes, versions: names, ..Data::default() };
            let result =
                if success { Ok(Success { reason, data: Some(data) }) } else { Err(reason) };
            let text = document(&event(), &Outcome { physical_id: "X".into(), result }, "stream");
            prop_assert!(text.len() <= MOST_BYTES);
            let document = read(&text);
            prop_assert!(document["Status"].is_string() && document["Data"].is_object());
        }
    }
}
