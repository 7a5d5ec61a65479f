//! What was found and done, database by database: the substance of `Data`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::log;
use crate::planner::plan::Plan;
use crate::planner::step::{Statement, Step};
use crate::postgres::session::Extensions;
use crate::reconcile::task::Task;

/// One database, before and after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The database, and what it has to do with the request.
    pub task: Task,
    /// The server's version, short.
    pub server_version: String,
    /// Every extension before.
    pub before: Extensions,
    /// Every extension after.
    pub after: Extensions,
    /// What was done.
    pub plan: Plan,
}

impl Report {
    /// Of a database that was skipped.
    pub fn skipped(task: Task, why: &str) -> Self {
        let plan = Plan { kept: vec![format!("skipped ({why})")], ..Plan::default() };
        let (before, after) = (Extensions::new(), Extensions::new());
        Self { task, server_version: String::new(), before, after, plan }
    }

    fn is_skipped(&self) -> bool {
        self.server_version.is_empty()
    }

    /// Whether anything but the claims was changed.
    pub fn has_changed(&self) -> bool {
        self.plan.steps.iter().any(|step| !step.is_of_claims())
    }

    /// Logs what was installed before.
    pub fn log_before(&self) {
        log::of_database(&self.task.database, &format!("BEFORE: {:?}", names(&self.before)));
    }

    /// Logs what is installed now.
    pub fn log_after(&self) {
        log::of_database(&self.task.database, &format!("AFTER: {:?}", names(&self.after)));
    }
}

fn names(extensions: &Extensions) -> Vec<&str> {
    extensions.iter().map(|(name, _)| name.as_str()).collect()
}

/// What was done, in a few words: `Data` says the rest, and there is not room for it twice.
pub fn summary(reports: &[Report]) -> String {
    let steps = reports.iter().flat_map(|report| &report.plan.steps);
    let count = match steps.map(Step::changes).sum() {
        0 => "nothing to change".to_owned(),
        1 => "1 change".to_owned(),
        count => format!("{count} changes"),
    };
    let see = if changes(reports) == NONE { "" } else { ", see `Changes`" };
    format!("{}: {count}{see}", places(reports))
}

/// The databases, in words.
pub fn places(reports: &[Report]) -> String {
    match reports {
        [report] => format!("database `{}`", report.task.database),
        reports => format!("{} databases", reports.len()),
    }
}

/// `Changes` where there are none.
const NONE: &str = "none";

/// `Data`, for `Fn::GetAtt`: the extensions of the map, as the server spells them, and five fixed keys.
pub fn data(reports: &[Report]) -> BTreeMap<String, String> {
    let names: BTreeSet<&String> = reports.iter().flat_map(|report| &report.plan.names).collect();
    let read: Vec<&Report> =
        reports.iter().filter(|report| report.task.is_listed() && !report.is_skipped()).collect();
    let server_version = reports.first().map(|report| report.server_version.clone());
    let fixed = [
        ("Changed", reports.iter().any(Report::has_changed).to_string()),
        ("Changes", changes(reports)),
        ("Before", each(&read, |report| spelled(&report.before))),
        ("After", each(&read, |report| spelled(&report.after))),
        ("ServerVersion", server_version.unwrap_or_default()),
    ];
    let versions = names.into_iter().map(|name| (name.clone(), version(name, reports)));
    versions.chain(fixed.map(|(key, value)| (key.to_owned(), value))).collect()
}

fn version(name: &str, reports: &[Report]) -> String {
    let versions: BTreeSet<&str> = reports
        .iter()
        .filter(|report| report.plan.names.contains(name))
        .flat_map(|report| &report.after)
        .filter(|(other, _)| other == name)
        .map(|(_, version)| version.as_str())
        .collect();
    match versions.into_iter().collect::<Vec<_>>().as_slice() {
        [version] => (*version).to_owned(),
        [] => "absent".to_owned(),
        _ => "mixed".to_owned(),
    }
}

/// `Plan`: the statements of each database, and what they do.
pub fn plan(reports: &[Report]) -> Value {
    let statements =
        |report: &Report| report.plan.steps.iter().map(Step::described).collect::<Vec<Statement>>();
    let plans = reports.iter().map(|it| (it.task.database.clone(), json!(statements(it))));
    Value::Object(plans.collect())
}

