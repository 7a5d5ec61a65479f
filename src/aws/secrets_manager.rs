//! The credentials in Secrets Manager.

use std::fmt;
use std::time::{Duration, Instant};

use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_secretsmanager::operation::get_secret_value::GetSecretValueError;
use serde_json::{Map, Value};

use crate::deadline::{Backoff, Budget};
use crate::log;
use crate::password::Password;
use crate::text::{chain, shown};

/// How long one call may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// How long an access that is denied may be a policy that has not taken effect yet.
const FRESH_POLICY: Duration = Duration::from_secs(60);

/// PostgreSQL's names among the values of `engine`.
const ENGINES: [&str; 3] = ["postgres", "postgresql", "aurora-postgresql"];

/// What the secret holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Credentials {
    /// The role to log in as, where the secret says.
    pub username: Option<String>,
    /// Its password; IAM needs none.
    pub password: Option<Password>,
    /// The server, where the secret says.
    pub host: Option<String>,
    /// Its port, where the secret says: unjudged, a property may beat it.
    pub port: Option<String>,
    /// The database, where the secret says.
    pub database: Option<String>,
}

/// Which version of the secret. Rotation changes the database before it moves the labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The one in use.
    Current,
    /// The one that a rotation is about to make current.
    Pending,
    /// The one before.
    Previous,
}

impl Stage {
    /// The label, as Secrets Manager spells it.
    pub fn label(self) -> &'static str {
        match self {
            Self::Current => "AWSCURRENT",
            Self::Pending => "AWSPENDING",
            Self::Previous => "AWSPREVIOUS",
        }
    }
}

/// Why there are no credentials.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Secrets Manager said no.
    #[error("the secret `{secret}` cannot be read: {code}: {message}; {remedy}")]
    Refused {
        /// As the template has it.
        secret: String,
        /// The service's error code.
        code: String,
        /// The service's message.
        message: String,
        /// What to do.
        remedy: &'static str,
    },
    /// Secrets Manager did not answer in time.
    #[error(
        "gave up waiting for Secrets Manager to answer for the secret `{secret}`: {last}; {remedy}"
    )]
    GaveUp {
        /// As the template has it.
        secret: String,
        /// The last failure.
        last: String,
        /// What to do.
        remedy: &'static str,
    },
    /// The request could not be made.
    #[error("the secret `{secret}` cannot be read: {cause}")]
    NotSent {
        /// As the template has it.
        secret: String,
        /// Why not.
        cause: String,
    },
    /// The text of the secret. Never shown: not even the parser's words, which may hold some.
    #[error("the secret `{secret}` is not usable: {what}")]
    Unusable {
        /// As the template has it.
        secret: String,
        /// What is wrong.
        what: String,
    },
}

const UNREACHABLE: &str = "in a VPC the function needs a way there: an interface endpoint for \
     Secrets Manager in its subnets, with a security group that lets it in on port 443, or a NAT \
     gateway; `Authentication: IAM` needs neither";

/// The same for a database that is reached with a password in any case.
const UNREACHABLE_WITHOUT_IAM: &str = "in a VPC the function needs a way there: an interface \
     endpoint for Secrets Manager in its subnets, with a security group that lets it in on port \
     443, or a NAT gateway";

impl Error {
    /// Gives no advice that `PluginsFrom` cannot follow.
    pub fn without_iam(&mut self) {
        if let Self::GaveUp { remedy, .. } = self
            && *remedy == UNREACHABLE
        {
            *remedy = UNREACHABLE_WITHOUT_IAM;
        }
    }
}

/// Reads one version of a secret, and waits out what passes: throttling, the service's own
/// failures, a policy that is a few seconds old.
///
/// # Errors
/// What does not pass, or did not within the budget.
pub async fn read(
    client: &Client,
    secret: &str,
    stage: Stage,
    budget: Budget,
) -> Result<Credentials, Error> {
    let started = Instant::now();
    let mut backoff = Backoff::new();
    loop {
        let failure = match attempt(client, secret, stage, budget).await {
            Ok(credentials) => return Ok(credentials),
            Err(Attempt::Final(error)) => return Err(error),
            Err(Attempt::Passing(failure)) => failure,
        };
        let until = match &failure {
            Passing::Denied { .. } => budget.work_until().min(started + FRESH_POLICY),
            _ => budget.work_until(),
        };
        if !backoff.pause(until).await {
            return Err(failure.into_error(secret));
        }
        log::warn(&format!("Secrets Manager: {failure}; trying again"));
    }
}

