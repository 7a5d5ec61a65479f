//! Every step a plan can have, as SQL and in words, and every sentence it can refuse with.
//!
//! One snapshot each, `tests/snapshots/`: read it as the operator would. After a change that is
//! meant, `INSTA_UPDATE=always cargo test --test plans` writes it anew.

#![expect(
    clippy::expect_used,
    clippy::needless_pass_by_value,
    clippy::too_many_lines,
    reason = "a broken case is a failed test, and the cases read better without `&`"
)]

use std::fmt::Write;

use cfn_postgres_extensions::cloudformation::properties;
use cfn_postgres_extensions::planner::inspect::{State, compare};
use cfn_postgres_extensions::planner::plan::plan;
use cfn_postgres_extensions::planner::step::Step;
use serde_json::{Value, json};

/// A server of the kind most stories play on.
fn server() -> Value {
    let offered = |name: &str, version: &str, requires: &[&str]| {
        json!({ "name": name, "version": version, "superuser": true, "trusted": true,
                "relocatable": true, "schema": null, "requires": requires })
    };
    let mut offered = vec![
        offered("cube", "1.4", &[]),
        offered("cube", "1.5", &[]),
        offered("earthdistance", "1.1", &["cube"]),
        offered("hstore", "1.4", &[]),
        offered("hstore", "1.8", &[]),
        offered("pgcrypto", "1.3", &[]),
        offered("pg_cron", "1.6", &[]),
        offered("postgis", "3.3.2", &[]),
        offered("postgis", "3.3.2next", &[]),
        offered("postgis", "3.3.10", &[]),
        offered("postgis", "3.3.9", &[]),
        offered("postgis", "unpackaged", &[]),
        offered("postgis_topology", "3.3.2", &["postgis"]),
        offered("broken", "1.0", &["nowhere"]),
        offered("pgaudit", "1.7", &[]),
        offered("pglogical", "2.4", &[]),
        offered("pglogical_ticker", "1.4", &["pglogical"]),
        offered("simple", "1.0", &[]),
        offered("housed", "1.0", &[]),
        offered("unsaid", "0.9", &[]),
        offered("Mixed", "1", &[]),
        offered("mixed", "1", &[]),
        offered("Odd\"Name", "1'0", &[]),
    ];
    for (name, key, value) in [
        ("postgis", "trusted", json!(false)),
        ("postgis_topology", "schema", json!("topology")),
        ("pg_cron", "schema", json!("pg_catalog")),
        ("simple", "superuser", json!(false)),
        ("housed", "superuser", json!(false)),
        ("housed", "schema", json!("housed_home")),
    ] {
        for version in offered.iter_mut().filter(|version| version["name"] == name) {
            version[key] = value.clone();
        }
    }
    json!({
        "database": "app",
        "server_version": "15.8 (Debian 15.8-1)",
        "role": "deployer",
        "superuser": true,
        "delegated": false,
        "may_create": true,
        "read_only": false,
        "libraries": "",
        "rds_extensions": null,
        "rds_allowed_extensions": null,
        "cron_database": null,
        "schemas": { "public": true },
        "installed": [installed("plpgsql", "1.0")],
        "available": {
            "broken": "1.0", "cube": "1.5", "earthdistance": "1.1", "hstore": "1.8",
            "Mixed": "1", "mixed": "1", "Odd\"Name": "1'0", "pgcrypto": "1.3", "pg_cron": "1.6",
            "hstore-3": "1.8", "housed": "1.0", "pgaudit": "1.7", "pglogical": "2.4", "pglogical_ticker": "1.4", "simple": "1.0",
            "unsaid": null,
            "plpgsql": "1.0", "postgis": "3.3.2", "postgis_topology": "3.3.2",
        },
        "offered": offered,
        "paths": [],
    })
}

fn installed(name: &str, version: &str) -> Value {
    json!({ "name": name, "version": version, "schema": "public", "relocatable": true, "owned": true })
}

