//! An Inspect beside a `PluginsMap`: what differs, and which statements would correct it.

#![expect(clippy::expect_used, reason = "a broken test environment is a failed test")]

use crate::support::database::Database;
use crate::support::resource::Resource;
use crate::support::response::Response;
use crate::support::test_environment::TestEnvironment;
use serde_json::{Value, json};

/// The extension of that name in a result's only database.
fn extension<'a>(result: &'a Value, name: &str) -> &'a Value {
    let extensions = result["Databases"][0]["Extensions"].as_array().expect("a list");
    extensions.iter().find(|it| it["Name"] == name).unwrap_or_else(|| panic!("{name}: {result:#}"))
}

/// Name, wanted version and state of every extension of a result's only database.
fn states(result: &Value) -> Vec<String> {
    let extensions = result["Databases"][0]["Extensions"].as_array().expect("a list");
    let text = |it: &Value, key: &str| it[key].as_str().unwrap_or("-").to_owned();
    let state = |it| format!("{} {}: {}", text(it, "Name"), text(it, "Wanted"), text(it, "State"));
    extensions.iter().map(state).collect()
}

#[test]
fn every_state() {
    let env = TestEnvironment::new();
    env.database.query(
        "CREATE SCHEMA ext; CREATE EXTENSION hstore VERSION '1.4'; CREATE EXTENSION citext;
         CREATE EXTENSION pgcrypto SCHEMA ext; CREATE EXTENSION unaccent;
         CREATE EXTENSION pg_trgm VERSION '1.3' SCHEMA ext; CREATE EXTENSION ltree",
    );
    let map = json!({
        "hstore": "1.7", "CITEXT": "latest", "pgcrypto": { "Schema": "public" }, "cube": "1.*",
        "unaccent": "absent", "vector": "absent", "no_such_extension": "absent",
        "pg_trgm": { "Version": "1.4", "Schema": "public" },
    });
    let result = env.inspect(&json!({ "PluginsMap": map }));
    assert_eq!(
        states(&result),
        [
            "citext latest: as wanted",
            "cube 1.*: missing",
            "hstore 1.7: other version",
            "ltree -: not listed",
            "pg_trgm 1.4: other version",
            "pgcrypto any: other schema",
            "plpgsql -: not listed",
            "unaccent absent: unwanted",
        ]
    );
    let database = &result["Databases"][0];
    assert_eq!((&database["Drift"], &database["Problems"]), (&json!(true), &json!([])));
    let cube = extension(&result, "cube");
    assert_eq!(
        (&cube["Installed"], &cube["Schema"], &cube["Owner"]),
        (&Value::Null, &Value::Null, &Value::Null)
    );
    assert_eq!(cube["Default"], env.default_version("cube"));
    let actions = |action: &str| {
        let plan = database["Plan"].as_array().expect("a list");
        let of: Vec<_> = plan.iter().filter(|it| it["Action"] == action).collect();
        of.iter().map(|it| json!([it["Extension"], it["From"], it["To"]])).collect::<Value>()
    };
    assert_eq!(actions("create"), json!([["cube", null, env.default_version("cube")]]));
    assert_eq!(actions("update"), json!([["hstore", "1.4", "1.7"], ["pg_trgm", "1.3", "1.4"]]));
    assert_eq!(actions("move"), json!([["pg_trgm", null, "public"], ["pgcrypto", null, "public"]]));
    assert_eq!(actions("drop"), json!([["unaccent", env.default_version("unaccent"), null]]));
    env.create(&map).succeeded();
    let result = env.inspect(&json!({ "PluginsMap": map }));
    assert_eq!(result["Databases"][0]["Drift"], false, "{result:#}");
    assert_eq!(result["Databases"][0]["Plan"], json!([]));
    assert_eq!(result["Summary"]["Drift"], 0);
}

#[test]
fn what_the_map_does_not_name_follows_the_star() {
    let env = TestEnvironment::new();
    env.database
        .query("CREATE EXTENSION hstore VERSION '1.4'; CREATE EXTENSION citext VERSION '1.4'");
    let inspect = |map: Value| env.inspect(&json!({ "PluginsMap": map }));
    let all = ["citext -: as wanted", "hstore -: as wanted", "plpgsql -: as wanted"];
    assert_eq!(states(&inspect(json!({ "*": "any" }))), all);
    let result = inspect(json!({ "*": "latest", "citext": "1.5" }));
    let other = ["citext 1.5: other version", "hstore -: other version", "plpgsql -: as wanted"];
    assert_eq!(states(&result), other);
    env.create(&json!({ "*": "latest" })).succeeded();
    let result = inspect(json!({ "*": "latest" }));
    assert_eq!(states(&result), all);
    assert_eq!(
        (&result["Summary"]["Drift"], &result["Summary"]["UpdatesAvailable"]),
        (&json!(0), &json!(0))
    );
}