enum Attempt {
    Final(Error),
    Passing(Passing),
}

/// A failure that may pass.
enum Passing {
    Denied { code: String, message: String },
    Service(String),
    Unreachable(String),
}

impl fmt::Display for Passing {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied { code, message } => write!(out, "{code}: {message}"),
            Self::Service(words) | Self::Unreachable(words) => out.write_str(words),
        }
    }
}

impl Passing {
    fn into_error(self, secret: &str) -> Error {
        let secret = secret.to_owned();
        match self {
            Self::Denied { code, message } => Error::Refused {
                secret,
                code,
                message,
                remedy: "let the function's role do secretsmanager:GetSecretValue on it (the \
                         parameter `SecretArns` of the function's stack), and kms:Decrypt where a \
                         key of yours encrypts it",
            },
            Self::Service(last) => Error::GaveUp {
                secret,
                last,
                remedy: "the service failed or throttled the calls: deploy again later",
            },
            Self::Unreachable(last) => Error::GaveUp { secret, last, remedy: UNREACHABLE },
        }
    }
}

async fn attempt(
    client: &Client,
    secret: &str,
    stage: Stage,
    budget: Budget,
) -> Result<Credentials, Attempt> {
    let call = client.get_secret_value().secret_id(secret).version_stage(stage.label()).send();
    let limit = CALL_TIMEOUT.min(budget.left());
    let output = match tokio::time::timeout(limit, call).await {
        Err(_) => {
            let words = format!("no answer within {} s", limit.as_secs());
            return Err(Attempt::Passing(Passing::Unreachable(words)));
        }
        Ok(Err(error)) => return Err(judged(secret, &error)),
        Ok(Ok(output)) => output,
    };
    let bytes = match (output.secret_string(), output.secret_binary()) {
        (Some(text), _) => text.as_bytes(),
        (None, Some(blob)) => blob.as_ref(),
        (None, None) => &[],
    };
    parsed(bytes)
        .map_err(|what| Attempt::Final(Error::Unusable { secret: secret.to_owned(), what }))
}

fn judged(secret: &str, error: &SdkError<GetSecretValueError>) -> Attempt {
    match error {
        SdkError::ServiceError(refusal) => {
            let status = refusal.raw().status().as_u16();
            let Some(code) = refusal.err().code().map(ToOwned::to_owned) else {
                // A proxy or a portal, say: nothing that the service would send.
                let words = format!("no answer of Secrets Manager's, but HTTP status {status}");
                return Attempt::Passing(Passing::Unreachable(words));
            };
            let message = refusal.err().message().unwrap_or("no message").to_owned();
            if code.contains("AccessDenied") {
                return Attempt::Passing(Passing::Denied { code, message });
            }
            if status >= 500
                || status == 429
                || code.contains("Throttl")
                || code.contains("TooManyRequests")
            {
                return Attempt::Passing(Passing::Service(format!("{code}: {message}")));
            }
            let remedy = match code.as_str() {
                "ResourceNotFoundException" => {
                    "check the ARN or name, and that it is in the function's region and account"
                }
                "InvalidRequestException" => {
                    "it may be scheduled for deletion: restore it, or name another one"
                }
                "DecryptionFailure" => {
                    "let the function's role do kms:Decrypt with the key of the secret (the \
                     parameter `KmsKeyArn` of the function's stack), and see that the key is enabled"
                }
                _ => "see the documentation of GetSecretValue for this code",
            };
            Attempt::Final(Error::Refused { secret: secret.to_owned(), code, message, remedy })
        }
        SdkError::DispatchFailure(failure) if failure.is_io() || failure.is_timeout() => {
            Attempt::Passing(Passing::Unreachable(chain(error)))
        }
        SdkError::TimeoutError(_) | SdkError::ResponseError(_) => {
            Attempt::Passing(Passing::Unreachable(chain(error)))
        }
        _ => Attempt::Final(Error::NotSent { secret: secret.to_owned(), cause: chain(error) }),
    }
}

