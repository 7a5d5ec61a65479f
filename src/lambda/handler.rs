//! The hallway: every stage in turn, answered exactly once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use lambda_runtime::{Context, Diagnostic};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::aws::rds_token::Signer;
use crate::aws::secrets_manager::Stage;
use crate::cloudformation::event::{Event, Properties, Unreadable};
use crate::cloudformation::physical_id;
use crate::cloudformation::plugins_map;
use crate::cloudformation::response::{Outcome, Success};
use crate::deadline::Budget;
use crate::lambda::answer::{Answer, time_left};
use crate::log;
use crate::planner::removal::ownership::{Claimant, Whose};
use crate::postgres::retry_limits::Patience;
use crate::postgres::target::Target;
use crate::reconcile::database::{Visitor, read_target};
use crate::reconcile::error::Error;
use crate::reconcile::plugins_from;
use crate::reconcile::report::{self, Data, Report, places};
use crate::redact;
use crate::request::{
    Authentication, Databases, Place, RemovalPolicy, Request, Wanted, WantedExtension,
};
use crate::text::shown;
use crate::tls::Trust;

/// The clients that outlive a request.
#[derive(Debug, Clone)]
pub struct Handler {
    /// For the answer.
    pub http: reqwest::Client,
    /// For the credentials.
    pub secrets: aws_sdk_secretsmanager::Client,
    /// For tokens in place of passwords.
    pub signer: Signer,
    /// Whom we believe.
    pub trust: Trust,
    /// Why the certificates that `AWS_CA_BUNDLE` names cannot be used.
    pub unusable_bundle: Option<String>,
}

impl Handler {
    /// Does what the event asks for and answers it.
    ///
    /// # Errors
    /// The document as the message of a function error: a direct invocation that failed, or an
    /// answer that could not be delivered.
    pub async fn handle(
        &self,
        payload: Box<RawValue>,
        context: Context,
    ) -> Result<Value, Diagnostic> {
        redact::forget();
        let event = Event::read(payload.get());
        let budget = budget(&event, &context);
        let log_stream = context.env_config.log_stream.clone();
        let answer = Arc::new(Answer::new(event, budget, log_stream));
        log::info(&answer.event.to_string());
        let outcome = self.outcome(&answer).await;
        if let Err(reason) = &outcome.result {
            log::error(reason);
        }
        answer.give(&self.http, &outcome).await
    }

    /// Never escapes: whatever happens becomes an outcome, a panic too, and so does the deadline.
    async fn outcome(&self, answer: &Arc<Answer>) -> Outcome {
        let work = caught(self.clone().fulfil(Arc::clone(answer)));
        let result = tokio::time::timeout_at(answer.budget.overdue_at().into(), work).await;
        match result.unwrap_or(Err(Error::Overdue)) {
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
            "Delete" => return Ok((answer.failed_id(), self.leave(&answer).await?)),
            other => return Err(Error::RequestType(shown(other).into())),
        }
        self.check_bundle()?;
        let logical_id = event.logical_resource_id.as_str();
        let properties = event.properties.as_ref().map_err(|unreadable| *unreadable)?;
        let mut request = Request::read(properties.as_ref()).map_err(Error::Properties)?;
        if let Some(secret) = request.plugins_from.clone() {
            let reference = self.reference(&request, secret, &answer).await;
            plugins_from::add(&mut request, reference.map_err(Error::of_reference)?);
        }
        let budget = answer.budget;
        let target =
            read_target(&self.secrets, &self.trust, &request.place, Stage::Current, budget).await?;
        let issued = physical_id::issued(logical_id, &target.host, target.port);
        answer.progress.identified(issued.clone());
        let physical_id = match &event.physical_resource_id {
            Some(id) if event.request_type == "Update" => {
                physical_id::updated(id, logical_id, &target.host, target.port)
            }
            _ => issued,
        };
        request.earlier = earlier(event, &request, &physical_id);
        request.wanted.whose = Whose::This(claimant(event, &physical_id));
        request.wanted.earlier = listed_earlier(event, &request, &physical_id);
        let host = target.host.clone();
        let visitor = self.visitor(&request, &request.place, target, &answer);
        let reports = visitor.reconcile().await.map_err(|error| error.through(&host))?;
        let data = Data::of(&reports);
        let rehearsal = if request.dry_run { " (dry run: nothing was changed)" } else { "" };
        let reason = report::summary(&reports, &data) + rehearsal;
        Ok((physical_id, Success { reason, data: Some(data) }))
    }

    /// A Delete: drops what the resource created, if its policy says so.
    async fn leave(&self, answer: &Answer) -> Result<Success, Error> {
        let event = &answer.event;
        let done = |reason: String| Ok(Success { reason, data: None });
        let mut request = Request::read_leniently(legible(&event.properties));
        let id = event.physical_resource_id.clone().unwrap_or_default();
        let logical_id = &event.logical_resource_id;
        let untouched = [
            (request.wanted.removal == RemovalPolicy::Retain, "`RemovalPolicy` is `Retain`"),
            (
                id == physical_id::create_failed(logical_id),
                "its Create failed and left nothing behind",
            ),
            (request.dry_run, "`DryRun` is `true`"),
        ];
        if let Some((_, why)) = untouched.into_iter().find(|(is_so, _)| *is_so) {
            return done(format!("nothing was dropped: {why}"));
        }
        request.wanted.whose = if physical_id::is_issued(&id, logical_id) {
            Whose::This(claimant(event, &id))
        } else {
            Whose::AnyOf { stack: event.stack_id.clone(), logical_id: logical_id.clone() }
        };
        match self.dropped(&request, answer).await {
            Ok(reports) if reports.is_empty() => done(
                "nothing was dropped: this resource created nothing that is still there".into(),
            ),
            Ok(reports) => done(format!("{}: {}", places(&reports), Data::of(&reports).changes)),
            // Another try would meet the same: what the resource depends on goes after it.
            Err(error) if error.is_gone() => {
                log::warn(&format!("nothing was dropped: {error}"));
                done(format!("nothing was dropped, since nobody is there to ask: {error}"))
            }
            Err(error) => Err(error),
        }
    }

