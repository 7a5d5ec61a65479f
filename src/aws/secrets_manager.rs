//! The secret: read from Secrets Manager.

use std::time::{Duration, Instant};

use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_secretsmanager::operation::get_secret_value::GetSecretValueError;
use serde_json::{Map, Value};

use crate::credentials::{Credentials, Password};
use crate::deadline::{Backoff, Deadline};
use crate::log;
use crate::text::{chain, shown};

/// How long one call may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// How long an access that is denied may be a policy that has not taken effect yet.
const RECENT_POLICY_LIMIT: Duration = Duration::from_secs(60);

/// PostgreSQL's names among the values of `engine`.
const ENGINES: [&str; 3] = ["postgres", "postgresql", "aurora-postgresql"];

/// Which version of the secret, by its label. Rotation changes the database before it moves the labels.
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

/// Why there are no credentials. The secret's text is never shown: not even the words of a parser,
/// which may hold some of it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Secrets Manager refused, or the text cannot be used.
    #[error("the secret `{secret}` cannot be used: {why}")]
    Refused {
        /// As the template has it.
        secret: String,
        /// What is wrong, and what to do.
        why: String,
    },
    /// Secrets Manager did not respond in time, or failed.
    #[error("gave up waiting for Secrets Manager to return the secret `{secret}`: {why}")]
    Unavailable {
        /// As the template has it.
        secret: String,
        /// The last failure, and what to do.
        why: String,
    },
}

impl Error {
    /// The same, with the advice to need no secret.
    #[must_use]
    pub fn or_iam(mut self) -> Self {
        if let Self::Unavailable { why, .. } = &mut self {
            why.push_str(", or use `Authentication: IAM`, which needs no secret");
        }
        self
    }
}

/// A call that failed, and for how long it is tried again, in words and in time.
struct Failure {
    retry: Retry,
    why: String,
    remedy: &'static str,
}

#[derive(PartialEq, Eq)]
enum Retry {
    Never,
    WhilePolicyIsRecent,
    UntilDeadline,
}

const CHECK_NETWORK: &str = "in a VPC the function needs a route there: an interface endpoint for \
     Secrets Manager in its subnets, with a security group that lets it in on port 443, or a NAT \
     gateway";

/// Reads one version of a secret, and retries transient failures: throttling, the service's own
/// failures, a policy that is a few seconds old.
///
/// # Errors
/// A permanent failure, or the last transient one.
pub async fn read(
    client: &Client,
    secret: &str,
    stage: Stage,
    deadline: Deadline,
) -> Result<Credentials, Error> {
    let started = Instant::now();
    let mut backoff = Backoff::new();
    loop {
        let Failure { retry, why, remedy } = match call(client, secret, stage, deadline).await {
            Ok(credentials) => return Ok(credentials),
            Err(failure) => failure,
        };
        let until = match retry {
            Retry::Never => started,
            Retry::WhilePolicyIsRecent => deadline.work_until().min(started + RECENT_POLICY_LIMIT),
            Retry::UntilDeadline => deadline.work_until(),
        };
        if !backoff.pause(until).await {
            let (secret, why) = (secret.to_owned(), format!("{why}; {remedy}"));
            return Err(match retry {
                Retry::UntilDeadline => Error::Unavailable { secret, why },
                Retry::Never | Retry::WhilePolicyIsRecent => Error::Refused { secret, why },
            });
        }
        log::warn(&format!("Secrets Manager: {why}; trying again"));
    }
}

async fn call(
    client: &Client,
    secret: &str,
    stage: Stage,
    deadline: Deadline,
) -> Result<Credentials, Failure> {
    let call = client.get_secret_value().secret_id(secret).version_stage(stage.label()).send();
    let timeout = CALL_TIMEOUT.min(deadline.left());
    let output = match tokio::time::timeout(timeout, call).await {
        Err(_) => return Err(unreachable(format!("no response within {} s", timeout.as_secs()))),
        Ok(Err(error)) => return Err(classify(&error)),
        Ok(Ok(output)) => output,
    };
    let bytes = match (output.secret_string(), output.secret_binary()) {
        (Some(text), _) => text.as_bytes(),
        (None, Some(blob)) => blob.as_ref(),
        (None, None) => &[],
    };
    let remedy = "correct the secret's text";
    parse(bytes).map_err(|why| Failure { retry: Retry::Never, why, remedy })
}

