//! What is refused before anything changes, and what the message says. Every event is sent twice.

use std::path::Path;

use crate::support::answer::Answer;
use crate::support::cluster::Cluster;
use crate::support::database::server;
use crate::support::stage::Stage;
use crate::support::trouble::Trouble;
use serde_json::{Value, json};

/// Creates with this map, and expects a failure that left nothing behind.
#[track_caller]
fn refused(stage: &Stage, map: &Value, words: &[&str]) -> Answer {
    refused_with(stage, &json!({ "PluginsMap": map }), words)
}

/// The same with these properties.
#[track_caller]
fn refused_with(stage: &Stage, properties: &Value, words: &[&str]) -> Answer {
    let before = stage.database.installed();
    let answer = stage.create_with(properties).failed(words);
    assert_eq!(answer.id, "Extensions-create-failed");
    assert_eq!(stage.database.installed(), before);
    answer
}

#[test]
fn an_unknown_extension_with_a_suggestion() {
    let stage = Stage::new();
    for (wrong, right) in [
        ("pgvector", "`vector`"),
        ("uuid_ossp", "`uuid-ossp`"),
        ("h-store", "`hstore`"),
        ("earthdistence", "`earthdistance`"),
        ("pg_crypto", "`pgcrypto`"),
    ] {
        refused(&stage, &json!({ wrong: "" }), &[wrong, "did you mean", right]);
    }
    if stage.postgis().is_some() {
        refused(&stage, &json!({ "postgi": "3.4.3" }), &["postgi", "did you mean", "`postgis`"]);
        refused(&stage, &json!({ "postgis-raster": "" }), &["`postgis_raster`"]);
    }
    let answer = refused(&stage, &json!({ "quite_something_else": "" }), &["quite_something_else"]);
    assert!(!answer.reason.contains("did you mean"), "{}", answer.reason);
}

#[test]
fn a_version_that_is_not_offered_with_those_that_are() {
    let stage = Stage::new();
    refused(&stage, &json!({ "hstore": "9.9" }), &["hstore", "9.9", "1.4", "1.7"]);
    refused(&stage, &json!({ "hstore": "9.*" }), &["hstore", "9.*", "1.7"]);
    for (wrong, right) in [("LATEST", "`latest`"), ("Any", "`any`"), ("1.x", "`1.*`")] {
        let words = ["hstore", wrong, "1.7", "did you mean", right];
        refused(&stage, &json!({ "hstore": wrong }), &words);
    }
    let words = ["`hstore-3`", "has no script", "`1.8`", "did you mean `hstore`?"];
    refused(&stage, &json!({ "hstore-3": "" }), &words);
    refused(&stage, &json!({ "unsaid": "" }), &["`unsaid`", "no default version", "`0.9`"]);
    stage.database.query("CREATE EXTENSION hstore VERSION '1.4'");
    refused(&stage, &json!({ "hstore": "9.9" }), &["hstore", "9.9", "1.7"]);
}

#[test]
fn a_library_that_is_no_extension() {
    let stage = Stage::new();
    let words = ["`auto_explain`", "a library", "`shared_preload_libraries`"];
    refused(&stage, &json!({ "auto_explain": "" }), &words);
    refused(&stage, &json!({ "wal2json": "" }), &["`wal2json`", "replication slot"]);
}

#[test]
fn an_update_that_cannot_be_in_a_transaction() {
    let stage = Stage::new();
    stage.create(&json!({ "timescaledb": "2.14.0" })).succeeded();
    let name = &stage.database.name;
    let command =
        format!("psql -X -d {name} -c \"ALTER EXTENSION timescaledb UPDATE TO '2.15.0'\"");
    refused(&stage, &json!({ "timescaledb": "2.15.0" }), &[&command]);
    stage.create(&json!({ "timescaledb": "any" })).succeeded();
}

