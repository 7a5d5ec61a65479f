//! What an Inspect does: reads the databases and changes nothing.

use serde_json::{Value, json};

use crate::cloudformation::properties;
use crate::cloudformation::response::MAX_BYTES_OF_RESULT;
use crate::lambda::create_or_update::with_claimant;
use crate::lambda::invocation::Invocation;
use crate::postgres::connect_error::RetryLimits;
use crate::reconcile::connector::Connector;
use crate::reconcile::database::Reconciler;
use crate::reconcile::error::Error;
use crate::reconcile::inspect::{Inspection, inspect_all};
use crate::reconcile::plugins_from;
use crate::redact::scrubbed;

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
    let properties = event.properties.as_ref();
    let properties = properties.map_err(|error| Error::Event(error.to_string()))?.as_ref();
    let mut request = properties::read_for_inspect(properties).map_err(Error::Properties)?;
    let has_map = properties.is_some_and(|it| it.get("PluginsMap").is_some_and(|it| !it.is_null()));
    let is_compared = has_map || request.plugins_from.is_some();
    if let Some(secret) = request.plugins_from.clone() {
        plugins_from::add(&mut request, secret, &invocation.clients, deadline).await?;
    }
    let (connection, limits) = (request.connection.clone(), RetryLimits::UNTIL_DEADLINE);
    let connector =
        Connector::new(&invocation.clients, connection, limits, deadline, deadline).await?;
    let target = connector.target().await;
    invocation.progress.set_target(&target);
    let (_, request, _) = with_claimant(invocation, request, &target);
    let progress = &invocation.progress;
    let desired = request.desired;
    let reconciler =
        Reconciler { connector, desired: desired.clone(), dry_run: true, deadline, progress };
    let databases = request.connection.databases;
    let desired = is_compared.then_some(&desired);
    let inspections = inspect_all(&reconciler, &databases, desired).await;
    inspections.map(summarized).map_err(|error| error.through_proxy(&target.host))
}

fn summarized(mut inspections: Vec<Inspection>) -> Inspected {
    let drift = inspections.iter().filter(|it| it.drift == Some(true)).count();
    let updates_available = inspections.iter().map(Inspection::updates_available).sum();
    let summary = json!({
        "Databases": inspections.len(),
        "Errors": inspections.iter().filter(|it| it.error.is_some()).count(),
        "Extensions": inspections.iter().flat_map(|it| &it.extensions).map(Vec::len).sum::<usize>(),
        "Drift": drift,
        "UpdatesAvailable": updates_available,
    });
    let result = |inspections: &[Inspection], left_out: Option<&str>| {
        let mut result = json!({ "Databases": inspections, "Summary": summary });
        if let Some(left_out) = left_out {
            result["LeftOut"] = json!(left_out);
        }
        hidden(result)
    };
    let mut whole = result(&inspections, None);
    // Least is lost with what can be asked for again, database by database.
    for what in ["`Reachable`", "`Reachable` and `Plan`", "`Reachable`, `Plan` and `Extensions`"] {
        if whole.to_string().len() <= MAX_BYTES_OF_RESULT {
            break;
        }
        for inspection in &mut inspections {
            if what.ends_with("`Extensions`") {
                inspection.extensions = None;
            } else if what.ends_with("`Plan`") {
                inspection.plan = None;
            }
            for extension in inspection.extensions.iter_mut().flatten() {
                extension.reachable.clear();
            }
        }
        let why = format!("{what}: the result would have more than 200 kB; name fewer databases");
        whole = result(&inspections, Some(&why));
    }
    Inspected { result: whole, drift, updates_available }
}

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