fn path(name: &str, target: &str, reachable: bool) -> Value {
    json!({ "name": name, "target": target, "reachable": reachable })
}

/// What comes of `map` on [`server`] with `changes` to it: SQL and words, or the refusals.
fn planned(map: Value, changes: Value) -> String {
    planned_with(json!({ "DBSecret": "s", "PluginsMap": map }), changes)
}

fn planned_with(properties: Value, changes: Value) -> String {
    let mut server = server();
    for (key, value) in changes.as_object().expect("an object") {
        server[key] = value.clone();
    }
    let catalog = crate::catalog(server);
    let request = match properties::read(properties.as_object()) {
        Ok(request) => request,
        Err(problems) => return lines("refused: ", problems),
    };
    match plan(&request.desired, &catalog) {
        Ok(plan) => {
            // What is kept is no drift, nor told as one.
            let compared = compare(&request.desired, &catalog).extensions;
            let is_right = |it: Option<State>| {
                matches!(it, Some(State::AsWanted | State::NotListed)) || !plan.steps.is_empty()
            };
            assert!(compared.iter().all(|it| is_right(it.state)), "{compared:#?}");
            let steps = lines("", &plan.steps);
            let words = plan.steps.iter().filter_map(Step::change);
            steps + &lines("-- ", words) + &lines("-- ", &plan.kept)
        }
        Err(problems) => lines("refused: ", problems),
    }
}

/// Each item on a line of its own, after `start`.
pub fn lines(start: &str, items: impl IntoIterator<Item = impl ToString>) -> String {
    items.into_iter().fold(String::new(), |text, item| text + start + &item.to_string() + "\n")
}

/// Compares the story with the snapshot named after the test.
#[track_caller]
pub fn snapshot(name: &str, cases: Vec<(&str, String)>) {
    insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!(name, story(cases));
    });
}

/// Each case below its title.
pub fn story(cases: Vec<(&str, String)>) -> String {
    cases.into_iter().fold(String::new(), |mut story, (title, text)| {
        let _ = writeln!(
            story,
            "# {title}\n{}",
            if text.is_empty() { "nothing to do\n" } else { &text }
        );
        story
    })
}

#[test]
fn steps() {
    let none = || json!({});
    let hstore =
        |paths: Value| json!({ "installed": [installed("hstore", "1.4")], "paths": paths });
    let reach = |version: &str| hstore(json!([path("hstore", version, true)]));
    snapshot(
        "steps",
        vec![
            ("an empty map", planned(json!({}), none())),
            ("the example", planned(json!({ "PostGIS": "3.3.2", "pgcrypto": "1.3" }), none())),
            ("any", planned(json!({ "hstore": "any", "cube": null, "pgcrypto": "" }), none())),
            ("latest", planned(json!({ "hstore": "latest" }), none())),
            ("a star, and the default matches", planned(json!({ "postgis": "3.3.*" }), none())),
            ("a star, and the default does not", planned(json!({ "hstore": "1.4*" }), none())),
            (
                "a star picks the highest release",
                planned(
                    json!({ "postgis": "3.3.*" }),
                    json!({ "available": { "postgis": "3.2" } }),
                ),
            ),
            ("a requirement", planned(json!({ "earthdistance": "1.1" }), none())),
            (
                "a requirement that the map lists",
                planned(json!({ "earthdistance": "1.1", "cube": "1.4" }), none()),
            ),
            (
                "a requirement that is there",
                planned(
                    json!({ "earthdistance": "1.1" }),
                    json!({ "installed": [installed("cube", "1.4")] }),
                ),
            ),
            ("a prescribed schema", planned(json!({ "postgis_topology": "3.3.2" }), none())),
            (
                "a schema that is missing, for two",
                planned(
                    json!({ "cube": { "Schema": "Ext \"x\"" }, "hstore": { "Version": "1.8", "Schema": "Ext \"x\"" } }),
                    none(),
                ),
            ),
            (
                "a schema that is there",
                planned(
                    json!({ "cube": { "Schema": "ext" } }),
                    json!({ "schemas": { "public": true, "ext": true } }),
                ),
            ),
            (
                "a database without public",
                planned(json!({ "cube": "1.5" }), json!({ "schemas": {} })),
            ),
            (
                "a prescribed schema that is there",
                planned(
                    json!({ "postgis_topology": "3.3.2" }),
                    json!({ "schemas": { "public": true, "topology": true } }),
                ),
            ),
            (
                "a prescribed schema that the map names too",
                planned(
                    json!({ "hstore": { "Schema": "topology" }, "postgis_topology": "3.3.2" }),
                    none(),
                ),
            ),
            ("names that need quotes", planned(json!({ "Odd\"Name": "1'0" }), none())),
            ("an update", planned(json!({ "hstore": "1.8" }), reach("1.8"))),
            ("an update to the default", planned(json!({ "hstore": "latest" }), reach("1.8"))),
            ("an update to a match", planned(json!({ "hstore": "1.8*" }), reach("1.8"))),
            ("the version is there", planned(json!({ "HSTORE": "1.4" }), reach("1.8"))),
            ("the version matches", planned(json!({ "hstore": "1.*" }), reach("1.8"))),
            ("whatever is there", planned(json!({ "hstore": "any" }), reach("1.8"))),
            (
                "a move, and an update",
                planned(json!({ "hstore": { "Version": "1.8", "Schema": "ext" } }), reach("1.8")),
            ),
            (
                "a downgrade that is let be",
                planned_with(
                    json!({ "DBSecret": "s", "DowngradePolicy": "Keep", "PluginsMap": { "hstore": "1.8" } }),
                    hstore(json!([path("hstore", "1.8", false)])),
                ),
            ),
        ],
    );
}