#[test]
fn what_a_script_meets_is_no_other_transaction() {
    let stage = Stage::new();
    stage.database.query("CREATE TYPE public.ltree AS (x int)");
    let words = ["`CREATE EXTENSION \"ltree\"", "42710", "type \"ltree\" already exists"];
    let first = refused(&stage, &json!({ "ltree": "" }), &words);
    let statement = "RAISE EXCEPTION 'twice' USING ERRCODE = '23505'";
    stage.refuse("hstore", statement);
    let words = ["`CREATE EXTENSION \"hstore\"", "23505", "twice"];
    let second = refused(&stage, &json!({ "hstore": "" }), &words);
    for answer in [first, second] {
        assert!(!answer.reason.contains("another transaction"), "{}", answer.reason);
        let tries = answer.log.iter().filter(|line| line.contains("trying again")).count();
        assert_eq!(tries, 0, "{:?}", answer.log);
    }
}

#[test]
fn an_event_trigger_that_does_not_name_its_schema() {
    let stage = Stage::new();
    stage.database.query("CREATE TABLE public.audit (what text)");
    stage.refuse("hstore", "INSERT INTO audit VALUES ('hstore')");
    let words = [
        "42P01",
        "relation \"audit\" does not exist",
        "context: PL/pgSQL function public.refuse() line 5 at SQL statement",
    ];
    refused(&stage, &json!({ "hstore": "" }), &words);
}

#[test]
fn two_keys_for_one_extension() {
    let stage = Stage::new();
    let map = json!({ "hstore": "1.4", "HSTORE": "1.7" });
    refused(&stage, &map, &["`hstore`", "`HSTORE`", "same"]);
}

#[test]
fn a_key_that_could_be_two_extensions() {
    refused(&Stage::new(), &json!({ "tWIN": "" }), &["tWIN", "`twin`", "`Twin`"]);
}

#[test]
fn no_update_path_with_what_is_reachable() {
    let stage = Stage::new();
    stage.database.query("CREATE EXTENSION hstore VERSION '1.5'");
    let answer = refused(&stage, &json!({ "hstore": "1.4" }), &["1.5", "1.4", "1.6", "1.7"]);
    assert!(answer.reason.contains("update"), "{}", answer.reason);
    refused(&stage, &json!({ "hstore": "1.4", "citext": "" }), &["hstore", "1.4"]);
}

