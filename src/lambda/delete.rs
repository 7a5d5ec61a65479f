//! What a Delete does: nothing under `Retain`; else it drops what the resource created.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::cloudformation::response::Success;
use crate::cloudformation::{physical_id, properties};
use crate::lambda::invocation::{Invocation, readable};
use crate::log;
use crate::planner::desired::RemovalPolicy;
use crate::planner::removal::ownership::Claimants;
use crate::postgres::connect_error::RetryLimits;
use crate::reconcile::connector::Connector;
use crate::reconcile::database::Reconciler;
use crate::reconcile::databases;
use crate::reconcile::error::Error;
use crate::reconcile::report::{Report, changes, places};
use crate::request::Request;

/// How long a Delete waits for a secret, or for a policy, that may be deleted already.
const SECRET_LIMIT: Duration = Duration::from_secs(30);

/// Drops what the resource created, if its policy says so, and says what was dropped.
///
/// # Errors
/// What the response has as its reason.
pub async fn work(invocation: &Invocation) -> Result<Success, Error> {
    let event = &invocation.event;
    let mut request = properties::read_leniently(readable(&event.properties));
    let id = event.physical_resource_id.clone().unwrap_or_default();
    let logical_id = &event.logical_resource_id;
    let success = |reason: String| Success { reason, data: BTreeMap::new(), plan: None };
    let why = if request.desired.removal == RemovalPolicy::Retain {
        "`RemovalPolicy` is `Retain`"
    } else if id == physical_id::create_failed(logical_id) {
        "its Create failed and left nothing behind"
    } else if request.dry_run {
        "`DryRun` is `true`"
    } else {
        ""
    };
    if !why.is_empty() {
        return Ok(success(format!("nothing was dropped: {why}")));
    }
    request.desired.claimants = if physical_id::is_issued(&id, logical_id) {
        Claimants::This(invocation.claimant(&id))
    } else {
        Claimants::AnyOf(invocation.claimant(""))
    };
    match drop_created(invocation, request).await {
        Ok(reports) if reports.is_empty() => Ok(success(
            "nothing was dropped: this resource created nothing that is still there".to_owned(),
        )),
        Ok(reports) => Ok(success(format!("{}: {}", places(&reports), changes(&reports)))),
        // Another Delete would find the same: what the resource depends on is deleted after it.
        Err(error) if error.is_unreachable() => {
            log::warn(&format!("nothing was dropped: {error}"));
            Ok(success(format!("nothing was dropped, since there is no server to ask: {error}")))
        }
        Err(error) => Err(error),
    }
}

async fn drop_created(invocation: &Invocation, request: Request) -> Result<Vec<Report>, Error> {
    invocation.check_bundle()?;
    let Request { connection, desired, .. } = request;
    let (deadline, progress) = (invocation.deadline, &invocation.progress);
    let (limits, secret_deadline) = (RetryLimits::OF_DELETE, deadline.at_most(SECRET_LIMIT));
    let databases = connection.databases.clone();
    let connector =
        Connector::new(&invocation.clients, connection, limits, deadline, secret_deadline).await?;
    let target = connector.target().await;
    invocation.progress.set_target(&target);
    let reconciler = Reconciler { connector, desired, dry_run: false, deadline, progress };
    let reports = databases::delete(&reconciler, &databases).await;
    reports.map_err(|it| if it.is_unreachable() { it } else { it.through_proxy(&target.host) })
}