#[test]
fn absent() {
    let cube = installed("cube", "1.5");
    let mut earthdistance = installed("earthdistance", "1.1");
    earthdistance["requires"] = json!(["cube"]);
    let both = json!({ "installed": [cube, earthdistance] });
    let there = |map: Value| planned(map, json!({ "installed": [installed("hstore", "1.4")] }));
    let mut others = installed("hstore", "1.4");
    others["owned"] = json!(false);
    snapshot(
        "absent",
        vec![
            ("what is there", there(json!({ "HSTORE": "absent" }))),
            ("in the long form", there(json!({ "hstore": { "Version": "absent" } }))),
            ("beside what is created", there(json!({ "hstore": "absent", "pgcrypto": "1.3" }))),
            ("what is not there", there(json!({ "cube": "absent" }))),
            ("an unknown name", there(json!({ "postgi": "absent" }))),
            (
                "two at once",
                planned(json!({ "earthdistance": "absent", "cube": "absent" }), both.clone()),
            ),
            ("with a schema", there(json!({ "hstore": { "Version": "absent", "Schema": "x" } }))),
            ("in another case", there(json!({ "hstore": "Absent" }))),
            ("a name that is two", there(json!({ "MIXED": "absent" }))),
            ("two names that are one", there(json!({ "hstore": "absent", "Hstore": "any" }))),
            ("the language", planned(json!({ "PLPGSQL": "absent" }), json!({}))),
            (
                "what a listed one requires",
                planned(json!({ "earthdistance": "any", "cube": "absent" }), both),
            ),
            (
                "what one that is created requires",
                planned(json!({ "earthdistance": "any", "cube": "absent" }), json!({})),
            ),
            (
                "somebody else's",
                planned(
                    json!({ "hstore": "absent" }),
                    json!({ "superuser": false, "installed": [others] }),
                ),
            ),
            (
                "on a reader",
                planned(
                    json!({ "hstore": "absent" }),
                    json!({ "read_only": true, "installed": [installed("hstore", "1.4")] }),
                ),
            ),
        ],
    );
}

