//! Several databases: all of them are planned before the first is changed.

use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::{StreamExt, stream};

use crate::log;
use crate::postgres::session::Session;
use crate::reconcile::database::{Purpose, Reconciler};
use crate::reconcile::error::{Error, InDatabase};
use crate::reconcile::report::Report;
use crate::reconcile::task::{Scope, Task};
use crate::redact;
use crate::request::Databases;

/// How many databases are reconciled at a time: connections are what a server has few of.
const CONCURRENCY: usize = 4;

/// Brings the databases of a request to their desired state, and drops what leaves with those of the
/// request before.
///
/// # Errors
/// Every problem in every database, before anything is changed; or what failed later, with the
/// databases that were changed until then.
pub async fn reconcile(
    reconciler: &Reconciler<'_>,
    databases: &Databases,
    earlier: Option<&Databases>,
) -> Result<Vec<Report>, Error> {
    let (tasks, mut skipped) = all_tasks(reconciler, databases, earlier).await?;
    run(reconciler, &tasks, &mut skipped).await
}

/// Drops what the resource created and gives up its claims, in every database of the request.
///
/// # Errors
/// As [`reconcile`]; one that [is unreachable](Error::is_unreachable) where no database is left.
pub async fn delete(
    reconciler: &Reconciler<'_>,
    databases: &Databases,
) -> Result<Vec<Report>, Error> {
    let requested = [Some(databases), None];
    let (tasks, mut skipped) = tasks(reconciler, databases, Scope::Deleted, requested).await?;
    run(reconciler, &tasks, &mut skipped).await
}

/// One database in one transaction; several are planned first.
async fn run(
    reconciler: &Reconciler<'_>,
    tasks: &[Task],
    skipped: &mut Vec<Report>,
) -> Result<Vec<Report>, Error> {
    reconciler.progress.set_databases(tasks.len());
    let mut reports = match tasks {
        [task] => vec![reconciler.run(task, Purpose::Apply).await?],
        tasks => {
            let planned = plan_all(reconciler, tasks, skipped).await?;
            apply_all(reconciler, planned).await?
        }
    };
    // The request is not about databases that were left and hold nothing of the resource's.
    reports.retain(|Report { task, plan, .. }| {
        task.is_listed() || !plan.steps.is_empty() || !plan.kept.is_empty()
    });
    reports.append(skipped);
    Ok(reports)
}

/// Works on so many databases, several at a time: `work` gets the number of each. After a result that
/// `is_last` no other is begun, and those under way are finished.
pub(super) async fn run_each<T, F: Future<Output = Result<T, Error>>>(
    count: usize,
    work: impl Fn(usize) -> F,
    mut is_last: impl FnMut(usize, &F::Output) -> bool,
) -> Vec<Option<F::Output>> {
    let stop = AtomicBool::new(false);
    let (stop, work) = (&stop, &work);
    let mut running = stream::iter(0..count)
        .map(|index| async move {
            if stop.load(Ordering::SeqCst) {
                return (index, None);
            }
            (index, Some(work(index).await))
        })
        .buffer_unordered(CONCURRENCY);
    let mut results: Vec<_> = (0..count).map(|_| None).collect();
    while let Some((index, result)) = running.next().await {
        if result.as_ref().is_some_and(|result| is_last(index, result)) {
            stop.store(true, Ordering::SeqCst);
        }
        results[index] = result;
    }
    results
}

/// Plans all. When it turns out that no connection can be opened, no more are tried.
async fn plan_all(
    reconciler: &Reconciler<'_>,
    tasks: &[Task],
    skipped: &mut Vec<Report>,
) -> Result<Vec<Report>, Error> {
    let mut all_unreachable = true;
    let plan = |index: usize| reconciler.run(&tasks[index], Purpose::Plan);
    let plans = run_each(tasks.len(), plan, |index, plan| {
        all_unreachable &= plan.as_ref().is_err_and(Error::is_unreachable);
        let is_futile = |error: &Error| {
            error.is_of_server() && (all_unreachable || !tasks[index].may_skip(error))
        };
        plan.as_ref().is_err_and(is_futile) || reconciler.deadline.left().is_zero()
    });
    let plans = plans.await;
    let host = reconciler.connector.target().await.host;
    let mut reports = Vec::new();
    let mut problems = Vec::new();
    let mut unreachable = None;
    let mut is_transient = true;
    for (task, plan) in tasks.iter().zip(plans) {
        let problem = match plan {
            Some(Ok(report)) => {
                reports.push(report);
                continue;
            }
            Some(Err(Error::Plan(found))) => {
                problems.push(found);
                is_transient = false;
                continue;
            }
            Some(Err(error)) if error.is_connection_limit() && !task.is_named => {
                skipped.push(skip(&task.database, "all its connections are taken"));
                unreachable = unreachable.or(Some(error));
                continue;
            }
            Some(Err(error)) if task.may_skip(&error) => {
                log::of_database(&task.database, &format!("skipped: {error}"));
                unreachable = unreachable.or(Some(error));
                continue;
            }
            Some(Err(error)) => {
                is_transient &= error.is_transient();
                error.through_proxy(&host).to_string()
            }
            None if all_unreachable && unreachable.is_some() => continue,
            None => {
                "it was not read any more: a failure of the whole server, or the end of the time, \
                     came before"
                    .to_owned()
            }
        };
        problems.push(InDatabase { database: task.database.clone(), problems: vec![problem] });
    }
    match unreachable {
        _ if !problems.is_empty() => {
            Err(Error::Plans { problems, asked: tasks.len(), is_transient })
        }
        Some(error) if reports.is_empty() => Err(error),
        _ => Ok(reports),
    }
}

