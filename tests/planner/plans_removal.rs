//! What is dropped and what is noted, as SQL and in words, and every sentence that refuses it.
//!
//! Snapshots, as those of [`plans`](super::plans).

#![expect(clippy::expect_used, reason = "a broken case is a failed test")]

use crate::plans::{lines, snapshot, story};
use cfn_postgres_extensions::cloudformation::properties;
use cfn_postgres_extensions::planner::desired::RemovalPolicy;
use cfn_postgres_extensions::planner::plan::plan;
use cfn_postgres_extensions::planner::removal::ownership::{Claimant, Claimants};
use cfn_postgres_extensions::planner::step::Step;
use serde_json::{Value, json};

const ALL: [&str; 5] = ["Odd\"Name", "cube", "earthdistance", "hstore", "keeper"];

/// A stack whose name tries to be SQL.
const STACK: &str = "arn:aws:cloudformation:eu-west-1:123456789012:stack/it's/\\1";

fn claimant(stack: &str) -> Claimant {
    Claimant {
        stack: stack.to_owned(),
        logical_id: "Extensions".to_owned(),
        physical_id: "Extensions-01234567".to_owned(),
    }
}

fn home() -> Value {
    json!({ "owner": "deployer", "trusted": true, "table": true, "ours": true, "readable": true,
            "writable": true, "owned": true, "alone": true })
}

/// A claim: of [`STACK`], or of another one where the name starts with `other `.
fn claim(name: &str, created: bool) -> Value {
    let (stack, extension) = match name.strip_prefix("other ") {
        Some(name) => ("arn:aws:cloudformation:eu-west-1:123456789012:stack/other/2", name),
        None => (STACK, name),
    };
    let it = claimant(stack);
    json!({ "claimant": { "stack": it.stack, "logical_id": it.logical_id,
                          "physical_id": it.physical_id },
            "extension": extension, "created": created, "void": false, "restored": false })
}

/// What comes of this map (`name`, which is any version of it, or `name=version`) under this policy,
/// where all extensions are there, and these claims; the properties before listed `earlier`, where that
/// is among the changes.
fn planned(policy: &str, map: &[&str], claims: &[Value], changes: &Value) -> String {
    let requires = |name: &str| if name == "earthdistance" { vec!["cube"] } else { vec![] };
    let installed = ALL.map(|name| {
        json!({ "name": name, "version": "1.0", "schema": "public", "relocatable": true,
                "owned": true, "requires": requires(name) })
    });
    let offered = ALL.iter().chain(&["citext"]).map(|name| {
        json!({ "name": name, "version": "1.0", "superuser": false, "trusted": true,
                "relocatable": true, "schema": null, "requires": requires(name) })
    });
    let mut server = json!({
        "database": "app", "server_version": "15.8", "role": "deployer", "superuser": false,
        "delegated": false, "may_create": true, "read_only": false, "libraries": null,
        "rds_extensions": null, "rds_allowed_extensions": null, "cron_database": null,
        "schemas": { "public": true }, "installed": installed,
        "available": { "citext": "1.0", "cube": "1.0", "earthdistance": "1.0", "hstore": "1.0",
                       "keeper": "1.0", "Odd\"Name": "1.0" },
        "offered": offered.collect::<Vec<_>>(), "paths": [], "claim_table": home(), "claims": claims,
    });
    for (key, value) in changes.as_object().expect("an object") {
        server[key] = value.clone();
    }
    let catalog = crate::catalog(server);
    let entry = |entry: &&str| {
        let (name, version) = entry.split_once('=').unwrap_or((*entry, "any"));
        (name.to_owned(), json!(version))
    };
    let map: serde_json::Map<String, Value> = map.iter().map(entry).collect();
    let properties = json!({ "DBSecret": "s", "PluginsMap": map, "RemovalPolicy": policy });
    let mut wanted = properties::read(properties.as_object()).expect("properties").desired;
    wanted.claimants = Claimants::This(claimant(STACK));
    wanted.earlier =
        changes.get("earlier").map(|names| serde_json::from_value(names.clone()).expect("names"));
    match plan(&wanted, &catalog) {
        Ok(plan) => {
            let words = plan.steps.iter().filter_map(Step::change);
            lines("", &plan.steps) + &lines("-- ", words) + &lines("-- ", &plan.kept)
        }
        Err(problems) => lines("refused: ", problems),
    }
}

fn with(mut value: Value, key: &str, to: Value) -> Value {
    value[key] = to;
    value
}

