//! The visit to the server: in with the credentials, look, compare, apply; and again, while what
//! failed may pass.

use crate::answer::Progress;
use crate::budget::{Backoff, Budget};
use crate::connection::{self, Connection};
use crate::error::{Error, chain};
use crate::plan::{self, Plan};
use crate::report::Report;
use crate::request::Request;
use crate::secret::{self, Stage};
use crate::session::{Extensions, Session};
use crate::target::{self, Target};
use crate::trust::Trust;
use crate::{identity, log};

/// What a visit needs.
#[derive(Debug, Clone, Copy)]
pub struct Visit<'a> {
    /// For the credentials.
    pub secrets: &'a aws_sdk_secretsmanager::Client,
    /// Whom we believe.
    pub trust: &'a Trust,
    /// What is wanted.
    pub request: &'a Request,
    /// The time there is.
    pub budget: Budget,
    /// Where to note what the answer's id depends on.
    pub progress: &'a Progress,
    /// The resource's name in the template.
    pub logical_id: &'a str,
}

/// Changes that were sent and whose outcome nobody has told us.
struct Unsettled {
    before: Extensions,
    plan: Plan,
}

impl Visit<'_> {
    /// Brings the database to what is wanted.
    ///
    /// A connection that is lost is opened again: the look then shows whether the changes were
    /// committed, since it waits for the lock that the lost session holds to the end.
    ///
    /// # Errors
    /// What will not pass, or did not in time. Then nothing was changed, unless the message says
    /// that this is not known.
    pub async fn reconcile(self) -> Result<(Report, Target), Error> {
        let mut unsettled = None;
        let mut backoff = Backoff::new();
        loop {
            let result = self.once(&mut unsettled).await;
            self.progress.unsettled(unsettled.is_some());
            let failure = match result {
                Err(Error::Session(failure)) if failure.may_pass() => failure,
                Err(failure) if unsettled.is_some() => {
                    return Err(Error::Unsettled(Box::new(failure)));
                }
                result => return result,
            };
            if !backoff.pause(self.budget.work_until()).await {
                return Err(if unsettled.is_some() {
                    Error::Unsettled(Box::new(failure.into()))
                } else {
                    failure.into()
                });
            }
            log::warn(&format!("{}; trying again", chain(&failure)));
        }
    }

    async fn once(self, unsettled: &mut Option<Unsettled>) -> Result<(Report, Target), Error> {
        let (session, target) = self.connect().await?;
        let report = self.at_work(&session, unsettled).await;
        session.close().await;
        Ok((report?, target))
    }

    /// Look, compare, apply: one database, one transaction.
    async fn at_work(
        self,
        session: &Session,
        unsettled: &mut Option<Unsettled>,
    ) -> Result<Report, Error> {
        let observed = session.observe(&self.request.wanted, self.budget).await?;
        let database = observed.database.clone();
        let mut before: Extensions = observed
            .installed
            .iter()
            .map(|extension| (extension.name.clone(), extension.version.clone()))
            .collect();
        before.sort_unstable();
        let server_version = observed.short_version().to_owned();
        let plan = plan::plan(&self.request.wanted, &observed)
            .map_err(|problems| Error::Plan { database: database.clone(), problems });
        if let (Ok(plan), Some(Unsettled { .. })) = (&plan, unsettled.as_ref())
            && plan.steps.is_empty()
            && let Some(settled) = unsettled.take()
        {
            // It was committed after all: the report is of those changes.
            log::of_database(&database, &format!("AFTER: {:?}", names(&before)));
            let Unsettled { before: earlier, plan } = settled;
            return Ok(Report { database, server_version, before: earlier, after: before, plan });
        }
        // Not all of it is there, so none is: it was rolled back.
        *unsettled = None;
        log::of_database(&database, &format!("BEFORE: {:?}", names(&before)));
        let plan = plan?;
        for step in &plan.steps {
            log::of_database(&database, &step.announcement());
        }
        let after = if plan.steps.is_empty() {
            before.clone()
        } else {
            self.apply(session, &before, &plan, unsettled).await?
        };
        log::of_database(&database, &format!("AFTER: {:?}", names(&after)));
        Ok(Report { database, server_version, before, after, plan })
    }

    async fn apply(
        self,
        session: &Session,
        before: &Extensions,
        plan: &Plan,
        unsettled: &mut Option<Unsettled>,
    ) -> Result<Extensions, Error> {
        self.progress.unsettled(true);
        let result = session.apply(plan, self.request.dry_run, self.budget).await;
        if let Err(failure) = &result
            && !failure.is_settled()
            && !self.request.dry_run
        {
            *unsettled = Some(Unsettled { before: before.clone(), plan: plan.clone() });
        }
        Ok(result?)
    }

    /// Reads the secret and opens a session. A rejected password may be one that a rotation is
    /// about to change: the secret is read again, version by version.
    async fn connect(self) -> Result<(Session, Target), Error> {
        let mut target = self.target(Stage::Current).await?;
        let mut rejected = match self.open(&target).await {
            Err(Error::Connection(rejected @ connection::Error::Password { .. })) => rejected,
            result => return Ok((result?, target)),
        };
        for stage in [Stage::Current, Stage::Pending, Stage::Previous] {
            log::warn(&format!("{}: reading its {} version", chain(&rejected), stage.label()));
            let again = match self.target(stage).await {
                Ok(again) => again,
                // Outside a rotation there is no such version.
                Err(Error::Secret(secret::Error::Refused { .. })) => continue,
                Err(error) => return Err(error),
            };
            if again.password == target.password && again.username == target.username {
                continue;
            }
            target = again;
            match self.open(&target).await {
                Err(Error::Connection(error @ connection::Error::Password { .. })) => {
                    rejected = error;
                }
                result => return Ok((result?, target)),
            }
        }
        Err(rejected.into())
    }

    async fn open(self, target: &Target) -> Result<Session, Error> {
        let connection = Connection::open(target, self.trust, self.budget).await?;
        Ok(Session::new(connection, target.database.clone()))
    }

    async fn target(self, stage: Stage) -> Result<Target, Error> {
        let place = &self.request.place;
        let credentials = secret::read(self.secrets, &place.secret, stage, self.budget).await?;
        let target = target::resolve(place, credentials).map_err(Error::Target)?;
        self.progress.identified(identity::issued(self.logical_id, &target.host, target.port));
        Ok(target)
    }
}

fn names(extensions: &Extensions) -> Vec<&str> {
    extensions.iter().map(|(name, _)| name.as_str()).collect()
}
