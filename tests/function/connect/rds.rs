//! Servers configured as RDS and Aurora configure theirs: each refusal has a message of its own.
//! Every event is sent twice.

use std::fs;

use crate::support::cluster::Cluster;
use crate::support::database::Database;
use crate::support::resource::Resource;
use crate::support::response::Response;
use crate::support::test_environment::{SECRET, TestEnvironment};
use serde_json::{Value, json};

/// A test environment whose role is no superuser, and a member of this one.
fn member_of(group: &str) -> TestEnvironment {
    let env = TestEnvironment::new();
    // Roles are the server's: another test may be faster.
    env.database.query(&format!(
        "DO $$ BEGIN CREATE ROLE {group}; EXCEPTION WHEN duplicate_object OR unique_violation
         THEN NULL; END $$"
    ));
    let role = env.database.role("of a deployer", &format!("IN ROLE {group}"));
    env.credentials(&role, "of a deployer");
    env
}

#[track_caller]
fn refused(env: &TestEnvironment, map: &Value, words: &[&str]) -> Response {
    let before = env.database.installed();
    let response = env.create(map).failed(words).failed(&["nothing was changed"]);
    assert_eq!(env.database.installed(), before);
    response
}

#[test]
fn what_the_engine_supports() {
    let env = TestEnvironment::new();
    env.database.set("\"rds.extensions\"", "hstore, citext");
    refused(&env, &json!({ "pg_trgm": "" }), &["`pg_trgm`", "\"rds.extensions\"", "engine"]);
    env.create(&json!({ "hstore": "" })).succeeded();
}

#[test]
fn what_the_parameter_group_allows() {
    let env = TestEnvironment::new();
    env.database.set("\"rds.extensions\"", "hstore, citext, pg_trgm");
    env.database.set("\"rds.allowed_extensions\"", "hstore, citext");
    let words = ["`pg_trgm`", "not specified in \"rds.allowed_extensions\"", "`hstore`, `citext`"];
    let response = refused(&env, &json!({ "pg_trgm": "" }), &words);
    assert!(!response.reason.contains("\"rds.extensions\""), "{}", response.reason);
    env.create(&json!({ "hstore": "" })).succeeded();
}

#[test]
fn what_is_delegated() {
    let env = member_of("rds_extension");
    let setting = "\"rds.allowed_delegated_extensions\"";
    let words = ["`pageinspect`", setting, "`rds_extension`", "`rds_superuser`"];
    refused(&env, &json!({ "pageinspect": "" }), &words).failed(&["it has: nothing"]);
    env.database.set(setting, "hstore, citext");
    refused(&env, &json!({ "pageinspect": "" }), &words).failed(&["`hstore`, `citext`"]);
    // The plan is good now; only this server does not know what RDS does.
    env.database.set(setting, "hstore, pageinspect");
    refused(&env, &json!({ "pageinspect": "" }), &["42501", "permission denied to create"]);
    env.database.set(setting, "*");
    refused(&env, &json!({ "pageinspect": "" }), &["42501", "permission denied to create"]);
}

#[test]
fn a_member_of_rds_superuser_is_not_refused() {
    let env = member_of("rds_superuser");
    // Elsewhere a role of that name is a role like any other.
    refused(&env, &json!({ "pageinspect": "" }), &["`pageinspect`", "superuser only"]);
    env.database.set("\"rds.extensions\"", "pageinspect");
    refused(&env, &json!({ "pageinspect": "" }), &["42501", "permission denied to create"]);
}

#[test]
fn the_server_decides_about_extensions_of_other_owners() {
    let env = member_of("rds_superuser");
    env.database.set("\"rds.extensions\"", "hstore");
    env.database.query("CREATE EXTENSION hstore VERSION '1.4'; CREATE SCHEMA ext");
    let words = ["42501", "must be owner of extension hstore"];
    refused(&env, &json!({ "hstore": "1.7" }), &words);
    let words = ["42501", "permission denied for schema ext"];
    refused(&env, &json!({ "hstore": { "Schema": "ext" } }), &words);
}

/// A server that runs statements about some extensions as its first superuser, who then owns them:
/// so does RDS for members of `rds_superuser`.
fn elevating(extensions: &str) -> Option<(Cluster, TestEnvironment)> {
    let listed = format!("extwlist.extensions={extensions}");
    let settings = ["session_preload_libraries=pgextwlist", &listed];
    let cluster = Cluster::of_library("pgextwlist", &settings)?;
    let database = Database::at(cluster.server, "app");
    let roots = database.server.ca.clone();
    Some((cluster, TestEnvironment::with(database, &[("PGSSLROOTCERT", roots)])))
}

#[test]
fn extensions_owned_by_the_cloud_are_updated_and_dropped() {
    let Some((_cluster, env)) = elevating("hstore,clan,clan_child") else { return };
    env.database.query("CREATE ROLE rds_superuser");
    env.database.set("\"rds.extensions\"", "hstore, clan, clan_child");
    let role = env.database.role("of a deployer", "IN ROLE rds_superuser");
    env.credentials(&role, "of a deployer");
    env.database.query(&format!(
        "GRANT CREATE ON DATABASE app TO {role};
         CREATE EXTENSION clan VERSION '1.0'; CREATE EXTENSION clan_child VERSION '1.0'"
    ));
    let response = env.create(&json!({ "clan": "1.1" })).succeeded();
    let family = "updated clan 1.0 to 1.1; updated clan_child 1.0 to 1.1 (with clan)";
    assert_eq!(response.data("Changes"), family);

    let mut it = Resource::new(&env, "a", "Drop");
    it.create(&json!({ "hstore": "1.4" })).succeeded();
    it.update(&json!({ "hstore": "1.7" })).succeeded();
    let owners = "SELECT string_agg(DISTINCT extowner::regrole::text, ', ') FROM pg_extension";
    assert_eq!(env.database.value(owners), "postgres", "not ours");
    it.delete().succeeded();
    assert_eq!(env.database.installed(), "clan 1.1, clan_child 1.1");
}

