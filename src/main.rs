//! The front door: clients once, then serve.

use std::io::{self, PipeReader, Write};
use std::os::fd::AsRawFd;
use std::path::PathBuf;

use cfn_postgres_extensions::handler::Handler;
use cfn_postgres_extensions::responder::Responder;
use cfn_postgres_extensions::target::AllowedHosts;
use cfn_postgres_extensions::token::Signer;
use cfn_postgres_extensions::trust::Trust;
use cfn_postgres_extensions::{aws, http, log, words};
use lambda_runtime::{LambdaEvent, service_fn};
use serde_json::value::RawValue;

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
        allowed_hosts: AllowedHosts::new(&variable("ALLOWED_HOSTS").unwrap_or_default()),
        ..Trust::default()
    };
    skip_system_bundle();
    // OpenSSL reads it when it is used first, which `serve` begins with.
    let _configuration = offer_key_for_p256();
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(serve(trust))
}

async fn serve(trust: Trust) -> Result<(), lambda_runtime::Error> {
    let tls = trust.for_aws().or_else(|error| {
        log::error(&format!("{}; using Amazon's own roots instead", words::chain(&error)));
        Trust::default().for_aws()
    })?;
    let http = http::client(tls.clone())?;
    if std::env::var_os("_HANDLER").is_some_and(|handler| handler == "responder") {
        let responder = Responder { http, region: aws::region(&variable) };
        return lambda_runtime::run(service_fn(move |event: LambdaEvent<Box<RawValue>>| {
            let responder = responder.clone();
            async move { responder.handle(event.payload, event.context).await }
        }))
        .await;
    }
    let secrets = aws::secrets_manager(&variable, http::for_sdk(http.clone()));
    let signer =
        Signer { credentials: aws::credentials(&variable), region: aws::region(&variable) };
    let handler = Handler { http, tls, secrets, signer, trust };
    lambda_runtime::run(service_fn(move |event: LambdaEvent<Box<RawValue>>| {
        let handler = handler.clone();
        async move { handler.handle(event.payload, event.context).await }
    }))
    .await
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// What OpenSSL is told: its own list of key exchanges, and with the first words a key for P-256
/// instead of one for X25519, which would be a tenth of a handshake's work and saves no round trip.
/// The star is OpenSSL 3.5's, which the bootstrap carries; before, the first of the list has the key.
const OPENSSL: &str = if cfg!(feature = "vendored") {
    "openssl_conf = a\n[a]\nssl_conf = b\n[b]\nsystem_default = c\n[c]\n\
     Groups = ?*X25519MLKEM768:?X25519:?*secp256r1:?x448:?secp384r1:?secp521r1\n"
} else {
    "openssl_conf = a\n[a]\nssl_conf = b\n[b]\nsystem_default = c\n[c]\n\
     Groups = secp256r1:X25519:X448:secp384r1:secp521r1\n"
};

/// Saves a round trip on each connection: `PostgreSQL` before 18 takes no other key exchange than
/// P-256 by default (`ssl_ecdh_curve`), and asks a client that came with another key to begin again.
///
/// `native-tls` has no setting for it, but OpenSSL reads one from the file that `OPENSSL_CONF` names:
/// here a pipe with the text in it. A user's own file wins. Without either OpenSSL's defaults hold.
fn offer_key_for_p256() -> io::Result<Option<PipeReader>> {
    if std::env::var_os("OPENSSL_CONF").is_some() {
        return Ok(None);
    }
    let (reader, mut writer) = io::pipe()?;
    writer.write_all(OPENSSL.as_bytes())?;
    #[expect(unsafe_code, reason = "no other thread runs yet, so nobody reads the environment")]
    unsafe {
        std::env::set_var("OPENSSL_CONF", format!("/proc/self/fd/{}", reader.as_raw_fd()));
    }
    Ok(Some(reader))
}

/// Keeps OpenSSL from parsing the system's whole bundle, which `native-tls` has it do for every
/// connector, even where no built-in roots are asked for: 10 to 50 ms of CPU each time.
fn skip_system_bundle() {
    #[expect(unsafe_code, reason = "no other thread runs yet, so nobody reads the environment")]
    unsafe {
        std::env::set_var("SSL_CERT_FILE", "/dev/null");
    }
}
