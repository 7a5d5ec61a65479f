//! What becomes of extensions that leave the map, and of all of them at the end.

mod support;

use serde_json::{Value, json};
use support::answer::Answer;
use support::database::Database;
use support::stage::Stage;

/// A resource of one stack's, on a stage.
struct Resource<'a> {
    stage: &'a Stage,
    stack: String,
    policy: &'static str,
    id: String,
    properties: Value,
}

impl<'a> Resource<'a> {
    fn new(stage: &'a Stage, stack: &str, policy: &'static str) -> Self {
        let stack = format!(
            "arn:aws:cloudformation:eu-west-1:123456789012:stack/{stack}/{}",
            stage.database.name
        );
        Self { stage, stack, policy, id: String::new(), properties: json!({}) }
    }

    fn event(&self, kind: &str, properties: &Value) -> Value {
        let mut all = properties.clone();
        if all["RemovalPolicy"].is_null() {
            all["RemovalPolicy"] = json!(self.policy);
        }
        let mut event = if self.id.is_empty() {
            self.stage.event(kind, &all)
        } else {
            self.stage.event_about(kind, &self.id, &all)
        };
        event["StackId"] = json!(self.stack);
        if kind == "Update" {
            event["OldResourceProperties"] = self.properties.clone();
        }
        event
    }

    #[track_caller]
    fn deliver(&mut self, kind: &str, properties: &Value) -> Answer {
        let event = self.event(kind, properties);
        let answer = self.stage.deliver(&event);
        if answer.status == "SUCCESS" {
            self.properties = event["ResourceProperties"].clone();
            self.id.clone_from(&answer.id);
        }
        answer
    }

    #[track_caller]
    fn create(&mut self, map: &Value) -> Answer {
        self.deliver("Create", &json!({ "PluginsMap": map }))
    }

    #[track_caller]
    fn update(&mut self, map: &Value) -> Answer {
        self.deliver("Update", &json!({ "PluginsMap": map }))
    }

    #[track_caller]
    fn delete(&mut self) -> Answer {
        let mut properties = self.properties.clone();
        if properties.is_null() {
            properties = json!({});
        }
        self.deliver("Delete", &properties)
    }
}

/// How many claims there are; `none` where there is no table, and no schema.
fn claims(database: &Database) -> String {
    if database.value("SELECT to_regnamespace('cfn_postgres_extensions') IS NULL") == "t" {
        return "none".to_owned();
    }
    database.value(
        "SELECT coalesce(string_agg(split_part(stack, '/', 2) || ' ' || extension
                || CASE WHEN created THEN ' created' ELSE '' END, ', '
                ORDER BY stack, extension COLLATE \"C\"), 'empty')
         FROM cfn_postgres_extensions.claim",
    )
}

#[test]
fn what_it_created_goes_and_what_was_there_stays() {
    let stage = Stage::new();
    stage.database.query("CREATE EXTENSION citext");
    let mut it = Resource::new(&stage, "a", "Drop");
    let answer =
        it.create(&json!({ "citext": "any", "hstore": "1.7", "earthdistance": "" })).succeeded();
    assert_eq!(
        answer.data("Changes"),
        "created cube 1.5 (required by earthdistance); created earthdistance 1.1; \
         created hstore 1.7; left citext 1.6 unclaimed (it was there before)"
    );
    assert_eq!(
        claims(&stage.database),
        "a citext, a cube created, a earthdistance created, a hstore created"
    );
    let answer = it.delete().succeeded();
    assert!(
        answer.reason.contains("dropped cube 1.5; dropped earthdistance 1.1; dropped hstore 1.7"),
        "{answer:#?}"
    );
    assert_eq!(stage.database.installed(), "citext 1.6");
    assert_eq!(claims(&stage.database), "none", "the last claim takes the schema along");
}

#[test]
fn an_entry_that_leaves_the_map() {
    let stage = Stage::new();
    let mut it = Resource::new(&stage, "a", "Drop");
    it.create(&json!({ "hstore": "1.7", "earthdistance": "" })).succeeded();
    let answer = it.update(&json!({ "hstore": "1.8" })).succeeded();
    assert_eq!(
        answer.data("Changes"),
        "updated hstore 1.7 to 1.8; dropped cube 1.5; dropped earthdistance 1.1"
    );
    assert_eq!(stage.database.installed(), "hstore 1.8");
    assert_eq!(claims(&stage.database), "a hstore created");
    it.update(&json!({})).succeeded();
    assert_eq!(stage.database.installed(), "");
    assert_eq!(claims(&stage.database), "none");
}

#[test]
fn two_stacks_share_an_extension() {
    let stage = Stage::new();
    let mut first = Resource::new(&stage, "a", "Drop");
    let mut second = Resource::new(&stage, "b", "Drop");
    first.create(&json!({ "hstore": "1.7" })).succeeded();
    second.create(&json!({ "hstore": "any" })).succeeded();
    assert_eq!(claims(&stage.database), "a hstore created, b hstore");
    first.delete().succeeded();
    assert_eq!(stage.database.installed(), "hstore 1.7", "the other one lists it");
    assert_eq!(claims(&stage.database), "b hstore created", "and owns it from now on");
    second.delete().succeeded();
    assert_eq!(stage.database.installed(), "");
    assert_eq!(claims(&stage.database), "none");
}

#[test]
fn nothing_is_dropped_that_something_depends_on() {
    let stage = Stage::new();
    let mut it = Resource::new(&stage, "a", "Drop");
    it.create(&json!({ "hstore": "1.7", "citext": "" })).succeeded();
    stage.database.query(
        "CREATE TABLE public.shops (id int, tags hstore);
         CREATE VIEW public.tagged AS SELECT id, tags -> 'x' AS x FROM public.shops",
    );
    it.delete().failed(&[
        "hstore",
        "view public.tagged",
        "table column public.shops.tags",
        "DropCascade",
    ]);
    assert_eq!(stage.database.installed(), "citext 1.6, hstore 1.7", "nothing else either");
    it.update(&json!({ "citext": "" })).failed(&["table column public.shops.tags"]);
    it.policy = "DropCascade";
    let answer = it.update(&json!({ "citext": "" })).succeeded();
    assert_eq!(
        answer.data("Changes"),
        "dropped hstore 1.7; dropped along with that: table column public.shops.tags, view public.tagged"
    );
    assert_eq!(stage.database.installed(), "citext 1.6");
}

#[test]
fn several_databases_and_one_that_is_left() {
    let stage = Stage::new();
    let other = Database::create();
    let mut it = Resource::new(&stage, "a", "Drop");
    let both = json!([stage.database.name, other.name]);
    let one = json!([stage.database.name]);
    let map = json!({ "hstore": "1.7" });
    it.deliver("Create", &json!({ "PluginsMap": map, "Databases": both })).succeeded();
    let answer = it.deliver("Update", &json!({ "PluginsMap": map, "Databases": one })).succeeded();
    assert_eq!(answer.data("Changes"), format!("{}: dropped hstore 1.7", other.name));
    assert_eq!(other.installed(), "");
    assert_eq!(claims(&other), "none");
    assert_eq!(stage.database.installed(), "hstore 1.7");
    it.delete().succeeded();
    assert_eq!(stage.database.installed(), "");
}