/// `Changes`: of each database what was installed and changed, then what was dropped, then what was
/// kept; with several databases each part begins with its database's name.
pub fn changes(reports: &[Report]) -> String {
    let parts = reports.iter().flat_map(|report| {
        let (dropped, others): (Vec<&Step>, Vec<&Step>) =
            report.plan.steps.iter().partition(|step| matches!(step, Step::Drop { .. }));
        let steps = others.into_iter().chain(dropped).filter_map(Step::change);
        let kept = report.plan.kept.iter().cloned();
        let several = reports.len() > 1;
        steps.chain(kept).map(move |part| {
            if several { format!("{}: {part}", report.task.database) } else { part }
        })
    });
    let changes = parts.collect::<Vec<_>>().join("; ");
    if changes.is_empty() { NONE.to_owned() } else { changes }
}

fn each(reports: &[&Report], text: impl Fn(&Report) -> String) -> String {
    if let [report] = reports {
        return text(report);
    }
    let parts = reports.iter().map(|report| format!("{}: {}", report.task.database, text(report)));
    parts.collect::<Vec<_>>().join("; ")
}

fn spelled(extensions: &Extensions) -> String {
    let parts = extensions.iter().map(|(name, version)| format!("{name} {version}"));
    parts.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cloudformation::event::Event;
    use crate::cloudformation::response::{Outcome, Success, document};
    use crate::reconcile::task::Scope;

    fn report(plan: Plan) -> Report {
        let (database, scope) = ("app".to_owned(), Scope::Listed);
        let task = Task { database, scope, is_named: true };
        let (before, after) = (Extensions::new(), Extensions::new());
        Report { task, server_version: "15.8".to_owned(), before, after, plan }
    }

    #[test]
    fn sixty_extensions_fit_into_the_document() {
        let names: Vec<String> = (10..70).map(|it| format!("extension_{it}")).collect();
        let create = |name: &String| Step::Create {
            name: name.clone(),
            version: "1.10".to_owned(),
            schema: None,
            new_schema: None,
            required_by: None,
        };
        let steps = names.iter().map(create).collect();
        let mut report =
            report(Plan { steps, names: names.iter().cloned().collect(), ..Plan::default() });
        report.after = names.iter().map(|name| (name.clone(), "1.10".to_owned())).collect();
        let reports = [report];
        let (reason, data) = (summary(&reports), data(&reports));
        assert_eq!(reason, "database `app`: 60 changes, see `Changes`");
        let changes = data["Changes"].clone();
        let result = Ok(Success { reason, data, plan: None });
        let stack = "arn:aws:cloudformation:eu-central-1:123456789012:stack/application/51af3dc0";
        let event = Event::read(&format!(
            r#"{{ "StackId": "{stack}-da77-11e4-872e-1234567db123", "LogicalResourceId": "Extensions",
                  "ResponseURL": "https://example.com/x",
                  "RequestId": "5f6a1c9e-0000-4000-8000-00000000c0de" }}"#
        ));
        let outcome =
            Outcome { physical_id: "Extensions-01234567".to_owned(), result, server: None };
        let text = document(&event, &outcome, "log stream: 2026/01/31/[$LATEST]0123456789abcdef");
        let document: serde_json::Value = serde_json::from_str(&text).expect("a document");
        assert_eq!(document["Data"]["Changes"], changes);
        assert!(names.iter().all(|name| document["Data"][name] == "1.10"), "{text}");
    }

    #[test]
    fn the_summary_counts_what_was_done() {
        let drop = |count: usize| Step::Drop {
            extensions: vec![("hstore".to_owned(), "1.8".to_owned()); count],
            cascade: false,
            along: Vec::new(),
        };
        let summary = |plan: Plan| summary(&[report(plan)]);
        let of = |steps: Vec<Step>| summary(Plan { steps, ..Plan::default() });
        assert_eq!(of(Vec::new()), "database `app`: nothing to change");
        assert_eq!(of(vec![drop(1)]), "database `app`: 1 change, see `Changes`");
        let schema = Step::CreateSchema { schema: "s".to_owned() };
        assert_eq!(of(vec![schema, drop(2)]), "database `app`: 3 changes, see `Changes`");
        let kept = "left hstore 1.8 unclaimed (it was there before)".to_owned();
        let kept = summary(Plan { kept: vec![kept], ..Plan::default() });
        assert_eq!(kept, "database `app`: nothing to change, see `Changes`");
    }
}