#[test]
fn everything_else() {
    let hstore = || installed("hstore", "1.4");
    let latest = |installed: Value, paths: Value| {
        planned(json!({ "*": "latest" }), json!({ "installed": installed, "paths": paths }))
    };
    let lagging = |map: Value| {
        let paths = [path("cube", "1.5", true), path("hstore", "1.8", true)];
        planned(map, json!({ "installed": [installed("cube", "1.4"), hstore()], "paths": paths }))
    };
    let requiring = |name: &str, version: &str, requires: &str| {
        let mut it = installed(name, version);
        it["requires"] = json!([requires]);
        it
    };
    let mut others = hstore();
    others["owned"] = json!(false);
    let first = installed("timescaledb", "2.14.0");
    let family = |version: &str, map: Value| {
        let paths: Vec<_> = ["postgis", "postgis_topology"]
            .iter()
            .flat_map(|name| [path(name, "3.3.2", true), path(name, "3.3.9", true)])
            .chain([path("postgis", "3.3.10", true)])
            .collect();
        let topology = requiring("postgis_topology", version, "postgis");
        planned(
            map,
            json!({ "installed": [topology, installed("postgis", version)], "paths": paths }),
        )
    };
    let offered = |name: &str, requires: &[&str]| {
        json!({ "name": name, "version": "1", "superuser": true, "trusted": true,
                "relocatable": true, "schema": null, "requires": requires })
    };
    snapshot(
        "everything_else",
        vec![
            ("latest", lagging(json!({ "*": "latest" }))),
            ("latest, in the long form", lagging(json!({ "*": { "Version": "latest" } }))),
            ("any", lagging(json!({ "*": "any" }))),
            ("any, said otherwise", lagging(json!({ "*": {} }))),
            ("an entry wins", lagging(json!({ "*": "latest", "HSTORE": "any" }))),
            ("absent beside it", lagging(json!({ "*": "latest", "hstore": "absent" }))),
            ("the default is there", latest(json!([installed("plpgsql", "1.0")]), json!([]))),
            ("the files are gone", latest(json!([installed("gone", "1.0")]), json!([]))),
            ("no default version", latest(json!([installed("unsaid", "0.8")]), json!([]))),
            ("no update path", latest(json!([hstore()]), json!([path("hstore", "1.8", false)]))),
            (
                "by the first statement only",
                planned(
                    json!({ "*": "latest" }),
                    json!({ "installed": [first], "available": { "timescaledb": "2.15.0" },
                            "paths": [path("timescaledb", "2.15.0", true)] }),
                ),
            ),
            (
                "raster inside",
                latest(
                    json!([installed("postgis", "2.5.5")]),
                    json!([path("postgis", "3.3.2", true)]),
                ),
            ),
            (
                "what an extension requires comes first",
                planned(
                    json!({ "*": "latest" }),
                    json!({ "installed": [requiring("Mixed", "0", "mixed"), installed("mixed", "0")],
                            "offered": [offered("Mixed", &["mixed"]), offered("mixed", &[])],
                            "paths": [path("Mixed", "1", true), path("mixed", "1", true)] }),
                ),
            ),
            ("what goes with it is kept with it", family("2.5.5", json!({ "*": "latest" }))),
            (
                "what goes with an entry",
                family("3.3.1", json!({ "*": "latest", "postgis": "any" })),
            ),
            (
                "what goes with an entry that is updated",
                family("3.3.1", json!({ "*": "latest", "postgis": "3.3.9" })),
            ),
            (
                "what cannot follow an entry",
                family("3.3.1", json!({ "*": "latest", "postgis": "3.3.10" })),
            ),
            ("a whole family", family("3.3.1", json!({ "*": "latest" }))),
            (
                "the new version requires another extension",
                planned(
                    json!({ "*": "latest" }),
                    json!({ "installed": [installed("Mixed", "0")], "paths": [path("Mixed", "1", true)],
                            "offered": [offered("Mixed", &["mixed"]), offered("mixed", &[])] }),
                ),
            ),
            (
                "the new version requires what is wanted absent",
                planned(
                    json!({ "*": "latest", "mixed": "absent" }),
                    json!({ "installed": [installed("Mixed", "0")], "paths": [path("Mixed", "1", true)],
                            "offered": [offered("Mixed", &["mixed"]), offered("mixed", &[])] }),
                ),
            ),
            (
                "somebody else's",
                planned(
                    json!({ "*": "latest" }),
                    json!({ "superuser": false, "installed": [others],
                            "paths": [path("hstore", "1.8", true)] }),
                ),
            ),
            ("with a schema", lagging(json!({ "*": { "Version": "latest", "Schema": "x" } }))),
            ("absent", lagging(json!({ "*": "absent" }))),
            ("a version", lagging(json!({ "*": "1.8" }))),
            ("a star", lagging(json!({ "*": "*" }))),
            ("a number", lagging(json!({ "*": 1 }))),
            ("an unknown key", lagging(json!({ "*": { "Versoin": "latest" } }))),
        ],
    );
}

