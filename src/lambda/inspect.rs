//! What an Inspect does: reads the databases and changes nothing.

use serde_json::{Value, json};

use crate::cloudformation::properties;
use crate::cloudformation::response::MAX_BYTES_OF_RESULT;
use crate::lambda::create_or_update::with_claimant;
use crate::lambda::invocation::Invocation;
use crate::log;
use crate::postgres::connect_error::RetryLimits;
use crate::reconcile::connector::Connector;
use crate::reconcile::database::Reconciler;
use crate::reconcile::error::Error;
use crate::reconcile::inspect::{Inspection, inspect_all};
use crate::reconcile::plugins_from;
use crate::redact::scrubbed;
use crate::request::Request;

/// The result of an Inspect, and what its metrics count.
#[derive(Debug)]
pub struct Inspected {
    /// `Databases` and `Summary`.
    pub result: Value,
    /// How many databases are not as the map has them.
    pub drift: usize,
    /// How many extensions of all databases have an update.
    pub updates_available: usize,
}

/// Reads the databases.
///
/// # Errors
/// The properties are not right, or no database can be read.
pub async fn work(invocation: &Invocation) -> Result<Inspected, Error> {
    let (event, deadline) = (&invocation.event, invocation.deadline);
    if event.response_url.is_some() {
        let why = "`RequestType` `Inspect` is for direct invocations, without a `ResponseURL`";
        return Err(Error::Event(why.to_owned()));
    }
    invocation.check_bundle()?;
    let (request, is_compared) = request(invocation).await?;
    let (clients, connection) = (&invocation.clients, request.connection.clone());
    let limits = RetryLimits::UNTIL_DEADLINE;
    let connector = Connector::new(clients, connection, limits, deadline, deadline).await?;
    read(invocation, request, is_compared, connector).await
}

/// The checked request, with the extensions of `PluginsFrom`, and whether there are any to compare with.
///
/// # Errors
/// The properties are not right, or the other database cannot be read.
pub async fn request(invocation: &Invocation) -> Result<(Request, bool), Error> {
    let properties = invocation.event.properties.as_ref();
    let properties = properties.map_err(|error| Error::Event(error.to_string()))?.as_ref();
    let mut request = properties::read_for_inspect(properties).map_err(Error::Properties)?;
    let has_map = properties.is_some_and(|it| it.get("PluginsMap").is_some_and(|it| !it.is_null()));
    let is_compared = has_map || request.plugins_from.is_some();
    if let Some(secret) = request.plugins_from.clone() {
        let (clients, deadline) = (&invocation.clients, invocation.deadline);
        plugins_from::add(&mut request, secret, clients, deadline).await?;
    }
    Ok((request, is_compared))
}

/// Reads the databases.
///
/// # Errors
/// No database can be read.
pub async fn read(
    invocation: &Invocation,
    request: Request,
    is_compared: bool,
    connector: Connector<'_>,
) -> Result<Inspected, Error> {
    let target = connector.target().await;
    invocation.progress.set_target(&target);
    let (_, Request { connection, desired, .. }, earlier) =
        with_claimant(invocation, request, &target);
    let (deadline, progress) = (invocation.deadline, &invocation.progress);
    let reconciler = Reconciler { connector, desired, dry_run: true, deadline, progress };
    let databases = &connection.databases;
    let inspections = inspect_all(&reconciler, databases, earlier.as_ref(), is_compared).await;
    let inspections = inspections.map_err(|error| error.through_proxy(&target.host))?;
    let server = invocation.server();
    log_databases(&inspections, server.as_ref());
    Ok(summarized(inspections, server.as_ref()))
}

/// One line for each database. docs/metrics.md describes them.
fn log_databases(inspections: &[Inspection], server: Option<&Value>) {
    let name = |key: &str| server?.get(key)?.as_str().map(scrubbed);
    let server = ["DBInstanceIdentifier", "DBClusterIdentifier", "Host"].into_iter().find_map(name);
    for inspection in inspections {
        let members = json!({
            "server": server,
            "drift": u8::from(inspection.drift == Some(true)),
            "updatesAvailable": inspection.updates_available(),
            "unread": u8::from(inspection.error.is_some()),
        });
        log::inspected(&inspection.database, &inspection.described(), &members);
    }
}

