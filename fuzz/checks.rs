//! What must be true whatever comes in: for the fuzzer, and for `tests/planner/fuzzing.rs`.
#![allow(dead_code, clippy::expect_used, reason = "each target checks its own part, by panicking")]

use std::collections::{BTreeMap, BTreeSet};

use cfn_postgres_extensions::cloudformation::event::Event;
use cfn_postgres_extensions::cloudformation::physical_id;
use cfn_postgres_extensions::cloudformation::properties as resource_properties;
use cfn_postgres_extensions::cloudformation::response::{MAX_BYTES, Outcome, Success, document};
use cfn_postgres_extensions::did_you_mean;
use cfn_postgres_extensions::planner::catalog::Catalog;
use cfn_postgres_extensions::planner::plan::{self, Plan};
use cfn_postgres_extensions::planner::removal::ownership::{self, Claimant, Claimants};
use cfn_postgres_extensions::planner::statement::{Identifier, Literal};
use cfn_postgres_extensions::planner::step::Step;
use cfn_postgres_extensions::reconcile::error::{Error, InDatabase};
use cfn_postgres_extensions::reconcile::report::{self, Report};
use cfn_postgres_extensions::reconcile::task::{Scope, Task};
use cfn_postgres_extensions::request::Request;
use serde_json::{Map, Value, json};

/// What ids and the log stream may come to, for an answer to fit: `CloudFormation` and Lambda stay
/// far below it.
const MAX_FOR_IDS: usize = 3500;

/// The forms of all statements that a plan may have, each word of somebody's, or list of them, as
/// `?`.
const FORMS: [&str; 15] = [
    "CREATE SCHEMA ?",
    "CREATE EXTENSION ? VERSION ?",
    "CREATE EXTENSION ? SCHEMA ? VERSION ?",
    "ALTER EXTENSION ? UPDATE TO ?",
    "ALTER EXTENSION ? SET SCHEMA ?",
    "DROP EXTENSION ? RESTRICT",
    "DROP EXTENSION ? CASCADE",
    "UPDATE cfn_postgres_extensions.claim AS c SET home = n.oid, extension_oid = coalesce((SELECT \
     e.oid FROM pg_extension AS e WHERE e.extname = c.extension), 0) FROM pg_namespace AS n WHERE \
     n.nspname = ? AND c.home <> n.oid AND c.database = current_database()",
    "UPDATE cfn_postgres_extensions.claim AS c SET created = false WHERE c.created AND NOT EXISTS \
     (SELECT FROM pg_extension AS e JOIN pg_namespace AS n ON n.nspname = ? WHERE e.extname = \
     c.extension AND (e.oid = c.extension_oid OR c.home <> n.oid))",
    "DELETE FROM cfn_postgres_extensions.claim WHERE database <> current_database()",
    "INSERT INTO cfn_postgres_extensions.claim (stack, logical_id, physical_id, extension, created, \
     extension_oid, home, database) SELECT ?, e.extname, v.created, e.oid, n.oid, \
     current_database() FROM (VALUES (?)) AS v (name, created) JOIN pg_extension AS e ON e.extname \
     = v.name JOIN pg_namespace AS n ON n.nspname = ? ON CONFLICT (stack, logical_id, physical_id, \
     extension) DO UPDATE SET created = EXCLUDED.created, extension_oid = EXCLUDED.extension_oid, \
     home = EXCLUDED.home, database = EXCLUDED.database",
    "DELETE FROM cfn_postgres_extensions.claim WHERE stack = ? AND logical_id = ? AND physical_id = \
     ? AND extension IN (?)",
    "UPDATE cfn_postgres_extensions.claim SET created = true, extension_oid = e.oid, home = n.oid \
     FROM pg_extension AS e, pg_namespace AS n WHERE n.nspname = ? AND e.extname = extension AND \
     stack = ? AND logical_id = ? AND physical_id = ? AND extension = ?",
    "DROP TABLE cfn_postgres_extensions.claim",
    "DROP SCHEMA cfn_postgres_extensions",
];

/// The table of claims: nobody's words are in it.
const TABLE: &str = "claim (stack text NOT NULL, ";