fn unreachable(why: String) -> Failure {
    Failure { retry: Retry::UntilDeadline, why, remedy: CHECK_NETWORK }
}

fn classify(error: &SdkError<GetSecretValueError>) -> Failure {
    let refusal = match error {
        SdkError::ServiceError(refusal) => refusal,
        SdkError::DispatchFailure(failure) if !failure.is_io() && !failure.is_timeout() => {
            let remedy = "check the function's AWS environment variables";
            return Failure { retry: Retry::Never, why: chain(error), remedy };
        }
        SdkError::ConstructionFailure(_) => {
            let remedy = "check the function's AWS environment variables";
            return Failure { retry: Retry::Never, why: chain(error), remedy };
        }
        _ => return unreachable(chain(error)),
    };
    let status = refusal.raw().status().as_u16();
    let Some(code) = refusal.err().code() else {
        // A proxy or a portal, say: nothing that the service would send.
        return unreachable(format!("no response of Secrets Manager's, but HTTP status {status}"));
    };
    let is_throttled = code.contains("Throttl") || code.contains("TooManyRequests");
    let (retry, remedy) = if code.contains("AccessDenied") {
        (
            Retry::WhilePolicyIsRecent,
            "let the function's role do secretsmanager:GetSecretValue on it (the parameter \
             `SecretArns` of the function's stack), and kms:Decrypt where a key of yours encrypts it",
        )
    } else if status >= 500 || status == 429 || is_throttled {
        (Retry::UntilDeadline, "the service failed or throttled the calls: deploy again later")
    } else {
        let remedy = match code {
            "ResourceNotFoundException" => {
                "check the ARN or name, and that it is in the function's region and account"
            }
            "InvalidRequestException" => {
                "it may be scheduled for deletion: restore it, or name another one"
            }
            "DecryptionFailure" => {
                "let the function's role do kms:Decrypt with the key of the secret (the parameter \
                 `KmsKeyArn` of the function's stack), and check that the key is enabled"
            }
            _ => "see the documentation of GetSecretValue for this code",
        };
        (Retry::Never, remedy)
    };
    let message = refusal.err().message().unwrap_or("no message");
    Failure { retry, why: format!("{code}: {message}"), remedy }
}

/// Reads the secret's JSON; says what is wrong with it without quoting it.
fn parse(bytes: &[u8]) -> Result<Credentials, String> {
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
    let (instance, cluster) = (text(&["dbInstanceIdentifier"]), text(&["dbClusterIdentifier"]));
    if let Some(engine) = engine.filter(|engine| !ENGINES.contains(&engine.as_str())) {
        // The one value worth showing.
        problems.push(format!("its `engine` is `{}`, which is not PostgreSQL", shown(&engine)));
    }
    if problems.is_empty() {
        let password = password.map(Password::new);
        Ok(Credentials { username, password, host, port, database, instance, cluster })
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
        let credentials = parse(full).expect("usable");
        assert_eq!(credentials.port.as_deref(), Some("5433"));
        assert_eq!(credentials.database.as_deref(), Some("d"));
        let number = parse(br#"{"username":"u","password":"p","port":5434,"database":"e"}"#)
            .expect("usable");
        assert_eq!((number.port.as_deref(), number.database.as_deref()), (Some("5434"), Some("e")));
        let managed = parse(br#"{"username":"u","password":"p"}"#).expect("usable");
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
            assert_eq!(parse(text.as_bytes()), Err(what.to_owned()), "{text}");
        }
    }

    #[test]
    fn debug_hides_the_password() {
        let credentials = parse(br#"{"username":"u","password":"s3cr3t"}"#).expect("usable");
        assert!(!format!("{credentials:?}").contains("s3cr3t"));
    }
}
