//! What is refused before anything changes, and what the message says. Every event is sent twice.

use std::path::Path;

use crate::support::cluster::Cluster;
use crate::support::database::server;
use crate::support::fault_injection::FaultInjection;
use crate::support::response::Response;
use crate::support::test_environment::{SECRET, TestEnvironment};
use serde_json::{Value, json};

/// Creates with this map, and expects a failure that left nothing behind.
#[track_caller]
fn refused(env: &TestEnvironment, map: &Value, words: &[&str]) -> Response {
    refused_with(env, &json!({ "PluginsMap": map }), words)
}

/// The same with these properties.
#[track_caller]
fn refused_with(env: &TestEnvironment, properties: &Value, words: &[&str]) -> Response {
    let before = env.database.installed();
    let response = env.create_with(properties).failed(words);
    assert_eq!(response.id, "Extensions-create-failed");
    assert_eq!(env.database.installed(), before);
    response
}

#[test]
fn an_unknown_extension_with_a_suggestion() {
    let env = TestEnvironment::new();
    for (wrong, right) in [
        ("pgvector", "`vector`"),
        ("uuid_ossp", "`uuid-ossp`"),
        ("h-store", "`hstore`"),
        ("earthdistence", "`earthdistance`"),
        ("pg_crypto", "`pgcrypto`"),
    ] {
        refused(&env, &json!({ wrong: "" }), &[wrong, "did you mean", right]);
    }
    if env.postgis().is_some() {
        refused(&env, &json!({ "postgi": "3.4.3" }), &["postgi", "did you mean", "`postgis`"]);
        refused(&env, &json!({ "postgis-raster": "" }), &["`postgis_raster`"]);
    }
    let response = refused(&env, &json!({ "quite_something_else": "" }), &["quite_something_else"]);
    assert!(!response.reason.contains("did you mean"), "{}", response.reason);
}

#[test]
fn a_version_that_is_not_offered_with_those_that_are() {
    let env = TestEnvironment::new();
    refused(&env, &json!({ "hstore": "9.9" }), &["hstore", "9.9", "1.4", "1.7"]);
    refused(&env, &json!({ "hstore": "9.*" }), &["hstore", "9.*", "1.7"]);
    for (wrong, right) in [("LATEST", "`latest`"), ("Any", "`any`"), ("1.x", "`1.*`")] {
        let words = ["hstore", wrong, "1.7", "did you mean", right];
        refused(&env, &json!({ "hstore": wrong }), &words);
    }
    let words = ["`hstore-3`", "has no script", "`1.8`", "did you mean `hstore`?"];
    refused(&env, &json!({ "hstore-3": "" }), &words);
    refused(&env, &json!({ "unsaid": "" }), &["`unsaid`", "no default version", "`0.9`"]);
    env.database.query("CREATE EXTENSION hstore VERSION '1.4'");
    refused(&env, &json!({ "hstore": "9.9" }), &["hstore", "9.9", "1.7"]);
}

#[test]
fn a_library_that_is_no_extension() {
    let env = TestEnvironment::new();
    let words = ["`auto_explain`", "a library", "`shared_preload_libraries`"];
    refused(&env, &json!({ "auto_explain": "" }), &words);
    refused(&env, &json!({ "wal2json": "" }), &["`wal2json`", "replication slot"]);
}

#[test]
fn an_update_that_cannot_be_in_a_transaction() {
    let env = TestEnvironment::new();
    env.create(&json!({ "timescaledb": "2.14.0" })).succeeded();
    let (name, statement) = (&env.database.name, "ALTER EXTENSION timescaledb UPDATE TO '2.15.0'");
    let wanted = json!({ "timescaledb": "2.15.0" });
    refused(&env, &wanted, &[&format!("psql -X -d {name} -c \"{statement}\"")]);
    env.create(&json!({ "timescaledb": "any" })).succeeded();
    // The remedy is one: the server takes it, and the same map is right after it.
    env.database.query(statement);
    env.create(&wanted).succeeded();
}

