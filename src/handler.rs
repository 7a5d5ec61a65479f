//! The hallway: every stage in turn, answered exactly once.

use std::time::{Duration, Instant, SystemTime};

use lambda_runtime::{Context, Diagnostic};
use serde_json::Value;

use crate::budget::Budget;
use crate::error::{Error, chain};
use crate::event::Event;
use crate::report::{Data, Report};
use crate::request::{Request, service_timeout};
use crate::response::{Outcome, Success, document};
use crate::secret::{self, Stage};
use crate::session::{self, Session};
use crate::target::{self, Target};
use crate::trust::Trust;
use crate::{delivery, identity, log, plan};

/// The clients that outlive a request.
#[derive(Debug, Clone)]
pub struct Handler {
    /// For the answer.
    pub http: reqwest::Client,
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
        log::info(&event.to_string());
        let outcome = self.outcome(&event, budget).await;
        if let Err(reason) = &outcome.result {
            log::error(reason);
        }
        let document = document(&event, &outcome, &context.env_config.log_stream);
        let failed = outcome.result.is_err();
        match &event.response_url {
            None if failed => Err(function_error("Failed", document)),
            None => Ok(serde_json::from_str(&document).unwrap_or(Value::String(document))),
            Some(Err(refused)) => {
                log::error(&format!("the answer was not sent: {refused}"));
                Err(function_error("NotDelivered", document))
            }
            Some(Ok(url)) => match delivery::put(&self.http, url, &document, budget).await {
                Ok(()) => {
                    log::info(if failed { "answered FAILED" } else { "answered SUCCESS" });
                    Ok(Value::Null)
                }
                Err(error) => {
                    log::error(&format!("the answer was not delivered: {}", chain(&error)));
                    Err(function_error("NotDelivered", document))
                }
            },
        }
    }

    /// Never escapes: whatever happens becomes an outcome, a panic too.
    async fn outcome(&self, event: &Event, budget: Budget) -> Outcome {
        let incoming = event.physical_resource_id.clone();
        let create = event.request_type == "Create" || incoming.is_none();
        let fallback = match incoming {
            Some(id) if !create => id,
            _ => identity::create_failed(&event.logical_resource_id),
        };
        // A task of its own: a panic in it ends there.
        let task = tokio::spawn(self.clone().fulfil(
            event.request_type.clone(),
            event.logical_resource_id.clone(),
            event.physical_resource_id.clone(),
            event.properties.clone(),
            budget,
        ));
        let result = task.await.unwrap_or_else(|_| {
            Err(Error::Internal("a panic, whose place the log has".to_owned()))
        });
        match result {
            Ok((physical_id, success)) => Outcome { physical_id, result: Ok(success) },
            Err(error) => Outcome { physical_id: fallback, result: Err(error.to_string()) },
        }
    }

    async fn fulfil(
        self,
        request_type: String,
        logical_id: String,
        incoming: Option<String>,
        properties: Option<serde_json::Map<String, Value>>,
        budget: Budget,
    ) -> Result<(String, Success), Error> {
        match request_type.as_str() {
            "Create" | "Update" => {}
            "Delete" => {
                // Under `Retain`, the only policy so far, a Delete touches nothing.
                let id = incoming.unwrap_or_else(|| identity::create_failed(&logical_id));
                let reason = "nothing was dropped: `RemovalPolicy` is `Retain`".to_owned();
                return Ok((id, Success { reason, data: None }));
            }
            other => return Err(Error::RequestType(other.chars().take(40).collect())),
        }
        let request = Request::read(properties.as_ref()).map_err(Error::Properties)?;
        let (session, target) = self.connect(&request, budget).await?;
        let report = reconcile(&session, &request, budget).await;
        session.close().await;
        let data = Data::of(&[report?]);
        let physical_id = match incoming.filter(|_| request_type == "Update") {
            Some(id) => identity::updated(&id, &logical_id, &target.host, target.port),
            None => identity::issued(&logical_id, &target.host, target.port),
        };
        let rehearsal = if request.dry_run { " (dry run: nothing was changed)" } else { "" };
        let reason = format!("database `{}`: {}{rehearsal}", target.database, data.changes);
        Ok((physical_id, Success { reason, data: Some(data) }))
    }

    /// Reads the secret and opens a session. A rejected password may be one that a rotation is
    /// about to change: the secret is read again, version by version.
    async fn connect(&self, request: &Request, budget: Budget) -> Result<(Session, Target), Error> {
        let place = &request.place;
        let mut target = self.target(request, Stage::Current, budget).await?;
        let mut rejected = match Session::open(&target, &self.trust, budget).await {
            Err(Error::Session(rejected @ session::Error::Password { .. })) => rejected,
            result => return Ok((result?, target)),
        };
        for stage in [Stage::Current, Stage::Pending, Stage::Previous] {
            log::warn(&format!("{}: reading its {} version", chain(&rejected), stage.label()));
            let again = match self.target(request, stage, budget).await {
                Ok(again) => again,
                // Outside a rotation there is no such version.
                Err(Error::Secret(secret::Error::Refused { .. })) => continue,
                Err(error) => return Err(error),
            };
            if again.password == target.password && again.username == target.username {
                continue;
            }
            target = again;
            match Session::open(&target, &self.trust, budget).await {
                Err(Error::Session(error @ session::Error::Password { .. })) => rejected = error,
                result => return Ok((result?, target)),
            }
        }
        log::error(&format!("no version of the secret {} has the password", place.secret));
        Err(rejected.into())
    }

    async fn target(
        &self,
        request: &Request,
        stage: Stage,
        budget: Budget,
    ) -> Result<Target, Error> {
        let credentials = secret::read(&self.secrets, &request.place.secret, stage, budget).await?;
        target::resolve(&request.place, credentials).map_err(Error::Target)
    }
}

/// Look, compare, apply: one database, one transaction.
async fn reconcile(session: &Session, request: &Request, budget: Budget) -> Result<Report, Error> {
    let observed = session.observe(&request.wanted, budget).await?;
    let database = observed.database.clone();
    let mut before: session::Extensions = observed
        .installed
        .iter()
        .map(|extension| (extension.name.clone(), extension.version.clone()))
        .collect();
    before.sort_unstable();
    log::of_database(&database, &format!("BEFORE: {:?}", names(&before)));
    let plan = plan::plan(&request.wanted, &observed)
        .map_err(|problems| Error::Plan { database: database.clone(), problems })?;
    for step in &plan.steps {
        log::of_database(&database, &step.announcement());
    }
    let after = if plan.steps.is_empty() {
        before.clone()
    } else {
        session.apply(&plan, request.dry_run, budget).await?
    };
    log::of_database(&database, &format!("AFTER: {:?}", names(&after)));
    let server_version = observed.short_version().to_owned();
    Ok(Report { database, server_version, before, after, plan })
}

fn names(extensions: &session::Extensions) -> Vec<&str> {
    extensions.iter().map(|(name, _)| name.as_str()).collect()
}

/// The time there is: what Lambda leaves, and `ServiceTimeout` if that is less.
fn budget(event: &Event, context: &Context) -> Budget {
    let now = Instant::now();
    let left = context.deadline().duration_since(SystemTime::now()).unwrap_or(Duration::ZERO);
    let budget = Budget::new(now, left);
    match service_timeout(event.properties.as_ref()) {
        Some(timeout) => budget.within(now, timeout),
        None => budget,
    }
}

fn function_error(error_type: &str, document: String) -> Diagnostic {
    Diagnostic { error_type: error_type.to_owned(), error_message: document }
}
