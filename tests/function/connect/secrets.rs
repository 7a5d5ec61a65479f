//! Getting in: secrets, passwords, rotation. Every event is sent twice.

use std::thread;

use crate::support::database::{Database, server};
use crate::support::secrets::Fault;
use crate::support::stage::{SECRET, Stage};
use crate::support::trouble::eventually;
use serde_json::{Value, json};

/// The map that most of these stories ask for.
fn hstore() -> Value {
    json!({ "hstore": "1.7" })
}

/// A stage for failures that are waited for: with little time, so that it is over soon.
fn hasty() -> Stage {
    Stage::new().with_seconds(3)
}

#[test]
fn every_shape_of_a_secret() {
    let stage = Stage::new();
    let usual = stage.secret_of(&server().user, &server().password);
    let with = |changes: Value| {
        let mut secret = usual.clone();
        for (name, value) in changes.as_object().into_iter().flatten() {
            secret[name] = value.clone();
        }
        secret.as_object_mut().expect("an object").retain(|_, value| !value.is_null());
        secret
    };
    let host = json!({ "Host": "localhost", "Port": server().port.to_string() });
    let database = json!({ "Databases": stage.database.name });
    for (secret, more) in [
        (usual.clone(), json!({})),
        (with(json!({ "port": server().port.to_string() })), json!({})),
        (with(json!({ "dbname": null, "database": stage.database.name })), json!({})),
        (with(json!({ "engine": null, "dbInstanceIdentifier": null })), json!({})),
        (with(json!({ "engine": "postgresql", "masterarn": "arn:aws:x" })), json!({})),
        (with(json!({ "engine": "aurora-postgresql", "dbClusterIdentifier": "c" })), json!({})),
        (with(json!({ "host": "wrong.invalid", "port": 1 })), host.clone()),
        (with(json!({ "dbname": "nowhere" })), database),
        (with(json!({ "username": "nobody" })), json!({ "Username": server().user })),
        (with(json!({ "host": null, "port": null, "engine": null })), host),
    ] {
        stage.secrets.put(SECRET, "AWSCURRENT", secret.to_string());
        let mut properties = json!({ "PluginsMap": hstore() });
        for (name, value) in more.as_object().into_iter().flatten() {
            properties[name] = value.clone();
        }
        stage.create_with(&properties).succeeded();
    }
    stage.secrets.put_binary(SECRET, usual.to_string().as_bytes());
    stage.create(&hstore()).succeeded();
    assert_eq!(stage.database.installed(), "hstore 1.7");
}

#[test]
fn a_secret_that_holds_no_credentials() {
    let stage = Stage::new();
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
        stage.plant("correct horse battery staple");
        stage.secrets.put(SECRET, "AWSCURRENT", text);
        let answer = stage.create(&hstore()).failed(words);
        assert_eq!(answer.id, "Extensions-create-failed");
    }
}

#[test]
fn a_secret_that_cannot_be_read() {
    let stage = hasty();
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
        stage.secrets.fail(&secret, faults);
        let properties = json!({ "PluginsMap": hstore(), "DBSecret": secret });
        stage.create_with(&properties).failed(words).failed(&[&secret]);
    }
}

#[test]
fn what_passes_is_waited_out() {
    let stage = Stage::new();
    for fault in [
        Fault::Error("AccessDeniedException"),
        Fault::Error("ThrottlingException"),
        Fault::Error("InternalServiceError"),
        Fault::Cut,
    ] {
        stage.secrets.fail(SECRET, [fault.clone(), fault]);
        stage.create(&hstore()).succeeded();
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
        let stage = Stage::new();
        let role = stage.database.role(password, "SUPERUSER");
        stage.credentials(&role, password);
        stage.create(&hstore()).succeeded();
        stage.create(&json!({ "nonsense": "" })).failed(&["nonsense"]);
    }
}

#[test]
fn a_wrong_password_says_so_and_keeps_it() {
    let stage = Stage::new().with_seconds(20);
    let role = stage.database.role("right", "SUPERUSER");
    stage.credentials(&role, "a wrong p4ssword");
    let answer = stage.create(&hstore()).failed(&["28P01", &role, "secret"]);
    assert!(!answer.reason.contains("since they differ"), "no rotation: {}", answer.reason);
    let stages = stage.secrets.stages();
    for label in ["AWSCURRENT", "AWSPENDING", "AWSPREVIOUS"] {
        assert!(stages.iter().any(|stage| stage == label), "{stages:?}");
    }
}