#[test]
fn what_a_list_of_the_servers_lets_anybody_create() {
    let Some((_cluster, env)) = elevating("hstore,pageinspect") else { return };
    let role = env.database.role("of a deployer", "");
    env.credentials(&role, "of a deployer");
    env.create(&json!({ "pageinspect": "1.7", "hstore": "1.4" })).succeeded();
    env.create(&json!({ "pageinspect": "1.8", "hstore": "1.7" })).succeeded();
    refused(&env, &json!({ "pg_buffercache": "" }), &["`pg_buffercache`", "superuser only"]);
    let words = ["`citext`", "may not create extensions here"];
    refused(&env, &json!({ "citext": "" }), &words);
}

#[test]
fn a_role_that_may_not_see_the_settings_of_pg_cron() {
    let settings = ["shared_preload_libraries=pg_cron", "cron.database_name=postgres"];
    let Some(cluster) = Cluster::of_library("pg_cron", &settings) else { return };
    let database = Database::at(cluster.server, "app");
    let roots = database.server.ca.clone();
    let env = TestEnvironment::with(database, &[("PGSSLROOTCERT", roots)]);
    refused(&env, &json!({ "pg_cron": "" }), &["`pg_cron`", "database `postgres`"]);
    let role = env.database.role("of a deployer", "");
    env.credentials(&role, "of a deployer");
    env.database.query(&format!("GRANT CREATE ON DATABASE app TO {role}"));
    env.create(&json!({ "hstore": "1.7" })).succeeded();
}

#[test]
fn a_library_that_the_parameter_group_does_not_load() {
    let env = TestEnvironment::new();
    env.database.set("\"rds.extensions\"", "pglogical");
    let words = ["`pglogical`", "`shared_preload_libraries`", "reboot the instance first"];
    refused(&env, &json!({ "pglogical": "" }), &words);
}

#[test]
fn the_one_database_of_pg_cron() {
    let env = TestEnvironment::new();
    env.database.set("\"cron.database_name\"", "postgres");
    let words = ["`pg_cron`", "database `postgres`", "`cron.database_name`", "`Databases`"];
    refused(&env, &json!({ "pg_cron": "" }), &words);
    // In that one, its library is all that is missing.
    env.database.set("\"cron.database_name\"", &env.database.name);
    let response = refused(&env, &json!({ "pg_cron": "" }), &["`shared_preload_libraries`"]);
    assert!(!response.reason.contains("cron.database_name"), "{}", response.reason);
}

#[test]
fn a_reader_endpoint() {
    let mut cluster = Cluster::start(&["wal_level=replica"]);
    let folder = {
        let admin = cluster.server.connect("postgres");
        admin.query("CREATE EXTENSION hstore VERSION '1.7'");
        admin.value("SHOW data_directory")
    };
    cluster.stop();
    fs::write(format!("{folder}/standby.signal"), "").expect("a file");
    cluster.restart();
    let place = cluster.server;
    let recovery = place.connect("postgres").value("SELECT pg_is_in_recovery()");
    assert_eq!(recovery, "t", "a standby");
    let env = TestEnvironment::with(Database::create(), &[("PGSSLROOTCERT", place.ca.clone())]);
    let secret = place.secret(place.port, "postgres");
    env.secrets.put(SECRET, "AWSCURRENT", secret.to_string());
    let words = ["read-only", "25006", "writer", "reader endpoint"];
    refused(&env, &json!({ "citext": "", "hstore": "1.7" }), &words);
    // What is there already needs no writer.
    let response = env.create(&json!({ "hstore": "1.7" })).succeeded();
    assert_eq!(response.data("Changes"), "none");
}

const PROXY: [&str; 3] = ["this is an RDS Proxy", "`Host`", "writer endpoint"];

#[test]
fn an_rds_proxy_by_its_host_name() {
    let env = TestEnvironment::new().with_seconds(6);
    let host = "app.proxy-abcdef.eu-west-1.rds.invalid";
    let properties = json!({ "PluginsMap": { "hstore": "" }, "Host": host });
    env.create_with(&properties).failed(&[host]).failed(&PROXY);
    let mut several = properties;
    several["Databases"] = json!(["app", "audit"]);
    env.create_with(&several).failed(&[host]).failed(&PROXY);
    // A mistake in the map has nothing to do with it.
    let properties = json!({ "PluginsMap": { "hstore": "*" }, "Host": host });
    let response = env.create_with(&properties).failed(&["hstore"]);
    assert!(!response.reason.contains("RDS Proxy"), "{}", response.reason);
}

#[test]
fn an_rds_proxy_by_its_error_message() {
    let env = TestEnvironment::new();
    let words = "Feature not supported: RDS Proxy currently doesn''t support this command";
    env.run_after_create("hstore", &format!("RAISE EXCEPTION '{words}' USING ERRCODE = '0A000'"));
    env.create(&json!({ "hstore": "" })).failed(&["0A000"]).failed(&PROXY);
    let other = Database::create();
    let databases = json!([env.database.name, other.name]);
    let properties = json!({ "PluginsMap": { "hstore": "" }, "Databases": databases });
    let response = env.create_with(&properties).failed(&["1 of 2", "0A000"]).failed(&PROXY);
    assert_eq!(response.reason.matches(PROXY[0]).count(), 1, "said once: {}", response.reason);
}