/// Applies what was planned. After a failure no other database is begun.
async fn apply_all(
    reconciler: &Reconciler<'_>,
    mut reports: Vec<Report>,
) -> Result<Vec<Report>, Error> {
    let asked = reports.len();
    let host = reconciler.connector.target().await.host;
    let mut open = Vec::new();
    for (index, report) in reports.iter().enumerate() {
        if !report.plan.steps.is_empty() {
            open.push(index);
            continue;
        }
        // As desired now, be it by an earlier delivery of this event: the physical resource id must be
        // the same each time.
        set_applied(reconciler, report);
        if report.task.is_listed() {
            report.log_before();
            report.log_after();
        }
    }
    let tasks: Vec<Task> = open.iter().map(|index| reports[*index].task.clone()).collect();
    let apply = |index: usize| reconciler.run(&tasks[index], Purpose::Apply);
    let results = run_each(tasks.len(), apply, |_, result| {
        if let Ok(report) = result {
            set_applied(reconciler, report);
        }
        result.is_err()
    });
    let (mut changed, mut failed) = (Vec::new(), Vec::new());
    for (index, result) in open.into_iter().zip(results.await) {
        let database = reports[index].task.database.clone();
        match result {
            None => {}
            Some(Err(error)) => failed.push((database, error.through_proxy(&host))),
            Some(Ok(report)) => {
                changed.extend((!reconciler.dry_run && report.has_changed()).then_some(database));
                reports[index] = report;
            }
        }
    }
    // The first is told first: when time ran out for several, it had the most of it.
    for (database, error) in failed.iter().skip(1) {
        log::of_database(database, &format!("failed too: {error}"));
    }
    if failed.is_empty() { Ok(reports) } else { Err(Error::Partly { failed, changed, asked }) }
}

/// A database is as desired: what it holds is this resource's from now on.
fn set_applied(reconciler: &Reconciler<'_>, report: &Report) {
    if !reconciler.dry_run && report.task.is_listed() {
        reconciler.progress.set_up_to_date();
    }
}

/// The databases of a request, and those of the request before that it is not about any more; and which
/// are skipped.
pub(super) async fn all_tasks(
    reconciler: &Reconciler<'_>,
    databases: &Databases,
    earlier: Option<&Databases>,
) -> Result<(Vec<Task>, Vec<Report>), Error> {
    let requested = [Some(databases), earlier];
    let (mut tasks, skipped) = tasks(reconciler, databases, Scope::Listed, requested).await?;
    if let Some(earlier) = earlier {
        let left = self::tasks(reconciler, earlier, Scope::NoLongerListed, requested).await?.0;
        let is_new = |task: &Task| tasks.iter().all(|other| other.database != task.database);
        let left: Vec<Task> = left.into_iter().filter(is_new).collect();
        tasks.extend(left);
    }
    Ok((tasks, skipped))
}

/// What `databases` means, and which of it is skipped; `requested` is what may name one of them.
async fn tasks(
    reconciler: &Reconciler<'_>,
    databases: &Databases,
    scope: Scope,
    requested: [Option<&Databases>; 2],
) -> Result<(Vec<Task>, Vec<Report>), Error> {
    let of_secret = reconciler.connector.target().await.database;
    let is_named = |database: &str| {
        requested.into_iter().flatten().any(|databases| match databases {
            Databases::Every => false,
            Databases::Named(names) => names.iter().any(|name| name == database),
            Databases::OfSecret => of_secret == database,
        })
    };
    let (names, skipped) = match databases {
        Databases::OfSecret => (vec![of_secret.clone()], Vec::new()),
        Databases::Named(names) => (names.clone(), Vec::new()),
        Databases::Every => every(reconciler, &of_secret, is_named(&of_secret)).await?,
    };
    if let Databases::Named(names) = databases {
        for name in names {
            redact::hide_name(name);
        }
    }
    let task = |database: String| Task { is_named: is_named(&database), database, scope };
    Ok((names.into_iter().map(task).collect(), skipped))
}

/// Asks the server for its databases, in the first that can be connected to.
async fn every(
    reconciler: &Reconciler<'_>,
    of_secret: &str,
    is_named: bool,
) -> Result<(Vec<String>, Vec<Report>), Error> {
    let connector = &reconciler.connector;
    let mut database = of_secret;
    let mut opened = connector.connect(database, is_named).await;
    for next in ["postgres", "template1"] {
        let is_unavailable =
            |error: &Error| error.is_database_unavailable() || error.is_connection_limit();
        if !opened.as_ref().is_err_and(is_unavailable) {
            break;
        }
        // The first one's failure is the one to tell: the request is not about the others.
        if let Ok(connection) = connector.connect(next, false).await {
            (database, opened) = (next, Ok(connection));
        }
    }
    let session = Session::new(opened?, database.to_owned(), reconciler.deadline);
    let listed = session.databases().await;
    session.close().await;
    let (mut names, mut skipped) = (Vec::new(), Vec::new());
    for name in listed? {
        match String::from_utf8(name) {
            Ok(name) => names.push(name),
            Err(error) => {
                let name = String::from_utf8_lossy(error.as_bytes());
                skipped.push(skip(&name, "its name is no UTF-8"));
            }
        }
    }
    Ok((names, skipped))
}

/// A database that `*` means is skipped, and that is said.
fn skip(database: &str, why: &str) -> Report {
    log::of_database(database, &format!("skipped: {why}"));
    let (database, scope) = (database.to_owned(), Scope::Listed);
    Report::skipped(Task { database, scope, is_named: false }, why)
}