#[test]
fn what_a_script_meets_is_no_other_transaction() {
    let env = TestEnvironment::new();
    env.database.query("CREATE TYPE public.ltree AS (x int)");
    let words = ["`CREATE EXTENSION \"ltree\"", "42710", "type \"ltree\" already exists"];
    let first = refused(&env, &json!({ "ltree": "" }), &words);
    let statement = "RAISE EXCEPTION 'twice' USING ERRCODE = '23505'";
    env.run_after_create("hstore", statement);
    let words = ["`CREATE EXTENSION \"hstore\"", "23505", "twice"];
    let second = refused(&env, &json!({ "hstore": "" }), &words);
    for response in [first, second] {
        assert!(!response.reason.contains("another transaction"), "{}", response.reason);
        let tries = response.log.iter().filter(|line| line.contains("trying again")).count();
        assert_eq!(tries, 0, "{:?}", response.log);
    }
}

#[test]
fn an_event_trigger_that_does_not_name_its_schema() {
    let env = TestEnvironment::new();
    env.database.query("CREATE TABLE public.audit (what text)");
    env.run_after_create("hstore", "INSERT INTO audit VALUES ('hstore')");
    let words = [
        "42P01",
        "relation \"audit\" does not exist",
        "context: PL/pgSQL function public.run_after_create() line 5 at SQL statement",
    ];
    refused(&env, &json!({ "hstore": "" }), &words);
}

#[test]
fn two_keys_for_one_extension() {
    let env = TestEnvironment::new();
    let map = json!({ "hstore": "1.4", "HSTORE": "1.7" });
    refused(&env, &map, &["`hstore`", "`HSTORE`", "same"]);
}

#[test]
fn a_key_that_could_be_two_extensions() {
    refused(&TestEnvironment::new(), &json!({ "tWIN": "" }), &["tWIN", "`twin`", "`Twin`"]);
}

#[test]
fn no_update_path_with_what_is_reachable() {
    let env = TestEnvironment::new();
    env.database.query("CREATE EXTENSION hstore VERSION '1.5'");
    let response = refused(&env, &json!({ "hstore": "1.4" }), &["1.5", "1.4", "1.6", "1.7"]);
    assert!(response.reason.contains("update"), "{}", response.reason);
    refused(&env, &json!({ "hstore": "1.4", "citext": "" }), &["hstore", "1.4"]);
}

