//! Several databases in one request: planned together, applied a few at a time. Every event is
//! sent twice.

use crate::support::cluster::Cluster;
use crate::support::database::{Database, unique};
use crate::support::databases::{LOCK, create, names, with_others};
use crate::support::test_environment::TestEnvironment;
use serde_json::json;

#[test]
fn a_list_in_every_form() {
    let (env, others) = with_others(2);
    let all = names(&env, &others);
    let (a, b, c) = (all[0], all[1], all[2]);
    for (version, databases) in [
        ("1.4", json!([a, b, c])),
        ("1.5", json!(format!("{a},{b},{c}"))),
        ("1.6", json!(format!("  {a} ,{b}, {c} , "))),
        ("1.7", json!([a, b, a, c, b])),
    ] {
        let response = create(&env, &databases, &json!({ "HSTORE": version })).succeeded();
        assert_eq!(response.data("hstore"), version);
        assert_eq!(response.data("Changed"), "true");
        let changes: Vec<&str> = response.data("Changes").split("; ").collect();
        assert_eq!(changes.len(), 3, "{changes:?}");
        for (change, name) in changes.iter().zip(&all) {
            assert!(change.starts_with(&format!("{name}: ")), "in the template's order: {change}");
        }
        let after = all.iter().map(|name| format!("{name}: hstore {version}, plpgsql 1.0"));
        assert_eq!(response.data("After"), after.collect::<Vec<_>>().join("; "));
        for database in &others {
            assert_eq!(database.installed(), format!("hstore {version}"));
        }
        let reason = &response.reason;
        assert!(reason.starts_with("3 databases: 3 changes, see `Changes` (log"), "{reason}");
    }
    let properties = json!({ "Databases": [a, b], "PluginsMap": { "hstore": "1.7" } });
    let response = env.deliver(&env.event("Create", &properties)).succeeded();
    assert_eq!(response.data("Changes"), "none");
    assert_eq!(
        response.data("Before"),
        format!("{a}: hstore 1.7, plpgsql 1.0; {b}: hstore 1.7, plpgsql 1.0")
    );
}

#[test]
fn one_name_in_a_list_is_like_one_name() {
    let env = TestEnvironment::new();
    let name = &env.database.name;
    let response = create(&env, &json!([name, name]), &json!({ "hstore": "1.4" })).succeeded();
    assert_eq!(response.data("Changes"), "created hstore 1.4");
    assert_eq!(response.data("After"), "hstore 1.4, plpgsql 1.0");
}

#[test]
fn names_of_every_kind() {
    let kinds =
        ["comma, and space", "Upper Case", "quote\"s 'n; DROP", "größe 数据库", "back\\slash"];
    let env = TestEnvironment::new();
    let others = kinds.map(|kind| Database::named(&unique(kind)));
    let response =
        create(&env, &json!(names(&env, &others)), &json!({ "hstore": "1.7" })).succeeded();
    for database in &others {
        assert_eq!(database.installed(), "hstore 1.7", "{}", database.name);
        let change = format!("{}: created hstore 1.7", database.name);
        assert!(response.data("Changes").contains(&change), "{response:#?}");
    }
}

#[test]
fn every_database_but_the_templates_and_the_closed() {
    let cluster = Cluster::start(&[]);
    let env = TestEnvironment::with(Database::at(cluster.server, "app"), &[]);
    let others = ["Audit, too", "rdsadmin", "closed", "model"]
        .map(|name| Database::at(cluster.server, name));
    let [audit, rdsadmin, closed, model] = &others;
    let admin = cluster.server.connect("postgres");
    admin.query("ALTER DATABASE closed ALLOW_CONNECTIONS false");
    admin.query("ALTER DATABASE model IS_TEMPLATE true");
    let response = create(&env, &json!("*"), &json!({ "hstore": "1.7" })).succeeded();
    assert_eq!(
        response.data("Changes"),
        "Audit, too: created hstore 1.7; app: created hstore 1.7; postgres: created hstore 1.7"
    );
    assert_eq!(audit.installed(), "hstore 1.7");
    assert_eq!(env.database.installed(), "hstore 1.7");
    let template1 = cluster.server.connect("template1");
    let extensions = "SELECT string_agg(extname, ',') FROM pg_extension";
    assert_eq!(template1.value(extensions), "plpgsql");
    for left_alone in [rdsadmin, closed, model] {
        assert_eq!(left_alone.installed(), "", "{}", left_alone.name);
    }
    drop(template1);

    // A database that comes later is found by the next event.
    let late = Database::at(cluster.server, "late");
    let response = create(&env, &json!(["*"]), &json!({ "hstore": "1.7" })).succeeded();
    assert_eq!(response.data("Changes"), "late: created hstore 1.7");
    assert_eq!(late.installed(), "hstore 1.7");

    // template1 by its name: what is created afterwards has it.
    let response = create(&env, &json!("template1"), &json!({ "citext": "1.5" })).succeeded();
    assert_eq!(response.data("Changes"), "created citext 1.5");
    let future = Database::at(cluster.server, "future");
    assert_eq!(future.installed(), "citext 1.5");
    let both = create(&env, &json!("template1, app"), &json!({ "citext": "any" })).succeeded();
    assert_eq!(both.data("citext"), "mixed");
    admin.query("ALTER DATABASE model IS_TEMPLATE false");
}

