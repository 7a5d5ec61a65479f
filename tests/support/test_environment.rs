//! Everything around one function, ready for its first event.

use std::collections::HashMap;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::database::Database;
use super::function::{Function, SECRET_ACCESS_KEY, SESSION_TOKEN};
use super::response::{Direct, Response, lines, messages};
use super::response_bucket::ResponseBucket;
use super::secrets::SecretsManager;

/// The ARN of the secret with the credentials.
pub const SECRET: &str = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:app/db-AbCdEf";
/// The resource's name in the template.
pub const LOGICAL_ID: &str = "Extensions";

/// What PostgreSQL 15 would install by itself.
const DEFAULTS: [(&str, &str); 5] = [
    ("citext", "1.6"),
    ("cube", "1.5"),
    ("earthdistance", "1.1"),
    ("hstore", "1.8"),
    ("pg_trgm", "1.6"),
];

/// How much of a function's output and errors was searched, and for how many of the kept secrets.
#[derive(Default)]
struct Searched {
    output: usize,
    errors: usize,
    secrets: usize,
}

/// A database, a secret that opens it, a place for answers and a function that is running.
pub struct TestEnvironment {
    /// The real thing.
    pub database: Database,
    /// The account's secrets; [`SECRET`] is among them.
    pub secrets: SecretsManager,
    /// Where the responses go.
    pub bucket: ResponseBucket,
    /// The function.
    pub function: Function,
    kept_secret: Mutex<Vec<String>>,
    /// By the number of a function.
    searched: Mutex<HashMap<u32, Searched>>,
    /// Sent where an event has the text `MAP`.
    map: String,
    /// What Lambda leaves for each invocation.
    time: Duration,
}

impl TestEnvironment {
    /// The superuser's secret, and a fresh database.
    pub fn new() -> Self {
        Self::with(Database::create(), &[])
    }

    /// The same with a database and more environment variables of the test's choice.
    pub fn with(database: Database, environment: &[(&str, String)]) -> Self {
        let secrets = SecretsManager::start();
        let mut variables = vec![
            ("AWS_ENDPOINT_URL_SECRETS_MANAGER", secrets.url()),
            ("PGSSLROOTCERT", database.server.ca.clone()),
        ];
        variables.extend_from_slice(environment);
        let function = Function::start(&variables);
        let env = Self {
            database,
            secrets,
            bucket: ResponseBucket::start(),
            function,
            map: String::new(),
            time: Duration::from_mins(2),
            kept_secret: Mutex::new(vec![SECRET_ACCESS_KEY.to_owned(), SESSION_TOKEN.to_owned()]),
            searched: Mutex::default(),
        };
        let server = env.database.server;
        env.credentials(&server.user, &server.password);
        env
    }

    /// Sends this JSON where an event has the text `MAP`: with keys in its own order.
    pub fn with_map(self, map: &str) -> Self {
        Self { map: map.to_owned(), ..self }
    }

    /// Leaves the function this many seconds for each invocation.
    pub fn with_seconds(self, seconds: u64) -> Self {
        Self { time: Duration::from_secs(seconds), ..self }
    }

    /// Another process of the same function: a second sandbox.
    pub fn another_function(&self) -> Function {
        Function::start(&[("AWS_ENDPOINT_URL_SECRETS_MANAGER", self.secrets.url())])
    }

    /// The secret as RDS's rotation writes it, for another user.
    pub fn secret_of(&self, user: &str, password: &str) -> Value {
        self.database.secret(user, password)
    }

    /// Puts these credentials into the secret, and checks that the password is never in a log or a response.
    pub fn credentials(&self, user: &str, password: &str) {
        self.keep_secret(password);
        self.secrets.put(SECRET, "AWSCURRENT", self.secret_of(user, password).to_string());
    }

    /// A text that must never be in a response or a log.
    pub fn keep_secret(&self, secret: &str) {
        self.kept_secret.lock().unwrap().push(secret.to_owned());
    }