#[test]
fn versions_that_say_too_little() {
    let stage = Stage::new().with_map(r#"{"hstore": 1.10}"#);
    refused(&stage, &json!("MAP"), &["hstore", "quote"]);
    refused(&stage, &json!({ "hstore": 1 }), &["hstore", "quote"]);
    refused(&stage, &json!({ "hstore": { "Version": 1.7 } }), &["hstore", "quote"]);
    refused(&stage, &json!({ "hstore": "*" }), &["hstore", "any", "latest"]);
    refused(&stage, &json!({ "hstore": ["1.7"] }), &["hstore"]);
    refused(&stage, &json!({ "hstore": true }), &["hstore"]);
    assert_eq!(stage.secrets.calls(), [], "no secret was read for any of them");
}

#[test]
fn a_requirement_that_the_server_does_not_offer() {
    let stage = Stage::new();
    refused(&stage, &json!({ "needy": "1.0" }), &["needy", "requires", "no_such_extension"]);
}

#[test]
fn a_schema_that_does_not_fit() {
    let stage = Stage::new();
    let long = "ä".repeat(32);
    let schema = |schema: &str| json!({ "Version": "any", "Schema": schema });
    refused(&stage, &json!({ "housed": schema("public") }), &["housed", "housed_home", "public"]);
    refused(&stage, &json!({ "hstore": schema(&long) }), &["hstore", "64", "63"]);
    refused(&stage, &json!({ "hstore": schema("pg_mine") }), &["hstore", "pg_"]);
    stage.database.query("CREATE EXTENSION fixed SCHEMA public");
    refused(&stage, &json!({ "fixed": schema("other") }), &["fixed", "public", "other"]);
    let schemas = "SELECT count(*) FROM pg_namespace WHERE nspname IN ('other', 'housed_home')";
    assert_eq!(stage.database.value(schemas), "0", "no schema stays behind");
}

#[test]
fn not_trusted_and_not_a_superuser() {
    let stage = Stage::new();
    let role = stage.database.role("plain password", "");
    stage.credentials(&role, "plain password");
    refused(&stage, &json!({ "plain": "" }), &["`plain_home`", &role, "CREATE ON DATABASE"]);
    refused(&stage, &json!({ "pageinspect": "" }), &["pageinspect", "superuser", &role]);
    refused(&stage, &json!({ "hstore": "" }), &["hstore", &role, "CREATE ON DATABASE"]);
    let database = &stage.database.name;
    stage.database.query(&format!("GRANT CREATE ON DATABASE {database} TO {role}"));
    stage.create(&json!({ "hstore": "1.4" })).succeeded();
    stage.create(&json!({ "hstore": "1.7" })).succeeded();
    stage.database.query("CREATE EXTENSION citext VERSION '1.5'");
    refused(&stage, &json!({ "citext": "1.6" }), &["citext", &role, "own"]);
    assert_eq!(stage.database.installed(), "citext 1.5, hstore 1.7");
}

#[test]
fn a_read_only_server() {
    let mut cluster = Cluster::start(&["wal_level=replica"]);
    let trouble = Trouble::at(&cluster, 60);
    trouble.create().succeeded();
    let data = Path::new(&cluster.server.ca).with_file_name("data");
    cluster.kill();
    std::fs::write(data.join("standby.signal"), "").expect("a file");
    cluster.begin_to_restart();
    trouble.proxy.lead_to(cluster.server.port);
    let reader = cluster.server.connect("postgres");
    assert_eq!(reader.value("SELECT pg_is_in_recovery()"), "t");
    let answer = trouble.deliver(&trouble.event("Create", &json!({ "citext": "" })));
    answer.failed(&["read-only", "25006", "writer"]);
    assert_eq!(trouble.create().succeeded().data("Changed"), "false");
}

#[test]
fn a_database_that_is_read_only_unless_one_says_otherwise() {
    let stage = Stage::new();
    stage.database.query("CREATE EXTENSION hstore VERSION '1.7'");
    stage.database.set("default_transaction_read_only", "on");
    refused(&stage, &json!({ "citext": "" }), &["read-only", "25006", "writer"]);
    stage.create(&json!({ "hstore": "1.7" })).succeeded();
}

#[test]
fn a_library_that_is_not_loaded() {
    let stage = Stage::new();
    let libraries = "shared_preload_libraries";
    let answer = refused(&stage, &json!({ "pglogical": "" }), &["pglogical", libraries, "restart"]);
    assert!(!answer.reason.contains("parameter group"), "this is not RDS: {}", answer.reason);
    refused(&stage, &json!({ "pg_cron": "", "hstore": "" }), &["pg_cron", libraries]);
}

#[test]
fn what_the_parameter_group_allows() {
    let stage = Stage::new();
    stage.database.set("\"rds.allowed_extensions\"", "hstore, citext");
    refused(&stage, &json!({ "pg_trgm": "" }), &["pg_trgm", "rds.allowed_extensions"]);
    let map = json!({ "earthdistance": "", "hstore": "" });
    refused(&stage, &map, &["earthdistance", "cube", "rds.allowed_extensions"]);
    stage.create(&json!({ "hstore": "", "citext": "" })).succeeded();
    stage.database.set("\"rds.allowed_extensions\"", "*");
    stage.create(&json!({ "pg_trgm": "" })).succeeded();
}

#[test]
fn all_problems_at_once() {
    let stage = Stage::new();
    stage.database.query("CREATE EXTENSION citext VERSION '1.6'; CREATE EXTENSION fixed");
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
    refused(&stage, &map, &words);
}

#[test]
fn all_wrong_properties_at_once() {
    let stage = Stage::new();
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
    refused_with(&stage, &properties, &words);
    assert_eq!(stage.secrets.calls(), [], "no secret was read");
}

#[test]
fn properties_one_by_one() {
    let stage = Stage::new();
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
        refused_with(&stage, &usual(name, value), words);
    }
}

