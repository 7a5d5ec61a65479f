//! A server that wants a password which is not its own: where the template says where, it gets nothing
//! that it could use. Every event is sent twice.

#![allow(clippy::expect_used, reason = "a broken test environment is a failed test")]

use std::fs;

use crate::support::database::{Database, server, unique};
use crate::support::iam_endpoint::IamEndpoint;
use crate::support::malicious_server::{Asks, MaliciousServer};
use crate::support::resource::Resource;
use crate::support::test_environment::{SECRET, TestEnvironment};
use crate::support::token::Expected;
use serde_json::{Value, json};

/// What a refused request says.
const REFUSED: [&str; 4] =
    ["channel binding", "nothing was sent", "`AllowedHosts`", "ALLOWED_HOSTS"];

const MODES: [&str; 3] = ["verify-full", "verify-ca", "require"];

/// A test environment whose function trusts these authorities, with more environment variables.
fn trusting(roots: &[&str], more: &[(&str, String)]) -> TestEnvironment {
    let file = format!("{}/{}.pem", env!("CARGO_TARGET_TMPDIR"), unique("roots"));
    fs::write(&file, roots.concat()).expect("a file of roots");
    TestEnvironment::with(Database::create(), &[&[("PGSSLROOTCERT", file)], more].concat())
}

/// Properties that ask for `hstore`, and more.
fn hstore(more: &Value) -> Value {
    let mut properties = json!({ "PluginsMap": { "hstore": "1.7" } });
    for (name, value) in more.as_object().into_iter().flatten() {
        properties[name] = value.clone();
    }
    properties
}

/// Has the secret itself name the malicious server.
fn let_the_secret_name(env: &TestEnvironment, malicious: &MaliciousServer) {
    let mut secret = env.secret_of(&server().user, &server().password);
    secret["port"] = json!(malicious.port);
    env.secrets.put(SECRET, "AWSCURRENT", secret.to_string());
}

/// Panics unless a client connected and sent nothing after the startup message.
#[track_caller]
fn assert_got_nothing(malicious: &MaliciousServer, what: &str) {
    let heard = malicious.heard();
    assert!(!heard.is_empty(), "no connection: {what}");
    for heard in heard {
        let startup = String::from_utf8_lossy(&heard.startup);
        assert!(!startup.contains(&server().password), "{what}: {startup}");
        assert!(heard.then.is_empty(), "{what}: {:?}", String::from_utf8_lossy(&heard.then));
    }
}

#[test]
fn where_the_template_says_where_only_a_bound_proof_is_given() {
    for asks in [Asks::ClearText, Asks::Md5, Asks::Unbound, Asks::Nothing] {
        let malicious = MaliciousServer::start(asks);
        let env = trusting(&[&malicious.ca], &[]);
        let port = malicious.port.to_string();
        for mode in MODES {
            for more in [
                json!({ "Host": "localhost", "Port": port, "SslRootCert": malicious.ca }),
                json!({ "Host": "localhost", "Port": port }),
                // The secret says `localhost`, too.
                json!({ "Port": port }),
            ] {
                let mut properties = hstore(&more);
                properties["SslMode"] = json!(mode);
                env.create_with(&properties).failed(&REFUSED);
                assert_got_nothing(&malicious, &format!("{asks:?}, {mode}, {more}"));
            }
        }
    }
}

#[test]
fn a_template_that_weakens_the_proof_of_the_secret_s_server_says_where() {
    for asks in [Asks::ClearText, Asks::Nothing] {
        let malicious = MaliciousServer::start(asks);
        let env = trusting(&[&malicious.ca], &[("ALLOWED_HOSTS", "localhost".to_owned())]);
        let_the_secret_name(&env, &malicious);
        for more in [
            json!({ "SslRootCert": malicious.ca }),
            json!({ "SslMode": "verify-ca" }),
            json!({ "SslMode": "require" }),
        ] {
            env.create_with(&hstore(&more)).failed(&REFUSED);
            assert_got_nothing(&malicious, &more.to_string());
        }
    }
}

#[test]
fn the_server_of_the_secret_may_ask_as_it_likes() {
    for (asks, response) in [
        (Asks::ClearText, format!("p\0\0\0{}{}\0", char::from(29), server().password)),
        (Asks::Md5, "p\0\0\0\x28md5".to_owned()),
        (Asks::Nothing, "P".to_owned()),
    ] {
        let malicious = MaliciousServer::start(asks);
        let env = trusting(&[&malicious.ca], &[]);
        let_the_secret_name(&env, &malicious);
        env.create_with(&hstore(&json!({}))).succeeded();
        let then = String::from_utf8_lossy(&malicious.heard()[0].then).into_owned();
        assert!(asks == Asks::Nothing || then.starts_with(&response), "{asks:?}: {then:?}");
    }
}

#[test]
fn a_host_that_the_operator_allows_may_ask_as_it_likes() {
    let malicious = MaliciousServer::start(Asks::ClearText);
    let allowed = ("ALLOWED_HOSTS", ".example.com,LocalHost".to_owned());
    let env = trusting(&[&malicious.ca], &[allowed]);
    let place = json!({ "Host": "localhost", "Port": malicious.port.to_string() });
    for more in [
        json!({ "SslMode": "verify-ca" }),
        json!({ "SslMode": "require" }),
        json!({ "SslRootCert": malicious.ca }),
        json!({ "Host": "127.0.0.1" }),
    ] {
        let mut properties = hstore(&place);
        for (name, value) in more.as_object().into_iter().flatten() {
            properties[name] = value.clone();
        }
        env.create_with(&properties).failed(&REFUSED);
        assert_got_nothing(&malicious, &more.to_string());
    }
    env.create_with(&hstore(&place)).succeeded();
    let heard = malicious.heard();
    let then = &heard.last().expect("a client").then;
    assert!(String::from_utf8_lossy(then).contains(&server().password), "it was let in by that");
}