#[test]
fn versions_that_say_too_little() {
    let env = TestEnvironment::new().with_map(r#"{"hstore": 1.10}"#);
    refused(&env, &json!("MAP"), &["hstore", "quote"]);
    refused(&env, &json!({ "hstore": 1 }), &["hstore", "quote"]);
    refused(&env, &json!({ "hstore": { "Version": 1.7 } }), &["hstore", "quote"]);
    refused(&env, &json!({ "hstore": "*" }), &["hstore", "any", "latest"]);
    refused(&env, &json!({ "hstore": ["1.7"] }), &["hstore"]);
    refused(&env, &json!({ "hstore": true }), &["hstore"]);
    assert_eq!(env.secrets.calls(), [], "no secret was read for any of them");
}

#[test]
fn a_requirement_that_the_server_does_not_offer() {
    let env = TestEnvironment::new();
    refused(&env, &json!({ "needy": "1.0" }), &["needy", "requires", "no_such_extension"]);
}

#[test]
fn a_schema_that_does_not_fit() {
    let env = TestEnvironment::new();
    let long = "ä".repeat(32);
    let schema = |schema: &str| json!({ "Version": "any", "Schema": schema });
    refused(&env, &json!({ "housed": schema("public") }), &["housed", "housed_home", "public"]);
    refused(&env, &json!({ "hstore": schema(&long) }), &["hstore", "64", "63"]);
    refused(&env, &json!({ "hstore": schema("pg_mine") }), &["hstore", "pg_"]);
    env.database.query("CREATE EXTENSION fixed SCHEMA public");
    refused(&env, &json!({ "fixed": schema("other") }), &["fixed", "public", "other"]);
    let schemas = "SELECT count(*) FROM pg_namespace WHERE nspname IN ('other', 'housed_home')";
    assert_eq!(env.database.value(schemas), "0", "no schema stays behind");
}

#[test]
fn not_trusted_and_not_a_superuser() {
    let env = TestEnvironment::new();
    let role = env.database.role("plain password", "");
    env.credentials(&role, "plain password");
    refused(&env, &json!({ "plain": "" }), &["`plain_home`", &role, "CREATE ON DATABASE"]);
    refused(&env, &json!({ "pageinspect": "" }), &["pageinspect", "superuser", &role]);
    refused(&env, &json!({ "hstore": "" }), &["hstore", &role, "CREATE ON DATABASE"]);
    let database = &env.database.name;
    env.database.query(&format!("GRANT CREATE ON DATABASE {database} TO {role}"));
    env.create(&json!({ "hstore": "1.4" })).succeeded();
    env.create(&json!({ "hstore": "1.7" })).succeeded();
    env.database.query("CREATE EXTENSION citext VERSION '1.5'");
    refused(&env, &json!({ "citext": "1.6" }), &["citext", &role, "own"]);
    assert_eq!(env.database.installed(), "citext 1.5, hstore 1.7");
}

#[test]
fn a_read_only_server() {
    let mut cluster = Cluster::start(&["wal_level=replica"]);
    let faults = FaultInjection::at(&cluster, 60);
    faults.create().succeeded();
    let data = Path::new(&cluster.server.ca).with_file_name("data");
    cluster.kill();
    std::fs::write(data.join("standby.signal"), "").expect("a file");
    cluster.begin_to_restart();
    faults.proxy.set_upstream(cluster.server.port);
    let reader = cluster.server.connect("postgres");
    assert_eq!(reader.value("SELECT pg_is_in_recovery()"), "t");
    let response = faults.deliver(&faults.event("Create", &json!({ "citext": "" })));
    response.failed(&["read-only", "25006", "writer"]);
    assert_eq!(faults.create().succeeded().data("Changed"), "false");
}

#[test]
fn a_database_that_is_read_only_unless_one_says_otherwise() {
    let env = TestEnvironment::new();
    env.database.query("CREATE EXTENSION hstore VERSION '1.7'");
    env.database.set("default_transaction_read_only", "on");
    refused(&env, &json!({ "citext": "" }), &["read-only", "25006", "writer"]);
    env.create(&json!({ "hstore": "1.7" })).succeeded();
}

#[test]
fn a_library_that_is_not_loaded() {
    let env = TestEnvironment::new();
    let libraries = "shared_preload_libraries";
    let response = refused(&env, &json!({ "pglogical": "" }), &["pglogical", libraries, "restart"]);
    assert!(!response.reason.contains("parameter group"), "this is not RDS: {}", response.reason);
    refused(&env, &json!({ "pg_cron": "", "hstore": "" }), &["pg_cron", libraries]);
}

#[test]
fn what_the_parameter_group_allows() {
    let env = TestEnvironment::new();
    env.database.set("\"rds.allowed_extensions\"", "hstore, citext");
    refused(&env, &json!({ "pg_trgm": "" }), &["pg_trgm", "rds.allowed_extensions"]);
    let map = json!({ "earthdistance": "", "hstore": "" });
    refused(&env, &map, &["earthdistance", "cube", "rds.allowed_extensions"]);
    env.create(&json!({ "hstore": "", "citext": "" })).succeeded();
    env.database.set("\"rds.allowed_extensions\"", "*");
    env.create(&json!({ "pg_trgm": "" })).succeeded();
}

#[test]
fn all_problems_at_once() {
    let env = TestEnvironment::new();
    env.database.query("CREATE EXTENSION citext VERSION '1.6'; CREATE EXTENSION fixed");
    let map = json!({
        "pgvector": "0.8.0",
        "hstore": "9.9",
        "citext": "1.4",
        "needy": "",
        "cube": "",
        "CUBE": "",
        "pglogical": "",
        "housed": { "Schema": "public" },
        "fixed": { "Schema": "other" },
    });
    let words = [
        "pgvector",
        "`vector`",
        "9.9",
        "1.4",
        "no_such_extension",
        "`CUBE`",
        "shared_preload_libraries",
        "housed_home",
        "fixed",
    ];
    refused(&env, &map, &words);
}

#[test]
fn all_wrong_properties_at_once() {
    let env = TestEnvironment::new();
    let properties = json!({
        "DBSecret": null,
        "PluginsMap": { "hstore": "*", "citext": { "version": "1.4" } },
        "Databses": "app",
        "Port": "70000",
        "SslMode": "prefer",
        "DryRun": "maybe",
    });
    let words = [
        "DBSecret",
        "hstore",
        "citext",
        "`version`",
        "`Version`",
        "`Databses`",
        "`Databases`",
        "Port",
        "SslMode",
        "verify-full",
        "DryRun",
    ];
    refused_with(&env, &properties, &words);
    assert_eq!(env.secrets.calls(), [], "no secret was read");
}

#[test]
fn properties_one_by_one() {
    let env = TestEnvironment::new();
    let usual = |name: &str, value: Value| {
        let mut properties = json!({ "PluginsMap": { "hstore": "" } });
        properties[name] = value;
        properties
    };
    for (name, value, words) in [
        ("PluginsMap", json!(null), &["PluginsMap", "missing"][..]),
        ("PluginsMap", json!("hstore"), &["PluginsMap", "map"]),
        ("PluginsMap", json!(["hstore"]), &["PluginsMap", "map"]),
        ("DBSecret", json!(null), &["DBSecret", "missing"]),
        ("DBSecret", json!({ "Ref": "x" }), &["DBSecret"]),
        ("pluginsMap", json!({}), &["`pluginsMap`", "did you mean", "`PluginsMap`"]),
        ("Plugins", json!({}), &["`Plugins`"]),
        ("SSLMode", json!("require"), &["`SSLMode`", "`SslMode`"]),
        ("Port", json!("0"), &["Port", "65535"]),
        ("Port", json!("5432x"), &["Port", "65535"]),
        ("Port", json!(5432.5), &["Port"]),
        ("ServiceTimeout", json!("soon"), &["ServiceTimeout"]),
        ("SslRootCert", json!("not a certificate"), &["SslRootCert"]),
        ("DowngradePolicy", json!("keep going"), &["DowngradePolicy", "Keep", "Fail"]),
        ("RemovalPolicy", json!("Delete"), &["RemovalPolicy", "Retain"]),
        ("Databases", json!([]), &["Databases", "empty"]),
        ("Databases", json!(["app", ""]), &["Databases"]),
        ("Databases", json!(["*", "app"]), &["Databases", "either `*`"]),
        ("Databases", json!(" , "), &["Databases", "empty"]),
        ("PluginsFrom", json!({ "Ref": "x" }), &["PluginsFrom"]),
        ("Authentication", json!("Kerberos"), &["Authentication", "IAM", "`Kerberos`"]),
        ("DBSecret", json!("a secret"), &["`DBSecret`", "!Ref", "{{resolve:"]),
        ("DBSecret", json!("x".repeat(2049)), &["`DBSecret`", "!Ref"]),
        ("PluginsFrom", json!("{\"host\":1}"), &["`PluginsFrom`", "!Ref", "{{resolve:"]),
        ("Host", json!("user@localhost"), &["`Host`", "the DNS name or the address"]),
        ("Host", json!("localhost/app?x"), &["`Host`"]),
        ("Host", json!("h".repeat(254)), &["`Host`"]),
        ("Username", json!("app\r\n"), &["`Username`", "control characters"]),
        ("Databases", json!("app\u{1}"), &["`Databases`", "control characters"]),
        ("Databases", json!(["app", "b\u{85}"]), &["`Databases`", "control characters"]),
    ] {
        refused_with(&env, &usual(name, value), words);
    }
}

#[test]
fn the_text_of_a_secret_in_the_template_is_never_repeated() {
    let env = TestEnvironment::new();
    let secret = json!({ "username": "app", "password": "s3cr3t,P4ss\"w" }).to_string();
    for part in ["s3cr3t", "P4ss", "bytes, not shown) bytes"] {
        env.keep_secret(part);
    }
    for text in [secret.as_str(), "user:s3cr3t P4ss@host"] {
        let map = |map: Value| json!({ "PluginsMap": map });
        let mut all = vec![
            map(json!(text)),
            map(json!({ text: "1.7" })),
            map(json!({ "hstore": text })),
            map(json!({ "hstore": [text] })),
            map(json!({ "hstore": { text: "1.7" } })),
            map(json!({ "hstore": format!("1.*{text}") })),
            map(json!({ "hstore": { "Schema": format!("pg_{text}") } })),
            map(json!({ "housed": { "Schema": &text[..20] } })),
            map(json!({ text: { text: 1, "Schema": text } })),
            map(json!({ text: 1 })),
            map(json!({ text: "*" })),
            json!({ "PluginsMap": {}, text: text }),
            json!({ "PluginsMap": {}, "Databases": [text] }),
            json!({ "PluginsMap": {}, "Databases": [env.database.name, text] }),
        ];
        let names = ["DBSecret", "PluginsFrom", "Databases", "Host", "Port", "Username", "SslMode"];
        let others =
            ["SslRootCert", "RemovalPolicy", "DowngradePolicy", "Authentication", "DryRun"];
        for name in names.into_iter().chain(others) {
            all.push(json!({ "PluginsMap": {}, name: text }));
        }
        for properties in all {
            let response = env.deliver_once(&env.event("Create", &properties));
            assert_eq!(response.status, "FAILED", "{properties}: {response:#?}");
            let mut properties = properties;
            if properties["RemovalPolicy"].is_null() {
                properties["RemovalPolicy"] = json!("Drop");
            }
            env.deliver_once(&env.event_about("Delete", "Extensions-01234567", &properties));
        }
        let mut event = env.event("Create", &json!({ "PluginsMap": {} }));
        event["RequestType"] = json!(text);
        env.deliver(&event).failed(&["RequestType"]);
    }
}

#[test]
fn a_secret_whose_parts_cannot_be_right() {
    let env = TestEnvironment::new();
    let secret = env.secret_of("postgres", "a password");
    for (key, value, words) in [
        ("host", json!("user@localhost"), &["the secret's `host`", "`Host`"][..]),
        ("host", json!("localhost\n"), &["the secret's `host`"]),
        ("username", json!("app\r\n"), &["the secret's `username`", "control characters"]),
        ("dbname", json!("app\u{0b}"), &["the secret's `dbname`", "control characters"]),
        ("port", json!("54320000"), &["the secret's `port`", "65535"]),
        ("password", json!(12_345_678), &["`password` is a number", "quotes"]),
    ] {
        let mut secret = secret.clone();
        secret[key] = value;
        env.secrets.put(SECRET, "AWSCURRENT", secret.to_string());
        refused(&env, &json!({ "hstore": "" }), words);
    }
}

#[test]
fn scalars_are_strings_and_native() {
    let env = TestEnvironment::new();
    let port = server().port;
    for properties in [
        json!({ "Port": port, "ServiceTimeout": 900, "DryRun": false, "Trigger": 7 }),
        json!({ "Port": port.to_string(), "ServiceTimeout": "900", "DryRun": "FALSE" }),
        json!({ "DryRun": "false", "Trigger": { "at": ["once"] }, "Databases": env.database.name }),
        json!({ "Databases": [env.database.name], "SslMode": "verify-full" }),
    ] {
        let mut properties = properties;
        properties["PluginsMap"] = json!({ "hstore": "1.7" });
        env.create_with(&properties).succeeded();
    }
}

#[test]
fn a_move_needs_the_objects_of_an_extension() {
    let env = TestEnvironment::new();
    let role = env.database.role("of a mover", "");
    env.credentials(&role, "of a mover");
    env.database.query(&format!(
        "GRANT CREATE ON DATABASE {} TO {role}; GRANT CREATE ON SCHEMA public TO {role}",
        env.database.name
    ));
    // The objects of a trusted extension belong to the superuser of the cluster.
    let map =
        |schema: &str| json!({ "hstore": { "Schema": schema }, "humble": { "Schema": schema } });
    let created = env.create(&map("public")).succeeded();
    let words = ["`hstore` can only be moved by a superuser: its objects belong to `postgres`"];
    let refused = env.update(&created, &map("other")).failed(&words);
    assert!(!refused.reason.contains("`humble`"), "{}", refused.reason);
    env.update(&created, &json!({ "humble": { "Schema": "other" } })).succeeded();
    env.credentials(&server().user, &server().password);
    env.update(&created, &map("other")).succeeded();
}
