//! What the log says: one JSON object a line on standard output.
//!
//! A failure is logged once, where it is handled. No line holds a password, a token, a
//! `ResponseURL` or the text of a secret, and none is longer than 256 KB.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use serde_json::json;

use crate::redact::scrubbed;
use crate::text::longest_start;

/// Logs what an operator wants to read of a run that goes well.
pub fn info(message: &str) {
    line("INFO", None, message);
}

/// Logs what went wrong and was dealt with: a retry, a fallback.
pub fn warn(message: &str) {
    line("WARN", None, message);
}

/// Logs a failure, where it is handled.
pub fn error(message: &str) {
    line("ERROR", None, message);
}

/// Logs what concerns one database.
pub fn of_database(database: &str, message: &str) {
    line("INFO", Some(database), message);
}

static TO_STANDARD_ERROR: AtomicBool = AtomicBool::new(false);

/// For a program whose standard output is something else.
pub fn to_standard_error() {
    TO_STANDARD_ERROR.store(true, Ordering::SeqCst);
}

/// The longest line: what `CloudWatch` takes, in bytes.
const MOST_BYTES: usize = 256 * 1024;

/// The line of a message, which is cut where the line would be too long.
fn within(message: &str, line: impl Fn(&str) -> String) -> String {
    let whole = line(message);
    if whole.len() <= MOST_BYTES {
        return whole;
    }
    let cut = |start: &str| line(&format!("{start}..."));
    let start = &message[..message.floor_char_boundary(MOST_BYTES)];
    cut(longest_start(start, |start| cut(start).len() <= MOST_BYTES))
}

fn line(level: &str, database: Option<&str>, message: &str) {
    let timestamp =
        DateTime::from(SystemTime::now()).fmt(Format::DateTime).unwrap_or_else(|_| String::new());
    let line = |message: &str| {
        let mut object = json!({ "timestamp": timestamp, "level": level, "message": message });
        if let Some(database) = database {
            object["database"] = json!(scrubbed(database));
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