#[test]
fn a_secret_s_text_in_the_template_is_told_to_nobody() {
    let stage = Stage::new();
    let secret = json!({ "username": "app", "password": "s3cr3t,P4ss\"w" }).to_string();
    for part in ["s3cr3t", "P4ss", "bytes, not shown) bytes"] {
        stage.plant(part);
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
            json!({ "PluginsMap": {}, "Databases": [stage.database.name, text] }),
        ];
        let names = ["DBSecret", "PluginsFrom", "Databases", "Host", "Port", "Username", "SslMode"];
        let others =
            ["SslRootCert", "RemovalPolicy", "DowngradePolicy", "Authentication", "DryRun"];
        for name in names.into_iter().chain(others) {
            all.push(json!({ "PluginsMap": {}, name: text }));
        }
        for properties in all {
            let answer = stage.deliver_once(&stage.event("Create", &properties));
            assert_eq!(answer.status, "FAILED", "{properties}: {answer:#?}");
            let mut properties = properties;
            if properties["RemovalPolicy"].is_null() {
                properties["RemovalPolicy"] = json!("Drop");
            }
            stage.deliver_once(&stage.event_about("Delete", "Extensions-01234567", &properties));
        }
        let mut event = stage.event("Create", &json!({ "PluginsMap": {} }));
        event["RequestType"] = json!(text);
        stage.deliver(&event).failed(&["RequestType"]);
    }
}

#[test]
fn a_secret_whose_parts_cannot_be_right() {
    let stage = Stage::new();
    let secret = stage.secret_of("postgres", "a password");
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
        stage.secrets.put(crate::support::stage::SECRET, "AWSCURRENT", secret.to_string());
        refused(&stage, &json!({ "hstore": "" }), words);
    }
}

#[test]
fn scalars_are_strings_and_native() {
    let stage = Stage::new();
    let port = server().port;
    for properties in [
        json!({ "Port": port, "ServiceTimeout": 900, "DryRun": false, "Trigger": 7 }),
        json!({ "Port": port.to_string(), "ServiceTimeout": "900", "DryRun": "FALSE" }),
        json!({ "DryRun": "false", "Trigger": { "at": ["once"] }, "Databases": stage.database.name }),
        json!({ "Databases": [stage.database.name], "SslMode": "verify-full" }),
    ] {
        let mut properties = properties;
        properties["PluginsMap"] = json!({ "hstore": "1.7" });
        stage.create_with(&properties).succeeded();
    }
}

#[test]
fn a_move_needs_the_objects_of_an_extension() {
    let stage = Stage::new();
    let role = stage.database.role("of a mover", "");
    stage.credentials(&role, "of a mover");
    stage.database.query(&format!(
        "GRANT CREATE ON DATABASE {} TO {role}; GRANT CREATE ON SCHEMA public TO {role}",
        stage.database.name
    ));
    // The objects of a trusted extension belong to the superuser of the cluster.
    let map =
        |schema: &str| json!({ "hstore": { "Schema": schema }, "humble": { "Schema": schema } });
    let created = stage.create(&map("public")).succeeded();
    let words = ["`hstore` can only be moved by a superuser: its objects belong to `postgres`"];
    let refused = stage.update(&created, &map("other")).failed(&words);
    assert!(!refused.reason.contains("`humble`"), "{}", refused.reason);
    stage.update(&created, &json!({ "humble": { "Schema": "other" } })).succeeded();
    stage.credentials(&server().user, &server().password);
    stage.update(&created, &map("other")).succeeded();
}
