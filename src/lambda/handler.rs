//! The handler: does what an event asks for and sends exactly one response.

use std::sync::Arc;

use lambda_runtime::{Context, Diagnostic};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::cloudformation::event::{Event, RequestType};
use crate::cloudformation::response::{Outcome, Success, document};
use crate::cloudformation::{physical_id, upload};
use crate::lambda::invocation::{FAILED, Invocation, NOT_DELIVERED, deadline, function_error};
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
        redact::forget();
        let event = Event::read(payload.get());
        log::info(&event.to_string());
        let invocation = Arc::new(Invocation {
            deadline: deadline(&event, &context),
            event,
            progress: Progress::default(),
            clients: self.clients.clone(),
            unusable_bundle: self.unusable_bundle.clone(),
        });
        let outcome = outcome(&invocation).await;
        if let Err(reason) = &outcome.result {
            log::error(reason);
        }
        let log_stream = format!("log stream: {}", context.env_config.log_stream);
        let response = document(&invocation.event, &outcome, &log_stream);
        self.respond(&invocation, response, outcome.result.is_err()).await
    }

    async fn respond(
        &self,
        invocation: &Invocation,
        response: String,
        is_failure: bool,
    ) -> Result<Value, Diagnostic> {
        let url = match &invocation.event.response_url {
            None if is_failure => return Err(function_error(FAILED, response)),
            None => return Ok(serde_json::from_str(&response).unwrap_or(Value::String(response))),
            Some(Err(refused)) => {
                log::error(&format!("the response was not sent: {refused}"));
                return Err(function_error(NOT_DELIVERED, response));
            }
            Some(Ok(url)) => url,
        };
        let until = invocation.deadline.upload_until(std::time::Instant::now());
        match upload::put(&self.http, url, &response, until).await {
            Ok(()) => {
                log::info(if is_failure { "responded FAILED" } else { "responded SUCCESS" });
                Ok(Value::Null)
            }
            Err(error) => {
                log::error(&format!("the response was not delivered: {}", chain(&error)));
                Err(function_error(NOT_DELIVERED, response))
            }
        }
    }
}

/// Whatever happens becomes an outcome: a panic too, and the deadline.
async fn outcome(invocation: &Arc<Invocation>) -> Outcome {
    // In a task of its own, where a panic ends as an error.
    let work = tokio::spawn(work(Arc::clone(invocation)));
    let result = match tokio::time::timeout_at(invocation.deadline.abort_at().into(), work).await {
        Err(_) => Err(Error::Overdue),
        Ok(Err(_)) => Err(Error::Internal("a panic, whose place the log has".to_owned())),
        Ok(Ok(result)) => result,
    };
    let (event, progress) = (&invocation.event, &invocation.progress);
    match result {
        Ok((physical_id, success)) => Outcome { physical_id, result: Ok(success) },
        Err(error) => {
            let issued = progress
                .server()
                .map(|(host, port)| physical_id::issued(&event.logical_resource_id, host, *port));
            let left_something = progress.may_have_left_something();
            let physical_id = physical_id::of_failure(event, issued.as_deref(), left_something);
            Outcome { physical_id, result: Err(error.to_string()) }
        }
    }
}

/// The physical resource id and the success to respond with.
async fn work(invocation: Arc<Invocation>) -> Result<(String, Success), Error> {
    match &invocation.event.request_type {
        RequestType::Create | RequestType::Update => create_or_update::work(&invocation).await,
        RequestType::Delete => {
            let physical_id = physical_id::of_failure(&invocation.event, None, false);
            Ok((physical_id, delete::work(&invocation).await?))
        }
        RequestType::Unknown(_) => Err(Error::Event(format!(
            "`RequestType` must be `Create`, `Update` or `Delete`, not `{}`",
            invocation.event.request_type
        ))),
    }
}