    /// Nothing is sent to AWS over a connection that the operator does not trust.
    fn check_bundle(&self) -> Result<(), Error> {
        self.unusable_bundle.clone().map_or(Ok(()), |why| Err(Error::Bundle(why)))
    }

    async fn dropped(&self, request: &Request, answer: &Answer) -> Result<Vec<Report>, Error> {
        self.check_bundle()?;
        let budget = answer.budget.hurried(SECRET_PATIENCE);
        let target =
            read_target(&self.secrets, &self.trust, &request.place, Stage::Current, budget).await?;
        let host = target.host.clone();
        let visitor = self.visitor(request, &request.place, target, answer);
        let reports = Visitor { patience: Patience::SHORT, ..visitor }.leave().await;
        reports.map_err(|error| if error.is_gone() { error } else { error.through(&host) })
    }
}

/// Does the work in a task of its own, where a panic ends as an error.
fn caught<T: Send + 'static>(
    work: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> impl Future<Output = Result<T, Error>> {
    let task = tokio::spawn(work);
    async {
        let panicked = || Error::Internal("a panic, whose place the log has".to_owned());
        task.await.unwrap_or_else(|_| Err(panicked()))
    }
}

/// How long a Delete waits for a secret that may be gone, or for a policy that may be.
const SECRET_PATIENCE: Duration = Duration::from_secs(30);

/// Properties, where they can be read. Where not, the request that had them failed, and nothing
/// was done for it.
fn legible(properties: &Result<Option<Properties>, Unreadable>) -> Option<&Properties> {
    properties.as_ref().ok().and_then(Option::as_ref)
}

/// Who an event is about, in the claims.
fn claimant(event: &Event, physical_id: &str) -> Claimant {
    Claimant {
        stack: event.stack_id.replace('\0', ""),
        logical_id: event.logical_resource_id.replace('\0', ""),
        physical_id: physical_id.replace('\0', ""),
    }
}

/// The databases of the request before, where an Update stays on its server and there may be
/// claims.
fn earlier(event: &Event, request: &Request, physical_id: &str) -> Option<Databases> {
    let old = Request::read_leniently(legible(&event.old_properties));
    let retained = RemovalPolicy::Retain;
    let claims = request.wanted.removal != retained || old.wanted.removal != retained;
    let stays = event.physical_resource_id.as_deref() == Some(physical_id);
    (legible(&event.old_properties).is_some() && claims && stays).then_some(old.place.databases)
}

/// The names that the old properties list. Nothing else is dropped: an Update that is delivered late
/// must not undo a newer one. `PluginsFrom` lists nothing, since the other database may lose what it
/// has. Nothing is dropped on a new server, nor by a Create of `CloudFormation`'s. `None`, which is
/// all that is claimed, for a direct invocation without old properties.
fn listed_earlier(event: &Event, request: &Request, physical_id: &str) -> Option<BTreeSet<String>> {
    let moves = event.physical_resource_id.as_deref().is_some_and(|id| id != physical_id);
    match &event.old_properties {
        Ok(None) if event.response_url.is_none() && request.plugins_from.is_none() => None,
        Ok(Some(old)) if !moves => Some(plugins_map::names(old)),
        _ => Some(BTreeSet::new()),
    }
}

impl Handler {
    fn visitor<'a>(
        &'a self,
        request: &'a Request,
        place: &'a Place,
        target: Target,
        answer: &'a Answer,
    ) -> Visitor<'a> {
        let Wanted { removal, whose, earlier, .. } = request.wanted.clone();
        Visitor {
            secrets: &self.secrets,
            signer: &self.signer,
            trust: &self.trust,
            place,
            request,
            budget: answer.budget,
            progress: &answer.progress,
            target: target.into(),
            locked_out: OnceLock::new(),
            patience: Patience::LONG,
            offers: Mutex::default(),
            passed_over: Mutex::default(),
            nothing: Wanted { removal, whose, earlier, ..Wanted::default() },
        }
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
        let target =
            read_target(&self.secrets, &self.trust, &place, Stage::Current, answer.budget).await?;
        self.visitor(request, &place, target, answer).extensions().await
    }
}

/// The time there is: what Lambda leaves, and `ServiceTimeout` if that is less.
fn budget(event: &Event, context: &Context) -> Budget {
    let now = Instant::now();
    let budget = Budget::new(now, time_left(context));
    match event.service_timeout {
        Some(timeout) => budget.within(now, timeout),
        None => budget,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_ends_as_an_error() {
        let nothing: [u8; 0] = [];
        let broken = caught(async move { Ok(nothing.first().copied().expect("a byte")) });
        let reason = broken.await.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(reason.contains("internal error (a bug): a panic"), "{reason}");
    }
}