#[test]
fn removals() {
    let none = json!({});
    let away = json!({ "claim_table": null });
    let hstore = || claim("hstore", true);
    let citext = || claim("other cube", false);
    let obstacles = json!({ "dependents": { "total": 90_000, "counts": { "hstore": 90_000 }, "objects": [
        { "of": ["hstore"], "what": "table column public.shops.tags", "extension": null },
        { "of": ["hstore"], "what": "view public.tagged", "extension": null } ],
        "tables": [ { "extension": "hstore", "schema": "public", "table": "kept", "condition": "", "readable": true, "has_rows": true } ] } });
    let drop =
        |map: &[&str], claims: &[Value], changes: &Value| planned("Drop", map, claims, changes);
    snapshot(
        "removals",
        vec![
            ("a first claim", drop(&["citext"], &[], &away)),
            ("what was there before", drop(&["hstore"], &[], &away)),
            (
                "a schema of ours without a table",
                drop(
                    &["citext"],
                    &[],
                    &json!({ "claim_table": with(home(), "table", json!(false)) }),
                ),
            ),
            ("names with quotes", drop(&["Odd\"Name"], &[citext()], &none)),
            ("nothing new", drop(&["hstore"], &[hstore()], &none)),
            ("the last one leaves", drop(&[], &[hstore()], &none)),
            (
                "the last one leaves, and something else is in the schema",
                drop(
                    &[],
                    &[hstore()],
                    &json!({ "claim_table": with(home(), "alone", json!(false)) }),
                ),
            ),
            (
                "the last one leaves, and the table is another role's",
                drop(
                    &[],
                    &[hstore()],
                    &json!({ "claim_table": with(home(), "owned", json!(false)) }),
                ),
            ),
            (
                "what the properties before did not list stays, and its claim",
                drop(&[], &[hstore(), claim("keeper", true)], &json!({ "earlier": ["HSTORE"] })),
            ),
            (
                "what they listed goes with what it requires",
                drop(
                    &[],
                    &[claim("cube", true), claim("earthdistance", true)],
                    &json!({ "earlier": ["earthdistance"] }),
                ),
            ),
            (
                "what stays keeps what it requires",
                drop(
                    &[],
                    &[claim("cube", true), claim("earthdistance", true)],
                    &json!({ "earlier": ["cube"] }),
                ),
            ),
            ("one leaves, another stays", drop(&["cube"], &[hstore(), claim("cube", true)], &none)),
            (
                "several at once, one with quotes",
                drop(&[], &[hstore(), claim("Odd\"Name", true), citext()], &none),
            ),
            (
                "what was there before leaves the map",
                drop(&[], &[claim("hstore", false), citext()], &none),
            ),
            ("another one inherits", drop(&[], &[hstore(), claim("other hstore", false)], &none)),
            ("a cascade", planned("DropCascade", &[], &[hstore(), citext()], &obstacles)),
            (
                "what came with a dump",
                drop(&["hstore"], &[with(hstore(), "restored", json!(true))], &none),
            ),
            (
                "what was created again by hand",
                drop(&["hstore"], &[with(claim("hstore", false), "stale", json!(true))], &none),
            ),
            (
                "claims of another database",
                drop(&["hstore"], &[with(hstore(), "void", json!(true))], &none),
            ),
            ("a switch to Retain", planned("Retain", &["hstore"], &[hstore()], &none)),
            (
                "a switch to Retain beside others",
                planned("Retain", &["hstore"], &[hstore(), citext()], &none),
            ),
            ("Retain", planned("Retain", &["hstore"], &[citext()], &none)),
        ],
    );
}

