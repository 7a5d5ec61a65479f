//! What works: events in, catalogs and responses out. Every event is sent twice.

use crate::support::database::{Database, unique};
use crate::support::response::Response;
use crate::support::test_environment::{SECRET, TestEnvironment};
use serde_json::{Value, json};

/// Extensions that every server claimed has, and nothing else needs.
const PLAIN: [&str; 42] = [
    "amcheck",
    "autoinc",
    "bloom",
    "btree_gin",
    "btree_gist",
    "citext",
    "cube",
    "dblink",
    "dict_int",
    "dict_xsyn",
    "earthdistance",
    "file_fdw",
    "fuzzystrmatch",
    "hstore",
    "insert_username",
    "intagg",
    "intarray",
    "isn",
    "lo",
    "ltree",
    "moddatetime",
    "pageinspect",
    "pg_buffercache",
    "pg_freespacemap",
    "pg_prewarm",
    "pg_stat_statements",
    "pg_trgm",
    "pg_visibility",
    "pgcrypto",
    "pgrowlocks",
    "pgstattuple",
    "postgres_fdw",
    "refint",
    "seg",
    "sslinfo",
    "tablefunc",
    "tcn",
    "tsm_system_rows",
    "tsm_system_time",
    "unaccent",
    "uuid-ossp",
    "xml2",
];

