//! Text and objects that want to be more than they are. Every event is sent twice.

mod support;

use serde_json::json;
use support::stage::Stage;

#[test]
fn names_and_versions_that_try_to_be_sql() {
    let stage = Stage::new();
    let evil = "o'dd\"; DROP TABLE t";
    stage.database.query("CREATE TABLE t ()");
    let created = stage.create(&json!({ evil: "v4" })).succeeded();
    assert_eq!(created.data(evil), "v4");
    let updated = stage.update(&created, &json!({ evil: "5'; DROP TABLE t" })).succeeded();
    assert_eq!(updated.data(evil), "5'; DROP TABLE t");
    let schema = json!({ evil: { "Schema": "s\"; DROP TABLE t; --" } });
    stage.update(&updated, &schema).succeeded();
    for (name, version) in [
        ("hstore\"; DROP TABLE t; --", "1.7"),
        ("hstore", "1.7'; DROP TABLE t; --"),
        ("hstore", "1.7' CASCADE; --"),
        ("hstore", "$$; DROP TABLE t; $$"),
        ("hstore\\", "\\"),
        ("", "1.7"),
        ("hst\u{0}ore", "1.7"),
        ("hstore", "1.\u{0}8"),
        ("ｈｓｔｏｒｅ", "1.7"),
        ("hstore ", "1.7"),
        ("%s{0}", "%n"),
        ("/* home.sql */", "$1"),
        ("</details>", "&lt;"),
    ] {
        let answer = stage.create(&json!({ name: version }));
        assert_eq!(answer.status, "FAILED", "{name} {version}: {answer:#?}");
    }
    assert_eq!(stage.database.value("SELECT count(*) FROM t"), "0", "the table is still there");
}

#[test]
fn a_long_error_of_many_bytes_is_cut_on_a_character() {
    let stage = Stage::new();
    for text in ["ü", "密", "🐘", "\\\\", "\"", "\u{1}", "ä\"\\\\"] {
        let stage = Stage::new();
        let quoted = text.repeat(3000 / text.len()).replace('\'', "''");
        stage.refuse("hstore", &format!("RAISE EXCEPTION USING MESSAGE = E'{quoted}'"));
        let answer = stage.create(&json!({ "hstore": "1.7" })).failed(&["P0001"]);
        assert!(answer.document.to_string().len() > 3000, "{answer:#?}");
        assert!(answer.reason.contains("[$LATEST]"), "the log stream is still there");
        assert_eq!(stage.database.installed(), "");
    }
    stage.refuse("hstore", "RAISE EXCEPTION 'why' USING DETAIL = repeat('d', 5000), HINT = 'how'");
    stage.create(&json!({ "hstore": "1.7" })).failed(&["why", "ddd"]);
}

