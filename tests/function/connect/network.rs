//! The networks of docs/network.md. What the example stack of each does not reach is an
//! unreachable address here.

#![allow(clippy::expect_used, reason = "a broken test environment is a failed test")]

use std::fs;
use std::time::Duration;

use crate::support::database::server;
use crate::support::fault_injection::{port_of, through};
use crate::support::function::{Function, record};
use crate::support::iam_endpoint::IamEndpoint;
use crate::support::response::Response;
use crate::support::test_environment::{SECRET, TestEnvironment};
use crate::support::token::Expected;
use crate::support::unreachable_address::UnreachableAddress;
use serde_json::{Value, json};

/// An example stack, and the part of the world that its network reaches.
struct Network {
    template: String,
    env: TestEnvironment,
    endpoint: IamEndpoint,
    role: String,
    unreachable: UnreachableAddress,
    function: Function,
    /// The same program, never in a VPC.
    responder: Function,
}

impl Network {
    fn of(example: &str) -> Self {
        let path = format!("{}/examples/{example}", env!("CARGO_MANIFEST_DIR"));
        let template = fs::read_to_string(path).expect("the example");
        let env = TestEnvironment::new();
        let unreachable = UnreachableAddress::new();
        let role = env.database.role("of the secret", "SUPERUSER");
        env.keep_secret("of the secret");
        // As RDS writes the secret that it manages itself.
        let secret = json!({ "username": role, "password": "of the secret" });
        env.secrets.put(SECRET, "AWSCURRENT", secret.to_string());
        let endpoint = IamEndpoint::open(Expected::at("localhost"));
        // Whatever of AWS the function may think of calling.
        let aws = if reaches(&template, "secretsmanager") {
            env.secrets.url()
        } else {
            unreachable.url()
        };
        let function = Function::start(&[("AWS_ENDPOINT_URL", aws)]);
        let responder = Function::start(&[
            ("_HANDLER", "responder".to_owned()),
            ("AWS_ENDPOINT_URL", unreachable.url()),
        ]);
        Self { template, env, endpoint, role, unreachable, function, responder }
    }

    /// The event that the example's resource leads to.
    fn event(&self, kind: &str) -> Value {
        let mut properties = json!({
            "ServiceTimeout": "40",
            "Host": "localhost",
            "Databases": self.env.database.name,
            "PluginsMap": { "hstore": "1.4" },
        });
        if self.template.contains("Authentication: IAM") {
            properties["Authentication"] = json!("IAM");
            properties["Username"] = json!(self.role);
            properties["Port"] = json!(self.endpoint.port.to_string());
            properties["SslRootCert"] = json!(self.endpoint.ca);
            properties["DBSecret"] = json!(null);
        } else {
            properties["Port"] = json!(server().port.to_string());
        }
        self.env.event(kind, &properties)
    }

    /// Sends an event. Where the network does not lead to the bucket, the function hands the response
    /// over to Lambda, and the responder delivers it.
    fn deliver(&self, mut event: Value) -> (Response, By) {
        if reaches(&self.template, "s3") {
            return (self.env.deliver_to(&self.function, &event), By::TheFunction);
        }
        let url = self.env.bucket.url();
        self.env.keep_secret(&url.signature);
        event["ResponseURL"] = json!(through(&url.url, self.unreachable.port));
        let time = Duration::from_secs(8);
        let outcome = self.function.invoke(event.to_string().as_bytes(), time);
        let error = outcome.expect_err("not delivered: a function error");
        assert!(self.env.bucket.puts().is_empty(), "the bucket was out of reach");
        // The same URL, from where its host is in reach.
        event["ResponseURL"] = json!(url.url);
        let record = record(&event, "RetriesExhausted", &error);
        let outcome = self.responder.invoke(record.to_string().as_bytes(), time);
        let puts = self.env.bucket.puts();
        assert_eq!(puts.len(), 1);
        let sent = std::str::from_utf8(&puts[0].body).expect("UTF-8");
        assert_eq!(Some(sent), error["errorMessage"].as_str(), "the very document");
        let response = Response::of_put(&event, &puts[0], &url.target, &outcome);
        for function in [&self.function, &self.responder] {
            self.env.check_nothing_leaked(function, &response);
        }
        (response, By::TheResponder)
    }
}

/// Whose PUT it was.
#[derive(Debug, PartialEq)]
enum By {
    TheFunction,
    TheResponder,
}