#[test]
fn what_the_star_keeps_is_no_drift() {
    let env = TestEnvironment::new();
    env.database.query("CREATE EXTENSION timescaledb VERSION '2.14.0'");
    let result = env.inspect(&json!({ "PluginsMap": { "*": "latest" } }));
    assert_eq!(states(&result), ["plpgsql -: as wanted", "timescaledb -: as wanted"]);
    assert_eq!(extension(&result, "timescaledb")["UpdateAvailable"], true);
    assert_eq!(result["Databases"][0]["Drift"], false);
}

#[test]
fn what_is_kept_is_no_drift_and_what_is_refused_is() {
    let env = TestEnvironment::new();
    env.database.query("CREATE EXTENSION hstore VERSION '1.7'");
    let older = |policy: &str| {
        let map = json!({ "hstore": "1.4", "plpgsql": "" });
        env.inspect(&json!({ "PluginsMap": map, "DowngradePolicy": policy }))
    };
    let kept = older("Keep");
    assert_eq!(states(&kept), ["hstore 1.4: as wanted", "plpgsql any: as wanted"]);
    assert_eq!(kept["Databases"][0]["Drift"], false);
    let refused = older("Fail");
    assert_eq!(states(&refused), ["hstore 1.4: other version", "plpgsql any: as wanted"]);
    let database = &refused["Databases"][0];
    assert_eq!((&database["Drift"], &database["Plan"]), (&json!(true), &json!([])));
    let problems = database["Problems"].as_array().expect("a list");
    assert!(
        problems.len() == 1 && problems[0].to_string().contains("no update path"),
        "{problems:?}"
    );
    let several =
        env.inspect(&json!({ "PluginsMap": { "hstoer": "", "plpgsql": "absent", "cube": "9" } }));
    let problems = several["Databases"][0]["Problems"].as_array().map(Vec::len);
    assert_eq!(problems, Some(3), "all at once: {several:#}");
}

/// The `Plan` of the same request under `DryRun`.
fn dry_run(env: &TestEnvironment, event: &Value) -> Value {
    dry_run_in(env, event, &env.database.name)
}

/// The same of another database.
fn dry_run_in(env: &TestEnvironment, event: &Value, database: &str) -> Value {
    let mut event = event.clone();
    event["ResourceProperties"]["DryRun"] = json!(true);
    let response = env.invoke(&event).succeeded();
    response.document["Plan"][database].clone()
}

/// The statements that a response's log announces, each once.
fn announced(response: &Response) -> Vec<&str> {
    let of = response.log.iter().filter_map(|line| line.strip_prefix("Running "));
    of.filter_map(|line| line.strip_suffix(" ...")).collect()
}

#[test]
fn the_plan_is_what_the_update_runs() {
    let env = TestEnvironment::new();
    env.database.query(
        "CREATE SCHEMA ext; CREATE EXTENSION citext VERSION '1.4'; CREATE EXTENSION ltree;
         CREATE EXTENSION pg_trgm SCHEMA ext",
    );
    for policy in ["Retain", "Drop", "DropCascade"] {
        let mut it = Resource::new(&env, &format!("of-{policy}"), policy);
        it.create(&json!({ "hstore": "1.4", "intarray": "", "unaccent": "" })).succeeded();
        let map = json!({ "hstore": "1.7", "citext": "1.5", "earthdistance": "", "unaccent": "",
                          "pg_trgm": { "Schema": "public" } });
        let update = it.event("Update", &json!({ "PluginsMap": map }));
        let mut inspect = update.clone();
        inspect["RequestType"] = json!("Inspect");
        let result = env.direct(&inspect).succeeded();
        let plan = &result["Databases"][0]["Plan"];
        assert_eq!(*plan, dry_run(&env, &update), "{policy}");
        let statements: Vec<&str> = plan
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|it| it["Statement"].as_str())
            .collect();
        assert_eq!(
            statements.iter().any(|it| it.starts_with("DROP EXTENSION")),
            policy != "Retain"
        );
        let response = env.deliver(&update).succeeded();
        let run = announced(&response);
        assert!(!run.is_empty(), "{:?}", response.log);
        for statement in &run {
            assert!(statements.contains(statement), "{statement} is not in {statements:#?}");
        }
        let mut created = response.log.iter().filter(|line| line.starts_with("Installing plugin "));
        assert!(created.all(|line| {
            let name = line.split(' ').nth(2).unwrap_or_default();
            statements.iter().any(|it| it.starts_with(&format!("CREATE EXTENSION \"{name}\"")))
        }));
        let again = env.direct(&inspect).succeeded();
        assert_eq!(again["Databases"][0]["Drift"], false, "{again:#}");
        env.database.query(
            "DROP EXTENSION hstore, citext, earthdistance, cube, unaccent, pg_trgm;
             DROP EXTENSION IF EXISTS intarray; CREATE EXTENSION citext VERSION '1.4';
             CREATE EXTENSION pg_trgm SCHEMA ext",
        );
    }
}

