//! How the server proves who it is, and what is said when it cannot. Every event is sent twice.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use crate::support::cluster::Cluster;
use crate::support::database::{Database, server};
use crate::support::gate::Gate;
use crate::support::stage::{SECRET, Stage};
use serde_json::{Value, json};

/// The map that most of these stories ask for.
fn hstore() -> Value {
    json!({ "hstore": "1.7" })
}

#[test]
fn whom_the_function_trusts() {
    let ca = fs::read_to_string(&server().ca).expect("the CA's file");
    let stranger = Stage::with(Database::create(), &[("PGSSLROOTCERT", String::new())]);
    let with = |stage: &Stage, more: &Value| {
        let mut properties = json!({ "PluginsMap": hstore() });
        for (name, value) in more.as_object().into_iter().flatten() {
            properties[name] = value.clone();
        }
        stage.create_with(&properties)
    };
    let words = ["certificate verify failed", "authority that is not trusted", "`SslRootCert`"];
    with(&stranger, &json!({})).failed(&words);
    with(&stranger, &json!({ "SslMode": "verify-ca" })).failed(&words);
    with(&stranger, &json!({ "SslMode": "require" })).succeeded();
    with(&stranger, &json!({ "SslRootCert": ca })).succeeded();
    with(&stranger, &json!({ "SslRootCert": ca, "SslMode": "verify-ca" })).succeeded();
    with(&stranger, &json!({ "SslRootCert": ca, "Host": "127.0.0.1" })).succeeded();
}

#[test]
fn a_name_that_the_certificate_does_not_have() {
    let stage = Stage::new();
    let with = |mode: &str| {
        let map = json!({ "hstore": "1.7" });
        stage.create_with(&json!({ "PluginsMap": map, "Host": "127.0.0.2", "SslMode": mode }))
    };
    let answer = with("verify-full");
    let answer = answer.failed(&["does not name this host", "127.0.0.2", "`SslMode: verify-ca`"]);
    assert!(!answer.reason.contains("SslRootCert"), "of no use here: {}", answer.reason);
    with("verify-ca").succeeded();
    with("require").succeeded();
}

#[test]
fn without_tls_only_if_asked() {
    let stage = Stage::new().with_seconds(20);
    let role = stage.database.role("in the clear", "SUPERUSER IN ROLE plaintext");
    stage.credentials(&role, "in the clear");
    let with = |mode: &str| {
        stage.create_with(&json!({ "PluginsMap": hstore(), "SslMode": mode })).succeeded()
    };
    with("disable");
    with("require");
    stage.credentials(&server().user, &server().password);
    let properties = json!({ "PluginsMap": hstore(), "SslMode": "disable" });
    stage.create_with(&properties).failed(&["28000", "pg_hba.conf"]);
}

#[test]
fn a_certificate_that_has_expired() {
    let stage = Stage::new();
    let gate = Gate::expired();
    let properties = |mode: &str| {
        json!({
            "PluginsMap": hstore(), "Host": "localhost", "Port": gate.port.to_string(),
            "SslRootCert": gate.ca, "SslMode": mode,
        })
    };
    for mode in ["verify-full", "verify-ca"] {
        let answer = stage.create_with(&properties(mode));
        let answer = answer.failed(&["certificate has expired", "renew it"]);
        assert!(!answer.reason.contains("SslRootCert"), "of no use here: {}", answer.reason);
    }
    assert!(gate.logins().is_empty(), "nobody was shown a password");
}

#[test]
fn a_server_without_tls() {
    let cluster = Cluster::start(&["ssl=off"]);
    let place = cluster.server;
    let stage = Stage::new();
    stage.plant(&place.password);
    let secret = place.secret(place.port, "postgres");
    stage.secrets.put(SECRET, "AWSCURRENT", secret.to_string());
    for mode in ["verify-full", "verify-ca", "require"] {
        let properties = json!({ "PluginsMap": hstore(), "SslMode": mode });
        let words = ["server does not support TLS", "turn TLS on", "`SslMode: disable`"];
        stage.create_with(&properties).failed(&words);
    }
}

#[test]
fn every_root_is_good_for_another_year() {
    const YEAR: &str = "31536000";
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/certs");
    let mut count = 0;
    for file in ["rds.pem", "amazon.pem"] {
        let text = fs::read_to_string(format!("{folder}/{file}")).expect("the bundle");
        for pem in text.split_inclusive("-----END CERTIFICATE-----\n") {
            let Some(start) = pem.find("-----BEGIN CERTIFICATE-----") else { continue };
            let mut child = Command::new("openssl")
                .args(["x509", "-noout", "-subject", "-enddate", "-checkend", YEAR])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .expect("the openssl command");
            let mut input = child.stdin.take().expect("its input");
            input.write_all(&pem.as_bytes()[start..]).expect("its input");
            drop(input);
            let output = child.wait_with_output().expect("its output");
            let told = String::from_utf8_lossy(&output.stdout);
            assert!(told.contains("notAfter="), "{file}: no certificate: {told}");
            assert!(output.status.success(), "{file}: run `make update-rds-roots`: {told}");
            count += 1;
        }
    }
    assert!(count >= 107, "{count} certificates");
}

#[test]
fn the_bundle_for_aws_is_not_for_the_database_and_must_be_readable() {
    let bundle = |path: &str| {
        let environment = [("AWS_CA_BUNDLE", path.to_owned()), ("PGSSLROOTCERT", String::new())];
        Stage::with(Database::create(), &environment)
    };
    let stage = bundle(&server().ca);
    stage.create(&hstore()).failed(&["certificate verify failed"]);

    let stage = bundle("/nowhere/bundle.pem");
    stage.create(&hstore()).failed(&["`/nowhere/bundle.pem`", "`AWS_CA_BUNDLE`", "cannot be read"]);
    let retained = stage.event_about("Delete", "Extensions-0123abcd", &json!({}));
    stage.deliver(&retained).succeeded();
    let dropped = json!({ "RemovalPolicy": "Drop" });
    let dropped = stage.event_about("Delete", "Extensions-0123abcd", &dropped);
    stage.deliver(&dropped).failed(&["`AWS_CA_BUNDLE`"]);
}
