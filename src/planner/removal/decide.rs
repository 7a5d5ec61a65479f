//! What becomes of extensions that a resource does not list any more, and who lists which: pure.
//!
//! Nothing is dropped that the resource did not create, that another one lists, or that is
//! `plpgsql`.

use std::collections::{BTreeMap, BTreeSet};

use crate::planner::catalog::{Installed, Observed};
use crate::planner::problem::Problem;
use crate::planner::removal::ownership::{Claim, Claimant, Entry, Home, SCHEMA, Whose};
use crate::planner::removal::refusal::Refusal;
use crate::planner::step::{Kept, Step};
use crate::request::{RemovalPolicy, Wanted};

/// The extensions that a request lists, requirements included, and whether it creates them.
pub(crate) type Listed<'a> = BTreeMap<&'a str, bool>;

/// The end of a plan: what is dropped, and what is noted of it.
#[derive(Debug, Default)]
pub(crate) struct Removal {
    /// The drop of all that goes.
    pub drop: Option<Step>,
    /// What is noted of who lists what, after everything else.
    pub notes: Vec<Entry>,
    /// What was there before and is not claimed.
    pub kept: Vec<Kept>,
    /// What stands in the way.
    pub problems: Vec<Problem>,
}

/// The names of what shall be dropped.
pub(crate) fn doomed<'a>(
    wanted: &'a Wanted,
    observed: &'a Observed,
    listed: Listed<'a>,
) -> Vec<&'a str> {
    let ledger = Ledger::new(wanted, observed, listed);
    ledger.doomed().into_iter().map(|installed| installed.name.as_str()).collect()
}

/// Decides what is dropped and what is noted.
pub(crate) fn removal(wanted: &Wanted, observed: &Observed, listed: Listed<'_>) -> Removal {
    let ledger = Ledger::new(wanted, observed, listed);
    let mut removal = Removal::default();
    if wanted.removal == RemovalPolicy::Retain {
        // It was another policy once, or there would be no claims of this resource.
        if observed.home.as_ref().is_some_and(|home| home.writable) && !ledger.mine.is_empty() {
            removal.notes = ledger.given_up();
        }
        return removal;
    }
    if ledger.listed.is_empty() && ledger.mine.is_empty() {
        // Claims that cannot be read or believed may be this resource's.
        if observed.home.as_ref().is_some_and(|home| home.table && !home.has_claims()) {
            let why = ledger.unfit().into_iter().map(|problem| problem.to_string());
            removal.kept.extend(why.map(|why| Kept::Unknown { why }));
        }
        return removal;
    }
    removal.problems = ledger.unfit();
    let doomed = ledger.doomed();
    if !doomed.is_empty() {
        removal.problems.extend(ledger.refused(&doomed));
        removal.drop = Some(ledger.dropped(&doomed));
    }
    removal.notes = ledger.entries(&doomed);
    removal.kept = ledger.adopted();
    removal
}

/// The claims, as one resource sees them.
struct Ledger<'a> {
    policy: RemovalPolicy,
    whose: &'a Whose,
    observed: &'a Observed,
    listed: Listed<'a>,
    mine: Vec<&'a Claim>,
    others: Vec<&'a Claim>,
    /// The names that this resource has claimed and that leave with this request.
    leaving: BTreeSet<&'a str>,
}

impl<'a> Ledger<'a> {
    fn new(wanted: &'a Wanted, observed: &'a Observed, listed: Listed<'a>) -> Self {
        let whose = &wanted.whose;
        let (mine, others) = observed.claims.iter().partition(|claim| whose.has(&claim.claimant));
        let others: Vec<&Claim> = others;
        let others = others.into_iter().filter(|claim| !claim.void).collect();
        let leaving = BTreeSet::new();
        let policy = wanted.removal;
        let mut ledger = Self { policy, whose, observed, listed, mine, others, leaving };
        ledger.leaving = ledger.leaving(wanted.earlier.as_ref());
        ledger
    }

