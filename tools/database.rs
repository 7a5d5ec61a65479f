//! Which database a program is about: libpq's variables where `PGHOST` is set (`PGHOST`, `PGPORT`, `PGUSER`,
//! `PGPASSWORD`, `PGDATABASE`, `PGSSLMODE`, `PGSSLROOTCERT`), and then no AWS service is called; else the
//! event's own `DBSecret`, with the AWS credentials of the environment.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use cfn_postgres_extensions::aws::{config, http, rds_token::Signer};
use cfn_postgres_extensions::cloudformation::event::Event;
use cfn_postgres_extensions::credentials::{Credentials, Password};
use cfn_postgres_extensions::deadline::Deadline;
use cfn_postgres_extensions::lambda::invocation::Invocation;
use cfn_postgres_extensions::postgres::connect_error::RetryLimits;
use cfn_postgres_extensions::postgres::target::AllowedHosts;
use cfn_postgres_extensions::reconcile::connector::{Clients, Connector};
use cfn_postgres_extensions::reconcile::error::Error;
use cfn_postgres_extensions::reconcile::progress::Progress;
use cfn_postgres_extensions::request::ConnectionProperties;
use cfn_postgres_extensions::tls::Roots;
use serde_json::Value;

/// What the work may take.
const TIME: Duration = Duration::from_secs(300);

/// The event as a direct invocation: it is not responded to.
///
/// # Errors
/// The certificates cannot be used.
pub fn invocation(mut event: Value) -> Result<Invocation, Box<dyn std::error::Error>> {
    event["ResponseURL"].take();
    let properties = &mut event["ResourceProperties"];
    if libpq().is_some() {
        properties["DBSecret"] = "libpq".into();
        properties["Authentication"].take();
        properties["SslMode"] =
            variable("PGSSLMODE").map_or(properties["SslMode"].take(), Value::from);
    }
    let region = config::region(&variable).or_else(|| Some("us-east-1".to_owned()));
    let roots = Roots {
        aws_ca_bundle: variable("AWS_CA_BUNDLE").map(PathBuf::from),
        pg_ssl_root_cert: variable("PGSSLROOTCERT").map(PathBuf::from),
        region: region.clone(),
    };
    let http = http::client(roots.for_aws()?)?;
    Ok(Invocation {
        event: Event::read(&event.to_string()),
        deadline: Deadline::new(Instant::now(), TIME),
        progress: Progress::default(),
        clients: Clients {
            secrets: config::secrets_manager(&variable, http::for_sdk(http)),
            signer: Signer { credentials: config::credentials(&variable), region },
            roots,
            allowed_hosts: AllowedHosts::new(&variable("ALLOWED_HOSTS").unwrap_or_default()),
        },
        unusable_bundle: None,
    })
}

/// Connects to the database.
///
/// # Errors
/// The secret cannot be read, or does not say where.
pub async fn connector(
    invocation: &Invocation,
    properties: ConnectionProperties,
) -> Result<Connector<'_>, Error> {
    let (clients, deadline) = (&invocation.clients, invocation.deadline);
    let Some(credentials) = libpq() else {
        let limits = RetryLimits::UNTIL_DEADLINE;
        return Connector::new(clients, properties, limits, deadline, deadline).await;
    };
    let properties = ConnectionProperties { host: None, port: None, username: None, ..properties };
    Connector::with_credentials(clients, properties, credentials, deadline)
}

/// The credentials that libpq's variables are, where `PGHOST` is set.
fn libpq() -> Option<Credentials> {
    let host = Some(variable("PGHOST")?);
    Some(Credentials {
        host,
        port: variable("PGPORT"),
        username: variable("PGUSER").or_else(|| Some("postgres".to_owned())),
        password: Some(Password::new(variable("PGPASSWORD").unwrap_or_default())),
        database: variable("PGDATABASE").or_else(|| variable("PGUSER")),
        ..Credentials::default()
    })
}

/// An environment variable that is not empty.
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
