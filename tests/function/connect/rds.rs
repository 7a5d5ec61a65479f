//! Servers that are set up as RDS and Aurora set theirs up: each obstacle has a sentence of its own.
//! Every event is sent twice.

use std::fs;

use crate::support::answer::Answer;
use crate::support::cluster::Cluster;
use crate::support::database::Database;
use crate::support::resource::Resource;
use crate::support::stage::{SECRET, Stage};
use serde_json::{Value, json};

/// A stage whose role is no superuser, and a member of this one.
fn member_of(group: &str) -> Stage {
    let stage = Stage::new();
    // Roles are the server's: another test may be faster.
    stage.database.query(&format!(
        "DO $$ BEGIN CREATE ROLE {group}; EXCEPTION WHEN duplicate_object OR unique_violation
         THEN NULL; END $$"
    ));
    let role = stage.database.role("of a deployer", &format!("IN ROLE {group}"));
    stage.credentials(&role, "of a deployer");
    stage
}

#[track_caller]
fn refused(stage: &Stage, map: &Value, words: &[&str]) -> Answer {
    let before = stage.database.installed();
    let answer = stage.create(map).failed(words).failed(&["nothing was changed"]);
    assert_eq!(stage.database.installed(), before);
    answer
}

#[test]
fn what_the_engine_supports() {
    let stage = Stage::new();
    stage.database.set("\"rds.extensions\"", "hstore, citext");
    refused(&stage, &json!({ "pg_trgm": "" }), &["`pg_trgm`", "\"rds.extensions\"", "engine"]);
    stage.create(&json!({ "hstore": "" })).succeeded();
}

#[test]
fn what_the_parameter_group_allows() {
    let stage = Stage::new();
    stage.database.set("\"rds.extensions\"", "hstore, citext, pg_trgm");
    stage.database.set("\"rds.allowed_extensions\"", "hstore, citext");
    let words = ["`pg_trgm`", "not specified in \"rds.allowed_extensions\"", "`hstore`, `citext`"];
    let answer = refused(&stage, &json!({ "pg_trgm": "" }), &words);
    assert!(!answer.reason.contains("\"rds.extensions\""), "{}", answer.reason);
    stage.create(&json!({ "hstore": "" })).succeeded();
}

#[test]
fn what_is_delegated() {
    let stage = member_of("rds_extension");
    let setting = "\"rds.allowed_delegated_extensions\"";
    let words = ["`pageinspect`", setting, "`rds_extension`", "`rds_superuser`"];
    refused(&stage, &json!({ "pageinspect": "" }), &words).failed(&["it has: nothing"]);
    stage.database.set(setting, "hstore, citext");
    refused(&stage, &json!({ "pageinspect": "" }), &words).failed(&["`hstore`, `citext`"]);
    // The plan is good now; only this server does not know what RDS does.
    stage.database.set(setting, "hstore, pageinspect");
    refused(&stage, &json!({ "pageinspect": "" }), &["42501", "permission denied to create"]);
    stage.database.set(setting, "*");
    refused(&stage, &json!({ "pageinspect": "" }), &["42501", "permission denied to create"]);
}

#[test]
fn a_member_of_rds_superuser_is_let_through() {
    let stage = member_of("rds_superuser");
    // Elsewhere a role of that name is a role like any other.
    refused(&stage, &json!({ "pageinspect": "" }), &["`pageinspect`", "superuser only"]);
    stage.database.set("\"rds.extensions\"", "pageinspect");
    refused(&stage, &json!({ "pageinspect": "" }), &["42501", "permission denied to create"]);
}

#[test]
fn of_what_others_own_the_server_decides() {
    let stage = member_of("rds_superuser");
    stage.database.set("\"rds.extensions\"", "hstore");
    stage.database.query("CREATE EXTENSION hstore VERSION '1.4'; CREATE SCHEMA ext");
    let words = ["42501", "must be owner of extension hstore"];
    refused(&stage, &json!({ "hstore": "1.7" }), &words);
    let words = ["42501", "permission denied for schema ext"];
    refused(&stage, &json!({ "hstore": { "Schema": "ext" } }), &words);
}

/// A server that runs statements about some extensions as its first superuser, who then owns them:
/// so does RDS for members of `rds_superuser`.
fn elevating(extensions: &str) -> Option<(Cluster, Stage)> {
    let listed = format!("extwlist.extensions={extensions}");
    let settings = ["session_preload_libraries=pgextwlist", &listed];
    let cluster = Cluster::of_library("pgextwlist", &settings)?;
    let database = Database::at(cluster.server, "app");
    let roots = database.server.ca.clone();
    Some((cluster, Stage::with(database, &[("PGSSLROOTCERT", roots)])))
}

#[test]
fn what_a_clouds_own_role_owns_is_updated_and_dropped() {
    let Some((_cluster, stage)) = elevating("hstore,clan,clan_child") else { return };
    stage.database.query("CREATE ROLE rds_superuser");
    stage.database.set("\"rds.extensions\"", "hstore, clan, clan_child");
    let role = stage.database.role("of a deployer", "IN ROLE rds_superuser");
    stage.credentials(&role, "of a deployer");
    stage.database.query(&format!(
        "GRANT CREATE ON DATABASE app TO {role};
         CREATE EXTENSION clan VERSION '1.0'; CREATE EXTENSION clan_child VERSION '1.0'"
    ));
    let answer = stage.create(&json!({ "clan": "1.1" })).succeeded();
    let family = "updated clan 1.0 to 1.1; updated clan_child 1.0 to 1.1 (with clan)";
    assert_eq!(answer.data("Changes"), family);

    let mut it = Resource::new(&stage, "a", "Drop");
    it.create(&json!({ "hstore": "1.4" })).succeeded();
    it.update(&json!({ "hstore": "1.7" })).succeeded();
    let owners = "SELECT string_agg(DISTINCT extowner::regrole::text, ', ') FROM pg_extension";
    assert_eq!(stage.database.value(owners), "postgres", "not ours");
    it.delete().succeeded();
    assert_eq!(stage.database.installed(), "clan 1.1, clan_child 1.1");
}

