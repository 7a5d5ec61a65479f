//! What an entry of the map can say: names, versions and schemas. Every event is sent twice.

use crate::support::databases::{create, names, with_others};
use crate::support::test_environment::TestEnvironment;
use serde_json::json;

#[test]
fn names_are_found_without_regard_to_case() {
    let env = TestEnvironment::new();
    let response = env.create(&json!({ "HSTORE": "any", "UUID-ossp": null })).succeeded();
    assert_eq!(response.data("hstore"), env.default_version("hstore"));
    assert_eq!(response.data("uuid-ossp"), env.default_version("uuid-ossp"));
    assert!(!response.data.contains_key("HSTORE"));
}

#[test]
fn a_name_that_differs_in_case_alone_is_taken_exactly() {
    let env = TestEnvironment::new();
    let response = env.create(&json!({ "Twin": "1.0" })).succeeded();
    assert_eq!(response.data("Changes"), "created Twin 1.0");
    env.create(&json!({ "TWIN": "1.0" })).failed(&["TWIN", "`Twin`", "`twin`"]);
}

#[test]
fn any_leaves_alone_what_latest_updates() {
    let env = TestEnvironment::new();
    env.database.query("CREATE EXTENSION hstore VERSION '1.5'");
    for any in [json!(""), json!("any"), json!(null), json!({ "Version": "any" }), json!({})] {
        let response = env.create(&json!({ "hstore": any })).succeeded();
        assert_eq!(response.data("hstore"), "1.5");
        assert_eq!(response.data("Changed"), "false");
    }
    let response = env.create(&json!({ "hstore": "latest" })).succeeded();
    assert_eq!(response.data("hstore"), env.default_version("hstore"));
}

#[test]
fn a_pattern_takes_the_default_and_leaves_alone_what_matches() {
    let env = TestEnvironment::new();
    let response = env.create(&json!({ "citext": "1.*" })).succeeded();
    assert_eq!(response.data("citext"), env.default_version("citext"));
    env.database.query("CREATE EXTENSION hstore VERSION '1.5'");
    let response = env.create(&json!({ "hstore": "1.*" })).succeeded();
    assert_eq!(response.data("hstore"), "1.5");
    if let Some(postgis) = env.postgis() {
        let response = env.create(&json!({ "postgis": "3.*" })).succeeded();
        assert_eq!(response.data("postgis"), postgis, "never `next`, never `unpackaged`");
    }
}

#[test]
fn a_schema_is_created_and_filled_and_left() {
    let env = TestEnvironment::new();
    let odd = "Ünser \"Schema\"; --";
    let map = json!({ "hstore": { "Version": "1.7", "Schema": odd }, "citext": "" });
    let created = env.create(&map).succeeded();
    assert_eq!(env.database.schema_of("hstore"), odd);
    assert_eq!(env.database.schema_of("citext"), "public");
    let map = json!({ "hstore": { "Schema": "elsewhere" }, "citext": "" });
    let moved = env.update(&created, &map).succeeded();
    let changes = "created schema elsewhere; moved hstore to elsewhere";
    assert_eq!(moved.data("Changes"), changes);
    assert_eq!(env.database.schema_of("hstore"), "elsewhere");
    let settled = env.update(&moved, &json!({ "hstore": "1.7" })).succeeded();
    assert_eq!(settled.data("Changed"), "false", "without a Schema it stays where it is");
}

#[test]
fn a_prescribed_schema_is_the_extension_s_own() {
    let env = TestEnvironment::new();
    let response = env.create(&json!({ "housed": "1.0" })).succeeded();
    assert_eq!(response.data("Changes"), "created schema housed_home; created housed 1.0");
    assert_eq!(env.database.schema_of("housed"), "housed_home");
    env.create(&json!({ "housed": { "Schema": "housed_home" } })).succeeded();
}

#[test]
fn a_prescribed_schema_that_is_there_is_not_created() {
    let (env, others) = with_others(4);
    // Four are looked at together, and tell the fifth of what the server offers.
    let last = others.last().expect("four others");
    last.query("CREATE SCHEMA housed_home");
    let databases = json!(names(&env, &others));
    let response = create(&env, &databases, &json!({ "housed": "" })).succeeded();
    let changes = response.data("Changes");
    let first = format!("{}: created schema housed_home; created housed", env.database.name);
    assert!(changes.contains(&first), "{changes}");
    let not_there = format!("{}: created schema", last.name);
    assert!(!changes.contains(&not_there), "{changes}");
}

#[test]
fn the_search_path_of_the_role_means_nothing() {
    let env = TestEnvironment::new();
    let password = "search path";
    let role = env.database.role(password, "SUPERUSER");
    for path in ["pg_catalog", "''", "nowhere", "\"$user\", public"] {
        let other = TestEnvironment::new();
        other.credentials(&role, password);
        other.database.query(&format!("ALTER ROLE {role} SET search_path = {path}"));
        other.create(&json!({ "citext": "", "hstore": "" })).succeeded();
        assert_eq!(other.database.schema_of("citext"), "public", "{path}");
    }
}

#[test]
fn a_downgrade_may_be_ignored() {
    let env = TestEnvironment::new();
    env.database.query("CREATE EXTENSION hstore VERSION '1.7'");
    let properties = json!({ "PluginsMap": { "hstore": "1.4" }, "DowngradePolicy": "Keep" });
    let response = env.create_with(&properties).succeeded();
    assert_eq!(response.data("hstore"), "1.7");
    assert_eq!(response.data("Changed"), "false");
    assert!(response.data("Changes").contains("hstore 1.7"), "{response:#?}");
}