#[test]
fn a_database_that_leaves_is_in_the_plan_where_the_update_changes_it() {
    let env = TestEnvironment::new();
    let other = Database::create();
    let mut it = Resource::new(&env, "a", "Drop");
    let of = |databases: Value| json!({ "PluginsMap": { "hstore": "" }, "Databases": databases });
    let [app, left] = [&env.database.name, &other.name];
    it.deliver("Create", &of(json!([app, left]))).succeeded();
    let inspect = |it: &Resource, properties: &Value| {
        let update = it.event("Update", properties);
        let mut inspect = update.clone();
        inspect["RequestType"] = json!("Inspect");
        (env.direct(&inspect).succeeded()["Databases"].clone(), update)
    };
    let actions = |plan: &Value| -> Vec<Value> {
        plan.as_array().into_iter().flatten().map(|it| it["Action"].clone()).collect()
    };
    let (databases, update) = inspect(&it, &of(json!(app)));
    assert_eq!((&databases[0]["Drift"], &databases[0]["Plan"]), (&json!(false), &json!([])));
    assert_eq!((&databases[1]["Database"], &databases[1]["Drift"]), (&json!(left), &json!(true)));
    assert_eq!(actions(&databases[1]["Plan"]), ["drop", "claims", "claims"]);
    assert_eq!(dry_run_in(&env, &update, left), databases[1]["Plan"]);
    // Only the claims leave.
    let retained =
        json!({ "PluginsMap": { "hstore": "" }, "Databases": app, "RemovalPolicy": "Retain" });
    let (databases, update) = inspect(&it, &retained);
    assert_eq!(actions(&databases[1]["Plan"]), ["claims", "claims"]);
    assert_eq!(databases[1]["Drift"], false);
    assert_eq!(dry_run_in(&env, &update, left), databases[1]["Plan"]);
    // What depends on it there refuses the Update.
    other.query("CREATE TABLE t (id int, h hstore)");
    let (databases, update) = inspect(&it, &of(json!(app)));
    let problem = databases[1]["Problems"][0].as_str().expect("a problem");
    env.deliver(&update).failed(&[left, problem]);
    // A database without anything of the resource's is not told, nor is one that is gone.
    other.query("DROP TABLE t");
    it.deliver("Update", &of(json!(app))).succeeded();
    let before = it.properties.clone();
    for databases in [json!([app, left]), json!([app, "no_such_database"])] {
        it.properties["Databases"] = databases;
        assert_eq!(inspect(&it, &of(json!(app))).0.as_array().map(Vec::len), Some(1));
    }
    it.properties = before;
}

#[test]
fn a_refused_update_is_refused_with_the_same_problems() {
    let env = TestEnvironment::new();
    env.database.query("CREATE EXTENSION hstore; CREATE TABLE t (h hstore)");
    let properties = json!({ "PluginsMap": { "hstore": "absent", "citext": "9.9", "hstoer": "" } });
    let problems = env.inspect(&properties)["Databases"][0]["Problems"].clone();
    let problems: Vec<&str> =
        problems.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    assert_eq!(problems.len(), 3, "{problems:#?}");
    env.create_with(&properties).failed(&problems);
}

#[test]
fn who_created_an_extension_is_told_where_claims_tell() {
    let env = TestEnvironment::new();
    env.database.query("CREATE EXTENSION citext");
    let map = json!({ "hstore": "1.7", "citext": "", "earthdistance": "" });
    let mut mine = Resource::new(&env, "mine", "Drop");
    mine.create(&map).succeeded();
    let created_by = |name: &str| {
        let result = env.inspect(&json!({}));
        extension(&result, name)["CreatedBy"].clone()
    };
    let event = mine.event("Update", &json!({}));
    let me =
        json!({ "StackId": event["StackId"], "LogicalResourceId": event["LogicalResourceId"] });
    for name in ["hstore", "earthdistance", "cube"] {
        assert_eq!(created_by(name), me, "{name}");
    }
    for name in ["citext", "plpgsql"] {
        assert_eq!(created_by(name), Value::Null, "{name}");
    }
    // Another resource lists it too, and inherits it.
    let mut other = Resource::new(&env, "other", "Drop");
    other.create(&json!({ "hstore": "1.7" })).succeeded();
    assert_eq!(created_by("hstore"), me);
    mine.delete().succeeded();
    assert_eq!(created_by("hstore")["StackId"], other.event("Update", &json!({}))["StackId"]);
    // Another one of the same name is not what was created.
    env.database.query("DROP EXTENSION hstore; CREATE EXTENSION hstore");
    assert_eq!(created_by("hstore"), Value::Null);
}
