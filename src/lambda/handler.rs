//! The handler: does what an event asks for and sends exactly one response.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lambda_runtime::{Context, Diagnostic};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::cloudformation::event::{Event, RequestType};
use crate::cloudformation::response::{Outcome, Success, document};
use crate::cloudformation::{physical_id, upload};
use crate::lambda::inspect::{self, Inspected};
use crate::lambda::invocation::{
    FAILED, FAILED_TRANSIENTLY, Invocation, NOT_DELIVERED, deadline, function_error,
};
use crate::lambda::{create_or_update, delete};
use crate::reconcile::connector::Clients;
use crate::reconcile::error::Error;
use crate::reconcile::progress::Progress;
use crate::text::chain;
use crate::{log, redact};

/// The clients that outlive a request.
#[derive(Debug, Clone)]
pub struct Handler {
    /// For the response.
    pub http: reqwest::Client,
    /// For the database.
    pub clients: Clients,
    /// Why the certificates that `AWS_CA_BUNDLE` names cannot be used.
    pub unusable_bundle: Option<String>,
}

/// What was done.
enum Done {
    /// The databases are as desired: the physical resource id, and what to respond.
    Reconciled(String, Success),
    /// The databases were read.
    Inspected(Inspected),
}

impl Handler {
    /// Does what the event asks for and responds.
    ///
    /// # Errors
    /// The response as the message of a function error: a direct invocation that failed, or a
    /// response that could not be delivered.
    pub async fn handle(
        &self,
        payload: Box<RawValue>,
        context: Context,
    ) -> Result<Value, Diagnostic> {
        let started = Instant::now();
        redact::forget();
        let event = Event::read(payload.get());
        log::set_context([
            ("requestId", &context.request_id),
            ("stackId", &event.stack_id),
            ("logicalResourceId", &event.logical_resource_id),
        ]);
        log::info(&event.to_string());
        let invocation = Arc::new(Invocation {
            deadline: deadline(&event, &context),
            event,
            progress: Progress::default(),
            clients: self.clients.clone(),
            unusable_bundle: self.unusable_bundle.clone(),
        });
        let result = run(&invocation).await;
        if let Err(error) = &result {
            log::error(&error.to_string());
        }
        log_metrics(&context, &invocation, &result, started.elapsed());
        let server = invocation.server();
        let failure = match &result {
            Err(error) if error.is_transient() => Some(FAILED_TRANSIENTLY),
            Err(_) => Some(FAILED),
            Ok(_) => None,
        };
        let outcome = match result {
            Ok(Done::Inspected(inspected)) => return Ok(inspected.result),
            Ok(Done::Reconciled(physical_id, success)) => {
                Outcome { physical_id, result: Ok(success), server }
            }
            Err(error) => {
                let physical_id = invocation.physical_id_of_failure();
                Outcome { physical_id, result: Err(error.to_string()), server }
            }
        };
        let log_stream = format!("log stream: {}", context.env_config.log_stream);
        let response = document(&invocation.event, &outcome, &log_stream);
        self.respond(&invocation, response, failure).await
    }

    /// `failure` is the error type of a request that failed.
    async fn respond(
        &self,
        invocation: &Invocation,
        response: String,
        failure: Option<&str>,
    ) -> Result<Value, Diagnostic> {
        let url = match (&invocation.event.response_url, failure) {
            (None, Some(error_type)) => return Err(function_error(error_type, response)),
            (None, None) => {
                return Ok(serde_json::from_str(&response).unwrap_or(Value::String(response)));
            }
            (Some(Err(refused)), _) => {
                log::error(&format!("the response was not sent: {refused}"));
                return Err(function_error(NOT_DELIVERED, response));
            }
            (Some(Ok(url)), _) => url,
        };
        let until = invocation.deadline.upload_until(Instant::now());
        match upload::put(&self.http, url, &response, until).await {
            Ok(()) => {
                let status = if failure.is_some() { "FAILED" } else { "SUCCESS" };
                log::info(&format!("responded {status}"));
                Ok(Value::Null)
            }
            Err(error) => {
                log::error(&format!("the response was not delivered: {}", chain(&error)));
                Err(function_error(NOT_DELIVERED, response))
            }
        }
    }
}

/// Whatever happens ends as a result: a panic too, and the deadline.
async fn run(invocation: &Arc<Invocation>) -> Result<Done, Error> {
    // In a task of its own, where a panic ends as an error.
    let work = tokio::spawn(work(Arc::clone(invocation)));
    let abort = work.abort_handle();
    match tokio::time::timeout_at(invocation.deadline.abort_at().into(), work).await {
        Err(_) => {
            // Nothing may be committed after the response says FAILED.
            abort.abort();
            Err(Error::Overdue)
        }
        Ok(Err(_)) => Err(Error::Internal("a panic, whose place the log has".to_owned())),
        Ok(Ok(result)) => result,
    }
}

async fn work(invocation: Arc<Invocation>) -> Result<Done, Error> {
    match &invocation.event.request_type {
        RequestType::Create | RequestType::Update => {
            let (physical_id, success) = create_or_update::work(&invocation).await?;
            Ok(Done::Reconciled(physical_id, success))
        }
        RequestType::Delete => {
            let physical_id = physical_id::of_failure(&invocation.event, None, false);
            Ok(Done::Reconciled(physical_id, delete::work(&invocation).await?))
        }
        RequestType::Inspect => inspect::work(&invocation).await.map(Done::Inspected),
        RequestType::Unknown(_) => Err(Error::Event(format!(
            "`RequestType` must be `Create`, `Update`, `Delete` or `Inspect`, not `{}`",
            invocation.event.request_type
        ))),
    }
}

/// One line for each request. docs/metrics.md describes them.
fn log_metrics(
    context: &Context,
    invocation: &Invocation,
    result: &Result<Done, Error>,
    duration: Duration,
) {
    let (databases, changes) = invocation.progress.counts();
    let mut metrics = vec![
        ("Succeeded", "Count", usize::from(result.is_ok())),
        ("Failed", "Count", usize::from(result.is_err())),
        ("Changed", "Count", changes),
        ("Duration", "Milliseconds", usize::try_from(duration.as_millis()).unwrap_or_default()),
        ("Databases", "Count", databases),
    ];
    if let Ok(Done::Inspected(inspected)) = result {
        metrics.push(("Drift", "Count", inspected.drift));
        metrics.push(("UpdatesAvailable", "Count", inspected.updates_available));
    }
    log::metrics(&context.env_config.function_name, &metrics);
}
