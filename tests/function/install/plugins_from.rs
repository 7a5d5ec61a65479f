//! `PluginsFrom`: the extensions of one database are installed in another. Every event is sent twice.

use crate::support::database::Database;
use crate::support::response::Response;
use crate::support::secrets::Fault;
use crate::support::test_environment::{SECRET, TestEnvironment};
use serde_json::{Value, json};

/// The secret of the database whose extensions are wanted.
const STAGING: &str = "staging/db";

/// A test environment, and a reference database with these extensions.
fn with_reference(statements: &str) -> (TestEnvironment, Database) {
    let env = TestEnvironment::new();
    let reference = Database::create();
    reference.query(statements);
    let server = reference.server;
    let secret = reference.secret(&server.user, &server.password);
    env.secrets.put(STAGING, "AWSCURRENT", secret.to_string());
    (env, reference)
}

#[track_caller]
fn create(env: &TestEnvironment, more: &Value) -> Response {
    let mut properties = json!({ "PluginsFrom": STAGING });
    for (name, value) in more.as_object().into_iter().flatten() {
        properties[name] = value.clone();
    }
    env.create_with(&properties)
}

#[test]
fn extensions_of_the_reference_are_installed() {
    let (env, reference) = with_reference(
        "CREATE EXTENSION hstore VERSION '1.5'; CREATE EXTENSION cube VERSION '1.4';
         CREATE EXTENSION earthdistance; CREATE SCHEMA aside; CREATE EXTENSION citext SCHEMA aside",
    );
    let before = reference.extensions();
    let response = create(&env, &json!({})).succeeded();
    assert_eq!(env.database.installed(), reference.installed());
    assert_eq!(reference.extensions(), before, "the reference is only looked at");
    assert_eq!(response.data("hstore"), "1.5");
    assert_eq!(response.data("plpgsql"), "1.0");
    assert_eq!(env.database.schema_of("citext"), "public", "names and versions, not schemas");
    reference.query("ALTER EXTENSION hstore UPDATE TO '1.7'");
    let event = env.event_about("Update", &response.id, &json!({ "PluginsFrom": STAGING }));
    let response = env.deliver(&event).succeeded();
    assert_eq!(response.data("Changes"), "updated hstore 1.5 to 1.7");
}

#[test]
fn the_map_wins_in_whatever_case() {
    let (env, _reference) = with_reference(
        "CREATE EXTENSION hstore VERSION '1.4'; CREATE EXTENSION cube VERSION '1.4';
         CREATE EXTENSION citext VERSION '1.4'",
    );
    let map = json!({ "HSTORE": "1.7", "Cube": { "Schema": "shapes" }, "pg_trgm": "1.4" });
    let response = create(&env, &json!({ "PluginsMap": map })).succeeded();
    let cube = env.default_version("cube");
    let all = format!("citext 1.4, cube {cube}, hstore 1.7, pg_trgm 1.4");
    assert_eq!(env.database.installed(), all);
    assert_eq!(env.database.schema_of("cube"), "shapes");
    assert_eq!(response.data("hstore"), "1.7");
}

#[test]
fn an_empty_map_and_none_are_the_same() {
    for map in [json!({}), json!(null)] {
        let (env, _reference) = with_reference("CREATE EXTENSION hstore VERSION '1.6'");
        create(&env, &json!({ "PluginsMap": map })).succeeded();
        assert_eq!(env.database.installed(), "hstore 1.6");
    }
}

#[test]
fn several_databases_get_it() {
    let (env, _reference) = with_reference("CREATE EXTENSION hstore VERSION '1.6'");
    let other = Database::create();
    let names = [&env.database.name, &other.name];
    create(&env, &json!({ "Databases": names })).succeeded();
    assert_eq!(other.installed(), "hstore 1.6");
    assert_eq!(env.database.installed(), "hstore 1.6");
}

#[test]
fn the_place_is_not_the_reference_s() {
    let (env, reference) = with_reference("CREATE EXTENSION hstore VERSION '1.6'");
    let server = reference.server;
    let secret = env.secret_of(&server.user, &server.password);
    let mut nowhere = secret.clone();
    nowhere["host"] = json!("wrong.invalid");
    nowhere["port"] = json!(1);
    nowhere["dbname"] = json!("wrong");
    env.secrets.put(SECRET, "AWSCURRENT", nowhere.to_string());
    let host = json!({
        "Host": server.host, "Port": server.port, "Databases": env.database.name,
    });
    create(&env, &host).succeeded();
    assert_eq!(env.database.installed(), "hstore 1.6");
}

