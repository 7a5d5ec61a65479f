//! What the log says: one JSON object a line on standard output.
//!
//! A failure is logged once, where it is handled. No line holds a password, a token, a
//! `ResponseURL` or the text of a secret, and none is longer than 256 KB.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use serde_json::{Value, json};

use crate::redact::scrubbed;
use crate::text::longest_start;

/// What every line of a request says, where it is known: `requestId`, `stackId`, `logicalResourceId`.
static CONTEXT: Mutex<Vec<(&str, String)>> = Mutex::new(Vec::new());

/// Starts a request: what every line of it says.
pub fn set_context(context: [(&'static str, &str); 3]) {
    let known = context.into_iter().filter(|(_, value)| !value.is_empty());
    let known = known.map(|(name, value)| (name, value.to_owned()));
    *CONTEXT.lock().unwrap_or_else(PoisonError::into_inner) = known.collect();
}

/// Logs what an operator wants to read of a run that goes well.
pub fn info(message: &str) {
    line("INFO", None, message, &Value::Null);
}

/// Logs what went wrong and was dealt with: a retry, a fallback.
pub fn warn(message: &str) {
    line("WARN", None, message, &Value::Null);
}

/// Logs a failure, where it is handled.
pub fn error(message: &str) {
    line("ERROR", None, message, &Value::Null);
}

/// Logs what concerns one database.
pub fn of_database(database: &str, message: &str) {
    line("INFO", Some(database), message, &Value::Null);
}

/// Logs what an Inspect found in one database; the members are for queries.
pub fn inspected(database: &str, message: &str, members: &Value) {
    line("INFO", Some(database), message, members);
}

/// Logs what went wrong in one database and was dealt with.
pub fn warn_of_database(database: &str, message: &str) {
    line("WARN", Some(database), message, &Value::Null);
}

/// Logs the metrics of a request, in `CloudWatch`'s embedded format: name, unit, value.
///
/// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>
pub fn metrics(function: &str, metrics: &[(&str, &str, usize)]) {
    let names = metrics.iter().map(|(name, unit, _)| json!({ "Name": name, "Unit": unit }));
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let mut members = json!({
        "FunctionName": function,
        "_aws": {
            "Timestamp": u64::try_from(now.as_millis()).unwrap_or_default(),
            "CloudWatchMetrics": [{
                "Namespace": "PostgresExtensions",
                "Dimensions": [["FunctionName"]],
                "Metrics": names.collect::<Vec<_>>(),
            }],
        },
    });
    for (name, _, value) in metrics {
        members[*name] = json!(value);
    }
    line("INFO", None, "metrics", &members);
}

static TO_STANDARD_ERROR: AtomicBool = AtomicBool::new(false);

/// For a program whose standard output is something else.
pub fn to_standard_error() {
    TO_STANDARD_ERROR.store(true, Ordering::SeqCst);
}

/// The longest line: what `CloudWatch` takes, in bytes.
const MAX_LINE_BYTES: usize = 256 * 1024;

/// The line of a message, which is cut where the line would be too long.
fn within(message: &str, line: impl Fn(&str) -> String) -> String {
    let whole = line(message);
    if whole.len() <= MAX_LINE_BYTES {
        return whole;
    }
    let cut = |start: &str| line(&format!("{start}..."));
    let start = &message[..message.floor_char_boundary(MAX_LINE_BYTES)];
    cut(longest_start(start, |start| cut(start).len() <= MAX_LINE_BYTES))
}

fn line(level: &str, database: Option<&str>, message: &str, members: &Value) {
    let timestamp =
        DateTime::from(SystemTime::now()).fmt(Format::DateTime).unwrap_or_else(|_| String::new());
    let context = CONTEXT.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let line = |message: &str| {
        let mut object = json!({ "timestamp": timestamp, "level": level, "message": message });
        let database = database.map(|database| ("database", database.to_owned()));
        for (name, value) in context.iter().cloned().chain(database) {
            object[name] = json!(scrubbed(&value));
        }
        for (name, value) in members.as_object().into_iter().flatten() {
            object[name] = value.clone();
        }
        format!("{object}\n")
    };
    let line = within(&scrubbed(message), line);
    // A log that cannot be written is no reason to fail a deployment.
    let _ = if TO_STANDARD_ERROR.load(Ordering::SeqCst) {
        io::stderr().write_all(line.as_bytes())
    } else {
        io::stdout().write_all(line.as_bytes())
    };
}
