//! The front door: clients once, then serve.

use std::path::PathBuf;

use aws_config::BehaviorVersion;
use aws_config::retry::RetryConfig;
use cfn_postgres_extensions::handler::Handler;
use cfn_postgres_extensions::responder::Responder;
use cfn_postgres_extensions::trust::Trust;
use cfn_postgres_extensions::{error, http, log};
use lambda_runtime::{LambdaEvent, service_fn};
use serde_json::Value;

fn main() -> Result<(), lambda_runtime::Error> {
    std::panic::set_hook(Box::new(|panic| {
        // Where, and not what: a panic's message may hold anything.
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        log::error(&format!("internal error (a bug): panic at {place}"));
    }));
    let trust = Trust {
        ssl_cert_file: path("SSL_CERT_FILE"),
        pg_ssl_root_cert: path("PGSSLROOTCERT"),
        region: std::env::var("AWS_REGION").ok().filter(|region| !region.is_empty()),
    };
    skip_system_bundle();
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(serve(trust))
}

async fn serve(trust: Trust) -> Result<(), lambda_runtime::Error> {
    let tls = trust.for_aws().or_else(|error| {
        log::error(&format!("{}; using Amazon's own roots instead", error::chain(&error)));
        Trust::default().for_aws()
    })?;
    let http = http::client(tls.clone())?;
    if std::env::var_os("_HANDLER").is_some_and(|handler| handler == "responder") {
        let responder = Responder { http };
        return lambda_runtime::run(service_fn(move |event: LambdaEvent<Value>| {
            let responder = responder.clone();
            async move { responder.handle(event.payload, event.context).await }
        }))
        .await;
    }
    let aws = aws_config::defaults(BehaviorVersion::v2026_01_12())
        .http_client(http::for_sdk(http.clone()))
        .retry_config(RetryConfig::disabled())
        .load()
        .await;
    let secrets = aws_sdk_secretsmanager::Client::new(&aws);
    let handler = Handler { http, tls, secrets, trust };
    lambda_runtime::run(service_fn(move |event: LambdaEvent<Value>| {
        let handler = handler.clone();
        async move { handler.handle(event.payload, event.context).await }
    }))
    .await
}

fn path(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).filter(|path| !path.is_empty()).map(PathBuf::from)
}

/// Keeps OpenSSL from parsing the system's whole bundle, which `native-tls` has it do for every
/// connector, even where no built-in roots are asked for: 10 to 50 ms of CPU each time.
fn skip_system_bundle() {
    #[expect(unsafe_code, reason = "no other thread runs yet, so nobody reads the environment")]
    unsafe {
        std::env::set_var("SSL_CERT_FILE", "/dev/null");
    }
}