/// Any JSON as `ResourceProperties`: it is read or refused, and the refusal fits into an answer.
pub fn properties(value: &Value) {
    match resource_properties::read(value.as_object()) {
        Ok(request) => {
            let again = resource_properties::read(value.as_object());
            assert_eq!(again.as_ref(), Ok(&request), "read twice, understood twice");
            check_plan(&request, &server(&json!({ "offered": { "hstore": ["1.4", "1.8"] } })));
        }
        Err(problems) => {
            assert!(!problems.is_empty(), "a refusal says why");
            let reason = Error::Properties(problems).to_string();
            let event = Event::read(r#"{ "StackId": "s", "RequestId": "r" }"#);
            check_document(&event, "Extensions-create-failed", Err(reason));
        }
    }
}

/// Any JSON as an event: there is an answer, it repeats the ids, and it is short enough.
pub fn event(value: &Value) {
    let event = Event::read(&value.to_string());
    let shown = format!("{event:?} {event}");
    if let Some(url) = value["ResponseURL"].as_str()
        && let Some((_, signature)) = url.split_once("Signature=")
        && signature.len() > 16
    {
        let others = value.to_string().matches(signature).count() > 1;
        assert!(others || !shown.contains(signature), "the URL is a secret");
    }
    let logical_id = &event.logical_resource_id;
    let issued = physical_id::issued(logical_id, "localhost", 5432);
    let incoming = event.physical_resource_id.clone().unwrap_or_default();
    let kept = physical_id::after_update(&incoming, &issued, logical_id);
    for id in [issued, physical_id::create_failed(logical_id), kept] {
        check_document(&event, &id, Err(value.to_string()));
        let data = [("Before", value.to_string()), ("Changes", "none".to_owned())];
        let data = data.map(|(key, value)| (key.to_owned(), value)).into();
        check_document(&event, &id, Ok(Success { reason: "done".to_owned(), data, plan: None }));
    }
}

/// A map, and a server that offers names and versions of anybody's choice: nothing gets into a
/// statement that the server did not list, and nothing without quotes.
pub fn plan(value: &Value) {
    let properties = json!({ "DBSecret": "s", "PluginsMap": value["PluginsMap"],
                             "DowngradePolicy": value["DowngradePolicy"],
                             "RemovalPolicy": value["RemovalPolicy"] });
    if let Ok(mut request) = resource_properties::read(properties.as_object()) {
        request.desired.claimants =
            Claimants::This(claimant(value["stack"].as_str().unwrap_or_default()));
        check_plan(&request, &server(value));
    }
}

/// Two texts, quoted: a lexer reads back what they were.
pub fn sql(name: &str, text: &str) {
    let statement = format!("ALTER EXTENSION {} UPDATE TO {}", Identifier(name), Literal(text));
    let (form, words) = lex(&statement).expect("quotes that end");
    assert_eq!(form, "ALTER EXTENSION ? UPDATE TO ?");
    assert_eq!(words, [Word::Identifier(name.to_owned()), Word::Literal(text.to_owned())]);
}

/// Plans and checks every statement; a plan's own words fit into an answer too.
fn check_plan(request: &Request, catalog: &Catalog) {
    let event = Event::read("{}");
    match plan::plan(&request.desired, catalog) {
        Ok(plan) => {
            check_statements(request, catalog, &plan);
            let report = Report {
                task: Task {
                    database: catalog.database.clone(),
                    scope: Scope::Listed,
                    is_named: true,
                },
                server_version: catalog.short_version().to_owned(),
                before: Vec::new(),
                after: Vec::new(),
                plan,
            };
            let data = report::data(&[report]);
            let reason = data["Changes"].clone();
            check_document(&event, "id", Ok(Success { reason, data, plan: None }));
        }
        Err(problems) => {
            assert!(!problems.is_empty(), "a refusal says why");
            let database = catalog.database.clone();
            check_document(
                &event,
                "id",
                Err(Error::Plan(InDatabase::new(&database, &problems)).to_string()),
            );
        }
    }
}

fn check_statements(request: &Request, catalog: &Catalog, plan: &Plan) {
    let names: BTreeSet<&str> = catalog.names().collect();
    let wanted = request.desired.extensions.values();
    let schemas: BTreeSet<&str> = wanted.filter_map(|it| it.schema.as_deref()).collect();
    let offers = catalog.offers.as_ref().expect("offers");
    let offered = offers.versions.iter().map(|offered| offered.version.as_str());
    let targets = offers.paths.iter().map(|path| path.target.as_str());
    let versions: BTreeSet<&str> = offered.chain(targets).collect();
    let mut noted = BTreeSet::from([ownership::SCHEMA]);
    let mine = match &request.desired.claimants {
        Claimants::This(it) => Some(it),
        Claimants::AnyOf(_) => None,
    };
    for it in catalog.claims.iter().map(|claim| &claim.claimant).chain(mine) {
        noted.extend([it.stack.as_str(), &it.logical_id, &it.physical_id]);
    }
    noted.extend(&names);
    noted.extend(catalog.claims.iter().map(|claim| claim.extension.as_str()));
    for step in &plan.steps {
        let statement = step.to_string();
        let (form, words) = lex(&statement).unwrap_or_else(|| panic!("not quoted: {statement}"));
        let form = without_lists(form);
        let table = form.contains(TABLE) && words.is_empty();
        assert!(FORMS.contains(&form.as_str()) || table, "{statement}");
        assert!(!statement.contains('\0'), "{statement}");
        if step.is_of_claims() {
            for word in &words {
                let Word::Literal(text) = word else { panic!("a name: {statement}") };
                assert!(noted.contains(text.as_str()), "{word:?} is nobody's: {statement}");
            }
            continue;
        }
        if let Step::Drop { .. } = step {
            let known =
                |it: &Word| matches!(it, Word::Identifier(name) if names.contains(name.as_str()));
            assert!(words.iter().all(known), "{statement}");
            continue;
        }
        let extension = form.contains("EXTENSION");
        for (at, word) in words.iter().enumerate() {
            let known = match word {
                Word::Identifier(name) if at == 0 && extension => names.contains(name.as_str()),
                Word::Identifier(name) => name == "public" || schemas.contains(name.as_str()),
                Word::Literal(version) => versions.contains(version.as_str()),
            };
            assert!(known, "{word:?} is not the server's: {statement}");
        }
    }
}

/// A form in which a list is as good as one word.
fn without_lists(mut form: String) -> String {
    for (list, one) in
        [("(?, true)", "(?)"), ("(?, false)", "(?)"), ("(?), (?)", "(?)"), ("?, ?", "?")]
    {
        while form.contains(list) {
            form = form.replace(list, one);
        }
    }
    form
}

/// A resource of this stack.
fn claimant(stack: &str) -> Claimant {
    let [stack, physical_id] = [stack, "'; DROP TABLE t; --"].map(|it| it.replace('\0', ""));
    Claimant { physical_id, logical_id: format!("{stack}\""), stack }
}

fn check_document(event: &Event, id: &str, result: Result<Success, String>) {
    const STREAM: &str = "2026/01/31/[$LATEST]0123456789abcdef0123456789abcdef";
    let outcome = Outcome { physical_id: id.to_owned(), result, server: None };
    let text = document(event, &outcome, STREAM);
    let document: Value = serde_json::from_str(&text).expect("a JSON document");
    let ids = [
        ("StackId", &event.stack_id),
        ("RequestId", &event.request_id),
        ("LogicalResourceId", &event.logical_resource_id),
        ("PhysicalResourceId", &outcome.physical_id),
    ];
    for (name, id) in ids {
        assert_eq!(document[name].as_str(), Some(id.as_str()), "{name}");
    }
    assert!(
        document["Reason"].as_str().is_some_and(|reason| reason.ends_with(&format!("{STREAM})")))
    );
    let length: usize = ids.iter().map(|(_, id)| json!(id).to_string().len()).sum();
    assert!(text.len() <= MAX_BYTES || length > MAX_FOR_IDS, "{} bytes: {text}", text.len());
}

/// A server: what it offers (the first version is the default), and what is installed.
fn server(value: &Value) -> Catalog {
    // No name on a server holds a NUL.
    let text = |text: &str| text.replace('\0', "");
    let mut offered: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, versions) in value["offered"].as_object().unwrap_or(&Map::new()) {
        let versions = versions.as_array().into_iter().flatten().filter_map(Value::as_str);
        offered.insert(text(name), versions.map(text).collect());
    }
    let mut installed: BTreeMap<String, String> = BTreeMap::new();
    for (name, version) in value["installed"].as_object().unwrap_or(&Map::new()) {
        installed.insert(text(name), text(version.as_str().unwrap_or("1.0")));
    }
    let available: BTreeMap<&String, Option<&String>> =
        offered.iter().map(|(name, versions)| (name, versions.first())).collect();
    let mut every = Vec::new();
    let mut paths = Vec::new();
    for (name, versions) in &offered {
        for version in versions {
            every.push(json!({ "name": name, "version": version, "superuser": false,
                "trusted": true, "relocatable": true, "schema": null, "requires": null }));
            if installed.contains_key(name) {
                let reachable = !version.starts_with('0');
                paths.push(json!({ "name": name, "target": version, "reachable": reachable }));
            }
        }
    }
    let installed: Vec<Value> = installed
        .iter()
        .map(|(name, version)| {
            json!({ "name": name, "version": version, "schema": "public",
                    "relocatable": true, "owned": true })
        })
        .collect();
    let claims = value["claims"].as_object().into_iter().flatten().map(|(name, stack)| {
        let it = claimant(stack.as_str().unwrap_or_default());
        json!({ "claimant": { "stack": it.stack, "logical_id": it.logical_id,
                              "physical_id": it.physical_id },
                "extension": text(name), "created": true, "stale": !installed.iter().any(
                    |it| it["name"] == text(name)),
                "void": name.len() % 5 == 4, "restored": name.len() % 5 == 3 })
    });
    let claims: Vec<Value> = claims.collect();
    let claim_table = json!({ "owner": "r", "trusted": true, "table": true, "ours": true,
                       "readable": true, "writable": true, "owned": true, "alone": true });
    let claim_table = if claims.is_empty() { Value::Null } else { claim_table };
    serde_json::from_value(json!({
        "claim_table": claim_table, "claims": claims,
        "database": "app", "server_version": "15.8", "role": "r", "superuser": true,
        "delegated": false, "may_create": true, "read_only": false, "libraries": null,
        "rds_extensions": null, "rds_allowed_extensions": null, "cron_database": null,
        "installed": installed, "available": available,
        "offers": { "versions": every, "paths": paths, "schemas": { "public": true } },
    }))
    .expect("a server")
}

