//! One database: connect, read, plan, apply; and again, while what failed is transient.

use std::borrow::Cow;
use std::collections::BTreeSet;

use crate::deadline::{Backoff, Deadline};
use crate::log;
use crate::planner::catalog::Catalog;
use crate::planner::desired::Desired;
use crate::planner::entries::unsatisfied;
use crate::planner::plan::{self, Plan};
use crate::planner::removal::ownership::ClaimTable;
use crate::planner::step::Step;
use crate::planner::untrusted::Untrusted;
use crate::planner::{scripts, verify};
use crate::postgres::session::{Extensions, Session};
use crate::postgres::session_error::{self, Kind};
use crate::problem::Problem;
use crate::reconcile::connector::Connector;
use crate::reconcile::error::{Error, InDatabase};
use crate::reconcile::progress::Progress;
use crate::reconcile::report::Report;
use crate::reconcile::task::Task;

/// How often a conflict with another transaction is tried again.
const MAX_CONFLICTS: u32 = 3;

/// How far a database is reconciled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Read and plan; change nothing.
    Plan,
    /// Read, plan and apply, in one transaction.
    Apply,
}

/// Brings databases to their desired state, one at a time.
#[derive(Debug)]
pub struct Reconciler<'a> {
    /// Connects to them.
    pub connector: Connector<'a>,
    /// The desired state of a database that the request is about.
    pub desired: Desired,
    /// Prove the plan in a transaction that is rolled back.
    pub dry_run: bool,
    /// When the work has to end.
    pub deadline: Deadline,
    /// What was left behind so far.
    pub progress: &'a Progress,
}

/// Changes whose COMMIT was sent, and whose outcome is not known.
struct SentCommit {
    before: Extensions,
    plan: Plan,
}

