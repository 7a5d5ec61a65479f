//! What is known of one invocation, and its result.

use std::time::{Duration, Instant, SystemTime};

use lambda_runtime::{Context, Diagnostic};
use serde_json::{Value, json};

use crate::cloudformation::event::{Event, Properties, Unreadable};
use crate::cloudformation::physical_id;
use crate::deadline::Deadline;
use crate::planner::removal::ownership::Claimant;
use crate::postgres::target::RdsIdentifier;
use crate::reconcile::connector::Clients;
use crate::reconcile::error::Error;
use crate::reconcile::progress::Progress;

/// The `errorType` of a response that could not be delivered; `errorMessage` is the document.
pub const NOT_DELIVERED: &str = "NotDelivered";

/// The `errorType` of a direct invocation that failed and will fail again; `errorMessage` is the
/// document.
pub const FAILED: &str = "Failed";

/// The `errorType` of a direct invocation that failed and may succeed later, as where no connection
/// could be opened; `errorMessage` is the document.
pub const FAILED_TRANSIENTLY: &str = "FailedTransiently";

/// One invocation, and how far it has come.
#[derive(Debug)]
pub struct Invocation {
    /// What is asked for.
    pub event: Event,
    /// When it has to end.
    pub deadline: Deadline,
    /// What was left behind so far.
    pub progress: Progress,
    /// What connecting needs.
    pub clients: Clients,
    /// Why the certificates that `AWS_CA_BUNDLE` names cannot be used.
    pub unusable_bundle: Option<String>,
}

impl Invocation {
    /// Nothing is sent to AWS over a connection that the operator does not trust.
    ///
    /// # Errors
    /// `AWS_CA_BUNDLE` cannot be used.
    pub fn check_bundle(&self) -> Result<(), Error> {
        self.unusable_bundle.clone().map_or(Ok(()), |why| Err(Error::Bundle(why)))
    }

    /// The physical resource id to respond with where the request failed.
    pub fn physical_id_of_failure(&self) -> String {
        let (event, progress) = (&self.event, &self.progress);
        let issued = progress.target().map(|target| {
            physical_id::issued(&event.logical_resource_id, &target.host, target.port)
        });
        let left_something = progress.may_have_left_something();
        physical_id::of_failure(event, issued.as_deref(), left_something)
    }

    /// `Server` of a direct result, where the server is known.
    pub fn server(&self) -> Option<Value> {
        let target = self.progress.target()?;
        let mut server = json!({ "Host": target.host, "Port": target.port });
        match &target.rds {
            Some(RdsIdentifier::Instance(id)) => server["DBInstanceIdentifier"] = json!(id),
            Some(RdsIdentifier::Cluster(id)) => server["DBClusterIdentifier"] = json!(id),
            None => {}
        }
        Some(server)
    }

    /// Who the event is about, in the claims.
    pub fn claimant(&self, physical_id: &str) -> Claimant {
        Claimant {
            stack: self.event.stack_id.replace('\0', ""),
            logical_id: self.event.logical_resource_id.replace('\0', ""),
            physical_id: physical_id.replace('\0', ""),
        }
    }
}

/// Properties, where they can be read. Where not, the request that had them failed, and nothing
/// was done for it.
pub fn readable(properties: &Result<Option<Properties>, Unreadable>) -> Option<&Properties> {
    properties.as_ref().ok().and_then(Option::as_ref)
}

/// The deadlines of an event: what Lambda leaves, and `ServiceTimeout` if that is less.
pub fn deadline(event: &Event, context: &Context) -> Deadline {
    let now = Instant::now();
    let deadline = Deadline::new(now, time_left(context));
    match event.service_timeout {
        Some(timeout) => deadline.within(now, timeout),
        None => deadline,
    }
}

/// What Lambda leaves of the time for this invocation.
pub fn time_left(context: &Context) -> Duration {
    context.deadline().duration_since(SystemTime::now()).unwrap_or(Duration::ZERO)
}

/// A function error.
pub fn function_error(error_type: &str, error_message: String) -> Diagnostic {
    Diagnostic { error_type: error_type.to_owned(), error_message }
}
