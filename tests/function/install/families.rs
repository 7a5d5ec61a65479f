//! Extensions that are updated together, as those of PostGIS.

use crate::support::test_environment::TestEnvironment;
use serde_json::json;

#[test]
fn a_family_is_updated_together() {
    let env = TestEnvironment::new();
    env.database.query(
        "CREATE EXTENSION clan VERSION '1.0'; CREATE EXTENSION clan_child VERSION '1.0';
         CREATE EXTENSION clan_cousin VERSION '0.9'",
    );
    let response = env.create(&json!({ "clan": "1.1" })).succeeded();
    assert_eq!(
        response.data("Changes"),
        "updated clan 1.0 to 1.1; updated clan_child 1.0 to 1.1 (with clan)"
    );
    assert_eq!(env.database.installed(), "clan 1.1, clan_child 1.1, clan_cousin 0.9");
}

#[test]
fn a_member_with_a_version_of_its_own() {
    let env = TestEnvironment::new();
    env.database
        .query("CREATE EXTENSION clan VERSION '1.0'; CREATE EXTENSION clan_child VERSION '1.0'");
    env.create(&json!({ "clan": "1.1", "clan_child": "1.0" })).succeeded();
    assert_eq!(env.database.installed(), "clan 1.1, clan_child 1.0", "as it says");
    let response = env.create(&json!({ "clan": "1.1", "clan_child": "latest" })).succeeded();
    assert_eq!(response.data("Changes"), "updated clan_child 1.0 to 1.1");
}

#[test]
fn an_update_that_would_leave_raster_functions_in_no_extension() {
    let env = TestEnvironment::new();
    let Some(version) = postgis_after(&env, BEFORE) else { return };
    env.database.query(&format!(
        "CREATE EXTENSION postgis;
         UPDATE pg_extension SET extversion = '{BEFORE}' WHERE extname = 'postgis'"
    ));
    let words = [BEFORE, "raster functions", "postgis_extensions_upgrade()"];
    env.create(&json!({ "PostGIS": version })).failed(&words);
    env.create(&json!({ "PostGIS": "latest" })).failed(&words);
    assert_eq!(env.database.installed(), format!("postgis {BEFORE}"));
    env.create(&json!({ "PostGIS": "" })).succeeded();
}

/// The last version of `PostGIS` 2, which had the raster functions in it.
const BEFORE: &str = "2.5.5";

/// The version of `PostGIS` here, if that one can be updated to it.
fn postgis_after(env: &TestEnvironment, before: &str) -> Option<String> {
    let version = env.postgis()?;
    let paths = format!(
        "SELECT count(*) FROM pg_extension_update_paths('postgis')
         WHERE source = '{before}' AND target = '{version}' AND path IS NOT NULL"
    );
    if env.database.value(&paths) == "0" {
        println!("skipped: this PostGIS has no update from {before}");
        return None;
    }
    Some(version)
}