#[test]
fn refusals() {
    let none = || json!({});
    let plain = |changes: Value| {
        let mut plain = json!({ "superuser": false, "libraries": null });
        for (key, value) in changes.as_object().expect("an object") {
            plain[key] = value.clone();
        }
        plain
    };
    let hstore =
        |paths: Value| json!({ "installed": [installed("hstore", "1.8")], "paths": paths });
    let others = || {
        let mut hstore = installed("hstore", "1.4");
        hstore["owned"] = json!(false);
        hstore
    };
    snapshot(
        "refusals",
        vec![
            ("an unknown name", planned(json!({ "postgi": "1" }), none())),
            (
                "the name of the project, not of the extension",
                planned(json!({ "pgvector": "0.8.0" }), none()),
            ),
            ("an unknown name, nothing alike", planned(json!({ "timescaledb": "1" }), none())),
            ("a name that is two", planned(json!({ "MIXED": "1" }), none())),
            (
                "two names that are one",
                planned(json!({ "hstore": "1.8", "Hstore": "1.8" }), none()),
            ),
            ("a library", planned(json!({ "Auto_Explain": "" }), none())),
            ("an output plugin", planned(json!({ "wal2json": "any" }), none())),
            ("no script for the default version", planned(json!({ "hstore-3": "" }), none())),
            ("no script for any version", planned(json!({ "hstore-3": "1.9" }), none())),
            ("no default version", planned(json!({ "unsaid": "latest" }), none())),
            (
                "words in another case",
                planned(json!({ "hstore": "Latest", "cube": "ANY" }), none()),
            ),
            ("a letter for a star", planned(json!({ "postgis": "3.X" }), none())),
            ("a version not offered", planned(json!({ "HSTORE": "1.9" }), none())),
            (
                "a version that tries to be SQL",
                planned(json!({ "hstore": "1'; DROP TABLE x; --" }), none()),
            ),
            ("no release matches", planned(json!({ "postgis": "3.4.*" }), none())),
            ("only no releases match", planned(json!({ "postgis": "unpack*" }), none())),
            (
                "a downgrade",
                planned(
                    json!({ "hstore": "1.4" }),
                    hstore(json!([path("hstore", "1.4", false), path("hstore", "1.9", true)])),
                ),
            ),
            (
                "a dead end",
                planned(json!({ "hstore": "1.4" }), hstore(json!([path("hstore", "1.4", false)]))),
            ),
            (
                "no path to a match",
                planned(json!({ "hstore": "1.4*" }), hstore(json!([path("hstore", "1.4", false)]))),
            ),
            (
                "no path to the default",
                planned(
                    json!({ "hstore": "latest" }),
                    json!({ "installed": [installed("hstore", "2.0")], "paths": [path("hstore", "1.8", false)] }),
                ),
            ),
            (
                "an installed one, and a version nobody knows",
                planned(json!({ "hstore": "9" }), hstore(json!([]))),
            ),
            (
                "an update that must be the first statement",
                planned(
                    json!({ "timescaledb": "latest" }),
                    json!({
                        "installed": [installed("timescaledb", "2.14.0")],
                        "available": { "timescaledb": "2.15.0" },
                        "paths": [path("timescaledb", "2.15.0", true)],
                    }),
                ),
            ),
            (
                "a prescribed schema that is missing",
                planned(json!({ "housed": "1.0" }), plain(json!({ "may_create": false }))),
            ),
            ("a requirement that is not offered", planned(json!({ "broken": "1.0" }), none())),
            (
                "a schema that does not fit",
                planned(json!({ "postgis_topology": { "Schema": "public" } }), none()),
            ),
            (
                "a move that cannot be",
                planned(
                    json!({ "postgis": { "Schema": "ext" } }),
                    json!({ "installed": [{ "name": "postgis", "version": "3.3.2", "schema": "public", "relocatable": false, "owned": true }] }),
                ),
            ),
            (
                "not trusted, not a superuser",
                planned(json!({ "postgis": "3.3.2" }), plain(json!({}))),
            ),
            (
                "the same on RDS",
                planned(json!({ "postgis": "3.3.2" }), plain(json!({ "delegated": true }))),
            ),
            (
                "trusted, but no CREATE",
                planned(
                    json!({ "hstore": { "Schema": "ext" } }),
                    plain(json!({ "may_create": false })),
                ),
            ),
            (
                "a schema that we may not use",
                planned(
                    json!({ "hstore": { "Schema": "ext" } }),
                    plain(
                        json!({ "installed": [installed("hstore", "1.8")], "schemas": { "ext": false } }),
                    ),
                ),
            ),
            (
                "somebody else's",
                planned(
                    json!({ "hstore": "1.8" }),
                    plain(json!({
                        "installed": [others()],
                        "paths": [path("hstore", "1.8", true)],
                    })),
                ),
            ),
            (
                "somebody else's, and a cloud's stand-in for a superuser",
                planned(
                    json!({ "hstore": { "Version": "1.8", "Schema": "ext" } }),
                    plain(json!({
                        "delegated": true,
                        "schemas": { "ext": false },
                        "installed": [others()],
                        "paths": [path("hstore", "1.8", true)],
                    })),
                ),
            ),
            (
                "somebody else's, and the server runs it as a superuser",
                planned(
                    json!({ "hstore": { "Version": "1.8", "Schema": "ext" }, "postgis": "3.3.2" }),
                    plain(json!({
                        "may_create": false,
                        "privileged_extensions": "hstore, postgis",
                        "schemas": { "ext": false, "public": true },
                        "installed": [others()],
                        "paths": [path("hstore", "1.8", true)],
                    })),
                ),
            ),
            (
                "not listed by such a server",
                planned(
                    json!({ "postgis": "3.3.2" }),
                    plain(json!({ "privileged_extensions": "hstore" })),
                ),
            ),
            (
                "an extension's script runs as us, and only the server knows what it creates",
                planned(
                    json!({ "simple": "1.0" }),
                    plain(json!({ "may_create": false, "schemas": { "public": false } })),
                ),
            ),
            (
                "not trusted, and not delegated",
                planned(
                    json!({ "postgis": "3.3.2" }),
                    plain(json!({ "rds_delegated_extensions": "hstore, pg_trgm" })),
                ),
            ),
            (
                "nothing is delegated",
                planned(
                    json!({ "postgis": "3.3.2" }),
                    plain(json!({ "rds_delegated_extensions": "" })),
                ),
            ),
            (
                "delegated by name",
                planned(
                    json!({ "postgis": "3.3.2" }),
                    plain(json!({ "rds_delegated_extensions": "hstore, postgis" })),
                ),
            ),
            (
                "all are delegated",
                planned(
                    json!({ "postgis": "3.3.2" }),
                    plain(json!({ "rds_delegated_extensions": "*", "may_create": false })),
                ),
            ),
            (
                "trusted, and not delegated",
                planned(
                    json!({ "hstore": "1.8" }),
                    plain(json!({ "rds_delegated_extensions": "postgis" })),
                ),
            ),
            (
                "somebody else's, and delegated",
                planned(
                    json!({ "hstore": "1.8" }),
                    plain(json!({
                        "rds_delegated_extensions": "",
                        "installed": [others()],
                        "paths": [path("hstore", "1.8", true)],
                    })),
                ),
            ),
            (
                "a library that is not loaded",
                planned(
                    json!({ "pg_cron": "1.6" }),
                    json!({ "libraries": "pg_stat_statements, auto_explain" }),
                ),
            ),
            (
                "a library that is not loaded on RDS",
                planned(
                    json!({ "pg_cron": "1.6" }),
                    json!({ "libraries": "rdsutils", "rds_extensions": "pg_cron" }),
                ),
            ),
            (
                "a library of a requirement",
                planned(json!({ "pglogical_ticker": "1.4" }), json!({ "libraries": "" })),
            ),
            (
                "libraries with folders and endings",
                planned(
                    json!({ "pg_cron": "1.6", "pglogical": "2.4", "pgaudit": "1.7" }),
                    json!({ "libraries": "$libdir/pg_cron, pglogical.so,\"/usr/lib/postgresql/15/lib/pgaudit.so\"" }),
                ),
            ),
            (
                "the wrong database for cron",
                planned(
                    json!({ "pg_cron": "1.6" }),
                    json!({ "libraries": "pg_cron", "cron_database": "postgres" }),
                ),
            ),
            (
                "blocked by the parameter group",
                planned(
                    json!({ "hstore": "1.8" }),
                    json!({ "rds_allowed_extensions": "postgis, pgcrypto" }),
                ),
            ),
            (
                "let through by the parameter group",
                planned(json!({ "hstore": "1.8" }), json!({ "rds_allowed_extensions": "*" })),
            ),
            (
                "not supported by the engine",
                planned(
                    json!({ "hstore": "1.8" }),
                    json!({ "rds_extensions": "postgis,pgcrypto" }),
                ),
            ),
            ("a reader", planned(json!({ "hstore": "1.8" }), json!({ "read_only": true }))),
            (
                "a reader with nothing to do",
                planned(json!({ "plpgsql": "1.0" }), json!({ "read_only": true })),
            ),
            (
                "all at once",
                planned(
                    json!({ "postgi": "1", "hstore": "7", "cube": "1.5" }),
                    json!({ "read_only": true }),
                ),
            ),
        ],
    );
}

