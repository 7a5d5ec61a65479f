//! Several databases in one request: planned together, applied a few at a time. Every event is
//! sent twice.

use crate::support::cluster::Cluster;
use crate::support::database::{Database, unique};
use crate::support::several::{LOCK, create, names, with_others};
use crate::support::stage::Stage;
use serde_json::json;

#[test]
fn a_list_in_every_form() {
    let (stage, others) = with_others(2);
    let all = names(&stage, &others);
    let (a, b, c) = (all[0], all[1], all[2]);
    for (version, databases) in [
        ("1.4", json!([a, b, c])),
        ("1.5", json!(format!("{a},{b},{c}"))),
        ("1.6", json!(format!("  {a} ,{b}, {c} , "))),
        ("1.7", json!([a, b, a, c, b])),
    ] {
        let answer = create(&stage, &databases, &json!({ "HSTORE": version })).succeeded();
        assert_eq!(answer.data("hstore"), version);
        assert_eq!(answer.data("Changed"), "true");
        let changes: Vec<&str> = answer.data("Changes").split("; ").collect();
        assert_eq!(changes.len(), 3, "{changes:?}");
        for (change, name) in changes.iter().zip(&all) {
            assert!(change.starts_with(&format!("{name}: ")), "in the template's order: {change}");
        }
        let after = all.iter().map(|name| format!("{name}: hstore {version}, plpgsql 1.0"));
        assert_eq!(answer.data("After"), after.collect::<Vec<_>>().join("; "));
        for database in &others {
            assert_eq!(database.installed(), format!("hstore {version}"));
        }
        let reason = &answer.reason;
        assert!(reason.starts_with("3 databases: 3 changes, see `Changes` (log"), "{reason}");
    }
    let properties = json!({ "Databases": [a, b], "PluginsMap": { "hstore": "1.7" } });
    let answer = stage.deliver(&stage.event("Create", &properties)).succeeded();
    assert_eq!(answer.data("Changes"), "none");
    assert_eq!(
        answer.data("Before"),
        format!("{a}: hstore 1.7, plpgsql 1.0; {b}: hstore 1.7, plpgsql 1.0")
    );
}

#[test]
fn one_name_in_a_list_is_like_one_name() {
    let stage = Stage::new();
    let name = &stage.database.name;
    let answer = create(&stage, &json!([name, name]), &json!({ "hstore": "1.4" })).succeeded();
    assert_eq!(answer.data("Changes"), "created hstore 1.4");
    assert_eq!(answer.data("After"), "hstore 1.4, plpgsql 1.0");
}

#[test]
fn names_of_every_kind() {
    let kinds =
        ["comma, and space", "Upper Case", "quote\"s 'n; DROP", "größe 数据库", "back\\slash"];
    let stage = Stage::new();
    let others = kinds.map(|kind| Database::named(&unique(kind)));
    let answer =
        create(&stage, &json!(names(&stage, &others)), &json!({ "hstore": "1.7" })).succeeded();
    for database in &others {
        assert_eq!(database.installed(), "hstore 1.7", "{}", database.name);
        let change = format!("{}: created hstore 1.7", database.name);
        assert!(answer.data("Changes").contains(&change), "{answer:#?}");
    }
}

