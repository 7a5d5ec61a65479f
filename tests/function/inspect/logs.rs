//! Lines of the log that can be joined, and the metrics among them.

#![expect(clippy::expect_used, reason = "a broken test environment is a failed test")]

use crate::support::databases::{names, with_others};
use crate::support::response::{lines, metrics};
use crate::support::test_environment::{LOGICAL_ID, TestEnvironment};
use serde_json::{Value, json};

/// The rows of the table in `docs/metrics.md`: name, unit, requests.
fn documented() -> Vec<[String; 3]> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md");
    let text = std::fs::read_to_string(path).expect("the documentation");
    let (_, table) = text.split_once("## Metrics").expect("a section");
    let rows = table.lines().filter(|line| line.starts_with("| `"));
    let cell = |row: &str, at: usize| row.split('|').nth(at).unwrap_or_default().trim().to_owned();
    rows.map(|row| [cell(row, 1).replace('`', ""), cell(row, 2), cell(row, 3)]).collect()
}

/// The value of each metric, by name; checks the format against its specification, and the metrics
/// against the documentation.
fn values(line: &Value, kind: &str) -> Value {
    let of = &line["_aws"]["CloudWatchMetrics"];
    assert_eq!(of.as_array().map(Vec::len), Some(1), "{line:#}");
    assert_eq!(of[0]["Namespace"], "PostgresExtensions");
    assert_eq!(of[0]["Dimensions"], json!([["FunctionName"]]));
    assert_eq!(line["FunctionName"], "postgres-extensions", "each dimension is a member");
    assert!(line["_aws"]["Timestamp"].as_u64() > Some(1_700_000_000_000), "milliseconds: {line:#}");
    let metrics = of[0]["Metrics"].as_array().expect("a list");
    let documented =
        documented().into_iter().filter(|it| it[2] == "every request" || it[2] == kind);
    let documented: Value =
        documented.map(|[name, unit, _]| json!({ "Name": name, "Unit": unit })).collect();
    assert_eq!(of[0]["Metrics"], documented);
    let value = |metric: &Value| {
        let name = metric["Name"].as_str().expect("a name");
        assert!(line[name].is_u64(), "each metric is a member: {name} in {line:#}");
        (name.to_owned(), line[name].clone())
    };
    let mut values: Value = metrics.iter().map(value).collect();
    values.as_object_mut().expect("metrics").remove("Duration");
    values
}

#[test]
fn every_metric_has_the_right_number() {
    let (env, others) = with_others(2);
    let all = names(&env, &others);
    let of = |kind: &str, properties: Value| {
        let event = env.event(kind, &properties);
        values(env.direct(&event).metrics(), "")
    };
    let numbers = |succeeded: u8, changed: u8, databases: u8| {
        json!({ "Succeeded": succeeded, "Failed": 1 - succeeded, "Changed": changed,
                "Databases": databases })
    };
    let map = |map: Value| json!({ "PluginsMap": map, "Databases": all, "RemovalPolicy": "Drop" });
    let wanted = map(json!({ "hstore": "1.4", "earthdistance": "" }));
    let mut dry_run = wanted.clone();
    dry_run["DryRun"] = json!(true);
    assert_eq!(of("Create", dry_run), numbers(1, 0, 3), "nothing is changed");
    assert_eq!(of("Create", wanted.clone()), numbers(1, 9, 3), "with the requirement");
    assert_eq!(of("Create", wanted.clone()), numbers(1, 0, 3), "the second time");
    assert_eq!(of("Update", map(json!({ "hstore": "9.9" }))), numbers(0, 0, 3));
    assert_eq!(of("Create", json!({ "PluginMap": {} })), numbers(0, 0, 0));
    assert_eq!(of("Explode", json!({})), numbers(0, 0, 0));
    // Some databases are changed before one fails.
    others[1].query(
        "CREATE FUNCTION f() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN
           RAISE 'not here'; END $$;
         CREATE EVENT TRIGGER t ON ddl_command_start WHEN TAG IN ('ALTER EXTENSION')
           EXECUTE FUNCTION f()",
    );
    let partly = of("Create", map(json!({ "hstore": "1.5", "earthdistance": "" })));
    assert_eq!((&partly["Failed"], &partly["Databases"]), (&json!(1), &json!(3)));
    let updated = |name: &&&str| {
        let session = env.database.server.connect(name);
        session.value("SELECT extversion FROM pg_extension WHERE extname = 'hstore'") == "1.5"
    };
    assert_eq!(partly["Changed"], all.iter().filter(updated).count());
    others[1].query("DROP EVENT TRIGGER t");
    assert_eq!(of("Delete", wanted), numbers(1, 9, 3));
}

