//! The databases of one request: one in a single visit, several planned first and then applied.

use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::{StreamExt, stream};

use crate::connection;
use crate::error::{Error, InDatabase};
use crate::log;
use crate::report::Report;
use crate::request::Databases;
use crate::visit::{Purpose, Visitor};
use crate::words::chain;

/// How many databases are visited at a time: connections are what a server has few of.
const AT_A_TIME: usize = 4;

/// The databases that `*` means.
const EVERY: &str = include_str!("databases.sql");

impl Visitor<'_> {
    /// Brings every database of the request to what is wanted.
    ///
    /// # Errors
    /// Every problem in every database, before anything is changed; or what failed later, with the
    /// databases that were changed until then.
    pub async fn reconcile(&self) -> Result<Vec<Report>, Error> {
        let names = self.names().await?;
        if let [name] = names.as_slice() {
            return Ok(vec![self.visit(name, Purpose::Apply).await?]);
        }
        let reports = self.plan_all(&names).await?;
        self.apply_all(reports).await
    }

    /// Plans them all. The slow ones do not hold up the others, and when it turns out that nobody
    /// gets in, no further door is knocked at.
    async fn plan_all(&self, names: &[String]) -> Result<Vec<Report>, Error> {
        let stop = AtomicBool::new(false);
        let stop = &stop;
        let mut visits = stream::iter(names.iter().cloned().enumerate())
            .map(|(index, name)| async move {
                if stop.load(Ordering::SeqCst) || self.budget.left().is_zero() {
                    return (index, None);
                }
                (index, Some(self.visit(&name, Purpose::Plan).await))
            })
            .buffer_unordered(AT_A_TIME);
        let mut plans: Vec<Option<Result<Report, Error>>> = names.iter().map(|_| None).collect();
        while let Some((index, plan)) = visits.next().await {
            if matches!(&plan, Some(Err(error)) if is_everywhere(error)) {
                stop.store(true, Ordering::SeqCst);
            }
            plans[index] = plan;
        }
        let mut reports = Vec::new();
        let mut problems = Vec::new();
        for (name, plan) in names.iter().zip(plans) {
            let problem = match plan {
                Some(Ok(report)) => {
                    reports.push(report);
                    continue;
                }
                Some(Err(Error::Plan(found))) => {
                    problems.push(found);
                    continue;
                }
                Some(Err(error)) => error.to_string(),
                None => "it was not looked at any more".to_owned(),
            };
            problems.push(InDatabase { database: name.clone(), problems: vec![problem] });
        }
        if problems.is_empty() {
            Ok(reports)
        } else {
            Err(Error::Plans { problems, asked: names.len() })
        }
    }

    async fn apply_all(&self, mut reports: Vec<Report>) -> Result<Vec<Report>, Error> {
        let names: Vec<String> = reports.iter().map(|report| report.database.clone()).collect();
        let mut changed = Vec::new();
        let mut failed = Vec::new();
        let stop = AtomicBool::new(false);
        let stop = &stop;
        let mut visits = stream::iter(names.clone().into_iter().enumerate())
            .map(|(index, name)| async move {
                if stop.load(Ordering::SeqCst) {
                    return None;
                }
                Some((index, self.visit(&name, Purpose::Apply).await))
            })
            .buffer_unordered(AT_A_TIME);
        // After a failure no other is begun, and those under way are seen to their end.
        while let Some(visit) = visits.next().await {
            let Some((index, result)) = visit else { continue };
            match result {
                Ok(report) => {
                    if !self.request.dry_run {
                        // As wanted now, be it by an earlier delivery of this event: the id must
                        // be the same each time.
                        self.progress.sent();
                        self.progress.settled(true);
                        if !report.plan.steps.is_empty() {
                            changed.push(report.database.clone());
                        }
                    }
                    reports[index] = report;
                }
                Err(error) => {
                    stop.store(true, Ordering::SeqCst);
                    failed.push((index, error));
                }
            }
        }
        if failed.is_empty() {
            return Ok(reports);
        }
        // The one that was begun first: when time ran out for several, it had the most of it.
        failed.sort_unstable_by_key(|(index, _)| *index);
        let failed: Vec<_> =
            failed.into_iter().map(|(index, error)| (names[index].clone(), error)).collect();
        for (database, error) in failed.iter().skip(1) {
            log::of_database(database, &format!("failed too: {error}"));
        }
        Err(Error::Partly { failed, changed, asked: names.len() })
    }

    async fn names(&self) -> Result<Vec<String>, Error> {
        let secrets = self.target.lock().await.database.clone();
        match &self.place.databases {
            Databases::TheSecrets => Ok(vec![secrets]),
            Databases::Named(names) => Ok(names.clone()),
            Databases::Every => {
                let connection = self.connect(&secrets).await?;
                let rows = async {
                    let lifetime = connection.limit_lifetime(self.budget);
                    tokio::join!(lifetime, connection.client.query_typed(EVERY, &[])).1
                };
                let rows = tokio::time::timeout(self.budget.left(), rows).await;
                connection.close().await;
                let Ok(rows) = rows else {
                    return Err(Error::NoList("no answer in time".to_owned()));
                };
                rows.and_then(|rows| rows.iter().map(|row| row.try_get(0)).collect())
                    .map_err(|error| Error::NoList(chain(&error)))
            }
        }
    }
}

/// Whether an error of one database would be every database's: who gave up on the server, or was
/// turned away with these credentials, need not try again and again.
fn is_everywhere(error: &Error) -> bool {
    use connection::Error::{GaveUp, Password};
    match error {
        Error::Connection(error) => matches!(error, GaveUp { .. } | Password { .. }),
        Error::Secret(_) | Error::Token(_) | Error::Trust(_) => true,
        _ => false,
    }
}