    /// An event as `CloudFormation` sends it, all scalars strings; `properties` beside the usual
    /// ones. A null takes a usual one away.
    pub fn event(&self, kind: &str, properties: &Value) -> Value {
        let mut all = json!({
            "ServiceToken": "arn:aws:lambda:eu-west-1:123456789012:function:postgres-extensions",
            "ServiceTimeout": "900",
            "DBSecret": SECRET,
        });
        for (name, value) in properties.as_object().expect("properties") {
            all[name] = value.clone();
        }
        all.as_object_mut().expect("properties").retain(|_, value| !value.is_null());
        json!({
            "RequestType": kind,
            "StackId": format!(
                "arn:aws:cloudformation:eu-west-1:123456789012:stack/{}/0a1b2c3d-0000-11f0-8000",
                self.database.name
            ),
            "RequestId": "5f6a1c9e-0000-4000-8000-00000000c0de",
            "LogicalResourceId": LOGICAL_ID,
            "ResourceType": "Custom::PostgresExtensions",
            "ResourceProperties": all,
        })
    }

    /// An event about a resource that is there already.
    pub fn event_about(&self, kind: &str, id: &str, properties: &Value) -> Value {
        let mut event = self.event(kind, properties);
        event["PhysicalResourceId"] = json!(id);
        if kind == "Update" {
            event["OldResourceProperties"] =
                self.event(kind, &json!({}))["ResourceProperties"].clone();
        }
        event
    }

    /// Creates the resource with this `PluginsMap`, twice.
    #[track_caller]
    pub fn create(&self, map: &Value) -> Response {
        self.create_with(&json!({ "PluginsMap": map }))
    }

    /// Creates the resource with these properties, twice.
    #[track_caller]
    pub fn create_with(&self, properties: &Value) -> Response {
        self.deliver(&self.event("Create", properties))
    }

    /// Updates the resource of an earlier answer to this `PluginsMap`, twice.
    #[track_caller]
    pub fn update(&self, earlier: &Response, map: &Value) -> Response {
        self.deliver(&self.event_about("Update", &earlier.id, &json!({ "PluginsMap": map })))
    }

    /// Delivers an event twice: the second time must tell the same, and change nothing.
    #[track_caller]
    pub fn deliver(&self, event: &Value) -> Response {
        let first = self.deliver_once(event);
        let catalog = self.database.extensions();
        let second = self.deliver_once(event);
        assert_eq!(second.status, first.status, "{second:#?}, and first: {}", first.reason);
        assert_eq!(second.id, first.id);
        assert_eq!(self.database.extensions(), catalog, "the second delivery changed something");
        if event["RequestType"] != "Delete" && first.status == "SUCCESS" {
            assert_eq!(second.data("Changed"), "false", "{second:#?}");
            let versions = |response: &Response| {
                let mut data = response.data.clone();
                for key in ["Changed", "Changes", "Before"] {
                    data.remove(key);
                }
                data
            };
            assert_eq!(versions(&second), versions(&first));
        }
        first
    }

    /// Delivers an event once.
    #[track_caller]
    pub fn deliver_once(&self, event: &Value) -> Response {
        self.deliver_to(&self.function, event)
    }

    /// Delivers an event once, to a function of the test's choice.
    #[track_caller]
    pub fn deliver_to(&self, function: &Function, event: &Value) -> Response {
        let url = self.bucket.url();
        let mut event = event.clone();
        event["ResponseURL"] = json!(url.url);
        let before = function.output().len();
        let text = event.to_string().replace("\"MAP\"", &self.map);
        let outcome = function.invoke(text.as_bytes(), self.time);
        let puts = self.bucket.puts();
        let mine: Vec<_> = puts.iter().filter(|put| put.target.contains(&url.signature)).collect();
        for put in &mine {
            assert_eq!(put.body, mine[0].body, "a retry tells the same");
        }
        let put = mine.last().unwrap_or_else(|| panic!("no answer: {outcome:?}"));
        let mut response = Response::of_put(&event, put, &url.target, &outcome);
        response.log = messages(&function.output()[before..]);
        self.keep_secret(&url.signature);
        self.check_nothing_leaked(function, &response);
        response
    }

    /// Delivers an event to several functions at once.
    pub fn deliver_to_all(&self, functions: &[Function], event: &Value) -> Vec<Response> {
        thread::scope(|scope| {
            let deliver = |function| scope.spawn(move || self.deliver_to(function, event));
            let deliveries: Vec<_> = functions.iter().map(deliver).collect();
            deliveries.into_iter().map(|thread| thread.join().expect("a response")).collect()
        })
    }

