//! What an event would do to a database: prints the plan as SQL, proved in a transaction that is
//! rolled back.
//!
//! `cargo run --example plan EVENT.json`. Credentials come from libpq's variables where `PGHOST` is
//! set (`PGHOST`, `PGPORT`, `PGUSER`, `PGPASSWORD`, `PGDATABASE`, `PGSSLMODE`, `PGSSLROOTCERT`): then
//! no AWS service is called. Otherwise the event's own `DBSecret` is read, with the AWS credentials of
//! the environment.
//!
//! Exit code: 0 for a plan, 1 where the event would fail, 2 where that cannot be found out.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use cfn_postgres_extensions::aws::{config, http, rds_token::Signer};
use cfn_postgres_extensions::cloudformation::event::Event;
use cfn_postgres_extensions::credentials::{Credentials, Password};
use cfn_postgres_extensions::deadline::Deadline;
use cfn_postgres_extensions::lambda::create_or_update::{reconcile, request};
use cfn_postgres_extensions::lambda::invocation::Invocation;
use cfn_postgres_extensions::log;
use cfn_postgres_extensions::postgres::connect_error::RetryLimits;
use cfn_postgres_extensions::postgres::target::AllowedHosts;
use cfn_postgres_extensions::reconcile::connector::{Clients, Connector};
use cfn_postgres_extensions::reconcile::error::Error;
use cfn_postgres_extensions::reconcile::progress::Progress;
use cfn_postgres_extensions::reconcile::report::{Report, summary};
use cfn_postgres_extensions::request::ConnectionProperties;
use cfn_postgres_extensions::tls::Roots;
use serde_json::{Value, json};

/// What the plan may take: a dry run does all of the work.
const TIME: Duration = Duration::from_secs(300);

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    log::to_standard_error();
    let Some(path) = std::env::args().nth(1) else {
        eprintln!("usage: plan EVENT.json");
        return ExitCode::from(2);
    };
    let invocation = match invocation(&path) {
        Ok(invocation) => invocation,
        Err(error) => {
            eprintln!("{path}: {error}");
            return ExitCode::from(2);
        }
    };
    match plan(&invocation).await {
        Ok(reports) => {
            for report in &reports {
                println!("-- database {}", report.task.database);
                report.plan.steps.iter().for_each(|step| println!("{step};"));
                report.plan.kept.iter().for_each(|kept| println!("-- {kept}"));
            }
            println!("-- SUCCESS: {}", summary(&reports));
            ExitCode::SUCCESS
        }
        Err(error) => {
            println!("-- FAILED: {error}");
            ExitCode::from(1)
        }
    }
}

async fn plan(invocation: &Invocation) -> Result<Vec<Report>, Error> {
    let (clients, deadline) = (&invocation.clients, invocation.deadline);
    let request = request(invocation).await?;
    let properties = request.connection.clone();
    let connector = if let Some(credentials) = libpq() {
        let properties =
            ConnectionProperties { host: None, port: None, username: None, ..properties };
        Connector::with_credentials(clients, properties, credentials, deadline)?
    } else {
        let limits = RetryLimits::UNTIL_DEADLINE;
        Connector::new(clients, properties, limits, deadline, deadline).await?
    };
    Ok(reconcile(invocation, request, connector).await?.1)
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

/// The same event as a dry run, which is not responded to.
fn invocation(path: &str) -> Result<Invocation, Box<dyn std::error::Error>> {
    let mut event: Value = serde_json::from_str(&std::fs::read_to_string(path)?)?;
    event["ResponseURL"].take();
    let properties = &mut event["ResourceProperties"];
    properties["DryRun"] = json!(true);
    if libpq().is_some() {
        properties["DBSecret"] = json!("libpq");
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

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
