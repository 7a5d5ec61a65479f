//! Secrets, passwords, rotation. Every event is sent twice.

use std::thread;

use crate::support::database::{Database, server};
use crate::support::fault_injection::eventually;
use crate::support::secrets::Fault;
use crate::support::test_environment::{SECRET, TestEnvironment};
use serde_json::{Value, json};

/// The map that most of these stories ask for.
fn hstore() -> Value {
    json!({ "hstore": "1.7" })
}

/// A test environment for failures that are waited for: with little time, so that it is over soon.
fn hasty() -> TestEnvironment {
    TestEnvironment::new().with_seconds(6)
}

#[test]
fn every_shape_of_a_secret() {
    let env = TestEnvironment::new();
    let usual = env.secret_of(&server().user, &server().password);
    let with = |changes: Value| {
        let mut secret = usual.clone();
        for (name, value) in changes.as_object().into_iter().flatten() {
            secret[name] = value.clone();
        }
        secret.as_object_mut().expect("an object").retain(|_, value| !value.is_null());
        secret
    };
    let host = json!({ "Host": "localhost", "Port": server().port.to_string() });
    let database = json!({ "Databases": env.database.name });
    for (secret, more) in [
        (usual.clone(), json!({})),
        (with(json!({ "port": server().port.to_string() })), json!({})),
        (with(json!({ "dbname": null, "database": env.database.name })), json!({})),
        (with(json!({ "engine": null, "dbInstanceIdentifier": null })), json!({})),
        (with(json!({ "engine": "postgresql", "masterarn": "arn:aws:x" })), json!({})),
        (with(json!({ "engine": "aurora-postgresql", "dbClusterIdentifier": "c" })), json!({})),
        (with(json!({ "host": "wrong.invalid", "port": 1 })), host.clone()),
        (with(json!({ "dbname": "nowhere" })), database),
        (with(json!({ "username": "nobody" })), json!({ "Username": server().user })),
        (with(json!({ "host": null, "port": null, "engine": null })), host),
    ] {
        env.secrets.put(SECRET, "AWSCURRENT", secret.to_string());
        let mut properties = json!({ "PluginsMap": hstore() });
        for (name, value) in more.as_object().into_iter().flatten() {
            properties[name] = value.clone();
        }
        env.create_with(&properties).succeeded();
    }
    env.secrets.put_binary(SECRET, usual.to_string().as_bytes());
    env.create(&hstore()).succeeded();
    assert_eq!(env.database.installed(), "hstore 1.7");
}

