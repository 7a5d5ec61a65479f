//! `Authentication: IAM`: the token is checked as AWS would, by a verifier of
//! the tests' own, before the real PostgreSQL. Every event is sent twice.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use crate::support::database::{Database, unique};
use crate::support::iam_endpoint::{IamEndpoint, Login};
use crate::support::response::Response;
use crate::support::test_environment::{SECRET, TestEnvironment};
use crate::support::token::Expected;
use serde_json::{Value, json};

/// A function, an RDS endpoint and a role that may log in.
struct IamEnvironment {
    env: TestEnvironment,
    endpoint: IamEndpoint,
    role: String,
}

impl IamEnvironment {
    fn new() -> Self {
        Self::with(&[], "localhost")
    }

    fn with(environment: &[(&str, String)], endpoint: &str) -> Self {
        let env = TestEnvironment::with(Database::create(), environment);
        let role = unique("app user+1@example.com ä");
        env.database.role_called(&role, "a password that is not used", "SUPERUSER");
        let endpoint = IamEndpoint::open(Expected::at(endpoint));
        Self { env, endpoint, role }
    }

    /// The properties of a template without a secret.
    fn properties(&self, more: &Value) -> Value {
        let mut properties = json!({
            "Authentication": "IAM",
            "DBSecret": null,
            "Host": "localhost",
            "Port": self.endpoint.port.to_string(),
            "Username": self.role,
            "Databases": self.env.database.name,
            "SslRootCert": self.endpoint.ca,
            "PluginsMap": { "hstore": "1.4" },
        });
        for (name, value) in more.as_object().into_iter().flatten() {
            properties[name] = value.clone();
        }
        properties
    }

    #[track_caller]
    fn create(&self, more: &Value) -> Response {
        let response = self.env.create_with(&self.properties(more));
        for login in self.endpoint.logins() {
            let signature = login
                .token
                .split(['?', '&'])
                .find_map(|pair| pair.strip_prefix("X-Amz-Signature="));
            assert!(signature.is_some_and(|signature| signature.len() == 64), "{}", login.token);
            self.env.keep_secret(signature.unwrap_or_default());
        }
        self.env.check_nothing_leaked(&self.env.function, &response);
        response
    }

    /// All logins, each with a token that is right.
    #[track_caller]
    fn accepted_logins(&self) -> Vec<Login> {
        let logins = self.endpoint.logins();
        for login in &logins {
            assert_eq!(login.verdict, Ok(()), "{login:#?}");
            assert_eq!(login.user, self.role);
        }
        assert!(!logins.is_empty());
        logins
    }
}

#[test]
fn a_token_opens_the_database_and_no_secret_is_read() {
    let iam = IamEnvironment::new();
    let response = iam.create(&json!({})).succeeded();
    assert_eq!(response.data("Changes"), "created hstore 1.4");
    assert_eq!(iam.env.database.installed(), "hstore 1.4");
    assert_eq!(iam.accepted_logins().len(), 2, "one for each delivery");
    assert_eq!(iam.env.secrets.calls(), []);
    let owner = "SELECT rolname FROM pg_extension JOIN pg_roles AS r ON r.oid = extowner
        WHERE extname = 'hstore'";
    assert_eq!(iam.env.database.value(owner), iam.role);
}

#[test]
fn the_token_is_for_the_exact_endpoint() {
    let iam = IamEnvironment::with(&[], "127.0.0.1");
    iam.create(&json!({ "Host": "127.0.0.1" })).succeeded();
    iam.accepted_logins();
    let iam = IamEnvironment::with(&[], "127.0.0.1").hasty();
    iam.create(&json!({})).failed(&["28000"]);
    let verdict = iam.endpoint.logins()[0].verdict.clone();
    assert!(verdict.is_err_and(|why| why.starts_with("endpoint")));
}

#[test]
fn every_connection_has_its_token() {
    let iam = IamEnvironment::new();
    let other = Database::create();
    let names = [&iam.env.database.name, &other.name];
    iam.create(&json!({ "Databases": names })).succeeded();
    assert_eq!(other.installed(), "hstore 1.4");
    let logins = iam.accepted_logins();
    let databases: BTreeSet<&String> = logins.iter().map(|login| &login.database).collect();
    assert_eq!(databases, names.into_iter().collect());
    assert_eq!(iam.env.secrets.calls(), []);
    iam.create(&json!({ "Databases": names, "PluginsMap": { "hstore": "1.7" } })).succeeded();
    iam.accepted_logins();
}

#[test]
fn a_secret_may_say_where() {
    let iam = IamEnvironment::new();
    let secret = json!({
        "host": "localhost",
        "port": iam.endpoint.port,
        "username": iam.role,
        "dbname": iam.env.database.name,
    });
    iam.env.secrets.put(SECRET, "AWSCURRENT", secret.to_string());
    let nothing = json!({
        "DBSecret": SECRET, "Host": null, "Port": null, "Username": null, "Databases": null,
    });
    iam.create(&nothing).succeeded();
    iam.accepted_logins();
    assert_eq!(iam.env.secrets.stages(), ["AWSCURRENT", "AWSCURRENT"], "one for each delivery");
    let wrong =
        json!({ "host": "wrong.invalid", "port": 1, "username": "nobody", "password": "x" });
    iam.env.secrets.put(SECRET, "AWSCURRENT", wrong.to_string());
    iam.create(&json!({ "DBSecret": SECRET })).succeeded();
    iam.accepted_logins();
}

