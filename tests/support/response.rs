//! A response to `CloudFormation`, and what must be true of each.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde_json::Value;

use super::http_server::Request;
use super::runtime_api::Outcome;
use super::troubleshooting::Index;

/// The document may hold this many bytes, inclusive.
const MOST: usize = 4096;

/// One answer of the function's.
#[derive(Debug, Clone)]
pub struct Response {
    /// The whole document.
    pub document: Value,
    /// `SUCCESS` or `FAILED`.
    pub status: String,
    /// What a person reads.
    pub reason: String,
    /// The `PhysicalResourceId`.
    pub id: String,
    /// What `Fn::GetAtt` can ask for.
    pub data: BTreeMap<String, String>,
    /// The `message` of every line that was logged meanwhile.
    pub log: Vec<String>,
    /// The result that Lambda got.
    pub outcome: Result<Value, Value>,
}

impl Response {
    /// Reads a document, and checks all that the contract says of each.
    pub fn read(event: &Value, text: &[u8], outcome: Result<Value, Value>) -> Self {
        // Nobody but CloudFormation has that limit.
        let fits = text.len() <= MOST || event["ResponseURL"].is_null();
        assert!(fits, "{} bytes: {}", text.len(), String::from_utf8_lossy(text));
        let document: Value = serde_json::from_slice(text).expect("a JSON document in UTF-8");
        let member = |name: &str| {
            let value = document[name].as_str();
            value.unwrap_or_else(|| panic!("{name} is no string: {document}")).to_owned()
        };
        let (status, reason, id) =
            (member("Status"), member("Reason"), member("PhysicalResourceId"));
        assert!(status == "SUCCESS" || status == "FAILED", "{document}");
        assert!(!reason.is_empty(), "{document}");
        if status == "FAILED" {
            has_entry(&reason);
        }
        assert!(!id.is_empty() && id.len() <= 1024, "{document}");
        for name in ["StackId", "RequestId", "LogicalResourceId"] {
            assert_eq!(member(name), event[name].as_str().unwrap_or_default(), "{document}");
        }
        assert_eq!(document["NoEcho"], false, "{document}");
        let mut data = BTreeMap::new();
        for (key, value) in document["Data"].as_object().into_iter().flatten() {
            let value = value.as_str().unwrap_or_else(|| panic!("{key} is no string: {document}"));
            data.insert(key.clone(), value.to_owned());
        }
        Self { status, reason, id, data, log: Vec::new(), outcome, document }
    }

    /// The same, of a PUT: how it was sent matters too.
    pub fn of_put(event: &Value, put: &Request, target: &str, outcome: &Outcome) -> Self {
        assert_eq!(put.method, "PUT");
        assert_eq!(put.target, target, "the URL went out as it came");
        assert_eq!(put.header("Content-Type"), None, "S3 signed the URL without one");
        assert_eq!(put.header("Transfer-Encoding"), None, "S3 wants a length");
        let length = put.body.len().to_string();
        assert_eq!(put.header("Content-Length"), Some(length.as_str()));
        Self::read(event, &put.body, outcome.clone())
    }

    /// Panics unless this is a success.
    #[track_caller]
    pub fn succeeded(self) -> Self {
        assert_eq!(self.status, "SUCCESS", "{self:#?}");
        self
    }

    /// Panics unless this is a failure whose reason has all these words, whatever their case.
    #[track_caller]
    pub fn failed(self, words: &[&str]) -> Self {
        assert_eq!(self.status, "FAILED", "{self:#?}");
        let reason = self.reason.to_lowercase();
        for word in words {
            assert!(reason.contains(&word.to_lowercase()), "no `{word}` in: {}", self.reason);
        }
        self
    }

    /// One value of `Data`.
    #[track_caller]
    pub fn data(&self, key: &str) -> &str {
        self.data.get(key).unwrap_or_else(|| panic!("no `{key}` in {:#?}", self.data))
    }

    /// The document that Lambda got in a function error.
    #[track_caller]
    pub fn handed_to_lambda(&self) -> Value {
        let error = self.outcome.as_ref().expect_err("a function error");
        let text = error["errorMessage"].as_str().expect("a message");
        serde_json::from_str(text).expect("the document")
    }

    /// Panics unless exactly this line was logged.
    #[track_caller]
    pub fn logged(&self, message: &str) {
        assert!(self.log.iter().any(|line| line == message), "{message}\n{:#?}", self.log);
    }
}

/// Panics where the index does not have the `Reason` of a failure, which may have been cut at its end.
#[track_caller]
fn has_entry(reason: &str) {
    static INDEX: LazyLock<Index> = LazyLock::new(|| {
        let mut index = Index::read();
        // `updated … to …` would be in many a sentence.
        index.messages.retain(|message| message.page != "success");
        index
    });
    let Some((start, _)) = reason.split_once("... (log stream: ") else {
        assert!(INDEX.of(reason).is_some(), "no entry in docs/troubleshooting/: {reason}");
        return;
    };
    // The last problem is not whole.
    if let Some((start, _)) = start.rsplit_once("; (") {
        assert!(INDEX.of(start).is_some(), "no entry in docs/troubleshooting/: {start}");
    }
}

/// What came of a direct invocation.
#[derive(Debug)]
pub struct Direct {
    /// The result that Lambda got, or the function error.
    pub outcome: Result<Value, Value>,
    /// The lines that were logged meanwhile.
    pub lines: Vec<Value>,
}

impl Direct {
    /// The result; panics where there is none.
    #[track_caller]
    pub fn succeeded(self) -> Value {
        self.outcome.unwrap_or_else(|error| panic!("{error:#}"))
    }

    /// Panics unless this is a function error of that type with all these words, whatever their case.
    #[track_caller]
    pub fn failed(&self, error_type: &str, words: &[&str]) {
        let error = self.outcome.as_ref().expect_err("a function error");
        assert_eq!(error["errorType"], error_type, "{error:#}");
        let message = error["errorMessage"].as_str().expect("a message");
        let document: Value = serde_json::from_str(message).unwrap_or_default();
        if let Some(reason) = document["Reason"].as_str() {
            has_entry(reason);
        }
        let message = message.to_lowercase();
        for word in words {
            assert!(message.contains(&word.to_lowercase()), "no `{word}` in: {message}");
        }
    }

    /// The one line of metrics.
    #[track_caller]
    pub fn metrics(&self) -> &Value {
        metrics(&self.lines)
    }
}

/// The one line of metrics among the lines of a request.
#[track_caller]
pub fn metrics(lines: &[Value]) -> &Value {
    let metrics: Vec<_> = lines.iter().filter(|line| line["_aws"].is_object()).collect();
    assert_eq!(metrics.len(), 1, "{lines:#?}");
    metrics[0]
}

/// The lines of a log; every line must be a JSON object.
pub fn lines(output: &str) -> Vec<Value> {
    let line = |line: &str| {
        let object: Value = serde_json::from_str(line).unwrap_or_default();
        assert!(object.is_object(), "a line of the log is no JSON object: {line}");
        object
    };
    output.lines().map(line).collect()
}

/// The `message` of each line.
pub fn messages(output: &str) -> Vec<String> {
    let message = |line: Value| line["message"].as_str().unwrap_or_default().to_owned();
    lines(output).into_iter().map(message).collect()
}
