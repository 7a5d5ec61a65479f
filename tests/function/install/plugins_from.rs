//! `PluginsFrom`: what one database has, another gets. Every event is sent twice.

use crate::support::answer::Answer;
use crate::support::database::Database;
use crate::support::secrets::Fault;
use crate::support::stage::Stage;
use serde_json::{Value, json};

/// The secret of the database whose extensions are wanted.
const STAGING: &str = "staging/db";

/// A stage, and a reference database with these extensions.
fn with_reference(statements: &str) -> (Stage, Database) {
    let stage = Stage::new();
    let reference = Database::create();
    reference.query(statements);
    let server = reference.server;
    let secret = reference.secret(&server.user, &server.password);
    stage.secrets.put(STAGING, "AWSCURRENT", secret.to_string());
    (stage, reference)
}

#[track_caller]
fn create(stage: &Stage, more: &Value) -> Answer {
    let mut properties = json!({ "PluginsFrom": STAGING });
    for (name, value) in more.as_object().into_iter().flatten() {
        properties[name] = value.clone();
    }
    stage.create_with(&properties)
}

#[test]
fn what_staging_has_production_gets() {
    let (stage, reference) = with_reference(
        "CREATE EXTENSION hstore VERSION '1.5'; CREATE EXTENSION cube VERSION '1.4';
         CREATE EXTENSION earthdistance; CREATE SCHEMA aside; CREATE EXTENSION citext SCHEMA aside",
    );
    let before = reference.extensions();
    let answer = create(&stage, &json!({})).succeeded();
    assert_eq!(stage.database.installed(), reference.installed());
    assert_eq!(reference.extensions(), before, "the reference is only looked at");
    assert_eq!(answer.data("hstore"), "1.5");
    assert_eq!(answer.data("plpgsql"), "1.0");
    assert_eq!(stage.database.schema_of("citext"), "public", "names and versions, not schemas");
    reference.query("ALTER EXTENSION hstore UPDATE TO '1.7'");
    let event = stage.event_about("Update", &answer.id, &json!({ "PluginsFrom": STAGING }));
    let answer = stage.deliver(&event).succeeded();
    assert_eq!(answer.data("Changes"), "updated hstore 1.5 to 1.7");
}

#[test]
fn the_map_wins_in_whatever_case() {
    let (stage, _reference) = with_reference(
        "CREATE EXTENSION hstore VERSION '1.4'; CREATE EXTENSION cube VERSION '1.4';
         CREATE EXTENSION citext VERSION '1.4'",
    );
    let map = json!({ "HSTORE": "1.7", "Cube": { "Schema": "shapes" }, "pg_trgm": "1.4" });
    let answer = create(&stage, &json!({ "PluginsMap": map })).succeeded();
    let cube = stage.default_version("cube");
    let all = format!("citext 1.4, cube {cube}, hstore 1.7, pg_trgm 1.4");
    assert_eq!(stage.database.installed(), all);
    assert_eq!(stage.database.schema_of("cube"), "shapes");
    assert_eq!(answer.data("hstore"), "1.7");
}

#[test]
fn an_empty_map_and_none_are_the_same() {
    for map in [json!({}), json!(null)] {
        let (stage, _reference) = with_reference("CREATE EXTENSION hstore VERSION '1.6'");
        create(&stage, &json!({ "PluginsMap": map })).succeeded();
        assert_eq!(stage.database.installed(), "hstore 1.6");
    }
}

#[test]
fn several_databases_get_it() {
    let (stage, _reference) = with_reference("CREATE EXTENSION hstore VERSION '1.6'");
    let other = Database::create();
    let names = [&stage.database.name, &other.name];
    create(&stage, &json!({ "Databases": names })).succeeded();
    assert_eq!(other.installed(), "hstore 1.6");
    assert_eq!(stage.database.installed(), "hstore 1.6");
}

#[test]
fn the_place_is_not_the_reference_s() {
    let (stage, reference) = with_reference("CREATE EXTENSION hstore VERSION '1.6'");
    let server = reference.server;
    let secret = stage.secret_of(&server.user, &server.password);
    let mut nowhere = secret.clone();
    nowhere["host"] = json!("wrong.invalid");
    nowhere["port"] = json!(1);
    nowhere["dbname"] = json!("wrong");
    stage.secrets.put(crate::support::stage::SECRET, "AWSCURRENT", nowhere.to_string());
    let host = json!({
        "Host": server.host, "Port": server.port, "Databases": stage.database.name,
    });
    create(&stage, &host).succeeded();
    assert_eq!(stage.database.installed(), "hstore 1.6");
}

