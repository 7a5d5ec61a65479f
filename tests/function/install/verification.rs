//! Servers that do something else than the statement says: it is noticed and rolled back.
//! Every event is sent twice.

use crate::support::resource::{Resource, claims};
use crate::support::response::Response;
use crate::support::test_environment::TestEnvironment;
use serde_json::json;

/// Runs this statement after each such command.
fn after(env: &TestEnvironment, command: &str, statement: &str) {
    env.database.query(&format!(
        "CREATE FUNCTION public.meddle() RETURNS event_trigger LANGUAGE plpgsql
             AS $body$ BEGIN {statement}; END $body$;
         CREATE EVENT TRIGGER meddle ON ddl_command_end WHEN TAG IN ('{command}')
             EXECUTE FUNCTION public.meddle()"
    ));
}

#[track_caller]
fn refused(response: Response, words: &[&str]) {
    let response = response.failed(words).failed(&["nothing was changed"]);
    assert!(!response.reason.contains("problems"), "that alone: {response:#?}");
}

#[test]
fn a_server_that_installs_another_version() {
    let env = TestEnvironment::new();
    let words = ["the plan says `pinned` 1.0, the server installed 2.0", "`any` or `latest`"];
    let map = json!({ "hstore": "1.7", "pinned": "1.0" });
    let response = env.create(&map);
    assert_eq!(response.id, "Extensions-create-failed");
    refused(response, &words);
    let dry = json!({ "PluginsMap": map, "DryRun": "true" });
    refused(env.create_with(&dry), &words);
    let mut it = Resource::new(&env, "a", "Drop");
    refused(it.create(&map), &words);
    assert_eq!(env.database.installed(), "");
    assert_eq!(claims(&env.database), "none");
    for version in ["latest", "any", "2.0"] {
        env.create(&json!({ "pinned": version })).succeeded();
        assert_eq!(env.database.installed(), "pinned 2.0");
        env.database.query("DROP EXTENSION pinned");
    }
}

#[test]
fn a_server_that_updates_to_another_version() {
    let env = TestEnvironment::new();
    env.create(&json!({ "pinned": "1.5" })).succeeded();
    let words = ["the plan says `pinned` 1.6, the server installed 2.0"];
    refused(env.create(&json!({ "pinned": "1.6" })), &words);
    assert_eq!(env.database.installed(), "pinned 1.5");
}

#[test]
fn a_server_that_takes_what_it_has_created_away() {
    let env = TestEnvironment::new();
    after(&env, "CREATE EXTENSION", "DROP EXTENSION hstore");
    let words = ["the plan says `hstore` 1.7, the server has none"];
    refused(env.create(&json!({ "hstore": "1.7" })), &words);
    assert_eq!(env.database.installed(), "");
}

#[test]
fn a_server_that_drops_another_extension() {
    let env = TestEnvironment::new();
    env.database.query("CREATE EXTENSION citext VERSION '1.5'");
    after(&env, "CREATE EXTENSION", "DROP EXTENSION citext");
    let words = ["the plan says `citext` 1.5, the server has none"];
    refused(env.create(&json!({ "hstore": "1.7" })), &words);
    env.database.query("DROP EVENT TRIGGER meddle; DROP FUNCTION public.meddle()");
    after(&env, "CREATE EXTENSION", "ALTER EXTENSION citext UPDATE TO '1.6'");
    let words = ["the plan says `citext` 1.5, the server installed 1.6"];
    refused(env.create(&json!({ "hstore": "1.7" })), &words);
    assert_eq!(env.database.installed(), "citext 1.5");
}

#[test]
fn a_server_that_puts_it_into_another_schema() {
    let env = TestEnvironment::new();
    env.database.query("CREATE SCHEMA other");
    after(&env, "CREATE EXTENSION", "ALTER EXTENSION hstore SET SCHEMA other");
    let words = ["`hstore` in schema `mine`, the server has it in `other`"];
    refused(env.create(&json!({ "hstore": { "Version": "1.7", "Schema": "mine" } })), &words);
    assert_eq!(env.database.installed(), "");
    env.create(&json!({ "hstore": "1.7" })).succeeded();
    assert_eq!(
        env.database.schema_of("hstore"),
        "other",
        "where nobody asked for one, any will do"
    );
}

#[test]
fn a_server_that_creates_again_what_was_dropped() {
    let env = TestEnvironment::new();
    let mut it = Resource::new(&env, "a", "Drop");
    it.create(&json!({ "hstore": "1.7" })).succeeded();
    after(&env, "DROP EXTENSION", "CREATE EXTENSION hstore VERSION '1.7'");
    refused(it.delete(), &["the plan says `hstore` dropped, the server still has it"]);
    assert_eq!(env.database.installed(), "hstore 1.7");
    assert_eq!(claims(&env.database), "a hstore created");
}

#[test]
fn what_comes_in_or_goes_along_by_the_plan_is_no_difference() {
    let env = TestEnvironment::new();
    let once = "IF NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'citext')
                THEN CREATE EXTENSION citext; END IF";
    after(&env, "CREATE EXTENSION", once);
    let mut it = Resource::new(&env, "a", "DropCascade");
    it.create(&json!({ "hstore": "1.7" })).succeeded();
    assert!(env.database.installed().starts_with("citext"), "{}", env.database.installed());
    env.database.query("DROP EVENT TRIGGER meddle; CREATE EXTENSION leech");
    it.delete().succeeded();
    assert!(!env.database.installed().contains("leech"), "it depends on hstore");
}

#[test]
fn extensions_that_differ_in_case_alone_have_their_own_schemas() {
    let env = TestEnvironment::new();
    let entry = |schema: &str| json!({ "Version": "1.0", "Schema": schema });
    env.create(&json!({ "Twin": entry("public"), "twin": entry("home") })).succeeded();
    assert_eq!(env.database.schema_of("twin"), "home");
}