#[test]
fn a_fresh_grant_is_waited_for() {
    let iam = IamEnvironment::new();
    iam.endpoint.refuse(2);
    let response = iam.create(&json!({})).succeeded();
    assert_eq!(iam.endpoint.logins().len(), 4);
    let waited = response.log.iter().filter(|line| line.contains("28000")).count();
    assert_eq!(waited, 2, "{:#?}", response.log);
}

#[test]
fn a_role_that_may_never_log_in() {
    let iam = IamEnvironment::new().hasty();
    iam.endpoint.refuse(1000);
    let words = ["28000", "(hidden)", "rds_iam", "rds-db:connect", "IAM authentication"];
    let response = iam.create(&json!({})).failed(&words);
    assert_eq!(response.id, "Extensions-create-failed");
    assert!(iam.endpoint.logins().len() > 2, "it was tried more than once");
}

#[test]
fn credentials_of_somebody_else() {
    let environment = [("AWS_SECRET_ACCESS_KEY", "of+another/account".to_owned())];
    let iam = IamEnvironment::with(&environment, "localhost").hasty();
    iam.create(&json!({})).failed(&["28000", "rds_iam"]);
    let verdict = iam.endpoint.logins()[0].verdict.clone();
    assert!(verdict.is_err_and(|why| why.starts_with("signature")));
}

#[test]
fn without_a_region_there_is_no_token() {
    let environment = ["AWS_REGION", "AWS_DEFAULT_REGION"].map(|name| (name, String::new()));
    let iam = IamEnvironment::with(&environment, "localhost");
    iam.create(&json!({})).failed(&["AWS_REGION", "token"]);
    assert!(iam.endpoint.logins().is_empty());
}

#[test]
fn without_credentials_there_is_no_token() {
    let names = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"];
    let iam = IamEnvironment::with(&names.map(|name| (name, String::new())), "localhost");
    iam.create(&json!({})).failed(&["no AWS credentials", "token"]);
    assert!(iam.endpoint.logins().is_empty());
}

#[test]
fn what_iam_cannot_be_combined_with() {
    let iam = IamEnvironment::new();
    for (more, words) in [
        (json!({ "SslMode": "disable" }), &["IAM", "TLS", "SslMode"][..]),
        (json!({ "Host": null }), &["Host"]),
        (json!({ "Username": null }), &["Username"]),
        (json!({ "Host": null, "Username": null }), &["Host", "Username"]),
        (json!({ "Authentication": "iam" }), &["`iam`", "`IAM`", "`Password`"]),
        (json!({ "Authentication": "Password" }), &["DBSecret", "IAM"]),
    ] {
        let response = iam.create(&more).failed(words);
        assert_eq!(response.id, "Extensions-create-failed");
    }
    assert!(iam.endpoint.logins().is_empty(), "no token was sent");
    assert_eq!(iam.env.secrets.calls(), []);
}

#[test]
fn the_verifier_accepts_what_botocore_signs_and_nothing_else() {
    // What botocore 1.43's `generate_db_auth_token` gave at 2026-11-21T05:10:27Z.
    let token = "db.abc.eu-west-1.rds.amazonaws.com:5432/?Action=connect\
        &DBUser=app%20user%40x&X-Amz-Algorithm=AWS4-HMAC-SHA256\
        &X-Amz-Credential=AKIDEXAMPLE%2F20261121%2Feu-west-1%2Frds-db%2Faws4_request\
        &X-Amz-Date=20261121T051027Z&X-Amz-SignedHeaders=host&X-Amz-Expires=900\
        &X-Amz-Security-Token=session%2Btoken%2F%3D\
        &X-Amz-Signature=a65c598ee50ff78d31fbc220cc762d6e6cc00c55a6e26810bb79932fef2096fb";
    let expected = Expected {
        host: "db.abc.eu-west-1.rds.amazonaws.com".to_owned(),
        port: 5432,
        user: "app user@x".to_owned(),
        region: "eu-west-1".to_owned(),
        access_key: "AKIDEXAMPLE".to_owned(),
        secret_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned(),
        session_token: "session+token/=".to_owned(),
    };
    let then = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_237_827);
    assert_eq!(expected.check(token, then), Ok(()));
    assert!(expected.check(token, then + Duration::from_secs(901)).is_err());
    for (from, to) in [
        ("app%20user", "app+user"),
        ("app%20user", "another"),
        (":5432", ":5433"),
        ("=900", "=901"),
        ("051027Z", "051028Z"),
        ("eu-west-1%2F", "eu-west-2%2F"),
        ("fb", "fc"),
        ("&X-Amz-SignedHeaders=host", ""),
    ] {
        assert!(token.contains(from));
        assert!(expected.check(&token.replace(from, to), then).is_err(), "{from} -> {to}");
    }
    let other = Expected { secret_key: "another".to_owned(), ..expected };
    assert!(other.check(token, then).is_err());
}

impl IamEnvironment {
    /// With little time: for what is waited for in vain.
    fn hasty(self) -> Self {
        Self { env: self.env.with_seconds(6), ..self }
    }
}