#[test]
fn refused_properties() {
    let read = |mut properties: Value| {
        for (key, value) in [("DBSecret", json!("s")), ("PluginsMap", json!({}))] {
            if properties.get(key).is_none() {
                properties[key] = value;
            }
        }
        planned_with(properties, json!({}))
    };
    let map = |map: Value| read(json!({ "PluginsMap": map }));
    snapshot(
        "refused_properties",
        vec![
            ("nothing", planned_with(json!({}), json!({}))),
            (
                "everything as a string",
                read(
                    json!({ "ServiceTimeout": "900", "Port": "5432", "DryRun": "FALSE", "Trigger": "7", "ServiceToken": "arn" }),
                ),
            ),
            (
                "everything native",
                read(
                    json!({ "ServiceTimeout": 900, "Port": 5432, "DryRun": true, "Trigger": [7], "Databases": ["a,b"] }),
                ),
            ),
            (
                "empty parameters",
                read(
                    json!({ "Host": "", "Port": "", "Databases": "", "SslMode": "", "DryRun": "", "SslRootCert": "" }),
                ),
            ),
            ("unknown properties", read(json!({ "Sslmode": "x", "dbsecret": "x", "Colour": "x" }))),
            (
                "wrong words",
                read(
                    json!({ "SslMode": "verify_full", "DowngradePolicy": "keep", "RemovalPolicy": "Delete" }),
                ),
            ),
            (
                "wrong types",
                read(
                    json!({ "DBSecret": ["x"], "PluginsMap": "x", "Host": {}, "Port": "x", "DryRun": "yes", "Databases": [1], "ServiceTimeout": "1h" }),
                ),
            ),
            ("ports out of range", read(json!({ "Port": 0 })) + &read(json!({ "Port": "65536" }))),
            ("empty list", read(json!({ "Databases": [] }))),
            ("no PEM", read(json!({ "SslRootCert": "-----BEGIN CERTIFICATE-----\nsecret\n" }))),
            (
                "removal",
                read(json!({ "RemovalPolicy": "Drop" }))
                    + &read(json!({ "RemovalPolicy": "DropCascade" })),
            ),
            ("every database", read(json!({ "Databases": "*" }))),
            ("every database and one more", read(json!({ "Databases": "*, app" }))),
            ("several databases", read(json!({ "Databases": ["a", "b, c", "a"] }))),
            (
                "IAM without a secret",
                read(json!({ "DBSecret": "", "Authentication": "IAM", "SslMode": "require" })),
            ),
            ("IAM in the clear", read(json!({ "Authentication": "IAM", "SslMode": "disable" }))),
            ("another database's", read(json!({ "PluginsMap": null, "PluginsFrom": "staging" }))),
            ("versions", map(json!({ "a": 1.1, "b": "*", "c": true, "d": ["1"], "e": "1.*.2" }))),
            (
                "entries",
                map(
                    json!({ "a": { "version": "1" }, "b": { "Version": 1, "Schema": "s" }, "c": { "Schema": 7 } }),
                ),
            ),
            ("names", map(json!({ "": "1", "a\u{0}b": "1" }))),
            (
                "schemas",
                map(
                    json!({ "a": { "Schema": "s".repeat(64) }, "b": { "Schema": "ä".repeat(32) }, "c": { "Schema": "pg_mine" } }),
                ),
            ),
        ],
    );
}

