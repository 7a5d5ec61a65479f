//! A resource of a stack's, from its Create to its Delete, and the claims that it leaves.

use serde_json::{Value, json};

use super::database::Database;
use super::response::Response;
use super::test_environment::TestEnvironment;

/// A resource of one stack's, on a test environment.
pub struct Resource<'a> {
    env: &'a TestEnvironment,
    /// The stack's ARN.
    pub stack: String,
    /// Its `RemovalPolicy`.
    pub policy: &'static str,
    /// Its id, once it has one.
    pub id: String,
    /// What it was last asked for.
    pub properties: Value,
}

impl<'a> Resource<'a> {
    /// Not created yet.
    pub fn new(env: &'a TestEnvironment, stack: &str, policy: &'static str) -> Self {
        let stack = format!(
            "arn:aws:cloudformation:eu-west-1:123456789012:stack/{stack}/{}",
            env.database.name
        );
        Self { env, stack, policy, id: String::new(), properties: json!({}) }
    }

    /// An event about it, under its policy unless the properties name another.
    pub fn event(&self, kind: &str, properties: &Value) -> Value {
        let mut all = properties.clone();
        if all["RemovalPolicy"].is_null() {
            all["RemovalPolicy"] = json!(self.policy);
        }
        let mut event = if self.id.is_empty() {
            self.env.event(kind, &all)
        } else {
            self.env.event_about(kind, &self.id, &all)
        };
        event["StackId"] = json!(self.stack);
        if kind == "Update" {
            event["OldResourceProperties"] = self.properties.clone();
        }
        event
    }

    /// Delivers one twice.
    #[track_caller]
    pub fn deliver(&mut self, kind: &str, properties: &Value) -> Response {
        let event = self.event(kind, properties);
        let response = self.env.deliver(&event);
        if response.status == "SUCCESS" {
            self.properties = event["ResourceProperties"].clone();
            self.id.clone_from(&response.id);
        }
        response
    }

    /// Creates it with this map.
    #[track_caller]
    pub fn create(&mut self, map: &Value) -> Response {
        self.deliver("Create", &json!({ "PluginsMap": map }))
    }

    /// Updates it to this map.
    #[track_caller]
    pub fn update(&mut self, map: &Value) -> Response {
        self.deliver("Update", &json!({ "PluginsMap": map }))
    }

    /// Deletes it, with the properties that it has.
    #[track_caller]
    pub fn delete(&mut self) -> Response {
        let mut properties = self.properties.clone();
        if properties.is_null() {
            properties = json!({});
        }
        self.deliver("Delete", &properties)
    }
}

/// How many claims there are; `none` where there is no table, and no schema.
pub fn claims(database: &Database) -> String {
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