/// Reads the secret's JSON; says what is wrong with it without quoting it.
fn parsed(bytes: &[u8]) -> Result<Credentials, String> {
    let object: Map<String, Value> = serde_json::from_slice(bytes)
        .map_err(|_| "it is not a JSON object with `username` and `password`".to_owned())?;
    let mut problems = Vec::new();
    let mut text = |names: &[&str]| {
        let (name, value) = names.iter().find_map(|name| Some((*name, object.get(*name)?)))?;
        match value {
            Value::Null => None,
            Value::String(text) if text.is_empty() => None,
            Value::String(text) if !text.contains('\0') => Some(text.clone()),
            Value::Number(_) if name == "password" => {
                problems.push(
                    "its `password` is a number, which may have lost digits: put it in quotes"
                        .to_owned(),
                );
                None
            }
            Value::Number(number) => Some(number.to_string()),
            _ => {
                problems.push(format!("its `{name}` is not a string"));
                None
            }
        }
    };
    let engine = text(&["engine"]);
    let (username, password) = (text(&["username"]), text(&["password"]));
    let (host, port, database) = (text(&["host"]), text(&["port"]), text(&["dbname", "database"]));
    if let Some(engine) = engine.filter(|engine| !ENGINES.contains(&engine.as_str())) {
        // The one value worth showing.
        problems.push(format!("its `engine` is `{}`, which is not PostgreSQL", shown(&engine)));
    }
    if problems.is_empty() {
        let password = password.map(Password::new);
        Ok(Credentials { username, password, host, port, database })
    } else {
        Err(problems.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shape_of_a_secret_is_read() {
        let full = br#"{"engine":"postgres","host":"h","port":"5433","username":"u","password":"p","dbname":"d","x":[]}"#;
        let credentials = parsed(full).expect("usable");
        assert_eq!(credentials.port.as_deref(), Some("5433"));
        assert_eq!(credentials.database.as_deref(), Some("d"));
        let number = parsed(br#"{"username":"u","password":"p","port":5434,"database":"e"}"#)
            .expect("usable");
        assert_eq!((number.port.as_deref(), number.database.as_deref()), (Some("5434"), Some("e")));
        let managed = parsed(br#"{"username":"u","password":"p"}"#).expect("usable");
        assert_eq!((managed.host, managed.port, managed.database), (None, None, None));
    }

    #[test]
    fn what_is_wrong_is_said_without_the_text() {
        for (text, what) in [
            ("s3cr3t", "it is not a JSON object with `username` and `password`"),
            ("[\"s3cr3t\"]", "it is not a JSON object with `username` and `password`"),
            ("", "it is not a JSON object with `username` and `password`"),
            (r#"{"username":"u","password":["s3cr3t"]}"#, "its `password` is not a string"),
            (
                r#"{"username":"u","password":12345678901234567890123}"#,
                "its `password` is a number, which may have lost digits: put it in quotes",
            ),
            (
                r#"{"username":"u","password":"p","engine":"s3cr3t text"}"#,
                "its `engine` is `(11 bytes, not shown)`, which is not PostgreSQL",
            ),
            (
                r#"{"username":"u","password":"s3cr3t","engine":"mysql"}"#,
                "its `engine` is `mysql`, which is not PostgreSQL",
            ),
        ] {
            assert_eq!(parsed(text.as_bytes()), Err(what.to_owned()), "{text}");
        }
    }

    #[test]
    fn debug_hides_the_password() {
        let credentials = parsed(br#"{"username":"u","password":"s3cr3t"}"#).expect("usable");
        assert!(!format!("{credentials:?}").contains("s3cr3t"));
    }
}
