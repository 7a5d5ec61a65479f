//! One request's answer.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use lambda_runtime::{Context, Diagnostic};
use reqwest::Client;
use serde_json::Value;

use crate::cloudformation::event::Event;
use crate::cloudformation::physical_id;
use crate::cloudformation::response::{Outcome, document};
use crate::cloudformation::upload;
use crate::deadline::Budget;
use crate::log;
use crate::text::chain;

/// The `errorType` of an answer that could not be delivered; `errorMessage` is the document.
pub const NOT_DELIVERED: &str = "NotDelivered";

/// The `errorType` of a direct invocation that failed; `errorMessage` is the document.
pub const FAILED: &str = "Failed";

/// The answer to one event.
#[derive(Debug)]
pub struct Answer {
    /// What is answered.
    pub event: Event,
    /// Until when.
    pub budget: Budget,
    /// Where the log is.
    pub log_stream: String,
    /// What is known so far, should the answer have to come from elsewhere.
    pub progress: Progress,
}

/// How far a request has come, as far as it matters for its id.
#[derive(Debug, Default)]
pub struct Progress {
    id: OnceLock<String>,
    /// Databases whose changes are on their way, or of which nobody knows whether they stayed.
    unsettled: AtomicUsize,
    changed: AtomicBool,
}

impl Progress {
    /// The server is known, and with it the id.
    pub fn identified(&self, id: String) {
        // The first is as good as any other: rotation changes passwords, not hosts.
        let _ = self.id.set(id);
    }

    /// Changes are on their way to a database.
    pub fn sent(&self) {
        self.unsettled.fetch_add(1, Ordering::SeqCst);
    }

    /// It is known whether they stayed.
    pub fn settled(&self, changed: bool) {
        self.changed.fetch_or(changed, Ordering::SeqCst);
        self.unsettled.fetch_sub(1, Ordering::SeqCst);
    }

    fn may_have_left_something(&self) -> bool {
        self.changed.load(Ordering::SeqCst) || self.unsettled.load(Ordering::SeqCst) > 0
    }
}

impl Answer {
    /// Nothing has been said yet.
    pub fn new(event: Event, budget: Budget, log_stream: String) -> Self {
        Self { event, budget, log_stream, progress: Progress::default() }
    }

    /// The id to fail with: the one that came in; for a Create, the server's if something may have
    /// been left behind, so that the Delete that follows finds it.
    pub fn failed_id(&self) -> String {
        let event = &self.event;
        match (&event.physical_resource_id, self.progress.id.get()) {
            (Some(incoming), _) if event.request_type != "Create" => incoming.clone(),
            (_, Some(id)) if self.progress.may_have_left_something() => id.clone(),
            _ => physical_id::create_failed(&event.logical_resource_id),
        }
    }

    /// Sends what came of the request, and says what the function's own result is.
    ///
    /// # Errors
    /// The document as the message of a function error: a direct invocation that failed, or an
    /// answer that could not be delivered.
    pub async fn give(&self, http: &Client, outcome: &Outcome) -> Result<Value, Diagnostic> {
        let document = document(&self.event, outcome, &format!("log stream: {}", self.log_stream));
        let until = self.budget.deliver_until(Instant::now());
        let failed = outcome.result.is_err();
        match &self.event.response_url {
            None if failed => Err(function_error(FAILED, document)),
            None => Ok(serde_json::from_str(&document).unwrap_or(Value::String(document))),
            Some(Err(refused)) => {
                log::error(&format!("the answer was not sent: {refused}"));
                Err(function_error(NOT_DELIVERED, document))
            }
            Some(Ok(url)) => match upload::put(http, url, &document, until).await {
                Ok(()) => {
                    log::info(if failed { "answered FAILED" } else { "answered SUCCESS" });
                    Ok(Value::Null)
                }
                Err(error) => {
                    log::error(&format!("the answer was not delivered: {}", chain(&error)));
                    Err(function_error(NOT_DELIVERED, document))
                }
            },
        }
    }
}

/// What Lambda leaves of the time for this invocation.
pub fn time_left(context: &Context) -> Duration {
    context.deadline().duration_since(SystemTime::now()).unwrap_or(Duration::ZERO)
}

fn function_error(error_type: &str, document: String) -> Diagnostic {
    Diagnostic { error_type: error_type.to_owned(), error_message: document }
}
