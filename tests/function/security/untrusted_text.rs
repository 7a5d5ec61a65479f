//! Text of the template, the server or a secret that could be taken for more. Every event
//! is sent twice.

use crate::support::test_environment::{SECRET, TestEnvironment};
use serde_json::json;

#[test]
fn names_and_versions_that_try_to_be_sql() {
    let env = TestEnvironment::new();
    let evil = "o'dd\"; DROP TABLE t";
    env.database.query("CREATE TABLE t ()");
    let created = env.create(&json!({ evil: "v4" })).succeeded();
    assert_eq!(created.data(evil), "v4");
    let updated = env.update(&created, &json!({ evil: "5'; DROP TABLE t" })).succeeded();
    assert_eq!(updated.data(evil), "5'; DROP TABLE t");
    let schema = json!({ evil: { "Schema": "s\"; DROP TABLE t; --" } });
    env.update(&updated, &schema).succeeded();
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
        let response = env.create(&json!({ name: version }));
        assert_eq!(response.status, "FAILED", "{name} {version}: {response:#?}");
    }
    assert_eq!(env.database.value("SELECT count(*) FROM t"), "0", "the table is still there");
}

#[test]
fn a_long_error_of_many_bytes_is_cut_on_a_character() {
    let env = TestEnvironment::new();
    for text in ["ü", "密", "🐘", "\\\\", "\"", "\u{1}", "ä\"\\\\"] {
        let env = TestEnvironment::new();
        let quoted = text.repeat(3000 / text.len()).replace('\'', "''");
        env.run_after_create("hstore", &format!("RAISE EXCEPTION USING MESSAGE = E'{quoted}'"));
        let response = env.create(&json!({ "hstore": "1.7" })).failed(&["P0001"]);
        assert!(response.document.to_string().len() > 3000, "{response:#?}");
        assert!(response.reason.contains("[$LATEST]"), "the log stream is still there");
        assert_eq!(env.database.installed(), "");
    }
    env.run_after_create(
        "hstore",
        "RAISE EXCEPTION 'why' USING DETAIL = repeat('d', 5000), HINT = 'how'",
    );
    env.create(&json!({ "hstore": "1.7" })).failed(&["why", "ddd"]);
}

#[test]
fn no_line_of_the_log_is_longer_than_cloudwatch_takes() {
    let env = TestEnvironment::new();
    for (text, count) in [("ü", 200_000), ("\u{1}", 100_000), ("🐘\"\\", 60_000)] {
        let env = TestEnvironment::new();
        let text = text.replace('\\', "\\\\");
        let message = format!("repeat(E'{text}', {count})");
        env.run_after_create("hstore", &format!("RAISE EXCEPTION USING MESSAGE = {message}"));
        let response = env.create(&json!({ "hstore": "1.7" })).failed(&["P0001"]);
        let longest = response.log.iter().max_by_key(|message| message.len()).expect("a line");
        assert!(longest.len() > 40_000 && longest.ends_with("..."), "{}", longest.len());
        let output = env.function.output();
        let lines = output.lines().map(|line| line.len() + 1);
        let most = lines.max().expect("a line");
        assert!((262_100..=262_144).contains(&most), "{most}");
    }
    env.create(&json!({ "hstore": "1.7" })).succeeded();
}

#[test]
fn a_password_that_the_server_repeats_is_hidden() {
    let env = TestEnvironment::new();
    let password = "hunter2 \"'\\ 🐘\n\u{1} of";
    let role = env.database.role(password, "SUPERUSER");
    env.credentials(&role, password);
    let quoted = password.replace('\'', "''");
    for part in ["MESSAGE", "DETAIL", "HINT"] {
        let stage_of = |what: &str| format!("RAISE EXCEPTION USING {what} = 'no: {quoted}, no'");
        env.run_after_create("hstore", &stage_of(part));
        let response = env.create(&json!({ "hstore": "1.7" })).failed(&["no: (hidden), no"]);
        assert!(response.log.iter().any(|line| line.contains("no: (hidden), no")), "{response:#?}");
        env.database
            .query("DROP EVENT TRIGGER run_after_create; DROP FUNCTION public.run_after_create()");
    }
    // Of a version of the secret that was rejected, too: it may be another server's.
    env.secrets.put(SECRET, "AWSCURRENT", env.secret_of(&role, "an older password").to_string());
    env.secrets.put(SECRET, "AWSPENDING", env.secret_of(&role, password).to_string());
    env.keep_secret("an older password");
    env.run_after_create("hstore", "RAISE EXCEPTION 'an older password, short'");
    env.create(&json!({ "hstore": "1.7" })).failed(&["(hidden), short"]);
}

#[test]
fn the_settings_of_a_role_do_no_harm() {
    let env = TestEnvironment::new();
    let role = env.database.role("particular", "SUPERUSER");
    env.credentials(&role, "particular");
    env.run_after_create("hstore", "PERFORM pg_sleep(0.5)");
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
        env.database.query(&format!("ALTER ROLE {role} SET {setting}"));
    }
    let schema = "back\\slash 'quote' \"double\" ä";
    let map = json!({ "hstore": { "Version": "1.7", "Schema": schema }, "earthdistance": "" });
    let properties = json!({ "PluginsMap": map, "RemovalPolicy": "Drop" });
    let created = env.create_with(&properties).succeeded();
    assert_eq!(env.database.schema_of("hstore"), schema);
    env.deliver(&env.event_about("Update", &created.id, &properties)).succeeded();
    env.deliver(&env.event_about("Delete", &created.id, &properties)).succeeded();
    assert_eq!(env.database.installed(), "", "its claims are believed");
}

#[test]
fn a_server_that_keeps_its_functions_to_itself() {
    let env = TestEnvironment::new();
    let role = env.database.role("of an ordinary role", "");
    env.credentials(&role, "of an ordinary role");
    env.database.query(&format!(
        "GRANT CREATE ON DATABASE \"{}\" TO \"{role}\";
        REVOKE EXECUTE ON FUNCTION query_to_xml(text, boolean, boolean, text) FROM PUBLIC",
        env.database.name
    ));
    let created = env.create(&json!({ "hstore": "1.4" })).succeeded();
    assert_eq!(created.data("Changes"), "created hstore 1.4");
    let properties = json!({ "PluginsMap": { "hstore": "1.7" }, "RemovalPolicy": "Drop" });
    let updated = env.deliver(&env.event_about("Update", &created.id, &properties));
    assert_eq!(
        updated.succeeded().data("Changes").split(';').next(),
        Some("updated hstore 1.4 to 1.7")
    );
    env.deliver(&env.event_about("Delete", &created.id, &properties)).succeeded();
}

#[test]
fn the_text_of_a_secret_among_the_databases() {
    let env = TestEnvironment::new();
    env.credentials("nobody_here", "not the password");
    let text = r#"{"engine":"postgres","host":"h","username":"admin","port":5432,"dbname":"x","x":"y","password":"S3cret!word"}"#;
    env.keep_secret("S3cret!word");
    let properties = json!({ "PluginsMap": { "hstore": "" }, "Databases": text });
    env.create_with(&properties).failed(&["(hidden)"]);
}