#[test]
fn a_version_that_only_the_reference_has() {
    let (stage, reference) = with_reference(
        "CREATE EXTENSION hstore; CREATE EXTENSION citext;
         UPDATE pg_extension SET extversion = '9.9' WHERE extname = 'hstore'",
    );
    let answer = create(&stage, &json!({}));
    answer.failed(&["`hstore`", "`9.9`", "offer", "1.7"]);
    assert_eq!(stage.database.installed(), "");
    reference.query("UPDATE pg_extension SET extname = 'of_staging' WHERE extname = 'hstore'");
    create(&stage, &json!({})).failed(&["`of_staging`", "no such extension"]);
    assert_eq!(stage.database.installed(), "");
    // The map has the last word.
    reference.query("UPDATE pg_extension SET extname = 'hstore' WHERE extname = 'of_staging'");
    create(&stage, &json!({ "PluginsMap": { "hstore": "1.7" } })).succeeded();
}

#[test]
fn a_reference_that_is_behind() {
    let (stage, _reference) = with_reference("CREATE EXTENSION hstore VERSION '1.5'");
    stage.database.query("CREATE EXTENSION hstore VERSION '1.7'");
    create(&stage, &json!({})).failed(&["hstore", "1.7", "1.5", "DowngradePolicy"]);
    create(&stage, &json!({ "DowngradePolicy": "Keep" })).succeeded();
    assert_eq!(stage.database.installed(), "hstore 1.7");
}

#[test]
fn a_reference_that_cannot_be_read() {
    const WHO: &str = "PluginsFrom";
    let (stage, reference) = with_reference("");
    let server = reference.server;
    let usual = reference.secret(&server.user, &server.password);
    let with = |name: &str, value: Value| {
        let mut secret = usual.clone();
        secret[name] = value;
        stage.secrets.put(STAGING, "AWSCURRENT", secret.to_string());
        create(&stage, &json!({})).failed(&[WHO])
    };
    with("dbname", json!("nowhere")).failed(&["3D000", "`nowhere`"]);
    with("password", json!("not the one")).failed(&["28P01", &server.user]);
    with("engine", json!("mysql")).failed(&[STAGING, "mysql"]);
    let answer = with("host", json!(null)).failed(&["the secret of `PluginsFrom`", "`host`"]);
    assert!(!answer.reason.contains("set `Host`"), "of no use here: {}", answer.reason);
    with("username", json!(null)).failed(&["the secret of `PluginsFrom`", "`username`"]);
    with("port", json!("many")).failed(&["the secret of `PluginsFrom`", "`port`"]);
    stage
        .secrets
        .fail(STAGING, [Fault::Error("DecryptionFailure"), Fault::Error("DecryptionFailure")]);
    create(&stage, &json!({})).failed(&[WHO, STAGING, "KMS"]);
    stage.secrets.remove(STAGING);
    let answer = create(&stage, &json!({})).failed(&[WHO, STAGING, "ResourceNotFoundException"]);
    assert!(!answer.reason.contains("DBSecret"), "{}", answer.reason);
    assert_eq!(answer.id, "Extensions-create-failed");
    assert_eq!(stage.database.installed(), "");
}

#[test]
fn a_reference_that_nobody_answers_for() {
    let (stage, reference) = with_reference("");
    let stage = stage.with_seconds(3);
    let mut secret = reference.secret("someone", "something");
    secret["port"] = json!(1);
    stage.secrets.put(STAGING, "AWSCURRENT", secret.to_string());
    create(&stage, &json!({})).failed(&["PluginsFrom", "waiting", "localhost:1", "refused"]);
    stage.secrets.fail(STAGING, (0..100).map(|_| Fault::Cut));
    let answer = create(&stage, &json!({})).failed(&["PluginsFrom", "interface endpoint", "NAT"]);
    assert!(!answer.reason.contains("IAM"), "it takes a password: {}", answer.reason);
}