#[test]
fn every_database_but_the_templates_and_the_closed() {
    let cluster = Cluster::start(&[]);
    let stage = Stage::with(Database::at(cluster.server, "app"), &[]);
    let others = ["Audit, too", "rdsadmin", "closed", "model"]
        .map(|name| Database::at(cluster.server, name));
    let [audit, rdsadmin, closed, model] = &others;
    let admin = cluster.server.connect("postgres");
    admin.query("ALTER DATABASE closed ALLOW_CONNECTIONS false");
    admin.query("ALTER DATABASE model IS_TEMPLATE true");
    let answer = create(&stage, &json!("*"), &json!({ "hstore": "1.7" })).succeeded();
    assert_eq!(
        answer.data("Changes"),
        "Audit, too: created hstore 1.7; app: created hstore 1.7; postgres: created hstore 1.7"
    );
    assert_eq!(audit.installed(), "hstore 1.7");
    assert_eq!(stage.database.installed(), "hstore 1.7");
    let template1 = cluster.server.connect("template1");
    let extensions = "SELECT string_agg(extname, ',') FROM pg_extension";
    assert_eq!(template1.value(extensions), "plpgsql");
    for left_alone in [rdsadmin, closed, model] {
        assert_eq!(left_alone.installed(), "", "{}", left_alone.name);
    }
    drop(template1);

    // A database that comes later is found by the next event.
    let late = Database::at(cluster.server, "late");
    let answer = create(&stage, &json!(["*"]), &json!({ "hstore": "1.7" })).succeeded();
    assert_eq!(answer.data("Changes"), "late: created hstore 1.7");
    assert_eq!(late.installed(), "hstore 1.7");

    // template1 by its name: what is created afterwards has it.
    let answer = create(&stage, &json!("template1"), &json!({ "citext": "1.5" })).succeeded();
    assert_eq!(answer.data("Changes"), "created citext 1.5");
    let future = Database::at(cluster.server, "future");
    assert_eq!(future.installed(), "citext 1.5");
    let both = create(&stage, &json!("template1, app"), &json!({ "citext": "any" })).succeeded();
    assert_eq!(both.data("citext"), "mixed");
    admin.query("ALTER DATABASE model IS_TEMPLATE false");
}

#[test]
fn of_every_database_the_one_that_stands_in_the_way_is_named_first() {
    let cluster = Cluster::start(&[]);
    let stage = Stage::with(Database::at(cluster.server, "app"), &[]).with_seconds(14);
    let theirs = Database::at(cluster.server, "theirs");
    theirs.query(LOCK);
    let first = "nothing was changed in any of the 3 databases: in `theirs`: ";
    for kind in ["Create", "Delete"] {
        let event = stage.event_about(
            kind,
            "Extensions-01234567",
            &json!({ "Databases": "*", "PluginsMap": {}, "RemovalPolicy": "Drop" }),
        );
        stage.deliver_once(&event).failed(&[first, "lock"]);
    }
}

#[test]
fn versions_that_differ_are_mixed() {
    let (stage, others) = with_others(1);
    others[0].query("CREATE EXTENSION hstore VERSION '1.4'");
    let newest = stage.default_version("hstore");
    let map = json!({ "hstore": "any", "citext": "1.5" });
    let answer = create(&stage, &json!(names(&stage, &others)), &map).succeeded();
    assert_eq!(answer.data("hstore"), "mixed");
    assert_eq!(answer.data("citext"), "1.5");
    assert_eq!(others[0].installed(), "citext 1.5, hstore 1.4");
    assert_eq!(stage.database.installed(), format!("citext 1.5, hstore {newest}"));
    let answer =
        create(&stage, &json!(names(&stage, &others)), &json!({ "hstore": "latest" })).succeeded();
    assert_eq!(answer.data("hstore"), newest);
    assert_eq!(
        answer.data("Changes"),
        format!("{}: updated hstore 1.4 to {newest}", others[0].name)
    );
}

#[test]
fn a_dry_run_of_several() {
    let (stage, others) = with_others(2);
    let mut properties = json!({ "PluginsMap": { "hstore": "1.7" }, "DryRun": "true" });
    properties["Databases"] = json!(names(&stage, &others));
    let answer = stage.deliver_once(&stage.event("Create", &properties)).succeeded();
    assert!(answer.reason.contains("see `Changes` (dry run: nothing was changed)"), "{answer:#?}");
    assert_eq!(answer.data("hstore"), "1.7");
    stage.refuse("hstore", "RAISE EXCEPTION 'not today'");
    let answer = stage.create_with(&properties).failed(&["not today", &stage.database.name]);
    answer.clone().failed(&["changed, and stay so: none"]);
    assert_eq!(answer.id, "Extensions-create-failed", "nothing was left behind");
    for database in &others {
        assert_eq!(database.installed(), "");
    }
}

