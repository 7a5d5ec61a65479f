//! What an Update drops: what its own old properties list and its new ones do not. Every event is
//! sent twice, and some once more when later ones have been.

use crate::support::database::Database;
use crate::support::resource::{Resource, claims};
use crate::support::stage::Stage;
use serde_json::{Value, json};

/// A resource under `DropCascade` that has created these, and a table of the user's with a column of
/// each one's type.
fn with_columns<'a>(stage: &'a Stage, names: &[&str]) -> Resource<'a> {
    let mut it = Resource::new(stage, "a", "DropCascade");
    it.create(&map(names)).succeeded();
    stage.database.query("CREATE TABLE public.shops (id int)");
    for name in names {
        stage.database.query(&format!("ALTER TABLE public.shops ADD COLUMN {name} {name}"));
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
fn columns(stage: &Stage) -> String {
    stage.database.value(
        "SELECT coalesce(string_agg(attname, ' ' ORDER BY attname), '') FROM pg_attribute
         WHERE attrelid = 'public.shops'::regclass AND attnum > 1 AND NOT attisdropped",
    )
}

#[test]
fn an_update_that_comes_late_takes_nothing_that_a_later_one_added() {
    let stage = Stage::new();
    let mut it = with_columns(&stage, &["hstore"]);
    let create = it.event("Create", &json!({ "PluginsMap": map(&["hstore"]) }));
    let older = it.event("Update", &json!({ "PluginsMap": map(&["hstore", "pg_trgm"]) }));
    stage.deliver(&older).succeeded();
    it.properties = older["ResourceProperties"].clone();
    it.update(&map(&["hstore", "citext"])).succeeded();
    stage.database.query("ALTER TABLE public.shops ADD COLUMN citext citext");
    let answer = stage.deliver(&older).succeeded();
    assert_eq!(answer.data("Changes"), stage.here("created pg_trgm 1.6"), "what it lists");
    assert_eq!(columns(&stage), "citext hstore");
    stage.deliver(&create).succeeded();
    assert_eq!(columns(&stage), "citext hstore", "nor does a Create");
    assert_eq!(claims(&stage.database), "a citext created, a hstore created, a pg_trgm created");
    it.delete().succeeded();
    assert_eq!(stage.database.installed(), "", "what it created goes with it");
}

#[test]
fn what_an_update_takes_out_goes_again_when_it_comes_late() {
    let stage = Stage::new();
    let mut it = with_columns(&stage, &["hstore", "citext"]);
    let older = it.event("Update", &json!({ "PluginsMap": map(&["hstore"]) }));
    it.update(&map(&["hstore"])).succeeded();
    assert_eq!(columns(&stage), "hstore");
    it.update(&map(&["hstore", "citext"])).succeeded();
    stage.database.query("ALTER TABLE public.shops ADD COLUMN citext citext");
    // Nothing tells it from a first delivery.
    stage.deliver(&older).succeeded();
    assert_eq!(columns(&stage), "hstore");
}

#[test]
fn what_stays_keeps_what_it_requires() {
    let stage = Stage::new();
    let mut it = with_columns(&stage, &["cube"]);
    let older = it.event("Update", &json!({ "PluginsMap": map(&["citext"]) }));
    it.update(&map(&["earthdistance"])).succeeded();
    let answer = stage.deliver(&older).succeeded();
    assert_eq!(answer.data("Changes"), stage.here("created citext 1.6"));
    assert_eq!(columns(&stage), "cube", "`earthdistance` requires it");
}

#[test]
fn names_are_found_in_old_properties_as_in_new_ones() {
    let stage = Stage::new();
    let mut it = Resource::new(&stage, "a", "Drop");
    it.create(&json!({ "HStore": "any", "EarthDistance": { "Version": "any" } })).succeeded();
    it.properties["PluginsMap"]["hstore_plperl"] = json!({ "Colour": ["blue"] });
    let answer = it.update(&json!({})).succeeded();
    assert_eq!(
        answer.data("Changes"),
        stage.here("dropped cube 1.5; dropped earthdistance 1.1; dropped hstore 1.8")
    );
    assert_eq!(claims(&stage.database), "none");
}

#[test]
fn old_properties_that_cannot_be_read_list_nothing() {
    let stage = Stage::new();
    let mut it = Resource::new(&stage, "a", "Drop");
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
        stage.deliver(&event).succeeded();
        assert_eq!(stage.database.installed(), stage.here("citext 1.6, hstore 1.8"), "{event}");
    }
    it.update(&map(&["citext"])).succeeded();
    assert_eq!(stage.database.installed(), stage.here("citext 1.6"));
}