#[test]
fn a_version_that_only_the_reference_has() {
    let (env, reference) = with_reference(
        "CREATE EXTENSION hstore; CREATE EXTENSION citext;
         UPDATE pg_extension SET extversion = '9.9' WHERE extname = 'hstore'",
    );
    let response = create(&env, &json!({}));
    response.failed(&["`hstore`", "`9.9`", "offer", "1.7"]);
    assert_eq!(env.database.installed(), "");
    reference.query("UPDATE pg_extension SET extname = 'of_staging' WHERE extname = 'hstore'");
    create(&env, &json!({})).failed(&["`of_staging`", "no such extension"]);
    assert_eq!(env.database.installed(), "");
    // The map has the last word.
    reference.query("UPDATE pg_extension SET extname = 'hstore' WHERE extname = 'of_staging'");
    create(&env, &json!({ "PluginsMap": { "hstore": "1.7" } })).succeeded();
}

#[test]
fn a_reference_that_is_behind() {
    let (env, _reference) = with_reference("CREATE EXTENSION hstore VERSION '1.5'");
    env.database.query("CREATE EXTENSION hstore VERSION '1.7'");
    create(&env, &json!({})).failed(&["hstore", "1.7", "1.5", "DowngradePolicy"]);
    create(&env, &json!({ "DowngradePolicy": "Keep" })).succeeded();
    assert_eq!(env.database.installed(), "hstore 1.7");
}

#[test]
fn a_reference_that_cannot_be_read() {
    const WHO: &str = "PluginsFrom";
    let (env, reference) = with_reference("");
    let server = reference.server;
    let usual = reference.secret(&server.user, &server.password);
    let with = |name: &str, value: Value| {
        let mut secret = usual.clone();
        secret[name] = value;
        env.secrets.put(STAGING, "AWSCURRENT", secret.to_string());
        create(&env, &json!({})).failed(&[WHO])
    };
    with("dbname", json!("nowhere")).failed(&["3D000", "`nowhere`"]);
    with("password", json!("not the one")).failed(&["28P01", &server.user]);
    with("engine", json!("mysql")).failed(&[STAGING, "mysql"]);
    let response = with("host", json!(null)).failed(&["the secret of `PluginsFrom`", "`host`"]);
    assert!(!response.reason.contains("set `Host`"), "of no use here: {}", response.reason);
    with("username", json!(null)).failed(&["the secret of `PluginsFrom`", "`username`"]);
    let response =
        with("password", json!(null)).failed(&["the secret of `PluginsFrom`", "usable `password`"]);
    assert!(!response.reason.contains("Authentication"), "of no use here: {}", response.reason);
    with("port", json!("many")).failed(&["the secret of `PluginsFrom`", "`port`"]);
    env.secrets
        .fail(STAGING, [Fault::Error("DecryptionFailure"), Fault::Error("DecryptionFailure")]);
    create(&env, &json!({})).failed(&[WHO, STAGING, "KMS"]);
    env.secrets.remove(STAGING);
    let response = create(&env, &json!({})).failed(&[WHO, STAGING, "ResourceNotFoundException"]);
    assert!(!response.reason.contains("DBSecret"), "{}", response.reason);
    assert_eq!(response.id, "Extensions-create-failed");
    assert_eq!(env.database.installed(), "");
}

#[test]
fn a_reference_that_does_not_respond() {
    let (env, reference) = with_reference("");
    let env = env.with_seconds(6);
    let mut secret = reference.secret("someone", "something");
    secret["port"] = json!(1);
    env.secrets.put(STAGING, "AWSCURRENT", secret.to_string());
    create(&env, &json!({})).failed(&["PluginsFrom", "waiting", "localhost:1", "refused"]);
    env.secrets.fail(STAGING, (0..100).map(|_| Fault::Cut));
    let response = create(&env, &json!({})).failed(&["PluginsFrom", "interface endpoint", "NAT"]);
    assert!(!response.reason.contains("IAM"), "it takes a password: {}", response.reason);
}