#[test]
fn the_problems_of_all_in_one_message() {
    let (stage, others) = with_others(2);
    others[0].query("CREATE EXTENSION hstore VERSION '1.7'");
    others[1].query("CREATE EXTENSION fixed SCHEMA public");
    let map = json!({ "hstore": "1.4", "pgvector": "", "fixed": { "Schema": "other" } });
    let all = names(&stage, &others);
    let words = ["nothing was changed in any of the 3 databases", "3 problems"];
    let answer = create(&stage, &json!(all), &map).failed(&words);
    let in_all = all.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    for words in [
        "did you mean `vector`".to_owned(),
        format!("in {in_all}: "),
        "no update path".to_owned(),
        format!("in `{}`: ", others[0].name),
        format!("in `{}`: ", others[1].name),
    ] {
        assert!(answer.reason.contains(&words), "no {words} in: {}", answer.reason);
    }
    assert_eq!(answer.reason.matches("`vector`").count(), 1, "said once: {}", answer.reason);
    assert_eq!(answer.id, "Extensions-create-failed");
    assert_eq!(stage.database.installed(), "");
    assert_eq!(others[0].installed(), "hstore 1.7");
    assert_eq!(others[1].installed(), "fixed 1.0");
}

#[test]
fn one_that_is_missing_beside_others() {
    let (stage, others) = with_others(1);
    others[0].query("CREATE EXTENSION hstore VERSION '1.7'");
    let databases = json!([stage.database.name, "nowhere", others[0].name]);
    let answer = create(&stage, &databases, &json!({ "hstore": "1.4" }));
    answer.failed(&["3D000", "`nowhere`", "no update path", &others[0].name, "2 problems"]);
    let map = json!({ "hstore": "1.7" });
    let words = ["nothing was changed in any of the 3 databases: in `nowhere`: ", "3D000"];
    let answer = create(&stage, &databases, &map).failed(&words);
    assert!(!answer.reason.contains("problems"), "there is one: {}", answer.reason);
    assert_eq!(stage.database.installed(), "");
}

#[test]
fn a_wrong_password_is_tried_once_and_not_for_each() {
    let (stage, others) = with_others(11);
    let role = stage.database.role("right", "SUPERUSER");
    stage.credentials(&role, "a wrong p4ssword");
    let all = names(&stage, &others);
    let answer = create(&stage, &json!(all), &json!({ "hstore": "1.4" }));
    answer.failed(&["28P01", &role, "not looked at"]);
    let calls = stage.secrets.calls().len();
    assert!(calls <= 2 * (1 + 4 * 3), "{calls} calls for two deliveries");
}

#[test]
fn one_that_fails_after_all_plans_were_good() {
    let (stage, others) = with_others(9);
    stage.refuse("hstore", "RAISE EXCEPTION 'not today'");
    let all = names(&stage, &others);
    let event =
        stage.event("Create", &json!({ "Databases": all, "PluginsMap": { "hstore": "1.7" } }));
    let answer = stage.deliver_once(&event).failed(&["not today", "stay so"]);
    assert_eq!(stage.database.installed(), "");
    let (changed, left): (Vec<_>, Vec<_>) =
        others.iter().partition(|database| database.installed() == "hstore 1.7");
    assert!(!changed.is_empty(), "those that were under way are seen to their end");
    let place = format!("in database `{}`", stage.database.name);
    assert_eq!(answer.reason.matches(&place).count(), 1, "named once: {}", answer.reason);
    answer.clone().failed(&["1 of 10 databases failed: ", "; the others are as they were"]);
    let list = answer.reason.split("stay so: ").nth(1).unwrap_or_default();
    for database in changed {
        assert!(list.contains(&format!("`{}`", database.name)), "{}", answer.reason);
    }
    for database in left {
        assert!(!list.contains(&format!("`{}`", database.name)), "{}", answer.reason);
    }
    // Something is there: the Delete that follows has to find it.
    let hash = answer.id.strip_prefix("Extensions-").unwrap_or_default();
    assert_eq!(hash.len(), 8, "the server's id, not `{}`", answer.id);
    let again = stage.deliver(&event).failed(&["not today"]);
    assert_eq!(again.id, answer.id);
    stage.database.query("DROP EVENT TRIGGER refuse");
    assert_eq!(stage.deliver(&event).succeeded().id, answer.id);
    for database in &others {
        assert_eq!(database.installed(), "hstore 1.7");
    }
}

#[test]
fn a_failure_that_left_something_has_the_same_id_each_time() {
    let (stage, others) = with_others(2);
    stage.refuse("hstore", "RAISE EXCEPTION 'not today'");
    let all = names(&stage, &others);
    let answer = create(&stage, &json!(all), &json!({ "hstore": "1.7" })).failed(&["not today"]);
    assert_ne!(answer.id, "Extensions-create-failed", "the second time, nothing was changed");
}