    /// What is claimed, not listed, and may leave: by itself or as a requirement, and not required by
    /// what stays.
    fn leaving(&self, earlier: Option<&BTreeSet<String>>) -> BTreeSet<&'a str> {
        let observed = self.observed;
        let names = self.valid().map(|claim| claim.extension.as_str());
        let unlisted = names.filter(|name| !self.listed.contains_key(name));
        let Some(earlier) = earlier else { return unlisted.collect() };
        let before = earlier.iter().filter_map(|key| match observed.alike(key).as_slice() {
            [name] => Some(*name),
            _ => None,
        });
        let before = observed.with_required(before.collect());
        let (leaving, staying) = unlisted.partition::<Vec<_>, _>(|name| before.contains(name));
        let staying = observed.with_required(staying);
        leaving.into_iter().filter(|name| !staying.contains(name)).collect()
    }

    fn valid(&self) -> impl Iterator<Item = &'a Claim> {
        self.mine.iter().copied().filter(|claim| !claim.void)
    }

    fn created(&self, name: &str) -> bool {
        self.valid().any(|claim| claim.extension == name && claim.created)
    }

    /// The other resource that has listed it for longest.
    fn heir(&self, name: &str) -> Option<&'a Claimant> {
        self.others.iter().find(|claim| claim.extension == name).map(|claim| &claim.claimant)
    }

    fn doomed(&self) -> Vec<&'a Installed> {
        if self.policy == RemovalPolicy::Retain {
            return Vec::new();
        }
        let names = self
            .leaving
            .iter()
            .filter(|name| **name != "plpgsql" && self.created(name) && self.heir(name).is_none());
        names.filter_map(|name| self.observed.installed(name)).collect()
    }

    fn dropped(&self, doomed: &[&Installed]) -> Step {
        let cascade = self.policy == RemovalPolicy::DropCascade;
        let obstacles = &self.observed.obstacles;
        let mut along: Vec<String> = Vec::new();
        if cascade {
            along.extend(obstacles.dependents.iter().map(|dependent| dependent.what.clone()));
            let more = obstacles.total.saturating_sub(along.len());
            along.extend((more > 0).then(|| format!("{more} more")));
            let rows = obstacles.tables.iter().filter(|table| table.has_rows);
            along.extend(rows.map(|table| format!("the rows of {table}")));
        }
        let named =
            doomed.iter().map(|installed| (installed.name.clone(), installed.version.clone()));
        Step::Drop { extensions: named.collect(), cascade, along }
    }

    /// What forbids the drop.
    fn refused(&self, doomed: &[&Installed]) -> Vec<Problem> {
        let observed = self.observed;
        let mut problems: Vec<Problem> =
            doomed.iter().filter_map(|it| Problem::of_ownership(it, observed)).collect();
        let obstacles = &observed.obstacles;
        if self.policy == RemovalPolicy::DropCascade {
            for dependent in &obstacles.dependents {
                let Some(extension) = &dependent.extension else { continue };
                let (extensions, extension) = (dependent.of.clone(), extension.clone());
                let refusal = if let Some(owner) = self.heir(&extension) {
                    Refusal::ListedElsewhere {
                        extensions,
                        extension,
                        resource: owner.logical_id.clone(),
                        stack: owner.stack.clone(),
                    }
                } else if self.listed.contains_key(extension.as_str()) {
                    Refusal::ListedHere { extensions, extension }
                } else if self.valid().any(|claim| claim.extension == extension) {
                    Refusal::NotDropped { extensions, extension }
                } else {
                    continue;
                };
                problems.push(refusal.into());
            }
            return problems;
        }
        for (extension, count) in &obstacles.counts {
            let objects = obstacles.dependents.iter().filter(|it| it.of.contains(extension));
            problems.push(
                Refusal::DependedOn {
                    extension: extension.clone(),
                    objects: objects.map(|it| it.what.clone()).collect(),
                    count: *count,
                }
                .into(),
            );
        }
        for table in &obstacles.tables {
            let (name, table_name) = (table.extension.clone(), table.to_string());
            if !table.readable {
                let role = observed.role.clone();
                problems.push(Refusal::RowsUnseen { name, table: table_name, role }.into());
            } else if table.has_rows {
                problems.push(Refusal::HoldsRows { name, table: table_name }.into());
            }
        }
        problems
    }

    /// What keeps the claims from being noted.
    fn unfit(&self) -> Vec<Problem> {
        let observed = self.observed;
        let role = observed.role.clone();
        let Some(home) = &observed.home else {
            let may = observed.superuser || observed.may_create || self.listed.is_empty();
            return if may {
                Vec::new()
            } else {
                let (schema, database) = (SCHEMA.to_owned(), observed.database.clone());
                vec![Problem::MayNotCreateSchema { schema, role, database }]
            };
        };
        if !home.trusted {
            return vec![Refusal::ClaimsOfSomebody { owner: home.owner.clone(), role }.into()];
        }
        if home.table && !home.ours {
            return vec![Refusal::ClaimsAreNone.into()];
        }
        if !home.readable || !home.writable {
            return vec![Refusal::ClaimsForbidden { owner: home.owner.clone(), role }.into()];
        }
        Vec::new()
    }

    /// What is noted: nothing where nothing has changed.
    fn entries(&self, doomed: &[&Installed]) -> Vec<Entry> {
        let noted: BTreeMap<&str, bool> =
            self.valid().map(|claim| (claim.extension.as_str(), claim.created)).collect();
        let news: Vec<(String, bool)> = self
            .listed
            .iter()
            .map(|(name, now)| (*name, *now || self.created(name)))
            .filter(|(name, created)| noted.get(name) != Some(created))
            .map(|(name, created)| (name.to_owned(), created))
            .collect();
        let table = self.observed.home.as_ref().is_some_and(|home| home.table);
        let mut entries = Vec::new();
        let all_leave = self.valid().all(|claim| self.leaving.contains(claim.extension.as_str()));
        if table && self.listed.is_empty() && self.others.is_empty() && all_leave {
            return self.closed();
        }
        let any = |is: fn(&Claim) -> bool| {
            self.mine.iter().chain(&self.others).any(|claim| !claim.void && is(claim))
        };
        if self.mine.iter().any(|claim| claim.void) {
            entries.push(Entry::Purge);
        }
        if any(|claim| claim.restored) {
            entries.push(Entry::Rebind);
        }
        if any(|claim| claim.stale) {
            entries.push(Entry::Disown);
        }
        let stays = |name: &&&str| !doomed.iter().any(|installed| installed.name == **name);
        for name in self.leaving.iter().filter(stays) {
            if let Some(heir) = self.heir(name).filter(|_| self.created(name)) {
                let extension = (*name).to_owned();
                entries.push(Entry::Inherit { claimant: heir.clone(), extension });
            }
        }
        entries.extend(self.released(|name| self.leaving.contains(name)));
        if let (false, Whose::This(claimant)) = (news.is_empty(), self.whose) {
            if !table {
                entries.push(Entry::CreateTable { schema: self.observed.home.is_none() });
            }
            entries.push(Entry::Claim { claimant: claimant.clone(), extensions: news });
        }
        entries
    }

    /// All claims of this resource are given up: it neither owns nor protects anything any more.
    fn given_up(&self) -> Vec<Entry> {
        if self.others.is_empty() { self.closed() } else { self.released(|_| true) }
    }

    fn released(&self, which: impl Fn(&str) -> bool) -> Vec<Entry> {
        let mut names: BTreeMap<&Claimant, Vec<String>> = BTreeMap::new();
        for claim in self.mine.iter().filter(|claim| which(&claim.extension)) {
            names.entry(&claim.claimant).or_default().push(claim.extension.clone());
        }
        let release = |(claimant, extensions): (&Claimant, _)| Entry::Release {
            claimant: claimant.clone(),
            extensions,
        };
        names.into_iter().map(release).collect()
    }

    /// The last claim goes, and the table with it.
    fn closed(&self) -> Vec<Entry> {
        match &self.observed.home {
            Some(Home { owned: true, alone: true, .. }) => {
                vec![Entry::DropTable, Entry::DropSchema]
            }
            Some(Home { owned: true, .. }) => vec![Entry::DropTable],
            _ => self.released(|_| true),
        }
    }

    /// What this request lists for the first time and was there before.
    fn adopted(&self) -> Vec<Kept> {
        let noted: BTreeSet<&str> = self.valid().map(|claim| claim.extension.as_str()).collect();
        self.listed
            .iter()
            .filter(|(name, created)| !**created && !noted.contains(**name) && **name != "plpgsql")
            .filter_map(|(name, _)| self.observed.installed(name))
            .map(|installed| Kept::Adopted {
                name: installed.name.clone(),
                version: installed.version.clone(),
            })
            .collect()
    }
}
