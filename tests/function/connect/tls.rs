//! Certificates that are trusted, and the message about those that are not. Every event is sent twice.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use crate::support::cluster::Cluster;
use crate::support::database::{Database, server};
use crate::support::iam_endpoint::IamEndpoint;
use crate::support::test_environment::{SECRET, TestEnvironment};
use serde_json::{Value, json};

/// The map that most of these stories ask for.
fn hstore() -> Value {
    json!({ "hstore": "1.7" })
}

#[test]
fn which_authorities_are_trusted() {
    let ca = fs::read_to_string(&server().ca).expect("the CA's file");
    let stranger = TestEnvironment::with(Database::create(), &[("PGSSLROOTCERT", String::new())]);
    let with = |env: &TestEnvironment, more: &Value| {
        let mut properties = json!({ "PluginsMap": hstore() });
        for (name, value) in more.as_object().into_iter().flatten() {
            properties[name] = value.clone();
        }
        env.create_with(&properties)
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
    let env = TestEnvironment::new();
    let with = |mode: &str| {
        let map = json!({ "hstore": "1.7" });
        env.create_with(&json!({ "PluginsMap": map, "Host": "127.0.0.2", "SslMode": mode }))
    };
    let response = with("verify-full");
    let response =
        response.failed(&["does not name this host", "127.0.0.2", "`SslMode: verify-ca`"]);
    assert!(!response.reason.contains("SslRootCert"), "of no use here: {}", response.reason);
    with("verify-ca").succeeded();
    with("require").succeeded();
}

#[test]
fn without_tls_only_if_asked() {
    let env = TestEnvironment::new().with_seconds(20);
    let role = env.database.role("in the clear", "SUPERUSER IN ROLE plaintext");
    env.credentials(&role, "in the clear");
    let with = |mode: &str| {
        env.create_with(&json!({ "PluginsMap": hstore(), "SslMode": mode })).succeeded()
    };
    with("disable");
    with("require");
    env.credentials(&server().user, &server().password);
    let properties = json!({ "PluginsMap": hstore(), "SslMode": "disable" });
    env.create_with(&properties).failed(&["28000", "pg_hba.conf"]);
}

#[test]
fn a_certificate_that_has_expired() {
    let env = TestEnvironment::new();
    let endpoint = IamEndpoint::expired();
    let properties = |mode: &str| {
        json!({
            "PluginsMap": hstore(), "Host": "localhost", "Port": endpoint.port.to_string(),
            "SslRootCert": endpoint.ca, "SslMode": mode,
        })
    };
    for mode in ["verify-full", "verify-ca"] {
        let response = env.create_with(&properties(mode));
        let response = response.failed(&["certificate has expired", "renew it"]);
        assert!(!response.reason.contains("SslRootCert"), "of no use here: {}", response.reason);
    }
    assert!(endpoint.logins().is_empty(), "no password was sent");
}

#[test]
fn a_server_without_tls() {
    let cluster = Cluster::start(&["ssl=off"]);
    let place = cluster.server;
    let env = TestEnvironment::new();
    env.keep_secret(&place.password);
    let secret = place.secret(place.port, "postgres");
    env.secrets.put(SECRET, "AWSCURRENT", secret.to_string());
    for mode in ["verify-full", "verify-ca", "require"] {
        let properties = json!({ "PluginsMap": hstore(), "SslMode": mode });
        let words = ["server does not support TLS", "turn TLS on", "`SslMode: disable`"];
        env.create_with(&properties).failed(&words);
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
        TestEnvironment::with(Database::create(), &environment)
    };
    let env = bundle(&server().ca);
    env.create(&hstore()).failed(&["certificate verify failed"]);

    let env = bundle("/nowhere/bundle.pem");
    env.create(&hstore()).failed(&["`/nowhere/bundle.pem`", "`AWS_CA_BUNDLE`", "cannot be read"]);
    let retained = env.event_about("Delete", "Extensions-0123abcd", &json!({}));
    env.deliver(&retained).succeeded();
    let dropped = json!({ "RemovalPolicy": "Drop" });
    let dropped = env.event_about("Delete", "Extensions-0123abcd", &dropped);
    env.deliver(&dropped).failed(&["`AWS_CA_BUNDLE`"]);
}
