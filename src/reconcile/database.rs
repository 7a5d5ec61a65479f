//! The visit to one database: in with the credentials, look, compare, apply; and again, while what
//! failed may pass.

use std::sync::{OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::Mutex;

use crate::aws::rds_token::Signer;
use crate::aws::secrets_manager::{self, Credentials, Stage};
use crate::deadline::{Backoff, Budget};
use crate::lambda::answer::Progress;
use crate::log;
use crate::planner::catalog::{Observed, Offered};
use crate::planner::plan::{self, Plan};
use crate::planner::verify;
use crate::postgres::connection::Connection;
use crate::postgres::retry_limits::Patience;
use crate::postgres::session::{Extensions, Session};
use crate::postgres::session_error;
use crate::postgres::target::{self, Login, Target};
use crate::reconcile::error::{Error, InDatabase};
use crate::reconcile::job::Job;
use crate::reconcile::report::Report;
use crate::redact;
use crate::request::{Databases, Place, Request, Wanted};
use crate::text::chain;
use crate::tls::Trust;

/// What every visit of a request needs.
#[derive(Debug)]
pub struct Visitor<'a> {
    /// For the credentials.
    pub secrets: &'a aws_sdk_secretsmanager::Client,
    /// For the tokens that take a password's place.
    pub signer: &'a Signer,
    /// Whom we believe.
    pub trust: &'a Trust,
    /// Which server.
    pub place: &'a Place,
    /// What is wanted.
    pub request: &'a Request,
    /// The time there is.
    pub budget: Budget,
    /// Where to note what the answer's id depends on.
    pub progress: &'a Progress,
    /// The credentials that worked last; a rotation may change them between two visits.
    pub target: Mutex<Target>,
    /// Every version of the secret was rejected, after so long a wait for a rotation.
    pub locked_out: OnceLock<Duration>,
    /// How long the server may be gone.
    pub patience: Patience,
    /// What the server is known to offer: see [`Session::observe`].
    pub offers: std::sync::Mutex<Vec<Offered>>,
    /// Databases that were not entered.
    pub passed_over: std::sync::Mutex<Vec<Report>>,
    /// What is wanted of a database that was left: nothing, under the same policy.
    pub nothing: Wanted,
}

/// How often to try again what another transaction was in the way of.
const CONFLICTS: u32 = 3;

/// What a visit is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Look and plan; change nothing.
    Plan,
    /// Look, plan and apply, in one transaction.
    Apply,
}

/// Changes whose COMMIT was sent, and of which nobody has told us what became.
struct Unsettled {
    before: Extensions,
    plan: Plan,
}