/// A quoted word.
#[derive(Debug, PartialEq, Eq)]
enum Word {
    Identifier(String),
    Literal(String),
}

/// Reads a statement as the server's lexer does: its form, and its quoted words. `None` if a quote
/// never ends.
fn lex(statement: &str) -> Option<(String, Vec<Word>)> {
    let (mut form, mut words) = (String::new(), Vec::new());
    let mut letters = statement.chars().peekable();
    while let Some(letter) = letters.next() {
        if letter != '"' && letter != '\'' {
            form.push(letter);
            continue;
        }
        let mut word = String::new();
        // `E'...'`: nothing else ends in an E right before a quote.
        let escapes = letter == '\'' && form.ends_with('E');
        if escapes {
            form.pop();
        }
        loop {
            match letters.next()? {
                '\\' if escapes => word.push(letters.next()?),
                quote if quote == letter && letters.peek() == Some(&letter) => {
                    letters.next();
                    word.push(quote);
                }
                quote if quote == letter => break,
                other => word.push(other),
            }
        }
        form.push('?');
        words.push(if letter == '"' { Word::Identifier(word) } else { Word::Literal(word) });
    }
    Some((form, words))
}

/// A suggestion for any text: it ends, and does not panic.
pub fn suggestion(text: &str) {
    let _ = did_you_mean::did_you_mean(text, ["hstore", "vector"]);
}