#[test]
fn of_every_database_the_one_that_fails_is_named_first() {
    let cluster = Cluster::start(&[]);
    let env = TestEnvironment::with(Database::at(cluster.server, "app"), &[]).with_seconds(14);
    let theirs = Database::at(cluster.server, "theirs");
    theirs.query(LOCK);
    let first = "nothing was changed in any of the 3 databases: in `theirs`: ";
    for kind in ["Create", "Delete"] {
        let event = env.event_about(
            kind,
            "Extensions-01234567",
            &json!({ "Databases": "*", "PluginsMap": {}, "RemovalPolicy": "Drop" }),
        );
        env.deliver_once(&event).failed(&[first, "lock"]);
    }
}

#[test]
fn versions_that_differ_are_mixed() {
    let (env, others) = with_others(1);
    others[0].query("CREATE EXTENSION hstore VERSION '1.4'");
    let newest = env.default_version("hstore");
    let map = json!({ "hstore": "any", "citext": "1.5" });
    let response = create(&env, &json!(names(&env, &others)), &map).succeeded();
    assert_eq!(response.data("hstore"), "mixed");
    assert_eq!(response.data("citext"), "1.5");
    assert_eq!(others[0].installed(), "citext 1.5, hstore 1.4");
    assert_eq!(env.database.installed(), format!("citext 1.5, hstore {newest}"));
    let response =
        create(&env, &json!(names(&env, &others)), &json!({ "hstore": "latest" })).succeeded();
    assert_eq!(response.data("hstore"), newest);
    assert_eq!(
        response.data("Changes"),
        format!("{}: updated hstore 1.4 to {newest}", others[0].name)
    );
}

#[test]
fn a_dry_run_of_several() {
    let (env, others) = with_others(2);
    let mut properties = json!({ "PluginsMap": { "hstore": "1.7" }, "DryRun": "true" });
    properties["Databases"] = json!(names(&env, &others));
    let response = env.deliver_once(&env.event("Create", &properties)).succeeded();
    assert!(
        response.reason.contains("see `Changes` (dry run: nothing was changed)"),
        "{response:#?}"
    );
    assert_eq!(response.data("hstore"), "1.7");
    env.run_after_create("hstore", "RAISE EXCEPTION 'not today'");
    let response = env.create_with(&properties).failed(&["not today", &env.database.name]);
    response.clone().failed(&["changed, and stay so: none"]);
    assert_eq!(response.id, "Extensions-create-failed", "nothing was left behind");
    for database in &others {
        assert_eq!(database.installed(), "");
    }
}

#[test]
fn the_problems_of_all_in_one_message() {
    let (env, others) = with_others(2);
    others[0].query("CREATE EXTENSION hstore VERSION '1.7'");
    others[1].query("CREATE EXTENSION fixed SCHEMA public");
    let map = json!({ "hstore": "1.4", "pgvector": "", "fixed": { "Schema": "other" } });
    let all = names(&env, &others);
    let words = ["nothing was changed in any of the 3 databases", "3 problems"];
    let response = create(&env, &json!(all), &map).failed(&words);
    let in_all = all.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    for words in [
        "did you mean `vector`".to_owned(),
        format!("in {in_all}: "),
        "no update path".to_owned(),
        format!("in `{}`: ", others[0].name),
        format!("in `{}`: ", others[1].name),
    ] {
        assert!(response.reason.contains(&words), "no {words} in: {}", response.reason);
    }
    assert_eq!(response.reason.matches("`vector`").count(), 1, "said once: {}", response.reason);
    assert_eq!(response.id, "Extensions-create-failed");
    assert_eq!(env.database.installed(), "");
    assert_eq!(others[0].installed(), "hstore 1.7");
    assert_eq!(others[1].installed(), "fixed 1.0");
}