/// Whether a stack's private subnets have a way to that service.
fn reaches(template: &str, service: &str) -> bool {
    let endpoint = format!("ServiceName: !Sub com.amazonaws.${{AWS::Region}}.{service}\n");
    template.contains("Type: AWS::EC2::NatGateway\n") || template.contains(&endpoint)
}

#[track_caller]
fn reproduced(example: &str, [secrets_manager, s3]: [bool; 2], by: &By) {
    let network = Network::of(example);
    assert_eq!(reaches(&network.template, "secretsmanager"), secrets_manager);
    assert_eq!(reaches(&network.template, "s3"), s3);
    let (response, delivered) = network.deliver(network.event("Create"));
    let response = response.succeeded();
    assert_eq!(response.data("hstore"), "1.4");
    assert_eq!(delivered, *by);
    assert_eq!(network.env.database.installed(), "hstore 1.4");
    let calls = network.env.secrets.calls();
    assert_eq!(!calls.is_empty(), secrets_manager, "{calls:?}");
    let tokens = network.endpoint.logins();
    assert_eq!(tokens.is_empty(), secrets_manager, "{tokens:?}");
    assert!(tokens.iter().all(|login| login.verdict.is_ok()), "{tokens:?}");
}

#[test]
fn nat() {
    reproduced("network-nat.yaml", [true, true], &By::TheFunction);
}

#[test]
fn an_endpoint_for_secrets_manager_and_one_for_s3() {
    reproduced("network-endpoints.yaml", [true, true], &By::TheFunction);
}

#[test]
fn iam_and_an_endpoint_for_s3() {
    reproduced("network-iam-s3-endpoint.yaml", [false, true], &By::TheFunction);
}

#[test]
fn iam_and_nothing_at_all() {
    reproduced("network-iam-nothing.yaml", [false, false], &By::TheResponder);
}

#[test]
fn a_failure_and_a_delete_come_through_nothing_too() {
    let network = Network::of("network-iam-nothing.yaml");
    let mut event = network.event("Create");
    event["ResourceProperties"]["PluginsMap"] = json!({ "pgvector": "any" });
    let (response, by) = network.deliver(event);
    response.failed(&["pgvector", "did you mean `vector`"]);
    assert_eq!(by, By::TheResponder);

    let network = Network::of("network-iam-nothing.yaml");
    let mut event = network.event("Delete");
    event["PhysicalResourceId"] = json!("Extensions-01234567");
    let (response, _) = network.deliver(event);
    assert_eq!(response.succeeded().id, "Extensions-01234567");
    assert!(network.endpoint.logins().is_empty());
}

/// A test environment with little time: for what is waited for in vain.
fn hasty() -> (TestEnvironment, UnreachableAddress) {
    (TestEnvironment::new().with_seconds(6), UnreachableAddress::new())
}

#[test]
fn a_password_where_nothing_leads_to_secrets_manager() {
    let (env, unreachable) = hasty();
    let function = Function::start(&[("AWS_ENDPOINT_URL_SECRETS_MANAGER", unreachable.url())]);
    let event = env.event("Create", &json!({ "PluginsMap": { "hstore": "1.4" } }));
    let response = env.deliver_to(&function, &event);
    let ways_out = ["interface endpoint", "NAT gateway", "`Authentication: IAM`"];
    response.failed(&["gave up waiting for Secrets Manager", SECRET]).failed(&ways_out);
}

#[test]
fn a_security_group_that_allows_no_connection() {
    let (env, unreachable) = hasty();
    let port = unreachable.port.to_string();
    let properties = json!({ "PluginsMap": { "hstore": "1.4" }, "Port": port });
    let response = env.deliver_once(&env.event("Create", &properties));
    response.failed(&["gave up waiting", &format!("localhost:{port}"), "security group", "route"]);
}

#[test]
fn a_bucket_out_of_reach_is_named_in_the_log() {
    let (env, unreachable) = hasty();
    let mut event = env.event("Create", &json!({ "PluginsMap": { "hstore": "1.4" } }));
    let url = env.bucket.url().url;
    assert_ne!(port_of(&url), unreachable.port);
    event["ResponseURL"] = json!(through(&url, unreachable.port));
    let outcome = env.function.invoke(event.to_string().as_bytes(), Duration::from_secs(6));
    assert!(outcome.is_err(), "{outcome:?}");
    let log = env.function.output();
    assert!(log.contains("S3 gateway endpoint or a NAT gateway"), "{log}");
}
