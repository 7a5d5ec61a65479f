//! `PluginsFrom`: the extensions of another database as the map. What staging has, production gets.

use std::collections::BTreeMap;

use crate::deadline::Deadline;
use crate::planner::desired::{DesiredExtension, DesiredVersion};
use crate::postgres::connect_error::RetryLimits;
use crate::postgres::session::Session;
use crate::reconcile::connector::{Clients, Connector};
use crate::reconcile::error::Error;
use crate::request::{Authentication, ConnectionProperties, Databases, Request};

/// Adds the extensions of the database that `secret` names, each at its version; the entries of
/// `PluginsMap` win, in whatever case.
///
/// # Errors
/// The server cannot be reached, or the catalog cannot be read.
pub async fn add(
    request: &mut Request,
    secret: String,
    clients: &Clients,
    deadline: Deadline,
) -> Result<(), Error> {
    let properties = ConnectionProperties {
        secret: Some(secret),
        is_reference: true,
        authentication: Authentication::Password,
        host: None,
        port: None,
        username: None,
        databases: Databases::OfSecret,
        ..request.connection.clone()
    };
    let extensions = read(properties, clients, deadline).await;
    let extensions = extensions.map_err(|error| Error::PluginsFrom(Box::new(error)))?;
    let own: Vec<String> = request.desired.extensions.keys().cloned().collect();
    let is_own = |name: &str| own.iter().any(|key| key.eq_ignore_ascii_case(name));
    request.desired.extensions.extend(extensions.into_iter().filter(|(name, _)| !is_own(name)));
    Ok(())
}

async fn read(
    properties: ConnectionProperties,
    clients: &Clients,
    deadline: Deadline,
) -> Result<BTreeMap<String, DesiredExtension>, Error> {
    let limits = RetryLimits::UNTIL_DEADLINE;
    let connector = Connector::new(clients, properties, limits, deadline, deadline).await?;
    let database = connector.target().await.database;
    let session = Session::new(connector.connect(&database, true).await?, database, deadline);
    let installed = session.installed().await;
    session.close().await;
    let exactly =
        |version| DesiredExtension { version: DesiredVersion::Exact(version), schema: None };
    Ok(installed?.into_iter().map(|(name, version, _)| (name, exactly(version))).collect())
}
