//! Who connects: with the secret's credentials or a token, and with another version of the secret
//! while a rotation is under way.

use std::time::Duration;

use native_tls::TlsConnector;
use tokio::sync::Mutex;

use crate::aws::rds_token::Signer;
use crate::aws::secrets_manager::{self, Stage};
use crate::credentials::Credentials;
use crate::deadline::Deadline;
use crate::postgres::connect_error::{self, Kind, RetryLimits};
use crate::postgres::connection::Connection;
use crate::postgres::target::{self, AllowedHosts, Login, Target};
use crate::reconcile::error::Error;
use crate::request::ConnectionProperties;
use crate::tls::Roots;
use crate::{log, redact};

/// How many seconds to wait before each further attempt with the current version of a secret that is
/// being rotated, a minute in all. A rotation takes seconds; and few attempts get no role locked out
/// where the server counts them.
const ROTATION_PAUSES: [u64; 5] = [2, 4, 8, 16, 30];

/// What connecting needs of the process, whatever the request.
#[derive(Debug, Clone)]
pub struct Clients {
    /// For the secret.
    pub secrets: aws_sdk_secretsmanager::Client,
    /// For tokens in place of passwords.
    pub signer: Signer,
    /// Whose certificates are trusted.
    pub roots: Roots,
    /// The hosts that the operator allows.
    pub allowed_hosts: AllowedHosts,
}

/// Connects to the databases of one server.
#[derive(Debug)]
pub struct Connector<'a> {
    clients: &'a Clients,
    properties: ConnectionProperties,
    limits: RetryLimits,
    deadline: Deadline,
    server: Mutex<Server>,
}

/// A server, as one version of the secret describes it.
#[derive(Debug, Clone)]
struct Server {
    target: Target,
    tls: TlsConnector,
    /// Every version of the secret was rejected, after so long a wait for a rotation.
    rejected_after: Option<Duration>,
}

impl<'a> Connector<'a> {
    /// Reads the secret, and retries within `secret_deadline`.
    ///
    /// # Errors
    /// The secret cannot be read, or something is missing.
    pub async fn new(
        clients: &'a Clients,
        properties: ConnectionProperties,
        limits: RetryLimits,
        deadline: Deadline,
        secret_deadline: Deadline,
    ) -> Result<Self, Error> {
        let server = read(clients, &properties, Stage::Current, secret_deadline).await?.into();
        Ok(Self { clients, properties, limits, deadline, server })
    }

    /// Connects with these credentials, and reads no secret.
    ///
    /// # Errors
    /// Something is missing.
    pub fn with_credentials(
        clients: &'a Clients,
        properties: ConnectionProperties,
        credentials: Credentials,
        deadline: Deadline,
    ) -> Result<Self, Error> {
        let properties = ConnectionProperties { secret: None, ..properties };
        let server = resolve(clients, &properties, credentials)?.into();
        let limits = RetryLimits::UNTIL_DEADLINE;
        Ok(Self { clients, properties, limits, deadline, server })
    }

    /// The server, with the credentials that worked last.
    pub async fn target(&self) -> Target {
        self.server.lock().await.target.clone()
    }

    /// Opens a connection, with another version of the secret if this one's password is rejected.
    /// `is_named` says that the request names the database, and does not only mean it by `*`.
    ///
    /// # Errors
    /// The server cannot be reached, or refuses.
    pub async fn connect(&self, database: &str, is_named: bool) -> Result<Connection, Error> {
        let known = self.server.lock().await.clone();
        let rejected = match self.open(&known, database, is_named).await {
            Err(Error::Connection(error))
                if error.kind == Kind::Password && self.properties.secret.is_some() =>
            {
                error
            }
            result => return result,
        };
        // One task looks for the password that works, and the others wait for what it finds.
        let mut server = self.server.lock().await;
        if server.target != known.target {
            return self.open(&server, database, is_named).await;
        }
        if let Some(waited) = server.rejected_after {
            return Err(every_version_rejected(rejected, waited));
        }
        self.connect_during_rotation(&mut server, database, is_named, rejected).await
    }