#[test]
fn what_the_other_database_loses_stays() {
    const STAGING: &str = "staging/db";
    let stage = Stage::new();
    let reference = Database::create();
    reference.query("CREATE EXTENSION hstore; CREATE EXTENSION citext");
    let secret = reference.secret(&reference.server.user, &reference.server.password);
    stage.secrets.put(STAGING, "AWSCURRENT", secret.to_string());
    let properties = |names: &[&str]| json!({ "PluginsFrom": STAGING, "PluginsMap": map(names) });
    let mut it = Resource::new(&stage, "a", "DropCascade");
    it.deliver("Create", &properties(&["citext", "cube"])).succeeded();
    stage.database.query("CREATE TABLE public.shops (id int, hstore hstore, citext citext)");
    it.deliver("Update", &properties(&["cube"])).succeeded();
    assert_eq!(columns(&stage), "citext hstore", "the other database has both");
    reference.query("DROP EXTENSION hstore; DROP EXTENSION citext");
    let answer = it.deliver("Update", &properties(&[])).succeeded();
    assert_eq!(answer.data("Changes"), stage.here("dropped cube 1.5"));
    it.deliver("Update", &json!({ "PluginsMap": {} })).succeeded();
    assert_eq!(columns(&stage), "citext hstore", "nor without `PluginsFrom`");
    assert_eq!(claims(&stage.database), "a citext created, a hstore created, a plpgsql");
    it.delete().succeeded();
    assert_eq!(columns(&stage), "", "the claims give it to the Delete");
    // An invocation tells nothing of what it listed before: it may all have come from there.
    reference.query("CREATE EXTENSION hstore");
    let it = Resource::new(&stage, "a", "DropCascade");
    let invoke = |properties: &Value| {
        let mut event = it.event("Create", properties);
        event["StackId"] = Value::Null;
        stage.invoke(&event).succeeded()
    };
    invoke(&properties(&["citext"]));
    reference.query("DROP EXTENSION hstore");
    invoke(&properties(&[]));
    assert_eq!(stage.database.installed(), stage.here("citext 1.6, hstore 1.8"));
    invoke(&json!({ "PluginsMap": map(&["citext"]) }));
    assert_eq!(
        stage.database.installed(),
        stage.here("citext 1.6"),
        "what is claimed and not listed"
    );
}

#[test]
fn what_a_failed_update_created_goes_with_its_rollback() {
    let stage = Stage::new();
    let other = Database::create();
    let both = json!([other.name, stage.database.name]);
    let properties = |names: &[&str]| json!({ "PluginsMap": map(names), "Databases": both });
    let mut it = Resource::new(&stage, "a", "Drop");
    it.deliver("Create", &properties(&["citext"])).succeeded();
    stage.refuse("hstore", "RAISE EXCEPTION 'not today'");
    let event = it.event("Update", &properties(&["citext", "hstore"]));
    stage.deliver_once(&event).failed(&["not today"]);
    assert_eq!(other.installed(), stage.here("citext 1.6, hstore 1.8"), "it was under way");
    let before = std::mem::replace(&mut it.properties, event["ResourceProperties"].clone());
    it.deliver("Update", &before).succeeded();
    for database in [&other, &stage.database] {
        assert_eq!(database.installed(), stage.here("citext 1.6"));
        assert_eq!(claims(database), "a citext created");
    }
}