#[test]
fn an_inspect_has_two_more_metrics() {
    let (env, others) = with_others(1);
    env.database
        .query("CREATE EXTENSION hstore VERSION '1.4'; CREATE EXTENSION citext VERSION '1.4'");
    others[0].query("CREATE EXTENSION hstore VERSION '1.7'");
    let properties =
        json!({ "Databases": names(&env, &others), "PluginsMap": { "hstore": "1.7" } });
    let inspect = env.direct(&env.event("Inspect", &properties));
    let updates = 2 + usize::from(env.default_version("hstore") != "1.7");
    let numbers = json!({ "Succeeded": 1, "Failed": 0, "Changed": 0, "Databases": 2, "Drift": 1,
                          "UpdatesAvailable": updates });
    assert_eq!(values(inspect.metrics(), "`Inspect`"), numbers);
    let failed = env.direct(&env.event("Inspect", &json!({ "PluginMap": {} })));
    failed.failed("Failed", &["unknown property"]);
    let numbers = json!({ "Succeeded": 0, "Failed": 1, "Changed": 0, "Databases": 0 });
    assert_eq!(values(failed.metrics(), ""), numbers);
}

#[test]
fn every_line_says_which_request_it_is_of() {
    let (env, others) = with_others(1);
    let event = env.event(
        "Create",
        &json!({ "PluginsMap": { "hstore": "1.7" }, "Databases": names(&env, &others) }),
    );
    let mut ids = Vec::new();
    for _ in 0..2 {
        let before = env.function.output().len();
        env.deliver_once(&event).succeeded();
        let lines = lines(&env.function.output()[before..]);
        metrics(&lines);
        let id = lines[0]["requestId"].as_str().expect("Lambda's id").to_owned();
        for line in &lines {
            assert_eq!(line["requestId"], *id, "{line:#}");
            assert_eq!(line["stackId"], event["StackId"], "{line:#}");
            assert_eq!(line["logicalResourceId"], LOGICAL_ID, "{line:#}");
            assert!(line["timestamp"].is_string() && line["level"].is_string(), "{line:#}");
        }
        for database in names(&env, &others) {
            let of = |message: &str| {
                lines
                    .iter()
                    .filter(|it| it["message"].as_str().is_some_and(|it| it.starts_with(message)))
                    .any(|line| line["database"] == database)
            };
            assert!(of("BEFORE: ") && of("AFTER: "), "{database}: {lines:#?}");
        }
        assert!(lines.iter().any(|line| line["database"].is_null()), "not all is of a database");
        ids.push(id);
    }
    assert_ne!(ids[0], ids[1], "each invocation has its own");
    // What is not known is left out, and nothing of the request before is left.
    let direct =
        json!({ "RequestType": "Create", "ResourceProperties": event["ResourceProperties"] });
    for line in env.direct(&direct).lines {
        assert!(line["requestId"].is_string(), "{line:#}");
        assert!(line["stackId"].is_null() && line["logicalResourceId"].is_null(), "{line:#}");
    }
}

#[test]
fn lines_of_a_failure_say_it_too() {
    let env = TestEnvironment::new();
    let event = env.event("Create", &json!({ "PluginsMap": { "hstore": "9.9" } }));
    let failed = env.direct(&event);
    failed.failed("Failed", &["9.9"]);
    let errors: Vec<&Value> = failed.lines.iter().filter(|it| it["level"] == "ERROR").collect();
    assert_eq!(errors.len(), 1, "a failure is logged once: {:#?}", failed.lines);
    assert_eq!(errors[0]["stackId"], event["StackId"]);
}

#[test]
fn an_inspect_logs_what_each_database_has() {
    let (env, others) = with_others(1);
    let default = env.default_version("hstore");
    env.database.query("CREATE EXTENSION hstore VERSION '1.4'");
    let properties = json!({
        "Databases": names(&env, &others),
        "PluginsMap": { "hstore": "1.7", "citext": "any", "pgvector": "any" },
    });
    let of = |properties: &Value, database: &str| {
        let lines = env.direct(&env.event("Inspect", properties)).lines;
        let is_of = |line: &&Value| {
            line["database"] == database
                && line["message"].as_str().is_some_and(|it| it.starts_with("INSPECTED: "))
        };
        let mut found = lines.iter().filter(is_of);
        let line = found.next().expect("a line").clone();
        assert!(found.next().is_none(), "one for each database: {lines:#?}");
        line
    };
    let line = of(&properties, &env.database.name);
    let message = line["message"].as_str().expect("a text");
    assert!(message.starts_with("INSPECTED: problem: `pgvector`: "), "{message}");
    let hstore = format!("hstore 1.4 (other version, wanted 1.7, {default} is available)");
    assert!(
        message.ends_with(&format!("citext (missing, wanted any), {hstore}, plpgsql 1.0")),
        "{message}"
    );
    assert_eq!([&line["drift"], &line["unread"], &line["updatesAvailable"]], [1, 0, 1]);
    assert!(line["server"].is_string(), "{line:#}");
    let line = of(&json!({ "Databases": names(&env, &others) }), &others[0].name);
    assert_eq!(line["message"], "INSPECTED: plpgsql 1.0");
    assert_eq!([&line["drift"], &line["unread"], &line["updatesAvailable"]], [0, 0, 0]);
    let line = of(&json!({ "Databases": [env.database.name, "nowhere"] }), "nowhere");
    assert!(line["message"].as_str().is_some_and(|it| it.contains("not read: ")), "{line:#}");
    assert_eq!(line["unread"], 1);
}