#[test]
fn objects_that_shadow_the_catalog_are_never_run() {
    let stage = Stage::new();
    let role = stage.database.role("shadowed", "SUPERUSER");
    stage.credentials(&role, "shadowed");
    let database = &stage.database.name;
    stage.database.query("CREATE SCHEMA trap; CREATE TABLE trap.sprung (by text)");
    let spring = |name: &str| format!("INSERT INTO trap.sprung VALUES ('{name}')");
    for (function, arguments, returns, value) in [
        ("current_database", "", "name", "'postgres'::name"),
        ("current_setting", "text", "text", "'on'"),
        ("current_setting", "text, boolean", "text", "'none'"),
        ("pg_available_extensions", "", "text", "''"),
        ("pg_advisory_xact_lock", "bigint", "void", "NULL"),
        ("lower", "text", "text", "$1"),
        ("starts_with", "text, text", "boolean", "true"),
        ("has_database_privilege", "name, text", "boolean", "false"),
        ("has_database_privilege", "text, text", "boolean", "false"),
        ("has_schema_privilege", "oid, text", "boolean", "false"),
        ("pg_has_role", "oid, text", "boolean", "false"),
        ("jsonb_build_object", "VARIADIC text[]", "jsonb", "'{}'::jsonb"),
    ] {
        stage.database.query(&format!(
            "CREATE FUNCTION trap.{function}({arguments}) RETURNS {returns} LANGUAGE sql
             AS $$ {}; SELECT {value} $$",
            spring(function)
        ));
    }
    for (operator, left, right) in [
        ("=", "name", "text"),
        ("=", "text", "text"),
        ("=", "name", "name"),
        ("=", "oid", "oid"),
        ("=", "varchar", "text"),
        ("<>", "name", "text"),
        ("?", "jsonb", "text"),
        ("->", "jsonb", "text"),
        ("->>", "jsonb", "text"),
    ] {
        let name = format!("op_{left}_{right}_{}", operator.len() + usize::from(operator == "?"));
        stage.database.query(&format!(
            "CREATE OR REPLACE FUNCTION trap.{name}({left}, {right}) RETURNS boolean LANGUAGE sql
             AS $$ {}; SELECT false $$;
             CREATE OPERATOR trap.{operator}
               (FUNCTION = trap.{name}, LEFTARG = {left}, RIGHTARG = {right})",
            spring(operator)
        ));
    }
    stage.database.query(
        "CREATE VIEW trap.pg_extension AS SELECT 'x'::name AS extname, '1'::text AS extversion;
         CREATE VIEW trap.pg_available_extensions AS SELECT 'x'::name AS name;
         CREATE VIEW trap.pg_namespace AS SELECT 'x'::name AS nspname;
         CREATE VIEW trap.pg_roles AS SELECT 'x'::name AS rolname",
    );
    let path = "search_path = trap, pg_catalog, public";
    stage
        .database
        .query(&format!("ALTER ROLE {role} SET {path}; ALTER DATABASE {database} SET {path}"));
    stage
        .database
        .query(&format!("SET {path}; SELECT 'x'::name = 'x'::text, lower('X'); RESET ALL"));
    assert_eq!(stage.database.value("SELECT count(*) FROM trap.sprung"), "2", "the traps work");
    stage.database.query("TRUNCATE trap.sprung");
    let created = stage.create(&json!({ "hstore": "1.4", "earthdistance": "" })).succeeded();
    stage.update(&created, &json!({ "hstore": { "Version": "1.7", "Schema": "s" } })).succeeded();
    assert_eq!(stage.database.query("SELECT by FROM trap.sprung"), Vec::<Vec<String>>::new());
    assert_eq!(stage.database.schema_of("earthdistance"), "public");
}

#[test]
fn the_settings_of_a_role_do_no_harm() {
    let stage = Stage::new();
    let role = stage.database.role("particular", "SUPERUSER");
    stage.credentials(&role, "particular");
    stage.refuse("hstore", "PERFORM pg_sleep(0.5)");
    for setting in [
        "statement_timeout = '300ms'",
        "lock_timeout = '100ms'",
        "idle_in_transaction_session_timeout = '100ms'",
        "default_transaction_isolation = 'serializable'",
        "default_transaction_deferrable = on",
        "standard_conforming_strings = off",
        "backslash_quote = off",
        "client_encoding = 'LATIN1'",
        "client_min_messages = 'debug5'",
        "quote_all_identifiers = on",
        "default_tablespace = ''",
        "check_function_bodies = off",
        "transform_null_equals = on",
        "row_security = off",
        "DateStyle = 'SQL, DMY'",
    ] {
        stage.database.query(&format!("ALTER ROLE {role} SET {setting}"));
    }
    let schema = "back\\slash 'quote' \"double\" ä";
    let map = json!({ "hstore": { "Version": "1.7", "Schema": schema }, "earthdistance": "" });
    stage.create(&map).succeeded();
    assert_eq!(stage.database.schema_of("hstore"), schema);
}

#[test]
fn a_server_that_keeps_its_functions_to_itself() {
    let stage = Stage::new();
    let role = stage.database.role("of an ordinary role", "");
    stage.credentials(&role, "of an ordinary role");
    stage.database.query(&format!(
        "GRANT CREATE ON DATABASE \"{}\" TO \"{role}\";
        REVOKE EXECUTE ON FUNCTION query_to_xml(text, boolean, boolean, text) FROM PUBLIC",
        stage.database.name
    ));
    let created = stage.create(&json!({ "hstore": "1.4" })).succeeded();
    assert_eq!(created.data("Changes"), "created hstore 1.4");
    let properties = json!({ "PluginsMap": { "hstore": "1.7" }, "RemovalPolicy": "Drop" });
    let updated = stage.deliver(&stage.event_about("Update", &created.id, &properties));
    assert_eq!(
        updated.succeeded().data("Changes").split(';').next(),
        Some("updated hstore 1.4 to 1.7")
    );
    stage.deliver(&stage.event_about("Delete", &created.id, &properties)).succeeded();
}