#[test]
fn untrusted_objects() {
    let untrusted = |paths: Value, operators: usize, functions: usize| {
        let objects = |count: usize, name: &str| {
            let some = vec![format!("`{name}` of `mallory`"); count.min(1)];
            json!({ "public": { "count": count, "some": some }, "other": { "count": 1, "some": ["x"] } })
        };
        let untrusted = json!({
            "search_paths": paths,
            "operators": objects(operators, "public.=(character varying,character varying)"),
            "functions": objects(functions, "public.lower(character varying)"),
            "members": { "hstore": "postgres" },
            "schemas": if operators == 17 { json!({ "housed_home": "mallory" }) } else { json!({}) },
        });
        json!({ "untrusted": untrusted, "superuser": false, "installed": [installed("hstore", "1.4")],
                "paths": [path("hstore", "1.8", true)] })
    };
    let path = |path: &str, reset: Option<&str>| json!([{ "path": path, "reset": reset }]);
    let reset = Some("ALTER DATABASE app RESET search_path");
    let bad = || untrusted(path("evil, pg_catalog", reset), 1, 1);
    let pgcrypto = || json!({ "pgcrypto": "1.3" });
    snapshot(
        "untrusted_objects",
        vec![
            ("nothing there", planned(pgcrypto(), untrusted(path("app, public", reset), 0, 0))),
            ("more than names", planned(pgcrypto(), untrusted(path("a;b", reset), 0, 0))),
            ("a long one", planned(pgcrypto(), untrusted(path(&"a;".repeat(99), reset), 0, 0))),
            (
                "as the server has it",
                planned(pgcrypto(), untrusted(path("a,pg_catalog", None), 0, 0)),
            ),
            ("an operator", planned(pgcrypto(), untrusted(json!([]), 1, 0))),
            (
                "many operators, and a prescribed schema",
                planned(json!({ "housed": "1.0" }), untrusted(json!([]), 17, 0)),
            ),
            ("functions", planned(pgcrypto(), untrusted(json!([]), 0, 3))),
            ("all of it", planned(json!({ "hstore": "1.8", "cube": "2" }), bad())),
            ("where no script is run", planned(json!({ "hstore": "any" }), bad())),
            (
                "objects that belong to others",
                planned(json!({ "hstore": { "Schema": "public2" } }), bad()),
            ),
        ],
    );
}