#[test]
fn refused_removals() {
    let hstore = || vec![claim("hstore", true)];
    let dependents = |what: &[Value]| {
        let total = what.len();
        json!({ "dependents": { "objects": what, "total": total, "counts": { "hstore": total },
                               "tables": [] } })
    };
    let on = |name: &str| json!({ "of": ["hstore"], "what": format!("extension {name}"), "extension": name });
    let column = |at: usize, of: &[&str]| json!({ "of": of, "what": format!("table column public.t.c{at}"), "extension": null });
    let columns = |count: usize| {
        dependents(&(1..=count).map(|at| column(at, &["hstore"])).collect::<Vec<_>>())
    };
    let on_several = json!({ "dependents": {
        "objects": [column(1, &["hstore"]), column(2, &["hstore", "cube"])],
        "total": 44, "counts": { "hstore": 2, "cube": 1, "earthdistance": 42 }, "tables": [] } });
    let table = |readable: bool| {
        json!({ "dependents": { "objects": [], "total": 0, "counts": {}, "tables": [ { "extension": "hstore", "schema": "public",
            "table": "kept", "condition": "WHERE mine", "readable": readable, "has_rows": readable } ] } })
    };
    let with_home = |key: &str, to: Value| json!({ "claim_table": with(home(), key, to) });
    let drop = |changes: Value| planned("Drop", &[], &hstore(), &changes);
    let cascade = |map: &[&str], more: &[Value], on_what: Value, earlier: &[&str]| {
        let changes = with(dependents(&[on_what]), "earlier", json!(earlier));
        planned("DropCascade", map, &[hstore(), more.to_vec()].concat(), &changes)
    };
    snapshot(
        "refused_removals",
        vec![
            ("something depends on it", drop(columns(2))),
            ("one thing depends on it", drop(columns(1))),
            ("much depends on it", drop(columns(14))),
            (
                "each with what depends on it",
                planned(
                    "Drop",
                    &[],
                    &[hstore(), vec![claim("cube", true), claim("earthdistance", true)]].concat(),
                    &on_several,
                ),
            ),
            ("rows", drop(table(true))),
            ("perhaps rows", drop(table(false))),
            (
                "a cascade over what another one lists",
                cascade(&[], &[claim("other keeper", false)], on("keeper"), &["hstore"]),
            ),
            (
                "a cascade over what was there before",
                cascade(&[], &[claim("keeper", false)], on("keeper"), &["hstore", "keeper"]),
            ),
            (
                "a cascade over what the properties before did not list",
                cascade(&[], &[claim("keeper", true)], on("keeper"), &["hstore"]),
            ),
            (
                "a cascade over what the map lists",
                cascade(&["keeper"], &[claim("keeper", true)], on("keeper"), &["hstore"]),
            ),
            (
                "somebody else's extension",
                drop(
                    json!({ "installed": [{ "name": "hstore", "version": "1.0", "schema": "public", "relocatable": true, "owned": false }] }),
                ),
            ),
            (
                "somebody's schema",
                drop(
                    json!({ "claim_table": with(with(home(), "trusted", json!(false)), "owner", json!("somebody")) }),
                ),
            ),
            ("something else of that name", drop(with_home("ours", json!(false)))),
            ("a table out of reach", drop(with_home("writable", json!(false)))),
            (
                "no schema, and no right to make one",
                planned(
                    "Drop",
                    &["hstore"],
                    &[],
                    &json!({ "claim_table": null, "may_create": false }),
                ),
            ),
            ("a reader", drop(json!({ "read_only": true }))),
        ],
    );
}

#[test]
fn absent_and_claims() {
    let none = json!({});
    let hstore = || claim("hstore", true);
    let absent = |policy: &str, claims: &[Value], changes: &Value| {
        planned(policy, &["hstore=absent"], claims, changes)
    };
    let dependents = |extension: Option<&str>| {
        json!({ "dependents": { "total": 1, "counts": { "hstore": 1 }, "tables": [], "objects": [
            { "of": ["hstore"], "what": "view public.tagged", "extension": extension } ] } })
    };
    let table = |readable: bool| {
        json!({ "dependents": { "objects": [], "total": 0, "counts": {}, "tables": [ { "extension": "hstore", "schema": "public",
            "table": "kept", "condition": "", "readable": readable, "has_rows": readable } ] } })
    };
    let with_home = |key: &str, to: Value| json!({ "claim_table": with(home(), key, to) });
    let untrusted = with_home("trusted", json!(false))["claim_table"].clone();
    let untrusted = json!({ "claim_table": with(untrusted, "owner", json!("somebody")) });
    let mut outdated: Vec<Value> = Vec::new();
    for (name, version) in [("cube", "1.0"), ("hstore", "0.9"), ("keeper", "0.9")] {
        outdated.push(json!({ "name": name, "version": version, "schema": "public",
                              "relocatable": true, "owned": true }));
    }
    let path = |name: &str| json!({ "name": name, "target": "1.0", "reachable": true });
    let outdated = |changes: Value| {
        let mut all = json!({ "installed": outdated, "paths": [path("hstore"), path("keeper")] });
        for (key, value) in changes.as_object().expect("an object") {
            all[key] = value.clone();
        }
        all
    };
    let latest = |policy: &str, claims: &[Value], changes: Value| {
        planned(policy, &["*=latest"], claims, &outdated(changes))
    };
    snapshot(
        "absent_and_claims",
        vec![
            ("nobody's", absent("Drop", &[], &json!({ "claim_table": null }))),
            ("under Retain", absent("Retain", &[], &json!({ "claim_table": null }))),
            ("its own", absent("Drop", &[hstore()], &none)),
            ("its own, and a switch to Retain", absent("Retain", &[hstore()], &none)),
            ("listed and not created", absent("Drop", &[claim("hstore", false)], &none)),
            (
                "the properties before did not list it",
                absent("Drop", &[hstore(), claim("cube", true)], &json!({ "earlier": ["cube"] })),
            ),
            (
                "beside a claim of another one",
                absent("Drop", &[hstore(), claim("other cube", true)], &none),
            ),
            (
                "with a claimed drop, by RESTRICT",
                planned("DropCascade", &["hstore=absent"], &[claim("cube", true)], &none),
            ),
            (
                "what is listed is claimed",
                planned("Drop", &["hstore=absent", "citext"], &[], &json!({ "claim_table": null })),
            ),
            ("another one lists it", absent("Retain", &[claim("other hstore", false)], &none)),
            ("both list it", absent("Drop", &[hstore(), claim("other hstore", false)], &none)),
            (
                "a claim of another database",
                absent("Retain", &[with(claim("other hstore", true), "void", json!(true))], &none),
            ),
            (
                "claims that cannot be read",
                absent("Retain", &[], &with_home("readable", json!(false))),
            ),
            ("claims of somebody's", absent("Retain", &[], &untrusted)),
            (
                "something else of that name",
                absent("Retain", &[], &with_home("ours", json!(false))),
            ),
            ("something depends on it", absent("DropCascade", &[], &dependents(None))),
            ("another extension does", absent("Drop", &[], &dependents(Some("keeper")))),
            ("rows", absent("DropCascade", &[], &table(true))),
            ("perhaps rows", absent("DropCascade", &[], &table(false))),
            (
                "everything else, nothing claimed",
                latest("Drop", &[], json!({ "claim_table": null })),
            ),
            ("what leaves is dropped and not updated", latest("Drop", &[hstore()], none.clone())),
            (
                "nor is what goes along",
                latest("DropCascade", &[hstore()], dependents(Some("keeper"))),
            ),
        ],
    );
}

