//! What was found and done, database by database: the substance of `Data`.

use std::collections::{BTreeMap, BTreeSet};

use crate::job::Job;
use crate::plan::Plan;
use crate::session::Extensions;

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
    /// Whether anything but our own notes was changed.
    pub fn has_changed(&self) -> bool {
        self.plan.steps.iter().any(|step| !step.is_note())
    }
}

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
        let wanted: Vec<&Report> = reports.iter().filter(|it| it.job.is_wanted()).collect();
        let versions = names.into_iter().map(|name| (name.clone(), version(name, reports)));
        Self {
            versions: versions.collect(),
            changed: reports.iter().any(Report::has_changed),
            changes: match changes(reports) {
                none if none.is_empty() => "none".to_owned(),
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
            let steps = report.plan.steps.iter().filter_map(crate::step::Step::change);
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