#[test]
fn a_rotation_in_mid_flight() {
    for label in ["AWSPENDING", "AWSPREVIOUS"] {
        let stage = Stage::new();
        let role = stage.database.role("the one that works", "SUPERUSER");
        stage.credentials(&role, "the one that does not");
        stage.plant("the one that works");
        let good = stage.secret_of(&role, "the one that works");
        stage.secrets.put(SECRET, label, good.to_string());
        stage.create(&hstore()).succeeded();
    }
}

/// A role with this password, and a secret that was rotated once and does not have it.
fn locked_out(password: &str) -> (Stage, String) {
    let stage = Stage::new();
    let role = stage.database.role(password, "SUPERUSER");
    stage.credentials(&role, "the second");
    let first = stage.secret_of(&role, "the first");
    stage.secrets.put(SECRET, "AWSPREVIOUS", first.to_string());
    for password in [password, "the first", "the second"] {
        stage.plant(password);
    }
    (stage, role)
}

/// Waits until the secret was read so many times: what happens then, happens between two rounds.
fn after_reads(stage: &Stage, count: usize) {
    eventually(|| stage.secrets.calls().len() >= count);
}

#[test]
fn a_secret_that_changes_some_seconds_after_the_database() {
    let (stage, role) = locked_out("the third");
    let event = stage.event("Create", &json!({ "PluginsMap": hstore() }));
    thread::scope(|scope| {
        let answer = scope.spawn(|| stage.deliver_once(&event));
        // Once at the start, three versions in the first round and three in the second.
        after_reads(&stage, 7);
        stage.credentials(&role, "the third");
        let answer = answer.join().expect("an answer").succeeded();
        let rounds = answer.log.iter().filter(|line| line.contains("reading the secret again"));
        assert!(rounds.count() >= 2, "{:#?}", answer.log);
    });
    assert_eq!(stage.database.installed(), "hstore 1.7");
}

#[test]
fn a_database_that_changes_some_seconds_after_the_secret() {
    let (stage, role) = locked_out("the zeroth");
    let event = stage.event("Create", &json!({ "PluginsMap": hstore() }));
    thread::scope(|scope| {
        let answer = scope.spawn(|| stage.deliver_once(&event));
        after_reads(&stage, 7);
        stage.database.query(&format!("ALTER ROLE {role} PASSWORD 'the second'"));
        answer.join().expect("an answer").succeeded();
    });
    assert_eq!(stage.database.installed(), "hstore 1.7");
}

#[test]
fn a_rotation_that_never_ends() {
    let (stage, role) = locked_out("of nobody's");
    let other = Database::create();
    let stage = stage.with_seconds(30);
    let databases = json!([stage.database.name, other.name]);
    let properties = json!({ "PluginsMap": hstore(), "Databases": databases });
    let answer = stage.deliver_once(&stage.event("Create", &properties));
    let answer = answer.failed(&["28P01", &role, "AWSPENDING", "for 14 s", &other.name]);
    assert_eq!(answer.reason.matches("28P01").count(), 1, "said once: {}", answer.reason);
    let attempts = answer.log.iter().filter(|line| line.contains("trying the secret's"));
    assert_eq!(attempts.count(), 4, "few get nobody locked out: {:#?}", answer.log);
    assert_eq!(answer.id, "Extensions-create-failed");
}

#[test]
fn a_function_that_is_warm_reads_the_secret_anew() {
    let stage = Stage::new();
    let role = stage.database.role("of yesterday", "SUPERUSER");
    stage.credentials(&role, "of yesterday");
    stage.create(&hstore()).succeeded();
    stage.database.query(&format!("ALTER ROLE {role} PASSWORD 'of today'"));
    stage.credentials(&role, "of today");
    stage.create(&hstore()).succeeded();
}

#[test]
fn a_database_that_is_not_there() {
    let stage = Stage::new();
    let properties = json!({ "PluginsMap": hstore(), "Databases": "nowhere" });
    stage.create_with(&properties).failed(&["3D000", "`nowhere`", "Databases"]);
}

#[test]
fn nobody_listens() {
    let stage = hasty();
    let properties = json!({ "PluginsMap": hstore(), "Port": "1" });
    let answer = stage.create_with(&properties);
    answer.failed(&["waiting", "localhost:1", "refused"]);
    let properties = json!({ "PluginsMap": hstore(), "Host": "no-such-host.invalid" });
    stage.create_with(&properties).failed(&["waiting", "no-such-host.invalid"]);
}
