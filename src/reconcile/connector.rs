//! A rejected password may be one that a rotation is about to change: the secret is read again,
//! version by version, and after a while once more.

use std::time::Duration;

use crate::aws::secrets_manager::{self, Stage};
use crate::log;
use crate::postgres::connect_error;
use crate::postgres::connection::Connection;
use crate::postgres::target::Target;
use crate::reconcile::database::{Visitor, read_target};
use crate::reconcile::error::Error;
use crate::text::chain;

/// How many seconds to wait before each further round, a minute in all. A rotation takes seconds;
/// and few attempts get nobody locked out where the server counts them.
const PAUSES: [u64; 5] = [2, 4, 8, 16, 30];

impl Visitor<'_> {
    /// Opens a connection, with another version of the secret's if the one that is known is
    /// rejected.
    ///
    /// # Errors
    /// Nobody let us in.
    pub async fn connect(&self, database: &str) -> Result<Connection, Error> {
        let known = self.target.lock().await.clone();
        let rejected = match self.open(&known, database).await {
            Err(Error::Connection(rejected @ connect_error::Error::Password { .. })) => rejected,
            result => return result,
        };
        // One visit looks for the password that works, and the others wait for what it finds.
        let mut target = self.target.lock().await;
        if *target != known {
            return self.open(&target, database).await;
        }
        if let Some(waited) = self.locked_out.get() {
            return Err(rejected.after(*waited).into());
        }
        self.rotated(&mut target, database, rejected).await
    }

    /// Tries all versions of the secret, and does so again while they differ: then a rotation may
    /// be under way. Where they are all the same, it is not, and waiting would be in vain.
    async fn rotated(
        &self,
        target: &mut Target,
        database: &str,
        mut rejected: connect_error::Error,
    ) -> Result<Connection, Error> {
        let mut waited = Duration::ZERO;
        let mut tried = vec![target.clone()];
        let mut pauses = PAUSES.into_iter().map(Duration::from_secs);
        for round in 0.. {
            log::warn(&format!("{}: reading the secret again", chain(&rejected)));
            let mut versions = Vec::new();
            for stage in [Stage::Current, Stage::Pending, Stage::Previous] {
                let Some(version) = self.version(stage).await? else { continue };
                if versions.contains(&version) {
                    continue;
                }
                versions.push(version.clone());
                // The database may not have a new password yet; an old one does not come back.
                let later = round > 0 && stage != Stage::Previous;
                if tried.contains(&version) && !later {
                    continue;
                }
                log::info(&format!("trying the secret's {} version", stage.label()));
                match self.open(&version, database).await {
                    Err(Error::Connection(error @ connect_error::Error::Password { .. })) => {
                        rejected = error;
                        tried.push(version);
                    }
                    result => {
                        *target = version;
                        return result;
                    }
                }
            }
            let pause = pauses.next().filter(|_| versions.len() > 1);
            match pause {
                Some(pause) if pause < self.budget.left() => {
                    tokio::time::sleep(pause).await;
                    waited += pause;
                }
                _ => break,
            }
        }
        // Nobody else need wait as long; the lock on the target makes this the first time.
        let _ = self.locked_out.set(waited);
        Err(rejected.after(waited).into())
    }

    /// One version of the secret. Outside of a rotation only the current one is sure to be there,
    /// and to be of any use.
    async fn version(&self, stage: Stage) -> Result<Option<Target>, Error> {
        use secrets_manager::Error::{Refused, Unusable};
        match read_target(self.secrets, self.trust, self.place, stage, self.budget).await {
            Ok(target) => Ok(Some(target)),
            Err(Error::Secret(Refused { .. } | Unusable { .. }) | Error::Target(_))
                if stage != Stage::Current =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}
