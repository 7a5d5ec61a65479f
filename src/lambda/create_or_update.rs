//! What a Create and an Update do: bring the databases to the desired state.

use std::collections::BTreeSet;

use crate::cloudformation::event::RequestType;
use crate::cloudformation::response::Success;
use crate::cloudformation::{physical_id, plugins_map, properties};
use crate::lambda::invocation::{Invocation, readable};
use crate::planner::desired::RemovalPolicy;
use crate::planner::removal::ownership::Claimants;
use crate::postgres::connect_error::RetryLimits;
use crate::postgres::target::Target;
use crate::reconcile::connector::Connector;
use crate::reconcile::database::Reconciler;
use crate::reconcile::error::Error;
use crate::reconcile::report::{self, Report};
use crate::reconcile::{databases, plugins_from};
use crate::request::{Databases, Request};

/// Reads the properties and the secret, reconciles the databases, and says what was done.
///
/// # Errors
/// What the response has as its reason.
pub async fn work(invocation: &Invocation) -> Result<(String, Success), Error> {
    let (clients, deadline) = (&invocation.clients, invocation.deadline);
    invocation.check_bundle()?;
    let request = request(invocation).await?;
    let (connection, dry_run) = (request.connection.clone(), request.dry_run);
    let limits = RetryLimits::UNTIL_DEADLINE;
    let connector = Connector::new(clients, connection, limits, deadline, deadline).await?;
    let (physical_id, reports) = reconcile(invocation, request, connector).await?;
    let suffix = if dry_run { " (dry run: nothing was changed)" } else { "" };
    let reason = report::summary(&reports) + suffix;
    let plan = dry_run.then(|| report::plan(&reports));
    Ok((physical_id, Success { reason, data: report::data(&reports), plan }))
}

/// The checked request, with the extensions of `PluginsFrom`.
///
/// # Errors
/// The properties are not right, or the other database cannot be read.
pub async fn request(invocation: &Invocation) -> Result<Request, Error> {
    let properties = invocation.event.properties.as_ref();
    let properties = properties.map_err(|error| Error::Event(error.to_string()))?.as_ref();
    let mut request = properties::read(properties).map_err(Error::Properties)?;
    if let Some(secret) = request.plugins_from.clone() {
        let (clients, deadline) = (&invocation.clients, invocation.deadline);
        plugins_from::add(&mut request, secret, clients, deadline).await?;
    }
    Ok(request)
}

/// Reconciles the databases; the physical resource id, and what was done.
///
/// # Errors
/// What the response has as its reason.
pub async fn reconcile(
    invocation: &Invocation,
    request: Request,
    connector: Connector<'_>,
) -> Result<(String, Vec<Report>), Error> {
    let target = connector.target().await;
    invocation.progress.set_target(&target);
    let (physical_id, request, earlier) = with_claimant(invocation, request, &target);
    let Request { connection, desired, dry_run, .. } = request;
    let (deadline, progress) = (invocation.deadline, &invocation.progress);
    let reconciler = Reconciler { connector, desired, dry_run, deadline, progress };
    let reports = databases::reconcile(&reconciler, &connection.databases, earlier.as_ref()).await;
    let reports = reports.map_err(|error| error.through_proxy(&target.host))?;
    Ok((physical_id, reports))
}

/// The physical resource id on this server; the request with who lists its extensions, and what may be
/// dropped; and the databases of the request before.
pub fn with_claimant(
    invocation: &Invocation,
    mut request: Request,
    target: &Target,
) -> (String, Request, Option<Databases>) {
    let event = &invocation.event;
    let logical_id = &event.logical_resource_id;
    let issued = physical_id::issued(logical_id, &target.host, target.port);
    let physical_id = match &event.physical_resource_id {
        Some(id) if event.request_type != RequestType::Create => {
            physical_id::after_update(id, &issued, logical_id)
        }
        _ => issued,
    };
    let earlier = earlier_databases(invocation, &request, &physical_id);
    request.desired.earlier = earlier_names(invocation, &request, &physical_id);
    request.desired.claimants = Claimants::This(invocation.claimant(&physical_id));
    (physical_id, request, earlier)
}

/// The databases of the request before, where an Update stays on its server and there may be
/// claims.
fn earlier_databases(
    invocation: &Invocation,
    request: &Request,
    physical_id: &str,
) -> Option<Databases> {
    let old = properties::read_leniently(Some(readable(&invocation.event.old_properties)?));
    let policies = [request.desired.removal, old.desired.removal];
    let has_claims = policies.iter().any(|policy| *policy != RemovalPolicy::Retain);
    let stays = has_claims && !moves(invocation, request, physical_id);
    stays.then_some(old.connection.databases)
}

/// Whether an Update is about another server than the request before.
fn moves(invocation: &Invocation, request: &Request, physical_id: &str) -> bool {
    let event = &invocation.event;
    let server = |request: &Request| {
        let it = &request.connection;
        (it.host.clone(), it.port, it.secret.clone())
    };
    // A direct invocation has no id as a rule: then the properties tell.
    match (&event.physical_resource_id, readable(&event.old_properties)) {
        (Some(id), _) => id != physical_id,
        (None, Some(old)) => server(&properties::read_leniently(Some(old))) != server(request),
        (None, None) => false,
    }
}

/// The names that the old properties list. Nothing else is dropped: an Update that is delivered late
/// must not undo a newer one. `PluginsFrom` lists nothing, since the other database may lose what it
/// has. Nothing is dropped on a new server, nor by a Create of `CloudFormation`'s. `None`, which is
/// all that is claimed, for a direct invocation without old properties.
fn earlier_names(
    invocation: &Invocation,
    request: &Request,
    physical_id: &str,
) -> Option<BTreeSet<String>> {
    let event = &invocation.event;
    match &event.old_properties {
        Ok(None) if event.response_url.is_none() && request.plugins_from.is_none() => None,
        Ok(Some(old)) if !moves(invocation, request, physical_id) => Some(plugins_map::names(old)),
        _ => Some(BTreeSet::new()),
    }
}