#[test]
fn what_a_list_of_the_servers_lets_anybody_create() {
    let Some((_cluster, stage)) = elevating("hstore,pageinspect") else { return };
    let role = stage.database.role("of a deployer", "");
    stage.credentials(&role, "of a deployer");
    stage.create(&json!({ "pageinspect": "1.7", "hstore": "1.4" })).succeeded();
    stage.create(&json!({ "pageinspect": "1.8", "hstore": "1.7" })).succeeded();
    refused(&stage, &json!({ "pg_buffercache": "" }), &["`pg_buffercache`", "superuser only"]);
    let words = ["`citext`", "may not create extensions here"];
    refused(&stage, &json!({ "citext": "" }), &words);
}

#[test]
fn a_role_that_may_not_see_the_settings_of_pg_cron() {
    let settings = ["shared_preload_libraries=pg_cron", "cron.database_name=postgres"];
    let Some(cluster) = Cluster::of_library("pg_cron", &settings) else { return };
    let database = Database::at(cluster.server, "app");
    let roots = database.server.ca.clone();
    let stage = Stage::with(database, &[("PGSSLROOTCERT", roots)]);
    refused(&stage, &json!({ "pg_cron": "" }), &["`pg_cron`", "database `postgres`"]);
    let role = stage.database.role("of a deployer", "");
    stage.credentials(&role, "of a deployer");
    stage.database.query(&format!("GRANT CREATE ON DATABASE app TO {role}"));
    stage.create(&json!({ "hstore": "1.7" })).succeeded();
}

#[test]
fn a_library_that_the_parameter_group_does_not_load() {
    let stage = Stage::new();
    stage.database.set("\"rds.extensions\"", "pglogical");
    let words = ["`pglogical`", "`shared_preload_libraries`", "reboot the instance first"];
    refused(&stage, &json!({ "pglogical": "" }), &words);
}

#[test]
fn the_one_database_of_pg_cron() {
    let stage = Stage::new();
    stage.database.set("\"cron.database_name\"", "postgres");
    let words = ["`pg_cron`", "database `postgres`", "`cron.database_name`", "`Databases`"];
    refused(&stage, &json!({ "pg_cron": "" }), &words);
    // In that one, its library is all that is missing.
    stage.database.set("\"cron.database_name\"", &stage.database.name);
    let answer = refused(&stage, &json!({ "pg_cron": "" }), &["`shared_preload_libraries`"]);
    assert!(!answer.reason.contains("cron.database_name"), "{}", answer.reason);
}

#[test]
fn a_reader() {
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
    let stage = Stage::with(Database::create(), &[("PGSSLROOTCERT", place.ca.clone())]);
    let secret = place.secret(place.port, "postgres");
    stage.secrets.put(SECRET, "AWSCURRENT", secret.to_string());
    let words = ["read-only", "25006", "writer", "reader endpoint"];
    refused(&stage, &json!({ "citext": "", "hstore": "1.7" }), &words);
    // What is there already needs no writer.
    let answer = stage.create(&json!({ "hstore": "1.7" })).succeeded();
    assert_eq!(answer.data("Changes"), "none");
}

const PROXY: [&str; 3] = ["this is an RDS Proxy", "`Host`", "writer endpoint"];

#[test]
fn a_proxy_by_its_name() {
    let stage = Stage::new().with_seconds(3);
    let host = "app.proxy-abcdef.eu-west-1.rds.invalid";
    let properties = json!({ "PluginsMap": { "hstore": "" }, "Host": host });
    stage.create_with(&properties).failed(&[host]).failed(&PROXY);
    let mut several = properties;
    several["Databases"] = json!(["app", "audit"]);
    stage.create_with(&several).failed(&[host]).failed(&PROXY);
    // A mistake in the map has nothing to do with it.
    let properties = json!({ "PluginsMap": { "hstore": "*" }, "Host": host });
    let answer = stage.create_with(&properties).failed(&["hstore"]);
    assert!(!answer.reason.contains("RDS Proxy"), "{}", answer.reason);
}

#[test]
fn a_proxy_by_its_words() {
    let stage = Stage::new();
    let words = "Feature not supported: RDS Proxy currently doesn''t support this command";
    stage.refuse("hstore", &format!("RAISE EXCEPTION '{words}' USING ERRCODE = '0A000'"));
    stage.create(&json!({ "hstore": "" })).failed(&["0A000"]).failed(&PROXY);
    let other = Database::create();
    let databases = json!([stage.database.name, other.name]);
    let properties = json!({ "PluginsMap": { "hstore": "" }, "Databases": databases });
    let answer = stage.create_with(&properties).failed(&["1 of 2", "0A000"]).failed(&PROXY);
    assert_eq!(answer.reason.matches(PROXY[0]).count(), 1, "said once: {}", answer.reason);
}