fn summarized(mut inspections: Vec<Inspection>, server: Option<&Value>) -> Inspected {
    let drift = inspections.iter().filter(|it| it.drift == Some(true)).count();
    let updates_available = inspections.iter().map(Inspection::updates_available).sum();
    let summary = json!({
        "Databases": inspections.len(),
        "Errors": inspections.iter().filter(|it| it.error.is_some()).count(),
        "Extensions": inspections.iter().flat_map(|it| &it.extensions).map(Vec::len).sum::<usize>(),
        "Drift": drift,
        "UpdatesAvailable": updates_available,
    });
    let result = |inspections: &[Inspection], left_out: &[&str]| {
        let mut result = json!({ "Databases": inspections, "Summary": summary, "Server": server });
        if !left_out.is_empty() {
            let what = left_out.join(", ");
            let why = "the result would have more than 200 kB; name fewer databases";
            result["LeftOut"] = json!(format!("{what}: {why}"));
        }
        hidden(result)
    };
    let mut left_out = Vec::new();
    let mut whole = result(&inspections, &left_out);
    let is_long = |result: &Value| result.to_string().len() > MAX_BYTES_OF_RESULT;
    for (what, leave_out) in LEFT_OUT {
        if is_long(&whole) {
            inspections.iter_mut().for_each(leave_out);
            left_out.push(what);
            whole = result(&inspections, &left_out);
        }
    }
    if is_long(&whole) {
        left_out.push("databases");
    }
    while is_long(&whole) && !inspections.is_empty() {
        inspections.truncate(inspections.len() * 3 / 4);
        whole = result(&inspections, &left_out);
    }
    Inspected { result: whole, drift, updates_available }
}

type LeaveOut = fn(&mut Inspection);

/// What is left out of a result that would be too long, in this order: what can be asked for again,
/// database by database.
const LEFT_OUT: [(&str, LeaveOut); 4] = [
    ("`Reachable`", |it| it.extensions.iter_mut().flatten().for_each(|it| it.reachable.clear())),
    ("`Plan`", |it| it.plan = None),
    ("`Extensions`", |it| it.extensions = None),
    ("`Problems` but the first", |it| it.problems.iter_mut().for_each(|it| it.truncate(1))),
];

/// The same without any text that must not be told.
fn hidden(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(scrubbed(&text)),
        Value::Array(values) => Value::Array(values.into_iter().map(hidden).collect()),
        Value::Object(members) => {
            Value::Object(members.into_iter().map(|(name, value)| (name, hidden(value))).collect())
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::planner::catalog::Catalog;
    use crate::planner::inspect;

    /// Databases with so many extensions of so many versions, and so many problems.
    fn inspections(databases: usize, [extensions, versions, problems]: [usize; 3]) -> Inspected {
        let numbers = |count| (0..count).map(|it| format!("1.{it}"));
        let installed = (0..extensions).map(|it| {
            json!({ "name": format!("extension_{it}"), "version": "1.0", "schema": "public",
                    "relocatable": true, "owned": true })
        });
        let paths = (0..extensions).flat_map(|it| {
            numbers(versions).map(move |to| {
                json!({ "name": format!("extension_{it}"), "target": to, "reachable": true })
            })
        });
        let catalog: Catalog = serde_json::from_value(json!({
            "database": "app", "server_version": "15.8", "role": "r", "superuser": true,
            "delegated": false, "may_create": true, "read_only": false, "libraries": null,
            "rds_extensions": null, "rds_allowed_extensions": null, "cron_database": null,
            "installed": installed.collect::<Vec<_>>(), "available": {},
            "offers": { "versions": [], "paths": paths.collect::<Vec<_>>(), "schemas": {} },
        }))
        .expect("a server");
        let inspection = |index: usize| Inspection {
            database: format!("database_{index:04}"),
            drift: Some(true),
            extensions: Some(inspect::inspect(None, &catalog)),
            plan: Some(Vec::new()),
            problems: Some(numbers(problems).map(|it| it.repeat(50)).collect()),
            error: None,
        };
        summarized((0..databases).map(inspection).collect(), Some(&json!({ "Host": "db" })))
    }

    #[test]
    fn a_result_of_any_size_fits_and_says_what_it_lacks() {
        let why = "the result would have more than 200 kB; name fewer databases";
        for (databases, sizes, left_out) in [
            (20, [20, 10, 1], None),
            (100, [5, 200, 1], Some("`Reachable`")),
            (200, [20, 1, 1], Some("`Reachable`, `Plan`, `Extensions`")),
            (100, [20, 1, 20], Some("`Reachable`, `Plan`, `Extensions`, `Problems` but the first")),
            (
                1200,
                [1, 1, 20],
                Some("`Reachable`, `Plan`, `Extensions`, `Problems` but the first, databases"),
            ),
        ] {
            let Inspected { result, drift, .. } = inspections(databases, sizes);
            let length = result.to_string().len();
            assert!(length <= MAX_BYTES_OF_RESULT, "{databases} {sizes:?}: {length} bytes");
            let left_out = left_out.map(|what| format!("{what}: {why}"));
            assert_eq!(result["LeftOut"].as_str(), left_out.as_deref(), "{databases} {sizes:?}");
            assert_eq!((drift, &result["Summary"]["Drift"]), (databases, &json!(databases)));
            let count = result["Databases"].as_array().map_or(0, Vec::len);
            assert_eq!(count == databases, databases < 1200, "{count} databases");
            assert!(count > 0, "as many as fit");
            assert_eq!(result["Server"]["Host"], "db");
        }
    }
}
