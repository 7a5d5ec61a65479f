//! The process: clients once, then serve.

use std::path::PathBuf;

use cfn_postgres_extensions::aws::config;
use cfn_postgres_extensions::aws::http;
use cfn_postgres_extensions::aws::rds_token::Signer;
use cfn_postgres_extensions::lambda::failure_destination::FailureDestination;
use cfn_postgres_extensions::lambda::handler::Handler;
use cfn_postgres_extensions::log;
use cfn_postgres_extensions::postgres::target::AllowedHosts;
use cfn_postgres_extensions::reconcile::connector::Clients;
use cfn_postgres_extensions::text;
use cfn_postgres_extensions::tls::Roots;
use lambda_runtime::{LambdaEvent, service_fn};
use serde_json::value::RawValue;

fn main() -> Result<(), lambda_runtime::Error> {
    std::panic::set_hook(Box::new(|panic| {
        // Where, and not what: a panic's message may hold anything.
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        log::error(&format!("internal error (a bug): panic at {place}"));
    }));
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(serve())
}

async fn serve() -> Result<(), lambda_runtime::Error> {
    let region = config::region(&variable);
    let roots = Roots {
        aws_ca_bundle: variable("AWS_CA_BUNDLE").map(PathBuf::from),
        pg_ssl_root_cert: variable("PGSSLROOTCERT").map(PathBuf::from),
        region: region.clone(),
    };
    // Without a usable bundle each request fails, and its response needs roots all the same.
    let (tls, unusable_bundle) = match roots.for_aws() {
        Ok(tls) => (tls, None),
        Err(error) => (Roots::default().for_aws()?, Some(text::chain(&error))),
    };
    let http = http::client(tls)?;
    if variable("_HANDLER").is_some_and(|handler| handler == "responder") {
        if let Some(why) = &unusable_bundle {
            log::error(&format!("{why}; Amazon's own roots take their place"));
        }
        let failure_destination = FailureDestination { http, region };
        return lambda_runtime::run(service_fn(move |event: LambdaEvent<Box<RawValue>>| {
            let failure_destination = failure_destination.clone();
            async move { failure_destination.handle(event.payload, event.context).await }
        }))
        .await;
    }
    let clients = Clients {
        secrets: config::secrets_manager(&variable, http::for_sdk(http.clone())),
        signer: Signer { credentials: config::credentials(&variable), region },
        roots,
        allowed_hosts: AllowedHosts::new(&variable("ALLOWED_HOSTS").unwrap_or_default()),
    };
    let handler = Handler { http, clients, unusable_bundle };
    lambda_runtime::run(service_fn(move |event: LambdaEvent<Box<RawValue>>| {
        let handler = handler.clone();
        async move { handler.handle(event.payload, event.context).await }
    }))
    .await
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