impl Reconciler<'_> {
    /// Brings one database to its desired state, or only plans that.
    ///
    /// A connection that is lost is opened again: the catalog then shows whether the changes were
    /// committed, since it is read under the lock that the lost session holds to its end.
    ///
    /// # Errors
    /// A permanent failure, or a transient one that lasted. Then nothing was changed, unless the error
    /// is [`Error::OutcomeUnknown`].
    pub async fn run(&self, task: &Task, purpose: Purpose) -> Result<Report, Error> {
        let mut sent_commit = None;
        let mut backoff = Backoff::new();
        let mut conflicts = 0;
        loop {
            let error = match self.attempt(task, purpose, &mut sent_commit).await {
                Ok(report) => return Ok(report),
                Err(error) => error,
            };
            let transient = match &error {
                Error::Session(error) if error.is_transient() => Some(error),
                _ => None,
            };
            conflicts +=
                u32::from(transient.is_some_and(session_error::Error::is_retried_few_times));
            if let Some(transient) = transient
                && conflicts <= MAX_CONFLICTS
                && backoff.pause(self.deadline.work_until()).await
            {
                log::warn_of_database(&task.database, &format!("{transient}; trying again"));
                continue;
            }
            return Err(match sent_commit {
                Some(_) => Error::OutcomeUnknown(Box::new(error)),
                None => error,
            });
        }
    }

    async fn attempt(
        &self,
        task: &Task,
        purpose: Purpose,
        sent_commit: &mut Option<SentCommit>,
    ) -> Result<Report, Error> {
        let connection = self.connector.connect(&task.database, task.is_named).await?;
        let session = Session::new(connection, task.database.clone(), self.deadline);
        let report = self.in_transaction(&session, task, purpose, sent_commit).await;
        session.close().await;
        report
    }

    /// The desired state of a database: nothing, where the request is not about it any more.
    pub(super) fn desired_in(&self, task: &Task) -> Cow<'_, Desired> {
        if task.is_listed() {
            return Cow::Borrowed(&self.desired);
        }
        let Desired { removal, claimants, earlier, .. } = self.desired.clone();
        Cow::Owned(Desired { removal, claimants, earlier, ..Desired::default() })
    }

    /// Read, plan, apply: one database, one transaction.
    async fn in_transaction(
        &self,
        session: &Session,
        task: &Task,
        purpose: Purpose,
        sent_commit: &mut Option<SentCommit>,
    ) -> Result<Report, Error> {
        let desired = &*self.desired_in(task);
        let catalog = session.begin().await?;
        let catalog = read(session, desired, catalog, BTreeSet::new(), true).await?;
        let mut before: Extensions =
            catalog.installed.iter().map(|it| (it.name.clone(), it.version.clone())).collect();
        before.sort_unstable();
        let server_version = catalog.short_version().to_owned();
        let plan = plan::plan(desired, &catalog).map_err(|it| in_database(&task.database, &it));
        let mut report = Report {
            task: task.clone(),
            server_version,
            after: before.clone(),
            before,
            plan: Plan::default(),
        };
        if let Some(sent) = sent_commit.take() {
            let is_committed = plan.as_ref().is_ok_and(|plan| plan.steps.is_empty());
            self.progress.outcome_known(is_committed);
            if is_committed {
                self.progress.add_changes(sent.plan.steps.iter().map(Step::changes).sum());
                // The report is of those changes.
                report.before = sent.before;
                report.plan = sent.plan;
                report.log_after();
                return Ok(report);
            }
            // Not all of it is there, so none is: it was rolled back.
        }
        if purpose == Purpose::Apply {
            report.log_before();
        }
        report.plan = plan?;
        if purpose == Purpose::Apply {
            if !report.plan.steps.is_empty() {
                report.after = self.apply(session, desired, catalog, &report, sent_commit).await?;
            }
            report.log_after();
        }
        Ok(report)
    }

    /// Runs the plan's steps, compares what came of them with the plan, and commits.
    async fn apply(
        &self,
        session: &Session,
        desired: &Desired,
        mut catalog: Catalog,
        report: &Report,
        sent_commit: &mut Option<SentCommit>,
    ) -> Result<Extensions, Error> {
        let database = &report.task.database;
        self.announce(database, &report.plan.steps);
        let trusted = &catalog.untrusted.trusted;
        let (after, untrusted) = session.apply(&report.plan.steps, trusted).await?;
        let differences = verify::differences(desired, &catalog, &report.plan, &after);
        if !differences.is_empty() {
            return Err(in_database(database, &differences));
        }
        // What was put there meanwhile may have run in this transaction, and goes with it.
        catalog.untrusted = untrusted;
        let problems = scripts::problems(&report.plan.steps, &catalog);
        if !problems.is_empty() {
            return Err(in_database(database, &problems));
        }
        // A dry run is rolled back when the session ends.
        if !self.dry_run {
            self.progress.commit_sent();
            match session.commit().await {
                Err(error) if error.kind == Kind::OutcomeUnknown => {
                    let (before, plan) = (report.before.clone(), report.plan.clone());
                    *sent_commit = Some(SentCommit { before, plan });
                    return Err(error.into());
                }
                known => {
                    self.progress.outcome_known(known.is_ok());
                    known?;
                    let changes = report.plan.steps.iter().map(Step::changes).sum();
                    self.progress.add_changes(changes);
                }
            }
        }
        Ok(after.into_iter().map(|(name, version, _)| (name, version)).collect())
    }

    fn announce(&self, database: &str, steps: &[Step]) {
        // `make plan` prints these.
        let dry_run = |step: &Step| format!("Dry run: {step};");
        let announce = |step| if self.dry_run { dry_run(step) } else { step.announcement() };
        let mut announced: Vec<String> = steps.iter().map(announce).collect();
        announced.dedup();
        for message in announced {
            log::of_database(database, &message);
        }
    }
}

/// Reads what the planner needs to know beside the `catalog`, and no more than that, but for what the
/// server offers of the extensions that are `asked` about.
pub(super) async fn read(
    session: &Session,
    desired: &Desired,
    mut catalog: Catalog,
    asked: BTreeSet<String>,
    is_for_change: bool,
) -> Result<Catalog, session_error::Error> {
    if catalog.has_claim_schema {
        catalog.claim_table = session.claim_table().await?;
        if catalog.claim_table.as_ref().is_some_and(ClaimTable::has_claims) {
            catalog.claims = session.claims().await?;
        }
    }
    let asked = asked.iter().map(String::as_str);
    let names: Vec<&str> = unsatisfied(desired, &catalog).into_iter().chain(asked).collect();
    if !names.is_empty() {
        let (offers, untrusted): (_, Untrusted) = session.offers(&names).await?;
        (catalog.offers, catalog.untrusted) = (Some(offers), untrusted);
    }
    let to_drop = plan::to_drop(desired, &catalog);
    if !to_drop.is_empty() {
        let dependents = session.dependents(&to_drop, &catalog.claims, is_for_change).await?;
        catalog.dependents = dependents;
    }
    Ok(catalog)
}

fn in_database(database: &str, problems: &[Problem]) -> Error {
    Error::Plan(InDatabase::new(database, problems))
}
