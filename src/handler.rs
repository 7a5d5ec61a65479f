//! The hallway: every stage in turn, answered exactly once.

use std::collections::BTreeMap;
use std::future::pending;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use lambda_runtime::{Context, Diagnostic};
use serde_json::Value;

use crate::answer::{Answer, time_left};
use crate::budget::Budget;
use crate::error::Error;
use crate::event::Event;
use crate::report::Data;
use crate::request::{Authentication, Databases, Place, Request, WantedExtension, service_timeout};
use crate::response::{Outcome, Success};
use crate::secret::Stage;
use crate::token::Signer;
use crate::trust::Trust;
use crate::visit::{Visitor, read_target};
use crate::watchdog::Watchdog;
use crate::{identity, log, reference};

/// The clients that outlive a request.
#[derive(Debug, Clone)]
pub struct Handler {
    /// For the answer.
    pub http: reqwest::Client,
    /// The TLS settings of `http`, for the watchdog's own client.
    pub tls: native_tls::TlsConnector,
    /// For the credentials.
    pub secrets: aws_sdk_secretsmanager::Client,
    /// For tokens in place of passwords.
    pub signer: Signer,
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
        if let Err(reason) = &outcome.result {
            log::error(reason);
        }
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
        let mut request = Request::read(event.properties.as_ref()).map_err(Error::Properties)?;
        if let Some(secret) = request.plugins_from.clone() {
            let reference = self.reference(&request, secret, &answer).await;
            reference::add(&mut request, reference.map_err(Error::of_reference)?);
        }
        let visitor = self.visitor(&request, &request.place, &answer).await?;
        let (host, port) = {
            let target = visitor.target.lock().await;
            (target.host.clone(), target.port)
        };
        answer.progress.identified(identity::issued(logical_id, &host, port));
        let reports = visitor.reconcile().await.map_err(|error| error.through(&host))?;
        let data = Data::of(&reports);
        let physical_id = match &event.physical_resource_id {
            Some(id) if event.request_type == "Update" => {
                identity::updated(id, logical_id, &host, port)
            }
            _ => identity::issued(logical_id, &host, port),
        };
        let rehearsal = if request.dry_run { " (dry run: nothing was changed)" } else { "" };
        let place = match reports.as_slice() {
            [report] => format!("database `{}`", report.database),
            reports => format!("{} databases", reports.len()),
        };
        let reason = format!("{place}: {}{rehearsal}", data.changes);
        Ok((physical_id, Success { reason, data: Some(data) }))
    }
}

impl Handler {
    async fn visitor<'a>(
        &'a self,
        request: &'a Request,
        place: &'a Place,
        answer: &'a Answer,
    ) -> Result<Visitor<'a>, Error> {
        let target = read_target(&self.secrets, place, Stage::Current, answer.budget).await?;
        Ok(Visitor {
            secrets: &self.secrets,
            signer: &self.signer,
            trust: &self.trust,
            place,
            request,
            budget: answer.budget,
            progress: &answer.progress,
            target: target.into(),
            locked_out: OnceLock::new(),
        })
    }

    /// The extensions of the database that `PluginsFrom` names.
    async fn reference(
        &self,
        request: &Request,
        secret: String,
        answer: &Answer,
    ) -> Result<BTreeMap<String, WantedExtension>, Error> {
        let place = Place {
            secret: Some(secret),
            is_reference: true,
            authentication: Authentication::Password,
            host: None,
            port: None,
            username: None,
            databases: Databases::TheSecrets,
            ..request.place.clone()
        };
        self.visitor(request, &place, answer).await?.extensions().await
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
