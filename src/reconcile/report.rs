//! What was found and done, database by database: the substance of `Data`.

use std::collections::{BTreeMap, BTreeSet};

use crate::planner::plan::Plan;
use crate::planner::step::{Kept, Step};
use crate::postgres::session::Extensions;
use crate::reconcile::job::Job;

/// One database, before and after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The database.
    pub database: String,
    /// The server's version, short.
    pub server_version: String,
    /// Every extension before.
    pub before: Extensions,
    /// Every extension after.
    pub after: Extensions,
    /// What was done.
    pub plan: Plan,
    /// What the database has to do with the request.
    pub job: Job,
}

impl Report {
    /// Of a database that was not entered.
    pub fn passed_over(job: Job, why: &'static str) -> Self {
        Self {
            database: job.database.clone(),
            server_version: String::new(),
            before: Extensions::new(),
            after: Extensions::new(),
            plan: Plan { kept: vec![Kept::PassedOver { why }], ..Plan::default() },
            job,
        }
    }

    fn was_entered(&self) -> bool {
        !self.server_version.is_empty()
    }

    /// Whether anything but our own notes was changed.
    pub fn has_changed(&self) -> bool {
        self.plan.steps.iter().any(|step| !step.is_note())
    }
}

/// What was done, in a few words: `Data` says the rest, and there is not room for it twice.
pub fn summary(reports: &[Report], data: &Data) -> String {
    let count: usize =
        reports.iter().flat_map(|report| &report.plan.steps).map(Step::changes).sum();
    let changes = match count {
        0 => "nothing to change".to_owned(),
        1 => "1 change".to_owned(),
        count => format!("{count} changes"),
    };
    let see = if data.changes == NONE { "" } else { ", see `Changes`" };
    format!("{}: {changes}{see}", places(reports))
}

/// The databases, in words.
pub fn places(reports: &[Report]) -> String {
    match reports {
        [report] => format!("database `{}`", report.database),
        reports => format!("{} databases", reports.len()),
    }
}

/// `Changes` where there are none.
const NONE: &str = "none";

/// The values of `Data`: the extensions of the map, and the five fixed keys.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Data {
    /// Each extension of the map, as the server spells it, with its version or `mixed`.
    pub versions: BTreeMap<String, String>,
    /// Whether anything was changed.
    pub changed: bool,
    /// `Changes`.
    pub changes: String,
    /// `Before`.
    pub before: String,
    /// `After`.
    pub after: String,
    /// `ServerVersion`.
    pub server_version: String,
}

impl Data {
    /// Sums up the reports of all databases.
    pub fn of(reports: &[Report]) -> Self {
        let names: BTreeSet<&String> =
            reports.iter().flat_map(|report| &report.plan.names).collect();
        let wanted: Vec<&Report> =
            reports.iter().filter(|it| it.job.is_wanted() && it.was_entered()).collect();
        let versions = names.into_iter().map(|name| (name.clone(), version(name, reports)));
        Self {
            versions: versions.collect(),
            changed: reports.iter().any(Report::has_changed),
            changes: match changes(reports) {
                none if none.is_empty() => NONE.to_owned(),
                changes => changes,
            },
            before: each(&wanted, |report| spelled(&report.before)),
            after: each(&wanted, |report| spelled(&report.after)),
            server_version: reports
                .first()
                .map(|report| report.server_version.clone())
                .unwrap_or_default(),
        }
    }
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
        _ => "mixed".to_owned(),
    }
}

/// The parts of one database as they are; those of several with its name before each.
fn changes(reports: &[Report]) -> String {
    let parts =
        reports.iter().flat_map(|report| {
            let steps = report.plan.steps.iter().filter_map(Step::change);
            let kept = report.plan.kept.iter().map(ToString::to_string);
            let several = reports.len() > 1;
            steps.chain(kept).map(move |part| {
                if several { format!("{}: {part}", report.database) } else { part }
            })
        });
    parts.collect::<Vec<_>>().join("; ")
}

fn each(reports: &[&Report], text: impl Fn(&Report) -> String) -> String {
    if let [report] = reports {
        return text(report);
    }
    let parts = reports.iter().map(|report| format!("{}: {}", report.database, text(report)));
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
    use crate::planner::step::Kept;
    use crate::reconcile::job::Part;

    fn report(plan: Plan) -> Report {
        let job = Job { database: "app".to_owned(), part: Part::Wanted };
        let (before, after) = (Extensions::new(), Extensions::new());
        let (database, server_version) = (job.database.clone(), "15.8".to_owned());
        Report { database, server_version, before, after, plan, job }
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
        let data = Data::of(&reports);
        let reason = summary(&reports, &data);
        assert_eq!(reason, "database `app`: 60 changes, see `Changes`");
        let changes = data.changes.clone();
        let result = Ok(Success { reason, data: Some(data) });
        let stack = "arn:aws:cloudformation:eu-central-1:123456789012:stack/application/51af3dc0";
        let event = Event::read(&format!(
            r#"{{ "StackId": "{stack}-da77-11e4-872e-1234567db123", "LogicalResourceId": "Extensions",
                  "RequestId": "5f6a1c9e-0000-4000-8000-00000000c0de" }}"#
        ));
        let outcome = Outcome { physical_id: "Extensions-01234567".to_owned(), result };
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
        let summary = |plan: Plan| {
            let reports = [report(plan)];
            summary(&reports, &Data::of(&reports))
        };
        let of = |steps: Vec<Step>| summary(Plan { steps, ..Plan::default() });
        assert_eq!(of(Vec::new()), "database `app`: nothing to change");
        assert_eq!(of(vec![drop(1)]), "database `app`: 1 change, see `Changes`");
        let schema = Step::CreateSchema { schema: "s".to_owned() };
        assert_eq!(of(vec![schema, drop(2)]), "database `app`: 3 changes, see `Changes`");
        let kept = Kept::Adopted { name: "hstore".to_owned(), version: "1.8".to_owned() };
        let kept = summary(Plan { kept: vec![kept], ..Plan::default() });
        assert_eq!(kept, "database `app`: nothing to change, see `Changes`");
    }
}