    /// Invokes the function directly: the response is its result, and FAILED its error.
    #[track_caller]
    pub fn invoke(&self, event: &Value) -> Response {
        let before = self.function.output().len();
        let outcome = self.function.invoke(event.to_string().as_bytes(), self.time);
        let document = match &outcome {
            Ok(document) => document.to_string(),
            Err(error) => error["errorMessage"].as_str().expect("an errorMessage").to_owned(),
        };
        let mut response = Response::read(event, document.as_bytes(), outcome);
        assert_eq!(response.status == "SUCCESS", response.outcome.is_ok(), "{response:#?}");
        response.log = messages(&self.function.output()[before..]);
        self.check_nothing_leaked(&self.function, &response);
        response
    }

    /// Invokes the function directly, with any event: what it returns, and what it logs meanwhile.
    #[track_caller]
    pub fn direct(&self, event: &Value) -> Direct {
        let before = self.function.output().len();
        let outcome = self.function.invoke(event.to_string().as_bytes(), self.time);
        let lines = lines(&self.function.output()[before..]);
        self.check_nothing_told(&self.function, &format!("{outcome:?}"));
        Direct { outcome, lines }
    }

    /// What an Inspect with these properties returns, beside the usual ones.
    #[track_caller]
    pub fn inspect(&self, properties: &Value) -> Value {
        self.direct(&self.event("Inspect", properties)).succeeded()
    }

    /// The version of PostGIS that the server would install; only some servers have it.
    pub fn postgis(&self) -> Option<String> {
        let version = self.database.default_version("postgis");
        if version.is_none() {
            println!("skipped: this server offers no PostGIS");
        }
        version
    }

    /// A text with the default versions of PostgreSQL 15, as this server has it.
    pub fn with_default_versions(&self, text: &str) -> String {
        let mut here = text.to_owned();
        for (name, version) in DEFAULTS {
            let now = self.default_version(name);
            here = here.replace(&format!("{name} {version}"), &format!("{name} {now}"));
        }
        here
    }

    /// The version that the server would install by itself.
    #[track_caller]
    pub fn default_version(&self, extension: &str) -> String {
        let version = self.database.default_version(extension);
        version.unwrap_or_else(|| panic!("the server offers no {extension}: run `make test`"))
    }

    /// Lets the server fail when an extension was created, with this statement of PL/pgSQL's.
    pub fn run_after_create(&self, extension: &str, statement: &str) {
        self.database.query(&format!(
            "CREATE FUNCTION public.run_after_create() RETURNS event_trigger LANGUAGE plpgsql AS $body$
             BEGIN
               IF EXISTS (SELECT FROM pg_event_trigger_ddl_commands()
                          WHERE object_type = 'extension' AND object_identity = '{extension}')
               THEN {statement}; END IF;
             END $body$;
             CREATE EVENT TRIGGER run_after_create ON ddl_command_end WHEN TAG IN ('CREATE EXTENSION')
               EXECUTE FUNCTION public.run_after_create()"
        ));
    }

    /// Panics if anything planted is in a response or a log.
    #[track_caller]
    pub fn check_nothing_leaked(&self, function: &Function, response: &Response) {
        // The JSON of a text has escapes: what a person reads counts too.
        let told = format!(
            "{}\n{:?}\n{}\n{:?}\n{}",
            response.document,
            response.outcome,
            response.reason,
            response.data,
            response.log.join("\n")
        );
        self.check_nothing_told(function, &told);
    }

    /// Searches this text for every kept secret, and the function's logs: what is new in them for all
    /// secrets, and the rest for the new secrets.
    #[track_caller]
    fn check_nothing_told(&self, function: &Function, told: &str) {
        let secrets = self.kept_secret.lock().unwrap();
        let mut all = self.searched.lock().unwrap();
        let searched = all.entry(function.number).or_default();
        let (output, errors) = (function.output(), function.errors());
        for (at, secret) in secrets.iter().enumerate() {
            let known = at < searched.secrets;
            let (from_output, from_errors) =
                if known { (searched.output, searched.errors) } else { (0, 0) };
            for text in [told, &output[from_output..], &errors[from_errors..]] {
                assert!(!text.contains(secret), "`{secret}` was told:\n{text}");
            }
        }
        // A secret may be half written yet.
        let longest = secrets.iter().map(String::len).max().unwrap_or_default();
        let end = |text: &str| text.floor_char_boundary(text.len().saturating_sub(longest));
        *searched = Searched { output: end(&output), errors: end(&errors), secrets: secrets.len() };
    }
}
