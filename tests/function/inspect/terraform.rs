//! Terraform's `aws_lambda_invocation` with `lifecycle_scope = "CRUD"`: the input of the configuration,
//! and beside it the key `tf` with what is done about the resource.

#![expect(clippy::expect_used, reason = "a broken test environment is a failed test")]

use crate::support::cluster::Cluster;
use crate::support::database::Database;
use crate::support::resource::claims;
use crate::support::response::Response;
use crate::support::test_environment::{SECRET, TestEnvironment};
use serde_json::{Value, json};

/// The resource in a Terraform state: the provider's inputs are made as it makes them.
struct Invocation<'a> {
    env: &'a TestEnvironment,
    input: Value,
}

impl Invocation<'_> {
    /// What the configuration has as `input`: always the same request type.
    fn input(properties: &Value) -> Value {
        let mut all = json!({ "DBSecret": SECRET, "RemovalPolicy": "Drop" });
        for (name, value) in properties.as_object().expect("properties") {
            all[name] = value.clone();
        }
        json!({ "RequestType": "Create", "ResourceProperties": all })
    }

    fn invoke(&self, action: &str, input: &Value, before: &Value) -> Response {
        let mut event = input.clone();
        event["tf"] = json!({ "action": action, "prev_input": before });
        self.env.invoke(&event)
    }

    /// `terraform apply`: an input that has not changed is not sent.
    #[track_caller]
    fn apply(&mut self, properties: &Value) -> Response {
        let input = Self::input(properties);
        assert_ne!(input, self.input, "Terraform would send nothing");
        let action = if self.input.is_null() { "create" } else { "update" };
        let response = self.invoke(action, &input, &self.input).succeeded();
        self.input = input;
        response
    }

    /// `terraform destroy`.
    #[track_caller]
    fn destroy(&self) -> Response {
        self.invoke("delete", &self.input, &self.input).succeeded()
    }
}

#[test]
fn a_resource_from_apply_to_destroy() {
    let env = TestEnvironment::new();
    env.database.query("CREATE EXTENSION citext");
    let mut it = Invocation { env: &env, input: Value::Null };
    it.apply(&json!({ "PluginsMap": { "hstore": "1.4", "citext": "", "unaccent": "" } }));
    assert!(env.database.installed().contains("hstore 1.4"));
    let response = it.apply(&json!({ "PluginsMap": { "hstore": "1.7", "citext": "" } }));
    let unaccent = env.default_version("unaccent");
    let changes = format!("updated hstore 1.4 to 1.7; dropped unaccent {unaccent}");
    assert_eq!(response.data("Changes"), changes);
    // The input is the one of a Create: without the key it would be installed again.
    it.destroy();
    assert_eq!(env.database.installed(), format!("citext {}", env.default_version("citext")));
    assert_eq!(claims(&env.database), "none");
    it.destroy();
}

#[test]
fn what_is_retained_stays() {
    let env = TestEnvironment::new();
    let mut it = Invocation { env: &env, input: Value::Null };
    it.apply(&json!({ "PluginsMap": { "hstore": "1.7", "cube": "" }, "RemovalPolicy": "Retain" }));
    it.apply(&json!({ "PluginsMap": { "hstore": "1.7" }, "RemovalPolicy": "Retain" }));
    it.destroy();
    let cube = env.default_version("cube");
    assert_eq!(env.database.installed(), format!("cube {cube}, hstore 1.7"));
}

#[test]
fn another_host_leaves_the_server_before_untouched() {
    let env = TestEnvironment::new();
    let cluster = Cluster::start(&[]);
    let other = Database::at(cluster.server, &env.database.name);
    // Another invocation without a `StackId` is the same claimant: what it has there is not dropped.
    let secret = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:other-AbCdEf";
    let of_other = other.secret(&cluster.server.user, &cluster.server.password).to_string();
    env.secrets.put(secret, "AWSCURRENT", of_other);
    env.keep_secret(&cluster.server.password);
    let ca = std::fs::read_to_string(&cluster.server.ca).expect("a certificate");
    let moved = |map: Value| json!({ "PluginsMap": map, "DBSecret": secret, "SslRootCert": ca });
    let there = Invocation::input(&moved(json!({ "hstore": "1.4" })));
    env.invoke(&there).succeeded();
    let mut it = Invocation { env: &env, input: Value::Null };
    it.apply(&json!({ "PluginsMap": { "hstore": "1.7", "citext": "" } }));
    let before = (env.database.installed(), claims(&env.database));
    let response = it.apply(&moved(json!({ "citext": "" })));
    let citext = env.default_version("citext");
    assert_eq!(response.data("Changes"), format!("created citext {citext}"));
    assert_eq!((env.database.installed(), claims(&env.database)), before);
    assert_eq!(other.installed(), format!("citext {citext}, hstore 1.4"));
}

#[test]
fn an_action_that_is_not_known_is_refused() {
    let env = TestEnvironment::new();
    let it = Invocation { env: &env, input: Value::Null };
    let input = Invocation::input(&json!({ "PluginsMap": { "hstore": "" } }));
    it.invoke("read", &input, &Value::Null).failed(&["RequestType", "`read`"]);
    assert_eq!(env.database.installed(), "");
}

#[test]
fn an_inspect_stays_one() {
    let env = TestEnvironment::new();
    let mut event = Invocation::input(&json!({ "PluginsMap": { "hstore": "" } }));
    event["RequestType"] = json!("Inspect");
    for action in ["create", "update", "delete"] {
        event["tf"] = json!({ "action": action, "prev_input": null });
        let result = env.direct(&event).succeeded();
        assert_eq!(result["Summary"]["Drift"], 1, "{result:#}");
    }
    assert_eq!(env.database.installed(), "");
}
