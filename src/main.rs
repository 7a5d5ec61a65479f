//! The front door: clients once, then serve.

use std::path::PathBuf;

use cfn_postgres_extensions::handler::Handler;
use cfn_postgres_extensions::responder::Responder;
use cfn_postgres_extensions::token::Signer;
use cfn_postgres_extensions::trust::Trust;
use cfn_postgres_extensions::{aws, http, log, words};
use lambda_runtime::{LambdaEvent, service_fn};
use serde_json::Value;

fn main() -> Result<(), lambda_runtime::Error> {
    std::panic::set_hook(Box::new(|panic| {
        // Where, and not what: a panic's message may hold anything.
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        log::error(&format!("internal error (a bug): panic at {place}"));
    }));
    let trust = Trust {
        ssl_cert_file: variable("SSL_CERT_FILE").map(PathBuf::from),
        pg_ssl_root_cert: variable("PGSSLROOTCERT").map(PathBuf::from),
        region: aws::region(&variable),
    };
    skip_system_bundle();
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(serve(trust))
}

async fn serve(trust: Trust) -> Result<(), lambda_runtime::Error> {
    let tls = trust.for_aws().or_else(|error| {
        log::error(&format!("{}; using Amazon's own roots instead", words::chain(&error)));
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
    let secrets = aws::secrets_manager(&variable, http::for_sdk(http.clone()));
    let signer =
        Signer { credentials: aws::credentials(&variable), region: aws::region(&variable) };
    let handler = Handler { http, tls, secrets, signer, trust };
    lambda_runtime::run(service_fn(move |event: LambdaEvent<Value>| {
        let handler = handler.clone();
        async move { handler.handle(event.payload, event.context).await }
    }))
    .await
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Keeps OpenSSL from parsing the system's whole bundle, which `native-tls` has it do for every
/// connector, even where no built-in roots are asked for: 10 to 50 ms of CPU each time.
fn skip_system_bundle() {
    #[expect(unsafe_code, reason = "no other thread runs yet, so nobody reads the environment")]
    unsafe {
        std::env::set_var("SSL_CERT_FILE", "/dev/null");
    }
}
