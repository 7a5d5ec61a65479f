//! What there is in a database: prints its extensions as a table, what an event's `PluginsMap` would
//! change, and the `PluginsMap` that describes what is there.
//!
//! `cargo run --example inspect [EVENT.json]`, for a [`database`]. `FORMAT=json` prints the result of an
//! Inspect.
//!
//! Exit code: 0, 1 where a database differs from the event's `PluginsMap` or cannot be read, 2 where
//! none can be read.

use std::process::ExitCode;

use cfn_postgres_extensions::lambda::inspect::{read, request};
use cfn_postgres_extensions::lambda::invocation::Invocation;
use cfn_postgres_extensions::log;
use cfn_postgres_extensions::reconcile::error::Error;
use serde_json::{Value, json};

mod database;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    log::to_standard_error();
    let path = std::env::args().nth(1).filter(|path| !path.is_empty());
    if path.is_none() && database::variable("PGHOST").is_none() {
        eprintln!("usage: inspect EVENT.json, or PGHOST=... PGUSER=... PGPASSWORD=... inspect");
        return ExitCode::from(2);
    }
    let invocation = match invocation(path.as_deref()) {
        Ok(invocation) => invocation,
        Err(error) => {
            eprintln!("{}: {error}", path.unwrap_or_default());
            return ExitCode::from(2);
        }
    };
    let result = match inspect(&invocation).await {
        Ok(result) => result,
        Err(error) => {
            eprintln!("FAILED: {error}");
            return ExitCode::from(2);
        }
    };
    match database::variable("FORMAT").as_deref() {
        Some("json") => println!("{result:#}"),
        _ => print!("{}", printed(&result)),
    }
    let count = |name: &str| result["Summary"][name].as_u64().unwrap_or_default();
    ExitCode::from(u8::from(count("Drift") + count("Errors") > 0))
}

async fn inspect(invocation: &Invocation) -> Result<Value, Error> {
    let (request, is_compared) = request(invocation).await?;
    let connector = database::connector(invocation, request.connection.clone()).await?;
    Ok(read(invocation, request, is_compared, connector).await?.result)
}

/// The same event as an Inspect.
fn invocation(path: Option<&str>) -> Result<Invocation, Box<dyn std::error::Error>> {
    let mut event = match path {
        Some(path) => serde_json::from_str(&std::fs::read_to_string(path)?)?,
        None => json!({ "ResourceProperties": {} }),
    };
    event["RequestType"] = json!("Inspect");
    event["tf"].take();
    database::invocation(event)
}

/// A result for a person.
fn printed(result: &Value) -> String {
    let server = &result["Server"];
    let mut lines = vec![format!("server {}:{}", shown(&server["Host"]), server["Port"])];
    for database in items(&result["Databases"]) {
        lines.push(format!("\ndatabase {}", shown(&database["Database"])));
        if !database["Error"].is_null() {
            lines.push(format!("could not be read: {}", shown(&database["Error"])));
            continue;
        }
        let extensions = items(&database["Extensions"]);
        lines.extend(table(extensions, !database["Drift"].is_null()));
        let problems = items(&database["Problems"]).iter();
        lines.extend(problems.map(|it| format!("an Update would be refused: {}", shown(it))));
        let plan = items(&database["Plan"]).iter();
        let plan = plan.map(|step| format!("  {};", shown(&step["Statement"])));
        lines.extend(plan.enumerate().map(|(at, step)| match at {
            0 => format!("\nan Update would run:\n{step}"),
            _ => step,
        }));
        lines.push(String::new());
        lines.extend(plugins_map(extensions));
    }
    if !result["LeftOut"].is_null() {
        lines.push(format!("\nleft out: {}", shown(&result["LeftOut"])));
    }
    lines.join("\n") + "\n"
}

fn table(extensions: &[Value], is_compared: bool) -> Vec<String> {
    let mut columns = vec!["Name", "Installed", "Default", "Schema", "Owner", "CreatedBy"];
    if is_compared {
        columns.extend(["Wanted", "State"]);
    }
    let cell = |extension: &Value, column: &str| match column {
        "CreatedBy" => shown(&extension["CreatedBy"]["LogicalResourceId"]),
        "Default" if extension["UpdateAvailable"] == true => {
            format!("{} (update)", shown(&extension["Default"]))
        }
        column => shown(&extension[column]),
    };
    let header: Vec<String> = columns.iter().map(ToString::to_string).collect();
    let rows = extensions.iter().map(|it| columns.iter().map(|name| cell(it, name)).collect());
    let rows: Vec<Vec<String>> = std::iter::once(header).chain(rows).collect();
    let width = |at: usize| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// The `PluginsMap` that describes what is there, but for `plpgsql`, which is always there, as YAML.
fn plugins_map(extensions: &[Value]) -> Vec<String> {
    let installed = |it: &&Value| !it["Installed"].is_null() && it["Name"] != "plpgsql";
    let entry = |it: &Value| {
        let (name, version) = (quoted(&it["Name"]), quoted(&it["Installed"]));
        match &it["Schema"] {
            schema if schema == "public" => format!("  {name}: {version}"),
            schema => format!("  {name}: {{Version: {version}, Schema: {}}}", quoted(schema)),
        }
    };
    let entries: Vec<String> = extensions.iter().filter(installed).map(entry).collect();
    let heading = if entries.is_empty() { "PluginsMap: {}" } else { "PluginsMap:" };
    std::iter::once(heading.to_owned()).chain(entries).collect()
}

/// A YAML scalar that is a string: what JSON writes is YAML too.
fn quoted(value: &Value) -> String {
    let text = value.as_str().unwrap_or_default();
    let is_plain = |it: char| it.is_ascii_alphanumeric() || "_-.".contains(it);
    if text.chars().all(is_plain) { format!("'{text}'") } else { value.to_string() }
}

/// A text without what would steer a terminal.
fn shown(value: &Value) -> String {
    let Some(text) = value.as_str() else { return "-".to_owned() };
    let shown = |it: char| match it {
        it if it.is_control() => it.escape_default().to_string(),
        it => it.to_string(),
    };
    text.chars().map(shown).collect()
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}
