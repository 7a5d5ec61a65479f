//! `DryRun`, and `make plan`.

#![expect(clippy::expect_used, reason = "a broken test environment is a failed test")]

use std::path::Path;
use std::process::{Command, Output};

use crate::support::database::server;
use crate::support::resource::{Resource, claims};
use crate::support::test_environment::TestEnvironment;
use serde_json::{Value, json};

#[test]
fn a_dry_run_drops_and_records_nothing() {
    let env = TestEnvironment::new();
    let mut it = Resource::new(&env, "a", "Drop");
    let dry = |map: Value| json!({ "PluginsMap": map, "DryRun": "true" });
    it.create(&json!({ "hstore": "1.7" })).succeeded();
    let event = it.event("Update", &dry(json!({ "citext": "" })));
    let response = env.deliver_once(&event).succeeded();
    assert_eq!(
        response.data("Changes"),
        env.with_default_versions("created citext 1.6; dropped hstore 1.7")
    );
    response.logged("Dry run: DROP EXTENSION \"hstore\" RESTRICT;");
    assert_eq!(response.data("After"), env.with_default_versions("citext 1.6, plpgsql 1.0"));
    assert_eq!(env.database.installed(), "hstore 1.7");
    assert_eq!(claims(&env.database), "a hstore created");
}

#[test]
fn what_only_the_server_can_refuse_is_found_too() {
    let env = TestEnvironment::new();
    env.database.query("CREATE TYPE public.cube AS (x int)");
    let properties = json!({ "PluginsMap": { "hstore": "1.7", "cube": "" }, "DryRun": true });
    env.create_with(&properties).failed(&["42710", "cube"]);
    assert_eq!(env.database.installed(), "");
}

/// `make plan` for an event, against the test environment's database.
fn plan(env: &TestEnvironment, event: &Value) -> Output {
    let server = server();
    let folder = Path::new(&server.ca).with_file_name(format!("plan-{}", env.database.name));
    std::fs::write(&folder, event.to_string()).expect("a file");
    let function = Path::new(env!("CARGO_BIN_EXE_cfn-postgres-extensions"));
    Command::new(function.with_file_name("examples/plan"))
        .arg(&folder)
        .env("PGHOST", &server.host)
        .env("PGPORT", server.port.to_string())
        .env("PGUSER", &server.user)
        .env("PGPASSWORD", &server.password)
        .env("PGDATABASE", &env.database.name)
        .env("PGSSLROOTCERT", &server.ca)
        .output()
        .expect("the program")
}

#[test]
fn the_plan_for_a_person() {
    let env = TestEnvironment::new();
    let event = env.event("Create", &json!({ "PluginsMap": { "EarthDistance": "1.1" } }));
    let output = plan(&env, &event);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text} {}", String::from_utf8_lossy(&output.stderr));
    let lines: Vec<&str> = text.lines().collect();
    let cube = env.default_version("cube");
    assert_eq!(
        lines[1..3],
        [
            format!("CREATE EXTENSION \"cube\" SCHEMA \"public\" VERSION '{cube}';"),
            "CREATE EXTENSION \"earthdistance\" SCHEMA \"public\" VERSION '1.1';".to_owned()
        ],
        "{text}"
    );
    assert!(lines[3].starts_with("-- SUCCESS: "), "{text}");
    assert_eq!(env.database.installed(), "", "and nothing was done");
    let event = env.event("Create", &json!({ "PluginsMap": { "hstoer": "" } }));
    let output = plan(&env, &event);
    assert_eq!(output.status.code(), Some(1), "a pipeline can go by it");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("-- FAILED: ") && text.contains("`hstore`"), "{text}");
    assert!(!text.contains(&server().password));
}