#[test]
fn the_example_of_the_readme() {
    let env = TestEnvironment::new();
    let Some(postgis) = env.postgis() else { return };
    let pgcrypto = env.default_version("pgcrypto");
    let response = env.create(&json!({ "PostGIS": postgis, "pgcrypto": pgcrypto })).succeeded();
    response.logged(r#"BEFORE: ["plpgsql"]"#);
    response.logged(&format!("Installing plugin postgis version {postgis} ..."));
    response.logged(&format!("Installing plugin pgcrypto version {pgcrypto} ..."));
    response.logged(r#"AFTER: ["pgcrypto", "plpgsql", "postgis"]"#);
    assert_eq!(response.data("postgis"), postgis);
    assert_eq!(response.data("pgcrypto"), pgcrypto);
    assert_eq!(response.data("Changed"), "true");
    assert_eq!(response.data("Before"), "plpgsql 1.0");
    assert_eq!(
        response.data("After"),
        format!("pgcrypto {pgcrypto}, plpgsql 1.0, postgis {postgis}")
    );
    let version = env.database.value("SHOW server_version");
    assert_eq!(Some(response.data("ServerVersion")), version.split(' ').next());
    assert_eq!(
        env.database.value("SELECT ST_AsText(public.ST_Point(1, 2))"),
        "POINT(1 2)",
        "PostGIS works, in public"
    );
}

#[test]
fn an_empty_map_changes_nothing() {
    let env = TestEnvironment::new();
    let response = env.create(&json!({})).succeeded();
    assert_eq!(response.data("Changes"), "none");
    assert_eq!(response.data("Changed"), "false");
    assert_eq!(response.data("After"), "plpgsql 1.0");
}

#[test]
fn a_requirement_is_installed_first_whatever_the_order() {
    for map in [r#"{"earthdistance": "", "cube": ""}"#, r#"{"cube": "", "earthdistance": ""}"#] {
        let env = TestEnvironment::new().with_map(map);
        let response = env.create(&json!("MAP")).succeeded();
        for name in ["cube", "earthdistance"] {
            assert_eq!(response.data(name), env.default_version(name));
        }
        assert!(!response.data("Changes").contains("required by"), "{response:#?}");
    }
}

#[test]
fn a_requirement_that_the_map_does_not_list_says_so() {
    let env = TestEnvironment::new();
    let response = env.create(&json!({ "earthdistance": "" })).succeeded();
    let cube = env.default_version("cube");
    let changes = response.data("Changes");
    assert!(changes.contains(&format!("created cube {cube} (required by earthdistance)")));
    assert!(!response.data.contains_key("cube"), "only the map's extensions have keys");
    assert!(env.database.extensions().contains_key("cube"));
}

#[test]
fn a_requirement_comes_at_the_version_of_the_map() {
    let env = TestEnvironment::new();
    let response = env.create(&json!({ "earthdistance": "1.1", "cube": "1.3" })).succeeded();
    assert_eq!(response.data("cube"), "1.3");
    let response = env.update(&response, &json!({ "earthdistance": "1.1", "cube": "1.4" }));
    assert_eq!(response.succeeded().data("Changes"), "updated cube 1.3 to 1.4");
}

#[test]
fn the_geocoder_and_its_family_in_any_order() {
    for order in [
        ["postgis_tiger_geocoder", "fuzzystrmatch", "postgis"],
        ["fuzzystrmatch", "postgis", "postgis_tiger_geocoder"],
        ["postgis", "postgis_tiger_geocoder", "fuzzystrmatch"],
    ] {
        let map = order.map(|name| format!(r#""{name}": """#)).join(", ");
        let env = TestEnvironment::new().with_map(&format!("{{{map}}}"));
        if env.postgis().is_none() {
            return;
        }
        let response = env.create(&json!("MAP")).succeeded();
        for name in order {
            assert_eq!(response.data(name), env.default_version(name));
        }
        assert_eq!(env.database.schema_of("postgis_tiger_geocoder"), "tiger");
        assert_eq!(env.database.schema_of("postgis"), "public");
    }
}

#[test]
fn an_update_keeps_the_id_and_the_data() {
    let env = TestEnvironment::new();
    let created = env.create(&json!({ "hstore": "1.4" })).succeeded();
    assert_eq!(created.data("hstore"), "1.4");
    env.database.query(
        "CREATE TABLE kept (id int PRIMARY KEY, tags hstore); CREATE INDEX ON kept USING gin (tags);
         INSERT INTO kept SELECT n, hstore('n', n::text) FROM generate_series(1, 1000) AS n",
    );
    let sum = "SELECT sum((tags -> 'n')::int) FROM kept";
    let before = env.database.value(sum);
    // 1.8, or 1.7 on PostgreSQL 13.
    let newest = env.default_version("hstore");
    let updated = env.update(&created, &json!({ "hstore": newest })).succeeded();
    assert_eq!(updated.id, created.id);
    assert_eq!(updated.data("Changes"), format!("updated hstore 1.4 to {newest}"));
    assert_eq!(updated.data("Before"), "hstore 1.4, plpgsql 1.0");
    assert_eq!(updated.data("After"), format!("hstore {newest}, plpgsql 1.0"));
    assert_eq!(env.database.value(sum), before);
    assert_eq!(env.database.value("SELECT count(*) FROM kept WHERE tags ? 'n'"), "1000");
}

#[test]
fn a_third_extension_that_fails_undoes_the_first_two() {
    let env = TestEnvironment::new();
    env.run_after_create(
        "tablefunc",
        "RAISE EXCEPTION 'not on my watch' USING HINT = 'ask the owner'",
    );
    let response = env.create(&json!({ "citext": "", "hstore": "", "tablefunc": "" }));
    let response = response.failed(&["P0001", "not on my watch", "ask the owner", "tablefunc"]);
    assert_eq!(response.id, "Extensions-create-failed");
    assert_eq!(env.database.installed(), "");
    assert_eq!(
        env.database.value(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' \
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        ),
        "0"
    );
}

#[test]
fn an_update_that_fails_keeps_its_id_and_the_rollback_is_quiet() {
    let env = TestEnvironment::new();
    let created = env.create(&json!({ "hstore": "1.7" })).succeeded();
    let failed = env.update(&created, &json!({ "hstore": "9.9", "citext": "" }));
    let failed = failed.failed(&["hstore", "9.9"]);
    assert_eq!(failed.id, created.id);
    let rolled_back = env.update(&failed, &json!({ "hstore": "1.7" })).succeeded();
    assert_eq!(rolled_back.id, created.id);
    assert_eq!(rolled_back.data("Changed"), "false");
    assert_eq!(env.database.installed(), "hstore 1.7");
}

#[test]
fn four_functions_at_once() {
    for _ in 0..5 {
        let env = TestEnvironment::new();
        let functions: Vec<_> = (0..4).map(|_| env.another_function()).collect();
        for (drop, map) in [
            ("", json!({ "hstore": "1.4", "earthdistance": "" })),
            ("", json!({ "hstore": "1.7", "citext": "" })),
            ("DROP EXTENSION citext", json!({ "citext": "1.5" })),
            (
                "DROP EXTENSION earthdistance, cube",
                json!({ "earthdistance": "1.1", "cube": "1.4" }),
            ),
        ] {
            env.database.query(drop);
            let event = env.event("Create", &json!({ "PluginsMap": map }));
            let responses = env.deliver_to_all(&functions, &event);
            let responses = responses.into_iter().map(Response::succeeded);
            let changed = responses.filter(|response| response.data("Changed") == "true").count();
            assert_eq!(changed, 1, "one of them did it");
        }
    }
}

#[test]
fn forty_extensions_in_one_response() {
    let env = TestEnvironment::new();
    let offered: Vec<&str> = PLAIN.into_iter().filter(|name| env.database.offers(name)).collect();
    println!("{} extensions", offered.len());
    assert!(offered.len() >= 35, "{offered:?}");
    let map: serde_json::Map<_, _> =
        offered.iter().map(|name| ((*name).to_owned(), json!("latest"))).collect();
    let response = env.create(&Value::Object(map)).succeeded();
    for name in &offered {
        assert_eq!(response.data(name), env.default_version(name));
    }
    for key in ["Changed", "Changes", "Before", "After", "ServerVersion"] {
        assert!(response.data.contains_key(key), "{key}");
    }
    assert_eq!(env.database.extensions().len(), offered.len() + 1);
}

#[test]
fn another_database_than_the_secret_s() {
    let env = TestEnvironment::new();
    let name = unique("Other \"Data\" Base, ä");
    let other = Database::named(&name);
    let properties = json!({ "PluginsMap": { "hstore": "" }, "Databases": [name] });
    env.create_with(&properties).succeeded();
    assert_eq!(env.database.installed(), "");
    assert!(other.installed().starts_with("hstore "));
}

#[test]
fn a_dry_run_changes_nothing_and_tells_what_would_be() {
    let env = TestEnvironment::new();
    let event =
        |dry| env.event("Create", &json!({ "PluginsMap": { "earthdistance": "" }, "DryRun": dry }));
    let response = env.deliver_once(&event("true")).succeeded();
    assert_eq!(env.database.installed(), "");
    assert!(response.data("Changes").contains("created earthdistance"), "{response:#?}");
    assert_eq!(response.data("earthdistance"), env.default_version("earthdistance"));
    assert!(response.data("After").contains("cube"), "{response:#?}");
    env.deliver(&event("FALSE")).succeeded();
    assert!(env.database.installed().contains("earthdistance"));
}

#[test]
fn a_delete_under_retain_touches_nothing() {
    let env = TestEnvironment::new();
    let created = env.create(&json!({ "hstore": "" })).succeeded();
    let calls = env.secrets.calls().len();
    for properties in [
        json!({ "PluginsMap": { "hstore": "" } }),
        json!({ "PluginsMap": null, "DBSecret": null, "OfAnOlderFunction": "x", "Port": "many" }),
    ] {
        let event = env.event_about("Delete", &created.id, &properties);
        assert_eq!(env.deliver(&event).succeeded().id, created.id);
    }
    let event = env.event_about("Delete", "Extensions-create-failed", &json!({}));
    env.deliver(&event).succeeded();
    assert_eq!(env.secrets.calls().len(), calls, "no secret was read");
    assert!(env.database.installed().starts_with("hstore "));
    let visits = "SELECT count(*) FROM pg_stat_activity WHERE application_name <> '' \
        AND datname = current_database()";
    assert_eq!(env.database.value(visits), "0", "no session is left");
}

#[test]
fn another_server_means_another_id() {
    let env = TestEnvironment::new();
    let created = env.create(&json!({ "hstore": "" })).succeeded();
    let hash = created.id.strip_prefix("Extensions-").unwrap_or_default();
    assert!(hash.len() == 8 && hash.bytes().all(|b| b"0123456789abcdef".contains(&b)));
    let properties = json!({ "PluginsMap": { "hstore": "" }, "Host": "127.0.0.1" });
    let moved = env.deliver(&env.event_about("Update", &created.id, &properties)).succeeded();
    assert_ne!(moved.id, created.id, "a replacement");
    let properties = json!({ "PluginsMap": { "nonsense": "" }, "Host": "127.0.0.1" });
    let failed = env.deliver(&env.event_about("Update", &created.id, &properties));
    assert_eq!(failed.failed(&["nonsense"]).id, created.id);
    let foreign = "2021/06/01/[$LATEST]0f1e2d3c";
    let properties = json!({ "PluginsMap": { "hstore": "" } });
    let kept = env.deliver(&env.event_about("Update", foreign, &properties)).succeeded();
    assert_eq!(kept.id, foreign, "an older function's id is kept");
}

#[test]
fn the_events_of_the_repository_are_answered() {
    let env = TestEnvironment::new();
    let map = |version: &str| json!({ "hstore": version });
    for (file, plugins) in [
        ("create", map("1.6")),
        ("update", map("1.7")),
        ("rollback", map("1.7")),
        ("delete", map("1.7")),
        ("direct", map("1.7")),
    ] {
        let path = format!("{}/events/{file}.json", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let mut event: Value = serde_json::from_str(&text).unwrap_or_default();
        assert!(event["RequestType"].is_string(), "{path}");
        event["ResourceProperties"]["DBSecret"] = json!(SECRET);
        event["ResourceProperties"]["PluginsMap"] = plugins;
        let response = match event.get("ResponseURL") {
            Some(_) => env.deliver(&event),
            None => env.invoke(&event),
        };
        response.succeeded();
    }
    assert_eq!(env.database.installed(), "hstore 1.7");
}