impl Visitor<'_> {
    /// Brings one database to what is wanted, or only plans it.
    ///
    /// A connection that is lost is opened again: the look then shows whether the changes were
    /// committed, since it waits for the lock that the lost session holds to the end.
    ///
    /// # Errors
    /// What will not pass, or did not in time. Then nothing was changed, unless the error is
    /// [`Error::Unsettled`].
    pub async fn visit(&self, job: &Job, purpose: Purpose) -> Result<Report, Error> {
        let mut unsettled = None;
        let mut backoff = Backoff::new();
        let mut conflicts = 0;
        loop {
            let failure = match self.once(job, purpose, &mut unsettled).await {
                Err(Error::Session(failure)) if failure.may_pass() => failure,
                Err(failure) if unsettled.is_some() => {
                    return Err(Error::Unsettled(Box::new(failure)));
                }
                result => return result,
            };
            conflicts += u32::from(failure.is_obstinate());
            // The server may come back with other packages.
            self.offers.lock().unwrap_or_else(PoisonError::into_inner).clear();
            if conflicts > CONFLICTS || !backoff.pause(self.budget.work_until()).await {
                return Err(if unsettled.is_some() {
                    Error::Unsettled(Box::new(failure.into()))
                } else {
                    failure.into()
                });
            }
            log::warn(&format!("{}; trying again", chain(&failure)));
        }
    }

    async fn once(
        &self,
        job: &Job,
        purpose: Purpose,
        unsettled: &mut Option<Unsettled>,
    ) -> Result<Report, Error> {
        let database = job.database.clone();
        let session = Session::new(self.connect(&database).await?, database);
        let report = self.at_work(&session, job, purpose, unsettled).await;
        session.close().await;
        report
    }

    /// Look, compare, apply: one database, one transaction.
    async fn at_work(
        &self,
        session: &Session,
        job: &Job,
        purpose: Purpose,
        unsettled: &mut Option<Unsettled>,
    ) -> Result<Report, Error> {
        let job = job.clone();
        let wanted = if job.is_wanted() { &self.request.wanted } else { &self.nothing };
        let observed = session.observe(wanted, &self.offers, self.budget).await?;
        let database = observed.database.clone();
        let mut before: Extensions = observed
            .installed
            .iter()
            .map(|extension| (extension.name.clone(), extension.version.clone()))
            .collect();
        before.sort_unstable();
        let server_version = observed.short_version().to_owned();
        let plan = plan::plan(wanted, &observed)
            .map_err(|problems| Error::Plan(InDatabase::new(&database, &problems)));
        if let Some(sent) = unsettled.take() {
            let committed = plan.as_ref().is_ok_and(|plan| plan.steps.is_empty());
            self.progress.settled(committed);
            if committed {
                // The report is of those changes.
                let Unsettled { before: earlier, plan } = sent;
                let report =
                    Report { database, server_version, before: earlier, after: before, plan, job };
                log_after(&report);
                return Ok(report);
            }
            // Not all of it is there, so none is: it was rolled back.
        }
        if purpose == Purpose::Apply {
            log::of_database(&database, &format!("BEFORE: {:?}", names(&before)));
        }
        let plan = plan?;
        let after = before.clone();
        let mut report = Report { database, server_version, before, after, plan, job };
        if purpose == Purpose::Apply {
            if !report.plan.steps.is_empty() {
                report.after = self.apply(session, wanted, &observed, &report, unsettled).await?;
            }
            log_after(&report);
        }
        Ok(report)
    }

    async fn apply(
        &self,
        session: &Session,
        wanted: &Wanted,
        observed: &Observed,
        report: &Report,
        unsettled: &mut Option<Unsettled>,
    ) -> Result<Extensions, Error> {
        let rehearse = self.request.dry_run;
        let mut announced: Vec<String> = report
            .plan
            .steps
            .iter()
            // `make plan` prints these.
            .map(|step| if rehearse { format!("Rehearsing: {step};") } else { step.announcement() })
            .collect();
        announced.dedup();
        for words in announced {
            log::of_database(&report.database, &words);
        }
        let question = plan::ground_question(wanted, observed);
        let (after, ground) = session.apply(&report.plan, question, self.budget).await?;
        let differences = verify::differences(wanted, observed, &report.plan, &after);
        if !differences.is_empty() {
            return Err(Error::Plan(InDatabase::new(&report.database, &differences)));
        }
        // What was put there meanwhile may have run in this transaction, and goes with it.
        let prepared = ground.problems(&observed.role);
        if !prepared.is_empty() {
            return Err(Error::Plan(InDatabase::new(&report.database, &prepared)));
        }
        // A rehearsal is rolled back when the session ends.
        if !rehearse {
            self.progress.sent();
            match session.commit(self.budget).await {
                Err(failure @ session_error::Error::Unknown { .. }) => {
                    let (before, plan) = (report.before.clone(), report.plan.clone());
                    *unsettled = Some(Unsettled { before, plan });
                    return Err(failure.into());
                }
                known => {
                    self.progress.settled(known.is_ok());
                    known?;
                }
            }
        }
        Ok(after.into_iter().map(|(name, version, _)| (name, version)).collect())
    }

    /// Whether this request or the one before names a database, and does not only mean it by `*`.
    pub fn is_named(&self, target: &Target, database: &str) -> bool {
        let names = |databases: &Databases| match databases {
            Databases::Every => false,
            Databases::Named(names) => names.iter().any(|name| name == database),
            Databases::TheSecrets => target.database == database,
        };
        names(&self.place.databases) || self.request.earlier.as_ref().is_some_and(names)
    }

    /// Opens a connection with these credentials.
    ///
    /// # Errors
    /// Nobody let us in.
    pub async fn open(&self, target: &Target, database: &str) -> Result<Connection, Error> {
        let token;
        let password = match &target.login {
            Login::Password(password) => password,
            Login::Iam => {
                token = self.signer.token(&target.host, target.port, &target.username).await?;
                &token
            }
        };
        let (patience, budget) = (self.patience, self.budget);
        let is_named = self.is_named(target, database);
        let names = [database, target.username.as_str()];
        names.into_iter().for_each(redact::hide_name);
        let opened =
            Connection::open(target, database, password, self.trust, is_named, patience, budget)
                .await?;
        names.into_iter().for_each(redact::reveal_name);
        Ok(opened)
    }
}

/// Reads one version of the secret, if there is one, and puts it together with the template's word.
///
/// # Errors
/// The secret cannot be read, or something is missing.
pub async fn read_target(
    secrets: &aws_sdk_secretsmanager::Client,
    trust: &Trust,
    place: &Place,
    stage: Stage,
    budget: Budget,
) -> Result<Target, Error> {
    let credentials = match &place.secret {
        Some(secret) => secrets_manager::read(secrets, secret, stage, budget).await?,
        None => Credentials::default(),
    };
    target::resolve(place, credentials, &trust.allowed_hosts).map_err(Error::Target)
}

/// Says of a database that was only looked at what it holds.
pub fn log_untouched(report: &Report) {
    if report.job.is_wanted() {
        log::of_database(&report.database, &format!("BEFORE: {:?}", names(&report.before)));
        log_after(report);
    }
}

fn log_after(report: &Report) {
    log::of_database(&report.database, &format!("AFTER: {:?}", names(&report.after)));
}

fn names(extensions: &Extensions) -> Vec<&str> {
    extensions.iter().map(|(name, _)| name.as_str()).collect()
}