#[test]
fn one_that_is_missing_beside_others() {
    let (env, others) = with_others(1);
    others[0].query("CREATE EXTENSION hstore VERSION '1.7'");
    let databases = json!([env.database.name, "nowhere", others[0].name]);
    let response = create(&env, &databases, &json!({ "hstore": "1.4" }));
    response.failed(&["3D000", "`nowhere`", "no update path", &others[0].name, "2 problems"]);
    let map = json!({ "hstore": "1.7" });
    let words = ["nothing was changed in any of the 3 databases: in `nowhere`: ", "3D000"];
    let response = create(&env, &databases, &map).failed(&words);
    assert!(!response.reason.contains("problems"), "there is one: {}", response.reason);
    assert_eq!(env.database.installed(), "");
}

#[test]
fn a_wrong_password_is_tried_once_and_not_for_each() {
    let (env, others) = with_others(11);
    let role = env.database.role("right", "SUPERUSER");
    env.credentials(&role, "a wrong p4ssword");
    let all = names(&env, &others);
    let response = create(&env, &json!(all), &json!({ "hstore": "1.4" }));
    response.failed(&["28P01", &role, "not read any more"]);
    let calls = env.secrets.calls().len();
    assert!(calls <= 2 * (1 + 4 * 3), "{calls} calls for two deliveries");
}

#[test]
fn one_that_fails_after_all_plans_were_good() {
    let (env, others) = with_others(9);
    env.run_after_create("hstore", "RAISE EXCEPTION 'not today'");
    let all = names(&env, &others);
    let event =
        env.event("Create", &json!({ "Databases": all, "PluginsMap": { "hstore": "1.7" } }));
    let response = env.deliver_once(&event).failed(&["not today", "stay so"]);
    assert_eq!(env.database.installed(), "");
    let (changed, left): (Vec<_>, Vec<_>) =
        others.iter().partition(|database| database.installed() == "hstore 1.7");
    assert!(!changed.is_empty(), "those that were under way are seen to their end");
    let place = format!("in database `{}`", env.database.name);
    assert_eq!(response.reason.matches(&place).count(), 1, "named once: {}", response.reason);
    response.clone().failed(&["1 of 10 databases failed: ", "; the others are as they were"]);
    let list = response.reason.split("stay so: ").nth(1).unwrap_or_default();
    for database in changed {
        assert!(list.contains(&format!("`{}`", database.name)), "{}", response.reason);
    }
    for database in left {
        assert!(!list.contains(&format!("`{}`", database.name)), "{}", response.reason);
    }
    // Something is there: the Delete that follows has to find it.
    let hash = response.id.strip_prefix("Extensions-").unwrap_or_default();
    assert_eq!(hash.len(), 8, "the server's id, not `{}`", response.id);
    let again = env.deliver(&event).failed(&["not today"]);
    assert_eq!(again.id, response.id);
    env.database.query("DROP EVENT TRIGGER run_after_create");
    assert_eq!(env.deliver(&event).succeeded().id, response.id);
    for database in &others {
        assert_eq!(database.installed(), "hstore 1.7");
    }
}

#[test]
fn a_failure_that_left_something_has_the_same_id_each_time() {
    let (env, others) = with_others(2);
    env.run_after_create("hstore", "RAISE EXCEPTION 'not today'");
    let all = names(&env, &others);
    let response = create(&env, &json!(all), &json!({ "hstore": "1.7" })).failed(&["not today"]);
    assert_ne!(response.id, "Extensions-create-failed", "the second time, nothing was changed");
}

