//! The hallway: every stage in turn, answered exactly once.

use std::future::pending;
use std::sync::Arc;
use std::time::Instant;

use lambda_runtime::{Context, Diagnostic};
use serde_json::Value;

use crate::answer::{Answer, time_left};
use crate::budget::Budget;
use crate::error::Error;
use crate::event::Event;
use crate::report::Data;
use crate::request::{Request, service_timeout};
use crate::response::{Outcome, Success};
use crate::trust::Trust;
use crate::visit::Visit;
use crate::watchdog::Watchdog;
use crate::{identity, log};

/// The clients that outlive a request.
#[derive(Debug, Clone)]
pub struct Handler {
    /// For the answer.
    pub http: reqwest::Client,
    /// The TLS settings of `http`, for the watchdog's own client.
    pub tls: native_tls::TlsConnector,
    /// For the credentials.
    pub secrets: aws_sdk_secretsmanager::Client,
    /// Whom we believe.
    pub trust: Trust,
}

impl Handler {
    /// Does what the event asks for and answers it.
    ///
    /// # Errors
    /// The document as the message of a function error: a direct invocation that failed, or an
    /// answer that could not be delivered.
    pub async fn handle(&self, payload: Value, context: Context) -> Result<Value, Diagnostic> {
        let event = Event::read(&payload);
        let budget = budget(&event, &context);
        let log_stream = context.env_config.log_stream.clone();
        let answer = Arc::new(Answer::new(event, budget, log_stream));
        let _watchdog =
            Watchdog::arm(Arc::clone(&answer), self.tls.clone(), context.request_id.clone());
        log::info(&answer.event.to_string());
        let outcome = self.outcome(&answer).await;
        if !answer.claim() {
            // The watchdog is answering, and ends the process when it has.
            pending::<()>().await;
        }
        answer.give(&self.http, &outcome).await
    }

    /// Never escapes: whatever happens becomes an outcome, a panic too.
    async fn outcome(&self, answer: &Arc<Answer>) -> Outcome {
        // A task of its own: a panic in it ends there.
        let task = tokio::spawn(self.clone().fulfil(Arc::clone(answer)));
        let result = task.await.unwrap_or_else(|_| {
            Err(Error::Internal("a panic, whose place the log has".to_owned()))
        });
        match result {
            Ok((physical_id, success)) => Outcome { physical_id, result: Ok(success) },
            Err(error) => {
                Outcome { physical_id: answer.failed_id(), result: Err(error.to_string()) }
            }
        }
    }

    async fn fulfil(self, answer: Arc<Answer>) -> Result<(String, Success), Error> {
        let event = &answer.event;
        match event.request_type.as_str() {
            "Create" | "Update" => {}
            "Delete" => return Ok((answer.failed_id(), nothing_dropped())),
            other => return Err(Error::RequestType(other.chars().take(40).collect())),
        }
        let logical_id = event.logical_resource_id.as_str();
        let request = Request::read(event.properties.as_ref()).map_err(Error::Properties)?;
        let visit = Visit {
            secrets: &self.secrets,
            trust: &self.trust,
            request: &request,
            budget: answer.budget,
            progress: &answer.progress,
            logical_id,
        };
        let (report, target) = visit.reconcile().await?;
        let data = Data::of(&[report]);
        let physical_id = match &event.physical_resource_id {
            Some(id) if event.request_type == "Update" => {
                identity::updated(id, logical_id, &target.host, target.port)
            }
            _ => identity::issued(logical_id, &target.host, target.port),
        };
        let rehearsal = if request.dry_run { " (dry run: nothing was changed)" } else { "" };
        let reason = format!("database `{}`: {}{rehearsal}", target.database, data.changes);
        Ok((physical_id, Success { reason, data: Some(data) }))
    }
}

/// Under `Retain`, the only policy so far, a Delete touches nothing.
fn nothing_dropped() -> Success {
    Success { reason: "nothing was dropped: `RemovalPolicy` is `Retain`".to_owned(), data: None }
}

/// The time there is: what Lambda leaves, and `ServiceTimeout` if that is less.
fn budget(event: &Event, context: &Context) -> Budget {
    let now = Instant::now();
    let budget = Budget::new(now, time_left(context));
    match service_timeout(event.properties.as_ref()) {
        Some(timeout) => budget.within(now, timeout),
        None => budget,
    }
}
