//! What an Inspect reads, beside the server's own answers, and what it leaves alone.

#![expect(clippy::expect_used, reason = "a broken test environment is a failed test")]

use std::time::Instant;

use crate::support::cluster::Cluster;
use crate::support::database::{Database, Server, quoted, server};
use crate::support::databases::LOCK;
use crate::support::secrets::Fault;
use crate::support::test_environment::{LOGICAL_ID, SECRET, TestEnvironment};
use crate::support::unreachable_address::UnreachableAddress;
use serde_json::{Value, json};

/// What the server itself says of the extensions of a database, in the words of the result.
const EXTENSIONS: &str = "
    SELECT jsonb_agg(jsonb_build_object(
        'Name', e.extname, 'Installed', e.extversion, 'Default', a.default_version,
        'Schema', n.nspname, 'Owner', r.rolname, 'CreatedBy', null,
        'UpdateAvailable', a.default_version IN (SELECT target FROM paths WHERE name = e.extname),
        'Reachable', (SELECT jsonb_agg(target ORDER BY target) FROM paths WHERE name = e.extname)
    ) ORDER BY e.extname COLLATE \"C\")
    FROM pg_extension AS e
    JOIN pg_namespace AS n ON n.oid = e.extnamespace
    JOIN pg_roles AS r ON r.oid = e.extowner
    LEFT JOIN pg_available_extensions AS a ON a.name = e.extname";

/// The update paths from what is installed.
const PATHS: &str = "
    WITH paths AS MATERIALIZED (
        SELECT e.extname AS name, p.target
        FROM pg_extension AS e, pg_extension_update_paths(e.extname) AS p
        WHERE p.source = e.extversion AND p.path IS NOT NULL)";

/// Twelve extensions beside `plpgsql`, of several versions, schemas and owners.
fn install_twelve(database: &Database, owner: &str) {
    database.query("CREATE SCHEMA ext");
    for (name, more) in [
        ("hstore", "VERSION '1.4'"),
        ("pg_trgm", "SCHEMA ext VERSION '1.3'"),
        ("citext", "VERSION '1.4'"),
        ("cube", ""),
        ("earthdistance", ""),
        ("pgcrypto", "SCHEMA ext"),
        ("intarray", ""),
        ("btree_gin", ""),
        ("btree_gist", ""),
        ("unaccent", ""),
        ("fuzzystrmatch", ""),
    ] {
        database.query(&format!("CREATE EXTENSION {name} {more}"));
    }
    database.query(&format!(
        "GRANT CREATE ON DATABASE {} TO {owner}; GRANT CREATE, USAGE ON SCHEMA ext TO {owner};
         SET ROLE {owner}; CREATE EXTENSION ltree SCHEMA ext; RESET ROLE",
        quoted(&database.name)
    ));
}

/// The extensions of a result's only database; the versions that can be reached in any order.
fn extensions(result: &Value) -> Value {
    assert_eq!(result["Databases"].as_array().expect("a list").len(), 1, "{result:#}");
    let mut extensions = result["Databases"][0]["Extensions"].clone();
    for extension in extensions.as_array_mut().expect("a list") {
        let mut reachable = extension["Reachable"].take();
        if let Some(versions) = reachable.as_array_mut() {
            versions.sort_by_key(ToString::to_string);
        }
        extension["Reachable"] = reachable;
    }
    extensions
}

#[test]
fn a_database_is_as_the_server_says() {
    let env = TestEnvironment::new();
    let owner = env.database.role("owner", "");
    install_twelve(&env.database, &owner);
    let result = env.inspect(&json!({}));
    let said: Value = serde_json::from_str(&env.database.value(&format!("{PATHS}{EXTENSIONS}")))
        .expect("JSON of the server's");
    assert_eq!(extensions(&result), said);
    assert_eq!(said.as_array().map(Vec::len), Some(13));
    let hstore = result["Databases"][0]["Extensions"]
        .as_array()
        .and_then(|it| it.iter().find(|it| it["Name"] == "hstore"))
        .expect("hstore")
        .clone();
    let default = env.default_version("hstore");
    let reachable = ["1.8", "1.7", "1.6", "1.5"];
    let from = reachable.iter().position(|it| *it == default).expect("a default version");
    assert_eq!(hstore["Reachable"], json!(reachable[from..]), "the highest first");
    assert_eq!(hstore["UpdateAvailable"], json!(default != "1.4"));
    let database = &result["Databases"][0];
    for of_map in ["Drift", "Plan", "Problems", "Error"] {
        assert!(database[of_map].is_null(), "there is no map: {database:#}");
    }
    assert!(hstore["State"].is_null() && hstore["Wanted"].is_null(), "{hstore:#}");
    let updates = said.as_array().into_iter().flatten();
    let updates = updates.filter(|it| it["UpdateAvailable"] == true).count();
    assert!(updates >= 3, "{said:#}");
    assert_eq!(
        result["Summary"],
        json!({ "Databases": 1, "Errors": 0, "Extensions": 13, "Drift": 0,
                "UpdatesAvailable": updates })
    );
    assert_eq!(
        result["Server"],
        json!({ "Host": server().host, "Port": server().port, "DBInstanceIdentifier": "app" })
    );
    assert!(result["LeftOut"].is_null(), "{result:#}");
}

#[test]
fn a_role_that_may_only_connect_reads_the_same() {
    let env = TestEnvironment::new();
    env.database.query(
        "CREATE SCHEMA ext; CREATE EXTENSION hstore VERSION '1.4' SCHEMA ext;
         CREATE EXTENSION citext; REVOKE ALL ON SCHEMA public FROM public",
    );
    let name = quoted(&env.database.name);
    let whole = env.inspect(&json!({}));
    let role = env.database.role("reader", "NOINHERIT");
    env.database.query(&format!("REVOKE ALL ON DATABASE {name} FROM public"));
    env.database.query(&format!("GRANT CONNECT ON DATABASE {name} TO {role}"));
    env.credentials(&role, "reader");
    assert_eq!(env.inspect(&json!({})), whole);
    // What the role may not do is a problem, and no error.
    let result = env.inspect(&json!({ "PluginsMap": { "hstore": "1.7" } }));
    let database = &result["Databases"][0];
    assert_eq!((&database["Drift"], &database["Plan"]), (&json!(true), &json!([])));
    assert!(database["Problems"][0].to_string().contains("hstore"), "{database:#}");
    assert_eq!(database["Extensions"].as_array().map(Vec::len), Some(3));
}

#[test]
fn a_database_that_refuses_the_role_says_why_and_the_others_are_read() {
    let cluster = Cluster::start(&[]);
    let env = TestEnvironment::with(Database::at(cluster.server, "app"), &[]);
    let audit = Database::at(cluster.server, "audit");
    audit.query("CREATE EXTENSION hstore VERSION '1.4'");
    audit.query("CREATE DATABASE closed");
    audit.query("REVOKE CONNECT ON DATABASE closed FROM public");
    let role = env.database.role("reader", "");
    env.credentials(&role, "reader");
    let result = env.inspect(&json!({ "Databases": "*" }));
    let read = |name: &str, result: &Value| {
        let databases = result["Databases"].as_array().expect("a list");
        databases.iter().find(|it| it["Database"] == name).cloned().unwrap_or_default()
    };
    let closed = read("closed", &result);
    assert!(closed["Error"].to_string().contains("42501"), "{closed:#}");
    assert_eq!(closed.as_object().map(serde_json::Map::len), Some(2), "in place of the rest");
    assert_eq!(read("audit", &result)["Extensions"][0]["Installed"], "1.4");
    assert_eq!(read("app", &result)["Extensions"].as_array().map(Vec::len), Some(1));
    assert_eq!(result["Summary"]["Databases"], 4, "{result:#}");
    assert_eq!(result["Summary"]["Errors"], 1);
    // A name that is no database's is an error of that one too.
    let result = env.inspect(&json!({ "Databases": ["app", "nowhere"] }));
    assert!(read("nowhere", &result)["Error"].to_string().contains("nowhere"), "{result:#}");
    assert!(read("app", &result)["Error"].is_null(), "{result:#}");
    // So is the only one; the server itself is another matter.
    let result = env.inspect(&json!({ "Databases": "nowhere" }));
    assert_eq!(
        (&result["Summary"]["Databases"], &result["Summary"]["Errors"]),
        (&json!(1), &json!(1))
    );
    env.credentials(&role, "another password");
    env.direct(&env.event("Inspect", &json!({ "Databases": "*" }))).failed("Failed", &["28P01"]);
}

#[test]
fn the_lock_that_an_update_waits_for_does_not_hold_it_up() {
    let env = TestEnvironment::new().with_seconds(20);
    let session = server().connect(&env.database.name);
    session.query(LOCK);
    let map = json!({ "PluginsMap": { "hstore": "1.7" }, "ServiceTimeout": "2" });
    env.deliver_once(&env.event("Create", &map)).failed(&["lock"]);
    let result = env.inspect(&map);
    assert_eq!(result["Databases"][0]["Extensions"][0]["State"], "missing", "{result:#}");
    session.query("BEGIN; LOCK TABLE pg_catalog.pg_extension IN SHARE MODE");
    assert_eq!(env.inspect(&map), result, "nor does one that keeps others from installing");
}

#[test]
fn nothing_is_written_and_nothing_is_locked() {
    let cluster = Cluster::start(&["log_statement=all", "autovacuum=off"]);
    let env = TestEnvironment::with(Database::at(cluster.server, "app"), &[]);
    let drop = |map: Value| json!({ "PluginsMap": map, "RemovalPolicy": "Drop" });
    let event = env.event("Create", &drop(json!({ "hstore": "1.4", "citext": "" })));
    let created = env.deliver(&event).succeeded();
    env.database.query("CREATE TABLE t (h hstore)");
    let next = "SELECT pg_snapshot_xmax(pg_current_snapshot())::text";
    let (transaction, before) = (env.database.value(next), cluster.log().len());
    let mut event =
        env.event_about("Inspect", &created.id, &drop(json!({ "hstore": "1.7", "cube": "" })));
    event["OldResourceProperties"] = json!({ "PluginsMap": { "hstore": "", "citext": "" } });
    let result = env.direct(&event).succeeded();
    let actions: Vec<_> = statements(&result).iter().map(|it| it["Action"].clone()).collect();
    assert!(actions.contains(&json!("drop")) && actions.contains(&json!("update")), "{result:#}");
    let log = &cluster.log()[before..];
    assert!(log.contains("READ ONLY"), "the log has the statements");
    let written = [
        "pg_advisory",
        "LOCK TABLE",
        "READ WRITE",
        "CREATE EXTENSION",
        "ALTER EXTENSION",
        "DROP EXTENSION",
        "INSERT INTO",
        "DELETE FROM",
    ];
    for words in written {
        let line = log.lines().find(|line| line.contains(words) && !line.contains(" -- "));
        assert_eq!(line, None, "{words}");
    }
    assert_eq!(env.database.value(next), transaction, "no transaction had anything to write");
}

/// The statements of a result's only database.
fn statements(result: &Value) -> Vec<Value> {
    result["Databases"][0]["Plan"].as_array().cloned().unwrap_or_default()
}

#[test]
fn a_reader_is_read() {
    let env = TestEnvironment::new();
    env.database.query("CREATE EXTENSION hstore VERSION '1.4'");
    let map = json!({ "PluginsMap": { "hstore": "1.7" } });
    let whole = env.inspect(&map);
    assert_eq!(statements(&whole)[0]["To"], "1.7", "{whole:#}");
    env.database.set("default_transaction_read_only", "on");
    assert_eq!(env.inspect(&map), whole);
}

#[test]
fn a_standby_is_read() {
    let mut cluster = Cluster::start(&["wal_level=replica"]);
    let env = TestEnvironment::new();
    let connect_to = |server: &Server| {
        env.keep_secret(&server.password);
        let secret = server.secret(server.port, "postgres").to_string();
        env.secrets.put(SECRET, "AWSCURRENT", secret);
    };
    connect_to(cluster.server);
    let ca = std::fs::read_to_string(&cluster.server.ca).expect("a certificate");
    cluster.server.connect("postgres").query("CREATE EXTENSION unaccent");
    let claimed = json!({ "PluginsMap": { "hstore": "1.4" }, "RemovalPolicy": "Drop",
                          "SslRootCert": ca });
    env.deliver_once(&env.event("Create", &claimed)).succeeded();
    let map = json!({ "hstore": "1.7", "unaccent": "absent" });
    let mut inspect = env.event("Inspect", &json!({ "PluginsMap": map, "SslRootCert": ca }));
    // The claims of the stack are of the primary's address.
    inspect["StackId"] = json!("another");
    let primary = env.direct(&inspect).succeeded();
    cluster.kill();
    std::fs::write(cluster.data().join("standby.signal"), "").expect("a file");
    cluster.restart();
    connect_to(cluster.server);
    let session = cluster.server.connect("postgres");
    assert_eq!(session.value("SELECT pg_is_in_recovery()"), "t");
    let standby = env.direct(&inspect).succeeded();
    let database = &standby["Databases"][0];
    assert_eq!(*database, primary["Databases"][0]);
    assert_eq!(statements(&standby).len(), 2, "{database:#}");
    let created_by = &database["Extensions"][0]["CreatedBy"];
    assert_eq!(created_by["LogicalResourceId"], LOGICAL_ID, "{database:#}");
}

#[test]
fn properties_are_checked_as_an_updates_are() {
    let env = TestEnvironment::new();
    let inspect = |properties: Value| env.direct(&env.event("Inspect", &properties));
    inspect(json!({ "PluginMap": {} })).failed("Failed", &["unknown property", "`PluginsMap`"]);
    inspect(json!({ "PluginsMap": { "hstore": 1.7 } })).failed("Failed", &["hstore", "quote"]);
    let accepted = json!({ "RemovalPolicy": "Drop", "DryRun": "true", "Trigger": 7,
                           "DowngradePolicy": "Keep", "SslMode": "verify-full" });
    inspect(accepted).succeeded();
    let mut event = env.event("Inspect", &json!({}));
    event["ResourceProperties"] = json!(null);
    env.direct(&event).failed("Failed", &["ResourceProperties"]);
}

#[test]
fn it_is_for_direct_invocations_alone() {
    let env = TestEnvironment::new();
    let event = env.event("Inspect", &json!({ "PluginsMap": { "hstore": "" } }));
    let response = env.deliver(&event).failed(&["Inspect", "direct invocations", "ResponseURL"]);
    assert!(response.document["Plan"].is_null() && response.document["Server"].is_null());
    assert_eq!(env.database.installed(), "");
}

#[test]
fn what_may_pass_has_another_error_type_than_what_will_not() {
    let env = TestEnvironment::new().with_seconds(6);
    let inspect = |properties: Value| env.direct(&env.event("Inspect", &properties));
    let unreachable = UnreachableAddress::new();
    inspect(json!({ "Port": unreachable.port })).failed("FailedTransiently", &["security group"]);
    let absent = json!({ "DBSecret": "no/such/secret" });
    inspect(absent).failed("Failed", &["no/such/secret"]);
    env.secrets.fail(SECRET, (0..20).map(|_| Fault::Hang));
    inspect(json!({})).failed("FailedTransiently", &["Secrets Manager"]);
}

#[test]
fn a_direct_result_says_which_server_and_whether_to_try_again() {
    let env = TestEnvironment::new().with_seconds(20);
    let at = json!({ "Host": server().host, "Port": server().port, "DBInstanceIdentifier": "app" });
    let send = |kind: &str, properties: Value| env.direct(&env.event(kind, &properties));
    let response = |error: &Value| -> Value {
        serde_json::from_str(error["errorMessage"].as_str().expect("a message")).expect("JSON")
    };
    let created = send("Create", json!({ "PluginsMap": { "hstore": "1.7" } })).succeeded();
    assert_eq!(created["Server"], at, "{created:#}");
    assert!(created["Plan"].is_null(), "without `DryRun`: {created:#}");
    let session = server().connect(&env.database.name);
    session.query(LOCK);
    let locked = json!({ "PluginsMap": { "citext": "" }, "ServiceTimeout": "2" });
    let locked = send("Create", locked);
    locked.failed("FailedTransiently", &["lock"]);
    assert_eq!(response(locked.outcome.as_ref().expect_err("an error"))["Server"], at);
    session.query("SELECT pg_advisory_unlock_all()");
    send("Create", json!({ "PluginsMap": { "citext": "9.9" } })).failed("Failed", &["9.9"]);
    // What the server refuses in the transaction stays refused.
    env.run_after_create("citext", "RAISE 'not here'");
    send("Create", json!({ "PluginsMap": { "citext": "" } })).failed("Failed", &["not here"]);
    // Of several databases one is wrong for good: trying again does not help.
    let several = json!({ "Databases": [env.database.name, "nowhere"], "PluginsMap": {} });
    send("Create", several).failed("Failed", &["nowhere"]);
    let deleted = send("Delete", json!({ "RemovalPolicy": "Drop" })).succeeded();
    assert_eq!(deleted["Server"], at, "{deleted:#}");
}

#[test]
fn many_databases_in_one_request() {
    let cluster = Cluster::start(&[]);
    let env = TestEnvironment::with(Database::at(cluster.server, "app"), &[]).with_seconds(300);
    let count = std::env::var("TEST_MANY_DATABASES").map_or(20, |it| it.parse().expect("a number"));
    let admin = cluster.server.connect("postgres");
    admin.query("CREATE DATABASE model");
    cluster.server.connect("model").query("CREATE EXTENSION hstore VERSION '1.4'");
    for index in 0..count {
        admin.query(&format!("CREATE DATABASE many_{index:03} TEMPLATE model"));
    }
    let start = Instant::now();
    let result = env.inspect(&json!({ "Databases": "*", "PluginsMap": { "hstore": "1.7" } }));
    println!("{count} databases read in {:.1} s", start.elapsed().as_secs_f32());
    assert_eq!(result["Summary"]["Databases"], count + 3, "{}", result["Summary"]);
    assert_eq!(result["Summary"]["Errors"], 0);
    assert_eq!(result["Summary"]["Drift"], count + 3);
    let databases = result["Databases"].as_array().expect("a list");
    let is_copy = |it: &&Value| it["Database"].as_str().is_some_and(|it| it.starts_with("many_"));
    for database in databases.iter().filter(is_copy) {
        assert_eq!(database["Extensions"][0]["Installed"], "1.4", "{database:#}");
        assert_eq!(database["Plan"].as_array().map(Vec::len), Some(1), "{database:#}");
    }
}