#[test]
fn families() {
    let member = |name: &str, version: &str, owned: bool| {
        json!({ "name": name, "version": version, "schema": "public", "relocatable": true,
                "owned": owned, "requires": if name == "cube" { vec![] } else { vec!["cube"] } })
    };
    let path = |name: &str| json!({ "name": name, "target": "1.0", "reachable": true });
    let updated = |owned: bool, cousin: &str| {
        let server = json!({
            "installed": [ member("cube", "0.9", true), member("earthdistance", "0.9", owned), member("keeper", cousin, true) ],
            "paths": [path("cube"), path("earthdistance"), path("keeper")], "claim_table": null,
        });
        let mut observed = json!({
            "database": "app", "server_version": "15.8", "role": "deployer", "superuser": false,
            "delegated": false, "may_create": true, "read_only": false, "libraries": null,
            "rds_extensions": null, "rds_allowed_extensions": null, "cron_database": null,
            "schemas": { "public": true }, "available": { "cube": "1.0" }, "offered": [],
        });
        for (key, value) in server.as_object().expect("an object") {
            observed[key] = value.clone();
        }
        let catalog = crate::catalog(observed);
        let properties = json!({ "DBSecret": "s", "PluginsMap": { "cube": "1.0" } });
        let wanted = properties::read(properties.as_object()).expect("properties").desired;
        assert_eq!(wanted.removal, RemovalPolicy::Retain);
        match plan(&wanted, &catalog) {
            Ok(plan) => {
                lines("", &plan.steps) + &lines("-- ", plan.steps.iter().filter_map(Step::change))
            }
            Err(problems) => lines("refused: ", problems),
        }
    };
    let cases = vec![
        ("all of one version", updated(true, "0.9")),
        ("one has a version of its own", updated(true, "0.8")),
        ("one is somebody else's", updated(false, "0.8")),
    ];
    insta::assert_snapshot!(story(cases), @r#"
    # all of one version
    ALTER EXTENSION "cube" UPDATE TO '1.0'
    ALTER EXTENSION "earthdistance" UPDATE TO '1.0'
    ALTER EXTENSION "keeper" UPDATE TO '1.0'
    -- updated cube 0.9 to 1.0
    -- updated earthdistance 0.9 to 1.0 (with cube)
    -- updated keeper 0.9 to 1.0 (with cube)

    # one has a version of its own
    ALTER EXTENSION "cube" UPDATE TO '1.0'
    ALTER EXTENSION "earthdistance" UPDATE TO '1.0'
    -- updated cube 0.9 to 1.0
    -- updated earthdistance 0.9 to 1.0 (with cube)

    # one is somebody else's
    refused: `earthdistance` is installed and not owned by role `deployer`, which therefore cannot change or drop it: use a secret of its owner
    "#);
}
