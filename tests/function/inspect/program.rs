//! `make inspect`.

#![expect(clippy::expect_used, reason = "a broken test environment is a failed test")]

use std::path::Path;
use std::process::{Command, Output};

use crate::support::database::server;
use crate::support::test_environment::TestEnvironment;
use serde_json::{Value, json};

/// `make inspect`, for the test environment's database, with an event and a format.
fn run(env: &TestEnvironment, event: Option<&Value>, format: &str) -> Output {
    let server = server();
    let function = Path::new(env!("CARGO_BIN_EXE_cfn-postgres-extensions"));
    let mut command = Command::new(function.with_file_name("examples/inspect"));
    if let Some(event) = event {
        let path = Path::new(&server.ca).with_file_name(format!("inspect-{}", env.database.name));
        std::fs::write(&path, event.to_string()).expect("a file");
        command.arg(path);
    }
    command
        .env("PGHOST", &server.host)
        .env("PGPORT", server.port.to_string())
        .env("PGUSER", &server.user)
        .env("PGPASSWORD", &server.password)
        .env("PGDATABASE", &env.database.name)
        .env("PGSSLROOTCERT", &server.ca)
        .env("FORMAT", format)
        .output()
        .expect("the program")
}

/// What it prints, where it exits with this code.
#[track_caller]
fn text(output: &Output, code: i32) -> String {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{text}{errors}");
    for told in [&text, errors.as_ref()] {
        assert!(!told.contains(&server().password), "{told}");
    }
    text
}

/// The `PluginsMap` that it prints, as JSON.
fn plugins_map(text: &str) -> Value {
    let (_, map) = text.split_once("\nPluginsMap:\n").expect("a map");
    let map = map.lines().map(str::trim).collect::<Vec<_>>().join(", ").replace('\'', "\"");
    let map = map.replace("{Version:", "{\"Version\":").replace(", Schema:", ", \"Schema\":");
    serde_json::from_str(&format!("{{{map}}}")).expect("a map of strings")
}

#[test]
fn the_extensions_for_a_person() {
    let env = TestEnvironment::new();
    env.database.query(
        "CREATE SCHEMA ext; CREATE EXTENSION hstore VERSION '1.4' SCHEMA ext;
         CREATE EXTENSION \"uuid-ossp\"",
    );
    let printed = text(&run(&env, None, ""), 0);
    let row = |name: &str| {
        let line = printed.lines().find(|line| line.starts_with(name));
        let line = line.unwrap_or_else(|| panic!("{name}: {printed}"));
        line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect::<Vec<_>>()
    };
    assert_eq!(row("Name "), ["Name", "Installed", "Default", "Schema", "Owner", "CreatedBy"]);
    let update = format!("{} (update)", env.default_version("hstore"));
    assert_eq!(row("hstore "), ["hstore", "1.4", &update, "ext", &server().user, "-"]);
    let server_line = format!("server {}:{}", server().host, server().port);
    assert!(printed.contains(&server_line), "{printed}");
    assert!(printed.contains(&format!("\ndatabase {}\n", env.database.name)), "{printed}");
    // What it prints can be pasted, and nothing is to do then.
    let map = plugins_map(&printed);
    let uuid = env.default_version("uuid-ossp");
    assert_eq!(map, json!({ "hstore": { "Version": "1.4", "Schema": "ext" }, "uuid-ossp": uuid }));
    env.create(&map).succeeded();
    let event = env.event("Create", &json!({ "PluginsMap": map }));
    text(&run(&env, Some(&event), ""), 0);
}

#[test]
fn what_differs_for_a_person_and_for_a_pipeline() {
    let env = TestEnvironment::new();
    env.database.query("CREATE EXTENSION hstore VERSION '1.4'");
    let event = env.event("Update", &json!({ "PluginsMap": { "hstore": "1.7", "cube": "" } }));
    let printed = text(&run(&env, Some(&event), ""), 1);
    for part in [
        "other version",
        "missing",
        "\nan Update would run:\n",
        "\n  ALTER EXTENSION \"hstore\" UPDATE TO '1.7';\n",
        "\n  CREATE EXTENSION \"cube\" ",
        "\nPluginsMap:\n  'hstore': '1.4'\n",
    ] {
        assert!(printed.contains(part), "{part}: {printed}");
    }
    assert_eq!(env.database.installed(), "hstore 1.4", "and nothing was done");
    let printed = text(&run(&env, Some(&event), "json"), 1);
    let result: Value = serde_json::from_str(&printed).expect("JSON");
    let mut of_function = env.inspect(&event["ResourceProperties"]);
    of_function["Server"].as_object_mut().expect("a server").remove("DBInstanceIdentifier");
    assert_eq!(result, of_function, "the same as the function's");
    let refused = env.event("Update", &json!({ "PluginsMap": { "hstoer": "" } }));
    let printed = text(&run(&env, Some(&refused), ""), 1);
    assert!(printed.contains("an Update would be refused: `hstoer`"), "{printed}");
}

#[test]
fn without_a_host_the_secret_of_the_event_tells() {
    let env = TestEnvironment::new();
    let event = env.event("Update", &json!({ "PluginsMap": { "hstore": "" } }));
    let path = Path::new(&server().ca).with_file_name(format!("secret-{}", env.database.name));
    std::fs::write(&path, event.to_string()).expect("a file");
    let function = Path::new(env!("CARGO_BIN_EXE_cfn-postgres-extensions"));
    let output = Command::new(function.with_file_name("examples/inspect"))
        .arg(path)
        .env_remove("PGHOST")
        .env("PGSSLROOTCERT", &server().ca)
        .env("AWS_ENDPOINT_URL_SECRETS_MANAGER", env.secrets.url())
        .env("AWS_REGION", "eu-west-1")
        .env("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
        .env("AWS_SECRET_ACCESS_KEY", "example")
        .output()
        .expect("the program");
    let printed = text(&output, 1);
    assert!(printed.contains(&format!("\ndatabase {}\n", env.database.name)), "{printed}");
    assert!(printed.contains("missing"), "{printed}");
}

#[test]
fn what_cannot_be_read_is_said() {
    let env = TestEnvironment::new();
    let wrong = env.event("Update", &json!({ "PluginMap": {} }));
    let output = run(&env, Some(&wrong), "");
    assert_eq!(text(&output, 2), "");
    assert!(String::from_utf8_lossy(&output.stderr).contains("`PluginsMap`"));
    let nowhere = env.event("Update", &json!({ "Databases": "nowhere" }));
    let printed = text(&run(&env, Some(&nowhere), ""), 1);
    assert!(printed.contains("could not be read: "), "{printed}");
    let function = Path::new(env!("CARGO_BIN_EXE_cfn-postgres-extensions"));
    let mut command = Command::new(function.with_file_name("examples/inspect"));
    let output = command.env_remove("PGHOST").output().expect("the program");
    assert_eq!(text(&output, 2), "");
    assert!(String::from_utf8_lossy(&output.stderr).contains("usage"));
}