#[test]
fn one_that_fails_alone_leaves_nothing() {
    let (env, others) = with_others(1);
    env.run_after_create("hstore", "RAISE EXCEPTION 'not today'");
    let function = "SELECT pg_get_functiondef('public.run_after_create'::regproc)";
    others[0].query(&format!(
        "{}; CREATE EVENT TRIGGER run_after_create ON ddl_command_end EXECUTE FUNCTION public.run_after_create()",
        env.database.value(function)
    ));
    let all = names(&env, &others);
    let response = create(&env, &json!(all), &json!({ "hstore": "1.7" })).failed(&["not today"]);
    assert_eq!(response.id, "Extensions-create-failed");
    response.clone().failed(&["2 of 2 databases failed: ", "and stay so: none"]);
    assert_eq!(response.reason.matches("not today").count(), 2, "{}", response.reason);
    let log = response.log.join("\n");
    for name in all {
        let place = format!("in database `{name}`");
        assert_eq!(response.reason.matches(&place).count(), 1, "{}", response.reason);
        assert!(log.contains(&format!("in database `{name}` failed")), "both are logged: {log}");
    }
}

#[test]
fn a_slow_database_is_named_and_delays_no_other() {
    let (env, others) = with_others(6);
    let env = env.with_seconds(24);
    let slow = &env.database.name;
    env.database.query(LOCK);
    let all = names(&env, &others);
    let event =
        env.event("Create", &json!({ "Databases": all, "PluginsMap": { "hstore": "1.7" } }));
    let response = env.deliver_once(&event).failed(&[slow, "lock"]);
    for database in &others {
        assert!(!response.reason.contains(&database.name), "{}", response.reason);
    }
    assert_eq!(response.id, "Extensions-create-failed");
    // Slow only when it comes to changing: the others are done, and it is named.
    env.database.query("SELECT pg_advisory_unlock_all()");
    env.run_after_create("hstore", "PERFORM pg_sleep(60)");
    let response = env.deliver_once(&event).failed(&["time ran out", slow, "stay so"]);
    assert_ne!(response.id, "Extensions-create-failed");
    for database in &others {
        assert_eq!(database.installed(), "hstore 1.7");
        assert!(response.reason.contains(&database.name), "{}", response.reason);
    }
}

#[test]
fn what_the_server_offers_is_read_only_where_something_may_have_to_be_done() {
    let (env, others) = with_others(4);
    let all = json!(names(&env, &others));
    create(&env, &all, &json!({ "hstore": "1.7" })).succeeded();
    break_the_view_of_versions(&others[3]);
    let one = json!(others[3].name);
    create(&env, &one, &json!({ "hstore": "1.7", "citext": "" })).failed(&["22012"]);
    let response = create(&env, &one, &json!({ "hstore": "1.7" })).succeeded();
    assert_eq!(response.data("Changes"), "none");
}

#[test]
fn a_database_that_has_a_list_of_its_own() {
    let (env, others) = with_others(4);
    let setting = "SELECT count(*) FROM pg_settings WHERE name = 'extension_control_path'";
    if env.database.value(setting) == "0" {
        // Before PostgreSQL 18 all databases of a server have one list.
        return;
    }
    let folder = std::env::temp_dir().join(unique("extensions"));
    let files = folder.join("extension");
    std::fs::create_dir_all(&files).expect("a folder");
    std::fs::write(files.join("hstore.control"), "default_version = '99'").expect("a file");
    std::fs::write(files.join("hstore--99.sql"), "SELECT 1;").expect("a file");
    let database = &others[3];
    let path = folder.display();
    database.query(&format!(
        "ALTER DATABASE \"{}\" SET extension_control_path = '{path}:$system'",
        database.name
    ));
    let all = json!(names(&env, &others));
    let response = create(&env, &all, &json!({ "hstore": "latest" })).succeeded();
    assert_eq!(response.data("hstore"), "mixed");
    assert_eq!(database.installed(), "hstore 99");
    std::fs::remove_dir_all(&folder).expect("a folder");
}

/// Reading `pg_available_extension_versions` here divides by zero.
fn break_the_view_of_versions(database: &Database) {
    let view = database.value("SELECT pg_get_viewdef('pg_available_extension_versions'::regclass)");
    database.query(&format!(
        "SET allow_system_table_mods = on;
        CREATE OR REPLACE VIEW pg_catalog.pg_available_extension_versions AS
        {} WHERE 1 / (random() * 0)::integer = 0",
        view.trim_end_matches(';')
    ));
}
