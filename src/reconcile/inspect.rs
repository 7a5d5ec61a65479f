//! Databases that are read, and not changed.

use serde::Serialize;

use crate::planner::catalog::Catalog;
use crate::planner::desired::Desired;
use crate::planner::inspect::{Inspected, compare, inspect};
use crate::planner::step::{Statement, Step};
use crate::postgres::session::Session;
use crate::postgres::session_error;
use crate::reconcile::database::Reconciler;
use crate::reconcile::database::read;
use crate::reconcile::databases::{all_tasks, run_each};
use crate::reconcile::error::Error;
use crate::reconcile::task::Task;
use crate::request::Databases;

/// The error of a database that time ran out for.
const LATE: &str =
    "it was not read in time: name fewer databases, or give it more time (`ServiceTimeout`)";

/// What was found in one database.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Inspection {
    /// Its name.
    pub database: String,
    /// Whether it is not as the map has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drift: Option<bool>,
    /// What is installed, or asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extensions: Option<Vec<Inspected>>,
    /// The statements that an Update would run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<Vec<Statement>>,
    /// Why an Update would fail.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problems: Option<Vec<String>>,
    /// Why it could not be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl Inspection {
    /// How many of its extensions have an update.
    pub fn updates_available(&self) -> usize {
        self.extensions.iter().flatten().filter(|it| it.update_available).count()
    }

    /// One line for the log.
    pub fn described(&self) -> String {
        let extensions: Vec<String> =
            self.extensions.iter().flatten().map(ToString::to_string).collect();
        let problems = self.problems.iter().flatten().map(|it| format!("problem: {it}"));
        let error = self.error.iter().map(|it| format!("not read: {it}"));
        let parts = (!extensions.is_empty()).then(|| extensions.join(", "));
        let parts: Vec<String> = error.chain(problems).chain(parts).collect();
        format!("INSPECTED: {}", parts.join("; "))
    }

    /// Whether an Update would write to it, claims included, or would be refused.
    fn is_written(&self) -> bool {
        self.plan.as_ref().is_some_and(|plan| !plan.is_empty())
            || self.problems.as_ref().is_some_and(|problems| !problems.is_empty())
    }
}

/// Reads each database; where `is_compared`, beside the desired state, and also those of the request
/// before that an Update would change.
///
/// # Errors
/// The list of databases cannot be read, or no connection can be opened.
pub async fn inspect_all(
    reconciler: &Reconciler<'_>,
    databases: &Databases,
    earlier: Option<&Databases>,
    is_compared: bool,
) -> Result<Vec<Inspection>, Error> {
    let earlier = earlier.filter(|_| is_compared);
    let (tasks, skipped) = all_tasks(reconciler, databases, earlier).await?;
    reconciler.progress.set_databases(tasks.len());
    let inspect = |index: usize| inspect_one(reconciler, &tasks[index], is_compared);
    let is_late = |_, _: &_| reconciler.deadline.left().is_zero();
    let inspected = run_each(tasks.len(), inspect, is_late);
    let inspected = inspected.await;
    let is_of_server = |it: &Option<Result<Inspection, Error>>| {
        it.as_ref().is_none_or(|it| it.as_ref().is_err_and(Error::is_of_server))
    };
    if inspected.iter().all(is_of_server) {
        let error = inspected.into_iter().flatten().find_map(Result::err);
        return error.map_or(Ok(Vec::new()), Err);
    }
    let failed = |database: &str, error: String| Inspection {
        database: database.to_owned(),
        error: Some(error),
        ..Inspection::default()
    };
    let read = tasks.iter().zip(inspected).filter_map(|(task, inspection)| match inspection {
        Some(Ok(inspection)) => (task.is_listed() || inspection.is_written()).then_some(inspection),
        Some(Err(error)) if task.may_skip(&error) => None,
        Some(Err(error)) => Some(failed(&task.database, error.to_string())),
        None => Some(failed(&task.database, LATE.to_owned())),
    });
    let skipped =
        skipped.iter().map(|report| failed(&report.task.database, report.plan.kept.join("; ")));
    Ok(read.chain(skipped).collect())
}

async fn inspect_one(
    reconciler: &Reconciler<'_>,
    task: &Task,
    is_compared: bool,
) -> Result<Inspection, Error> {
    let desired = is_compared.then(|| reconciler.desired_in(task));
    let desired = desired.as_deref();
    let connection = reconciler.connector.connect(&task.database, task.is_named).await?;
    let session = Session::new(connection, task.database.clone(), reconciler.deadline);
    let catalog = catalog(&session, desired).await;
    session.close().await;
    let catalog = catalog?;
    let mut inspection = Inspection { database: task.database.clone(), ..Inspection::default() };
    let Some(desired) = desired else {
        inspection.extensions = Some(inspect(None, &catalog));
        return Ok(inspection);
    };
    let compared = compare(desired, &catalog);
    inspection.drift = Some(compared.is_drift());
    inspection.extensions = Some(compared.extensions);
    let (steps, problems) = match compared.plan {
        Ok(steps) => (steps, Vec::new()),
        Err(problems) => (Vec::new(), problems),
    };
    inspection.plan = Some(steps.iter().map(Step::described).collect());
    inspection.problems = Some(problems.iter().map(ToString::to_string).collect());
    Ok(inspection)
}

/// Reads what the planner needs to know, and what can be reached from all that is installed.
async fn catalog(
    session: &Session,
    desired: Option<&Desired>,
) -> Result<Catalog, session_error::Error> {
    let nothing = Desired::default();
    let catalog = session.begin_read_only().await?;
    let installed = catalog.installed.iter().map(|it| it.name.clone()).collect();
    // The transaction is read-only, whatever an Update's would be.
    let catalog = Catalog { read_only: false, ..catalog };
    read(session, desired.unwrap_or(&nothing), catalog, installed, false).await
}