#[test]
fn in_the_clear_nothing_goes_where_the_template_says() {
    let malicious = MaliciousServer::start(Asks::ClearText);
    let env = TestEnvironment::new();
    let port = json!(malicious.port.to_string());
    for more in [json!({ "Host": "localhost", "Port": port }), json!({ "Port": port })] {
        let mut properties = hstore(&more);
        properties["SslMode"] = json!("disable");
        properties["DryRun"] = json!("perhaps");
        // With all other problems, and before anybody is asked.
        let words = ["2 problems", "`SslMode: disable`", "`Host` or `Port`", "DryRun"];
        env.create_with(&properties).failed(&words);
        assert!(malicious.heard().is_empty());
    }
    // A Delete is read leniently: it may be older than this rule.
    let mut resource = Resource::new(&env, "clear", "Drop");
    resource.create(&json!({ "hstore": "1.7" })).succeeded();
    let place = json!({ "Host": "localhost", "Port": port, "SslMode": "disable" });
    resource.deliver("Delete", &hstore(&place)).failed(&REFUSED);
    assert_got_nothing(&malicious, "a Delete");
}

#[test]
fn a_bound_proof_is_of_no_use_elsewhere() {
    let malicious = MaliciousServer::start(Asks::AsTheServer);
    let env = TestEnvironment::new().with_seconds(8);
    let place =
        json!({ "Host": "localhost", "Port": malicious.port.to_string(), "SslMode": "require" });
    // The real server finds the binding to another certificate.
    let event = env.event("Create", &hstore(&place));
    env.deliver_once(&event).failed(&["SQLSTATE 28000", "channel binding"]);
    assert_eq!(env.database.installed(), "");
}

#[test]
fn a_server_with_scram_is_reached_wherever_the_template_says() {
    let env = TestEnvironment::new();
    for mode in MODES {
        let port = server().port.to_string();
        let place = json!({ "Host": "localhost", "Port": port, "SslMode": mode });
        env.create_with(&hstore(&place)).succeeded();
    }
}

#[test]
fn the_template_says_how_far_the_reference_s_server_is_trusted() {
    let malicious = MaliciousServer::start(Asks::ClearText);
    let ca = fs::read_to_string(&server().ca).expect("the CA's file");
    let env = trusting(&[&malicious.ca, &ca], &[]);
    let mut secret = env.secret_of(&server().user, &server().password);
    secret["port"] = json!(malicious.port);
    env.secrets.put("staging/db", "AWSCURRENT", secret.to_string());
    let mut properties = hstore(&json!({ "PluginsFrom": "staging/db", "SslMode": "require" }));
    env.create_with(&properties).failed(&REFUSED).failed(&["`PluginsFrom`"]);
    assert_got_nothing(&malicious, "the reference");
    properties["SslMode"] = json!("verify-full");
    env.create_with(&properties).succeeded();
}

#[test]
fn no_other_host_is_reached_than_those_that_the_operator_lists() {
    let malicious = MaliciousServer::start(Asks::Nothing);
    let endpoint = IamEndpoint::open(Expected::at("localhost"));
    let env = trusting(
        &[&malicious.ca, &endpoint.ca],
        &[("ALLOWED_HOSTS", "only: 127.0.0.1".to_owned())],
    );
    let_the_secret_name(&env, &malicious);
    let refused = ["may not connect to `localhost`", "ALLOWED_HOSTS", "`AllowedHosts`"];
    let port = malicious.port.to_string();
    env.create_with(&hstore(&json!({}))).failed(&refused);
    env.create_with(&hstore(&json!({ "Host": "localhost", "Port": port }))).failed(&refused);
    let iam = json!({
        "Authentication": "IAM", "DBSecret": null, "Host": "localhost",
        "Port": endpoint.port.to_string(), "Username": server().user,
    });
    env.create_with(&hstore(&iam)).failed(&refused);
    env.create_with(&hstore(&json!({ "PluginsFrom": SECRET, "Host": "127.0.0.1" })))
        .failed(&refused)
        .failed(&["`PluginsFrom`"]);
    let mut resource = Resource::new(&env, "only", "Drop");
    resource.id = "Extensions-0123abcd".to_owned();
    resource.deliver("Delete", &hstore(&json!({}))).failed(&refused);
    assert!(
        malicious.heard().is_empty() && endpoint.logins().is_empty(),
        "nobody was connected to"
    );

    // What is listed is reached, and is an allowed host besides.
    env.create_with(&hstore(&json!({ "Host": "127.0.0.1", "Port": port }))).succeeded();
    let host = "user:pass word@localhost";
    let mut secret = env.secret_of(&server().user, &server().password);
    secret["host"] = json!(host);
    env.secrets.put(SECRET, "AWSCURRENT", secret.to_string());
    let response = env.create_with(&hstore(&json!({}))).failed(&["`Host`"]);
    assert!(
        !response.reason.contains("pass word"),
        "what is no host is not told: {}",
        response.reason
    );
}
