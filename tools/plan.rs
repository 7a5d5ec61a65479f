//! What an event would do to a database: prints the plan as SQL, proved in a transaction that is
//! rolled back.
//!
//! `cargo run --example plan EVENT.json`, for a [`database`].
//!
//! Exit code: 0 for a plan, 1 where the event would fail, 2 where that cannot be found out.

use std::process::ExitCode;

use cfn_postgres_extensions::lambda::create_or_update::{reconcile, request};
use cfn_postgres_extensions::lambda::invocation::Invocation;
use cfn_postgres_extensions::log;
use cfn_postgres_extensions::reconcile::error::Error;
use cfn_postgres_extensions::reconcile::report::{Report, summary};
use serde_json::{Value, json};

mod database;

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
    let request = request(invocation).await?;
    let connector = database::connector(invocation, request.connection.clone()).await?;
    Ok(reconcile(invocation, request, connector).await?.1)
}

/// The same event as a dry run.
fn invocation(path: &str) -> Result<Invocation, Box<dyn std::error::Error>> {
    let mut event: Value = serde_json::from_str(&std::fs::read_to_string(path)?)?;
    event["ResourceProperties"]["DryRun"] = json!(true);
    database::invocation(event)
}