#[test]
fn one_that_fails_alone_leaves_nothing() {
    let (stage, others) = with_others(1);
    stage.refuse("hstore", "RAISE EXCEPTION 'not today'");
    let refuse = "SELECT pg_get_functiondef('public.refuse'::regproc)";
    others[0].query(&format!(
        "{}; CREATE EVENT TRIGGER refuse ON ddl_command_end EXECUTE FUNCTION public.refuse()",
        stage.database.value(refuse)
    ));
    let all = names(&stage, &others);
    let answer = create(&stage, &json!(all), &json!({ "hstore": "1.7" })).failed(&["not today"]);
    assert_eq!(answer.id, "Extensions-create-failed");
    answer.clone().failed(&["2 of 2 databases failed: ", "and stay so: none"]);
    assert_eq!(answer.reason.matches("not today").count(), 2, "{}", answer.reason);
    let log = answer.log.join("\n");
    for name in all {
        let place = format!("in database `{name}`");
        assert_eq!(answer.reason.matches(&place).count(), 1, "{}", answer.reason);
        assert!(log.contains(&format!("in database `{name}` failed")), "both are logged: {log}");
    }
}

#[test]
fn a_slow_one_is_named_and_holds_up_nobody() {
    let (stage, others) = with_others(6);
    let stage = stage.with_seconds(14);
    let slow = &stage.database.name;
    stage.database.query(LOCK);
    let all = names(&stage, &others);
    let answer = create(&stage, &json!(all), &json!({ "hstore": "1.7" })).failed(&[slow, "lock"]);
    for database in &others {
        assert!(!answer.reason.contains(&database.name), "{}", answer.reason);
    }
    assert_eq!(answer.id, "Extensions-create-failed");
    // Slow only when it comes to changing: the others are done, and it is named.
    stage.database.query("SELECT pg_advisory_unlock_all()");
    stage.refuse("hstore", "PERFORM pg_sleep(60)");
    let event =
        stage.event("Create", &json!({ "Databases": all, "PluginsMap": { "hstore": "1.7" } }));
    let answer = stage.deliver_once(&event).failed(&["time ran out", slow, "stay so"]);
    assert_ne!(answer.id, "Extensions-create-failed");
    for database in &others {
        assert_eq!(database.installed(), "hstore 1.7");
        assert!(answer.reason.contains(&database.name), "{}", answer.reason);
    }
}

#[test]
fn what_the_server_offers_is_read_only_where_it_is_not_known() {
    let (stage, others) = with_others(4);
    let all = json!(names(&stage, &others));
    // Four are looked at together; the fifth, when one of them has told.
    break_the_view_of_versions(&others[3]);
    create(&stage, &all, &json!({ "hstore": "1.7" })).succeeded();
    assert_eq!(others[3].installed(), "hstore 1.7");
    // What it does not know yet has to be read.
    let answer = create(&stage, &json!(others[3].name), &json!({ "hstore": "1.7", "citext": "" }));
    answer.failed(&["22012"]);
    // Nothing is to be done: nothing is read.
    let answer = create(&stage, &json!(others[3].name), &json!({ "hstore": "1.7" })).succeeded();
    assert_eq!(answer.data("Changes"), "none");
}

#[test]
fn a_database_that_has_a_list_of_its_own() {
    let (stage, others) = with_others(4);
    let setting = "SELECT count(*) FROM pg_settings WHERE name = 'extension_control_path'";
    if stage.database.value(setting) == "0" {
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
    let all = json!(names(&stage, &others));
    let answer = create(&stage, &all, &json!({ "hstore": "latest" })).succeeded();
    assert_eq!(answer.data("hstore"), "mixed");
    assert_eq!(database.installed(), "hstore 99");
    std::fs::remove_dir_all(&folder).expect("a folder");
}

/// Whoever reads `pg_available_extension_versions` here divides by zero.
fn break_the_view_of_versions(database: &Database) {
    let view = database.value("SELECT pg_get_viewdef('pg_available_extension_versions'::regclass)");
    database.query(&format!(
        "SET allow_system_table_mods = on;
        CREATE OR REPLACE VIEW pg_catalog.pg_available_extension_versions AS
        {} WHERE 1 / (random() * 0)::integer = 0",
        view.trim_end_matches(';')
    ));
}