#[test]
fn a_secret_that_holds_no_credentials() {
    let env = TestEnvironment::new();
    for (text, words) in [
        ("correct horse battery staple", &["JSON"][..]),
        (r#"["correct horse battery staple"]"#, &["JSON"]),
        (r#"{"username": "app", "password": "correct horse battery staple" "#, &["JSON"]),
        (r#"{"username": "app"}"#, &["password"]),
        (r#"{"username": "app", "password": ""}"#, &["password"]),
        (
            r#"{"username": "a", "password": "correct horse battery staple", "host": "h",
             "engine": "mysql"}"#,
            &["engine", "mysql", "postgres"],
        ),
        (r#"{"username": "a", "password": "correct horse battery staple"}"#, &["Host"]),
        (r#"{"password": "correct horse battery staple", "host": "h"}"#, &["Username"]),
        (
            r#"{"username": "a", "password": "correct horse battery staple", "host": "h",
             "port": "many"}"#,
            &["port"],
        ),
        ("", &["JSON"]),
    ] {
        env.keep_secret("correct horse battery staple");
        env.secrets.put(SECRET, "AWSCURRENT", text);
        let response = env.create(&hstore()).failed(words);
        assert_eq!(response.id, "Extensions-create-failed");
    }
}

#[test]
fn a_secret_that_cannot_be_read() {
    let env = hasty();
    for (kind, words) in [
        ("ResourceNotFoundException", &["ResourceNotFoundException", "ARN or name"][..]),
        ("InvalidRequestException", &["marked for deletion", "restore it"]),
        ("DecryptionFailure", &["KMS", "kms:Decrypt", "KmsKeyArn"]),
        ("AccessDeniedException", &["AccessDenied", "GetSecretValue", "kms:Decrypt"]),
        ("ThrottlingException", &["Secrets Manager", "waiting"]),
        ("InternalServiceError", &["Secrets Manager", "waiting"]),
    ] {
        let secret = format!("app/{kind}");
        let faults = (0..100).map(|_| Fault::Error(kind));
        env.secrets.fail(&secret, faults);
        let properties = json!({ "PluginsMap": hstore(), "DBSecret": secret });
        env.create_with(&properties).failed(words).failed(&[&secret]);
    }
}

#[test]
fn transient_errors_of_secrets_manager_are_retried() {
    let env = TestEnvironment::new();
    for fault in [
        Fault::Error("AccessDeniedException"),
        Fault::Error("ThrottlingException"),
        Fault::Error("InternalServiceError"),
        Fault::Cut,
    ] {
        env.secrets.fail(SECRET, [fault.clone(), fault]);
        env.create(&hstore()).succeeded();
    }
}

#[test]
fn a_password_of_any_characters() {
    for password in [
        r#"p@ss:w/o%r'd""#,
        "{\"username\": \"x\"}",
        "back\\slash $HOME `id` ; --",
        " leading and trailing ",
        "Pässwörd-密码-пароль",
        "emoji 🐘 elephant",
        "%00%2F?sslmode=disable&host=/tmp#",
        "x = 'y' host=nowhere",
    ] {
        let env = TestEnvironment::new();
        let role = env.database.role(password, "SUPERUSER");
        env.credentials(&role, password);
        env.create(&hstore()).succeeded();
        env.create(&json!({ "nonsense": "" })).failed(&["nonsense"]);
    }
}

#[test]
fn a_wrong_password_says_so_and_keeps_it() {
    let env = TestEnvironment::new().with_seconds(20);
    let role = env.database.role("right", "SUPERUSER");
    env.credentials(&role, "a wrong p4ssword");
    let response = env.create(&hstore()).failed(&["28P01", &role, "secret"]);
    assert!(!response.reason.contains("rotation is under way"), "no rotation: {}", response.reason);
    let stages = env.secrets.stages();
    for label in ["AWSCURRENT", "AWSPENDING", "AWSPREVIOUS"] {
        assert!(stages.iter().any(|env| env == label), "{stages:?}");
    }
}

#[test]
fn a_rotation_in_mid_flight() {
    for label in ["AWSPENDING", "AWSPREVIOUS"] {
        let env = TestEnvironment::new();
        let role = env.database.role("the one that works", "SUPERUSER");
        env.credentials(&role, "the one that does not");
        env.keep_secret("the one that works");
        let good = env.secret_of(&role, "the one that works");
        env.secrets.put(SECRET, label, good.to_string());
        env.create(&hstore()).succeeded();
    }
}

/// A role with this password, and a secret that is being rotated and does not have it.
fn locked_out(password: &str) -> (TestEnvironment, String) {
    let env = TestEnvironment::new();
    let role = env.database.role(password, "SUPERUSER");
    env.credentials(&role, "the second");
    let first = env.secret_of(&role, "the first");
    env.secrets.put(SECRET, "AWSPENDING", first.to_string());
    for password in [password, "the first", "the second"] {
        env.keep_secret(password);
    }
    (env, role)
}

/// Waits until the secret was read so many times: what happens then, happens between two rounds.
fn after_reads(env: &TestEnvironment, count: usize) {
    eventually(|| env.secrets.calls().len() >= count);
}

#[test]
fn a_secret_that_changes_some_seconds_after_the_database() {
    let (env, role) = locked_out("the third");
    let event = env.event("Create", &json!({ "PluginsMap": hstore() }));
    thread::scope(|scope| {
        let response = scope.spawn(|| env.deliver_once(&event));
        // Once at the start, three versions once each, and the current one after a pause.
        after_reads(&env, 5);
        env.credentials(&role, "the third");
        let response = response.join().expect("a response").succeeded();
        let attempts = response.log.iter().filter(|line| line.contains("AWSCURRENT version"));
        assert!(attempts.count() >= 2, "{:#?}", response.log);
    });
    assert_eq!(env.database.installed(), "hstore 1.7");
}

#[test]
fn a_database_that_changes_some_seconds_after_the_secret() {
    let (env, role) = locked_out("the zeroth");
    let event = env.event("Create", &json!({ "PluginsMap": hstore() }));
    thread::scope(|scope| {
        let response = scope.spawn(|| env.deliver_once(&event));
        after_reads(&env, 5);
        env.database.query(&format!("ALTER ROLE {role} PASSWORD 'the second'"));
        response.join().expect("a response").succeeded();
    });
    assert_eq!(env.database.installed(), "hstore 1.7");
}

#[test]
fn a_rotation_that_never_ends() {
    let (env, role) = locked_out("of nobody's");
    let other = Database::create();
    let env = env.with_seconds(30);
    let databases = json!([env.database.name, other.name]);
    let properties = json!({ "PluginsMap": hstore(), "Databases": databases });
    let response = env.deliver_once(&env.event("Create", &properties));
    let response = response.failed(&["28P01", &role, "AWSPENDING", "for 14 s", &other.name]);
    assert_eq!(response.reason.matches("28P01").count(), 1, "said once: {}", response.reason);
    let attempts = response.log.iter().filter(|line| line.contains("trying the secret's"));
    assert_eq!(attempts.count(), 4, "few get nobody locked out: {:#?}", response.log);
    assert_eq!(response.id, "Extensions-create-failed");
}

#[test]
fn a_function_that_is_warm_reads_the_secret_anew() {
    let env = TestEnvironment::new();
    let role = env.database.role("of yesterday", "SUPERUSER");
    env.credentials(&role, "of yesterday");
    env.create(&hstore()).succeeded();
    env.database.query(&format!("ALTER ROLE {role} PASSWORD 'of today'"));
    env.credentials(&role, "of today");
    env.create(&hstore()).succeeded();
}

#[test]
fn a_database_that_is_not_there() {
    let env = TestEnvironment::new();
    let properties = json!({ "PluginsMap": hstore(), "Databases": "nowhere" });
    env.create_with(&properties).failed(&["3D000", "`nowhere`", "Databases"]);
}

#[test]
fn a_port_without_a_server() {
    let env = hasty();
    let properties = json!({ "PluginsMap": hstore(), "Port": "1" });
    let response = env.create_with(&properties);
    response.failed(&["waiting", "localhost:1", "refused"]);
    let properties = json!({ "PluginsMap": hstore(), "Host": "no-such-host.invalid" });
    env.create_with(&properties).failed(&["waiting", "no-such-host.invalid"]);
}
