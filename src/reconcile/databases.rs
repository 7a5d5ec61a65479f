//! The databases of one request: one in a single visit, several planned first and then applied.

use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::{StreamExt, stream};

use crate::log;
use crate::postgres::connect_error;
use crate::postgres::connection::Output;
use crate::reconcile::database::{Purpose, Visitor, log_untouched};
use crate::reconcile::error::{Error, InDatabase};
use crate::reconcile::job::{Job, Part};
use crate::reconcile::report::Report;
use crate::redact;
use crate::request::Databases;
use crate::text::chain;

/// How many databases are visited at a time: connections are what a server has few of.
const AT_A_TIME: usize = 4;

/// The databases that `*` means.
const EVERY: &str = include_str!("../postgres/sql/databases.sql");

impl Visitor<'_> {
    /// Brings every database of the request to what is wanted.
    ///
    /// # Errors
    /// Every problem in every database, before anything is changed; or what failed later, with the
    /// databases that were changed until then.
    pub async fn reconcile(&self) -> Result<Vec<Report>, Error> {
        let names = self.names(&self.place.databases).await?;
        let mut jobs = Job::each(names, Part::Wanted);
        if let Some(earlier) = &self.request.earlier {
            let mut left = self.names(earlier).await?;
            left.retain(|name| jobs.iter().all(|job| job.database != *name));
            jobs.extend(Job::each(left, Part::Left));
        }
        self.carry_out(&jobs).await
    }

    /// Drops what the resource created and gives up its claims, in every database of the request.
    ///
    /// # Errors
    /// As [`Self::reconcile`]; one that [is gone](Error::is_gone) where no database is left.
    pub async fn leave(&self) -> Result<Vec<Report>, Error> {
        let names = self.names(&self.place.databases).await?;
        self.carry_out(&Job::each(names, Part::Deleted)).await
    }

    /// One database in a single visit; several are planned first.
    async fn carry_out(&self, jobs: &[Job]) -> Result<Vec<Report>, Error> {
        let mut reports = match jobs {
            [job] => vec![self.visit(job, Purpose::Apply).await?],
            jobs => {
                let reports = self.plan_all(jobs).await?;
                self.apply_all(reports).await?
            }
        };
        // Nobody asked about databases that were left and hold nothing of the resource's.
        reports.retain(|report| {
            report.job.is_wanted() || report.has_changed() || !report.plan.kept.is_empty()
        });
        let mut passed_over = self.passed_over.lock().unwrap_or_else(PoisonError::into_inner);
        reports.append(&mut passed_over);
        Ok(reports)
    }

    /// Plans them all. The slow ones do not hold up the others, and when it turns out that nobody
    /// gets in, no further door is knocked at.
    async fn plan_all(&self, jobs: &[Job]) -> Result<Vec<Report>, Error> {
        let stop = AtomicBool::new(false);
        let stop = &stop;
        let mut visits = stream::iter(0..jobs.len())
            .map(|index| async move {
                if stop.load(Ordering::SeqCst) || self.budget.left().is_zero() {
                    return (index, None);
                }
                (index, Some(self.visit(&jobs[index], Purpose::Plan).await))
            })
            .buffer_unordered(AT_A_TIME);
        let mut plans: Vec<Option<Result<Report, Error>>> = jobs.iter().map(|_| None).collect();
        while let Some((index, plan)) = visits.next().await {
            let futile = matches!(&plan, Some(Err(error)) if is_everywhere(error)
                && (!jobs[index].may_pass_over(error) || all_gone(&plans)));
            stop.fetch_or(futile, Ordering::SeqCst);
            plans[index] = plan;
        }
        let all_gone = all_gone(&plans);
        let target = self.target.lock().await.clone();
        let mut reports = Vec::new();
        let mut problems = Vec::new();
        let mut gone = None;
        for (job, plan) in jobs.iter().zip(plans) {
            let problem = match plan {
                Some(Ok(report)) => {
                    reports.push(report);
                    continue;
                }
                Some(Err(Error::Plan(found))) => {
                    problems.push(found);
                    continue;
                }
                Some(Err(error)) if error.is_full() && !self.is_named(&target, &job.database) => {
                    self.pass_over(&job.database, "all its connections are taken");
                    gone = gone.or(Some(error));
                    continue;
                }
                Some(Err(error)) if job.may_pass_over(&error) => {
                    log::of_database(&job.database, &format!("passed over: {error}"));
                    gone = gone.or(Some(error));
                    continue;
                }
                Some(Err(error)) => error.through(&target.host).to_string(),
                None if all_gone && gone.is_some() => continue,
                None => "it was not looked at any more".to_owned(),
            };
            problems.push(InDatabase { database: job.database.clone(), problems: vec![problem] });
        }
        match gone {
            _ if !problems.is_empty() => Err(Error::Plans { problems, asked: jobs.len() }),
            Some(error) if reports.is_empty() => Err(error),
            _ => Ok(reports),
        }
    }

    async fn apply_all(&self, mut reports: Vec<Report>) -> Result<Vec<Report>, Error> {
        let host = self.target.lock().await.host.clone();
        let mut changed = Vec::new();
        let mut failed = Vec::new();
        let stop = AtomicBool::new(false);
        let stop = &stop;
        let jobs: Vec<Job> = reports.iter().map(|report| report.job.clone()).collect();
        let jobs = jobs.as_slice();
        let settled = |report: &Report| report.plan.steps.is_empty();
        let (done, open): (Vec<usize>, Vec<usize>) =
            (0..reports.len()).partition(|index| settled(&reports[*index]));
        for index in done {
            // As wanted now, be it by an earlier delivery of this event: the id must be the same
            // each time.
            self.applied(&reports[index]);
            log_untouched(&reports[index]);
        }
        let mut visits = stream::iter(open)
            .map(|index| async move {
                if stop.load(Ordering::SeqCst) {
                    return None;
                }
                Some((index, self.visit(&jobs[index], Purpose::Apply).await))
            })
            .buffer_unordered(AT_A_TIME);
        // After a failure no other is begun, and those under way are seen to their end.
        while let Some(visit) = visits.next().await {
            let Some((index, result)) = visit else { continue };
            match result {
                Ok(report) => {
                    self.applied(&report);
                    if !self.request.dry_run && report.has_changed() {
                        changed.push(report.database.clone());
                    }
                    reports[index] = report;
                }
                Err(error) => {
                    stop.store(true, Ordering::SeqCst);
                    failed.push((index, error.through(&host)));
                }
            }
        }
        if failed.is_empty() {
            return Ok(reports);
        }
        // The one that was begun first: when time ran out for several, it had the most of it.
        failed.sort_unstable_by_key(|(index, _)| *index);
        let failed: Vec<_> = failed
            .into_iter()
            .map(|(index, error)| (jobs[index].database.clone(), error))
            .collect();
        for (database, error) in failed.iter().skip(1) {
            log::of_database(database, &format!("failed too: {error}"));
        }
        Err(Error::Partly { failed, changed, asked: jobs.len() })
    }

    /// A database is as it should be: what it holds is this resource's from now on.
    fn applied(&self, report: &Report) {
        if !self.request.dry_run && report.job.is_wanted() {
            self.progress.sent();
            self.progress.settled(true);
        }
    }

    async fn names(&self, databases: &Databases) -> Result<Vec<String>, Error> {
        match databases {
            Databases::TheSecrets => Ok(vec![self.target.lock().await.database.clone()]),
            Databases::Named(names) => {
                for name in names {
                    redact::hide_name(name);
                }
                Ok(names.clone())
            }
            Databases::Every => self.every().await,
        }
    }

    /// Asks the server for its databases, in the first that lets us in.
    async fn every(&self) -> Result<Vec<String>, Error> {
        let mut doors = vec![self.target.lock().await.database.clone()];
        if let Databases::Named(names) = &self.place.databases {
            doors.extend(names.iter().cloned());
        }
        doors.extend(["postgres", "template1"].map(ToOwned::to_owned));
        let mut door = doors.remove(0);
        let mut opened = self.connect(&door).await;
        for next in doors {
            if !opened.as_ref().is_err_and(|error| error.is_closed() || error.is_full()) {
                break;
            }
            // The first one's failure is the one to tell: nobody asked about the others.
            if let Ok(connection) = self.connect(&next).await {
                (door, opened) = (next, Ok(connection));
            }
        }
        let connection = opened?;
        let mut output = Output::default();
        let asked = connection.begin(EVERY, self.budget, &mut output);
        let asked = tokio::time::timeout(self.budget.left(), asked).await;
        connection.close().await;
        let failed = |why| Error::NoList(format!("in database `{door}`: {why}"));
        asked
            .map_err(|_| failed("no answer in time".to_owned()))?
            .map_err(|error| failed(chain(&error)))?;
        let mut names = Vec::new();
        for digits in output.rows {
            match String::from_utf8(bytes(&digits)) {
                Ok(name) => names.push(name),
                Err(error) => self
                    .pass_over(&String::from_utf8_lossy(error.as_bytes()), "its name is no UTF-8"),
            }
        }
        Ok(names)
    }

    /// A database that `*` means is not entered, and that is said.
    fn pass_over(&self, database: &str, why: &'static str) {
        log::of_database(database, &format!("passed over: {why}"));
        let job = Job { database: database.to_owned(), part: Part::Wanted };
        let report = Report::passed_over(job, why);
        let mut passed_over = self.passed_over.lock().unwrap_or_else(PoisonError::into_inner);
        if !passed_over.contains(&report) {
            passed_over.push(report);
        }
    }
}

/// Whether no plan says that anybody let us in: then the server may be gone, with all its databases.
fn all_gone(plans: &[Option<Result<Report, Error>>]) -> bool {
    plans.iter().flatten().all(|plan| plan.as_ref().is_err_and(Error::is_gone))
}

/// Whether an error of one database would be every database's: who gave up on the server, or was
/// turned away with these credentials, need not try again and again.
fn is_everywhere(error: &Error) -> bool {
    use connect_error::Error::{GaveUp, Password};
    match error {
        Error::Connection(error) => matches!(error, GaveUp { .. } | Password { .. }),
        Error::Secret(_) | Error::Token(_) | Error::Trust(_) => true,
        _ => false,
    }
}

/// The bytes that hexadecimal digits say.
fn bytes(digits: &str) -> Vec<u8> {
    let pairs = (0..digits.len()).step_by(2).filter_map(|at| digits.get(at..at + 2));
    pairs.filter_map(|pair| u8::from_str_radix(pair, 16).ok()).collect()
}