    /// Reads the secret again: all its versions once each, then the current one for a minute, while
    /// there is a pending one: the database may get its password any moment.
    async fn connect_during_rotation(
        &self,
        server: &mut Server,
        database: &str,
        is_named: bool,
        mut rejected: connect_error::Error,
    ) -> Result<Connection, Error> {
        log::warn(&format!("{rejected}: reading the secret again"));
        let mut waited = Duration::ZERO;
        let mut is_rotating = false;
        let once = [Stage::Current, Stage::Pending, Stage::Previous].map(|stage| (stage, 0));
        let later = ROTATION_PAUSES.map(|seconds| (Stage::Current, seconds));
        let mut tried = vec![server.target.clone()];
        for (stage, seconds) in once.into_iter().chain(later) {
            let pause = Duration::from_secs(seconds);
            let is_worth_waiting = is_rotating && pause < self.deadline.left();
            if !pause.is_zero() && !is_worth_waiting {
                break;
            }
            tokio::time::sleep(pause).await;
            waited += pause;
            let version = match read(self.clients, &self.properties, stage, self.deadline).await {
                Ok(version) => version,
                // Outside of a rotation only the current version is sure to be there.
                Err(Error::Secret(_) | Error::Target(_)) if stage != Stage::Current => continue,
                Err(error) => return Err(error),
            };
            let is_known = tried.contains(&version.target);
            is_rotating |= stage == Stage::Pending && !is_known;
            if is_known && pause.is_zero() {
                continue;
            }
            log::info(&format!("trying the secret's {} version", stage.label()));
            match self.open(&version, database, is_named).await {
                Err(Error::Connection(error)) if error.kind == Kind::Password => rejected = error,
                result => {
                    *server = version;
                    return result;
                }
            }
            tried.push(version.target);
        }
        // The other tasks need not wait as long.
        server.rejected_after = Some(waited);
        Err(every_version_rejected(rejected, waited))
    }

    async fn open(
        &self,
        server: &Server,
        database: &str,
        is_named: bool,
    ) -> Result<Connection, Error> {
        let Server { target, tls, .. } = server;
        let token;
        let password = match &target.login {
            Login::Password(password) => password,
            Login::Iam => {
                let signer = &self.clients.signer;
                token = signer.token(&target.host, target.port, &target.username).await?;
                &token
            }
        };
        let names = [database, target.username.as_str()];
        names.into_iter().for_each(redact::hide_name);
        let (limits, deadline) = (self.limits, self.deadline);
        let opened =
            Connection::open(target, database, password, tls.clone(), is_named, limits, deadline);
        let opened = opened.await?;
        names.into_iter().for_each(redact::reveal_name);
        Ok(opened)
    }
}

/// Reads one version of the secret, if there is one, and puts it together with the properties.
async fn read(
    clients: &Clients,
    properties: &ConnectionProperties,
    stage: Stage,
    deadline: Deadline,
) -> Result<Server, Error> {
    let credentials = match &properties.secret {
        Some(secret) => {
            let credentials =
                secrets_manager::read(&clients.secrets, secret, stage, deadline).await;
            // The database of `PluginsFrom` takes a password in any case.
            credentials.map_err(|it| if properties.is_reference { it } else { it.or_iam() })?
        }
        None => Credentials::default(),
    };
    resolve(clients, properties, credentials)
}

fn resolve(
    clients: &Clients,
    properties: &ConnectionProperties,
    credentials: Credentials,
) -> Result<Server, Error> {
    let target = target::resolve(properties, credentials, &clients.allowed_hosts)?;
    let root_cert = target.ssl_root_cert.as_deref();
    let tls = clients.roots.for_server(&target.host, target.ssl_mode, root_cert)?;
    Ok(Server { target, tls, rejected_after: None })
}

fn every_version_rejected(mut error: connect_error::Error, waited: Duration) -> Error {
    let waited = match waited.as_secs() {
        0 => String::new(),
        seconds => format!(", for {seconds} s, since a rotation is under way"),
    };
    error.remedy = format!(
        "the secret was read again, as AWSCURRENT, AWSPENDING and AWSPREVIOUS{waited}, and none of \
         them has the password: {}",
        error.remedy
    );
    error.into()
}
