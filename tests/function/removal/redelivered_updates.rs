//! What an Update drops: what its own old properties list and its new ones do not. Every event is
//! sent twice, and some once more when later ones have been.

use crate::support::database::Database;
use crate::support::resource::{Resource, claims};
use crate::support::test_environment::TestEnvironment;
use serde_json::{Value, json};

/// A resource under `DropCascade` that has created these, and a table of the user's with a column of
/// each one's type.
fn with_columns<'a>(env: &'a TestEnvironment, names: &[&str]) -> Resource<'a> {
    let mut it = Resource::new(env, "a", "DropCascade");
    it.create(&map(names)).succeeded();
    env.database.query("CREATE TABLE public.shops (id int)");
    for name in names {
        env.database.query(&format!("ALTER TABLE public.shops ADD COLUMN {name} {name}"));
    }
    it
}

fn map(names: &[&str]) -> Value {
    names
        .iter()
        .map(|name| ((*name).to_owned(), json!("any")))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

/// The columns of that table.
fn columns(env: &TestEnvironment) -> String {
    env.database.value(
        "SELECT coalesce(string_agg(attname, ' ' ORDER BY attname), '') FROM pg_attribute
         WHERE attrelid = 'public.shops'::regclass AND attnum > 1 AND NOT attisdropped",
    )
}

#[test]
fn an_update_that_comes_late_takes_nothing_that_a_later_one_added() {
    let env = TestEnvironment::new();
    let mut it = with_columns(&env, &["hstore"]);
    let create = it.event("Create", &json!({ "PluginsMap": map(&["hstore"]) }));
    let older = it.event("Update", &json!({ "PluginsMap": map(&["hstore", "pg_trgm"]) }));
    env.deliver(&older).succeeded();
    it.properties = older["ResourceProperties"].clone();
    it.update(&map(&["hstore", "citext"])).succeeded();
    env.database.query("ALTER TABLE public.shops ADD COLUMN citext citext");
    let response = env.deliver(&older).succeeded();
    assert_eq!(
        response.data("Changes"),
        env.with_default_versions("created pg_trgm 1.6"),
        "what it lists"
    );
    assert_eq!(columns(&env), "citext hstore");
    env.deliver(&create).succeeded();
    assert_eq!(columns(&env), "citext hstore", "nor does a Create");
    assert_eq!(claims(&env.database), "a citext created, a hstore created, a pg_trgm created");
    it.delete().succeeded();
    assert_eq!(env.database.installed(), "", "what it created goes with it");
}

#[test]
fn what_an_update_takes_out_goes_again_when_it_comes_late() {
    let env = TestEnvironment::new();
    let mut it = with_columns(&env, &["hstore", "citext"]);
    let older = it.event("Update", &json!({ "PluginsMap": map(&["hstore"]) }));
    it.update(&map(&["hstore"])).succeeded();
    assert_eq!(columns(&env), "hstore");
    it.update(&map(&["hstore", "citext"])).succeeded();
    env.database.query("ALTER TABLE public.shops ADD COLUMN citext citext");
    // Nothing tells it from a first delivery.
    env.deliver(&older).succeeded();
    assert_eq!(columns(&env), "hstore");
}

#[test]
fn what_stays_keeps_what_it_requires() {
    let env = TestEnvironment::new();
    let mut it = with_columns(&env, &["cube"]);
    let older = it.event("Update", &json!({ "PluginsMap": map(&["citext"]) }));
    it.update(&map(&["earthdistance"])).succeeded();
    let response = env.deliver(&older).succeeded();
    assert_eq!(response.data("Changes"), env.with_default_versions("created citext 1.6"));
    assert_eq!(columns(&env), "cube", "`earthdistance` requires it");
}

#[test]
fn names_are_found_in_old_properties_as_in_new_ones() {
    let env = TestEnvironment::new();
    let mut it = Resource::new(&env, "a", "Drop");
    it.create(&json!({ "HStore": "any", "EarthDistance": { "Version": "any" } })).succeeded();
    it.properties["PluginsMap"]["hstore_plperl"] = json!({ "Colour": ["blue"] });
    let response = it.update(&json!({})).succeeded();
    assert_eq!(
        response.data("Changes"),
        env.with_default_versions(
            "dropped cube 1.5; dropped earthdistance 1.1; dropped hstore 1.8"
        )
    );
    assert_eq!(claims(&env.database), "none");
}

#[test]
fn old_properties_that_cannot_be_read_list_nothing() {
    let env = TestEnvironment::new();
    let mut it = Resource::new(&env, "a", "Drop");
    it.create(&map(&["hstore", "citext"])).succeeded();
    let mut event = it.event("Update", &json!({ "PluginsMap": map(&["citext"]) }));
    for old in [
        json!({ "Extensions": ["hstore"] }),
        json!({ "PluginsMap": "hstore" }),
        json!({ "PluginsMap": ["hstore"] }),
        json!("hstore"),
        Value::Null,
    ] {
        event["OldResourceProperties"] = old;
        env.deliver(&event).succeeded();
        assert_eq!(
            env.database.installed(),
            env.with_default_versions("citext 1.6, hstore 1.8"),
            "{event}"
        );
    }
    it.update(&map(&["citext"])).succeeded();
    assert_eq!(env.database.installed(), env.with_default_versions("citext 1.6"));
}

#[test]
fn what_the_other_database_loses_stays() {
    const STAGING: &str = "staging/db";
    let env = TestEnvironment::new();
    let reference = Database::create();
    reference.query("CREATE EXTENSION hstore; CREATE EXTENSION citext");
    let secret = reference.secret(&reference.server.user, &reference.server.password);
    env.secrets.put(STAGING, "AWSCURRENT", secret.to_string());
    let properties = |names: &[&str]| json!({ "PluginsFrom": STAGING, "PluginsMap": map(names) });
    let mut it = Resource::new(&env, "a", "DropCascade");
    it.deliver("Create", &properties(&["citext", "cube"])).succeeded();
    env.database.query("CREATE TABLE public.shops (id int, hstore hstore, citext citext)");
    it.deliver("Update", &properties(&["cube"])).succeeded();
    assert_eq!(columns(&env), "citext hstore", "the other database has both");
    reference.query("DROP EXTENSION hstore; DROP EXTENSION citext");
    let response = it.deliver("Update", &properties(&[])).succeeded();
    assert_eq!(response.data("Changes"), env.with_default_versions("dropped cube 1.5"));
    it.deliver("Update", &json!({ "PluginsMap": {} })).succeeded();
    assert_eq!(columns(&env), "citext hstore", "nor without `PluginsFrom`");
    assert_eq!(claims(&env.database), "a citext created, a hstore created, a plpgsql");
    it.delete().succeeded();
    assert_eq!(columns(&env), "", "the claims give it to the Delete");
    // An invocation tells nothing of what it listed before: it may all have come from there.
    reference.query("CREATE EXTENSION hstore");
    let it = Resource::new(&env, "a", "DropCascade");
    let invoke = |properties: &Value| {
        let mut event = it.event("Create", properties);
        event["StackId"] = Value::Null;
        env.invoke(&event).succeeded()
    };
    invoke(&properties(&["citext"]));
    reference.query("DROP EXTENSION hstore");
    invoke(&properties(&[]));
    assert_eq!(env.database.installed(), env.with_default_versions("citext 1.6, hstore 1.8"));
    invoke(&json!({ "PluginsMap": map(&["citext"]) }));
    assert_eq!(
        env.database.installed(),
        env.with_default_versions("citext 1.6"),
        "what is claimed and not listed"
    );
}

#[test]
fn what_a_failed_update_created_goes_with_its_rollback() {
    let env = TestEnvironment::new();
    let other = Database::create();
    let both = json!([other.name, env.database.name]);
    let properties = |names: &[&str]| json!({ "PluginsMap": map(names), "Databases": both });
    let mut it = Resource::new(&env, "a", "Drop");
    it.deliver("Create", &properties(&["citext"])).succeeded();
    env.run_after_create("hstore", "RAISE EXCEPTION 'not today'");
    let event = it.event("Update", &properties(&["citext", "hstore"]));
    env.deliver_once(&event).failed(&["not today"]);
    assert_eq!(
        other.installed(),
        env.with_default_versions("citext 1.6, hstore 1.8"),
        "it was under way"
    );
    let before = std::mem::replace(&mut it.properties, event["ResourceProperties"].clone());
    it.deliver("Update", &before).succeeded();
    for database in [&other, &env.database] {
        assert_eq!(database.installed(), env.with_default_versions("citext 1.6"));
        assert_eq!(claims(database), "a citext created");
    }
}
