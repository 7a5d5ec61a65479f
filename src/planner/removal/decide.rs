//! What becomes of extensions that a resource does not list any more, and who claims which.
//!
//! Nothing is dropped that the resource did not create, unless it is wanted `absent`; and never what
//! another one lists, or `plpgsql`.

use std::collections::{BTreeMap, BTreeSet};

use crate::planner::catalog::{Catalog, Installed};
use crate::planner::desired::{Desired, DesiredExtension, DesiredVersion, RemovalPolicy};
use crate::planner::entries::resolve;
use crate::planner::privileges;
use crate::planner::refusal::may_not_create_schema;
use crate::planner::removal::ownership::{
    Claim, ClaimChange, ClaimTable, Claimant, Claimants, SCHEMA,
};
use crate::planner::removal::refusal;
use crate::planner::step::Step;
use crate::problem::Problem;

/// The extensions that a request lists, requirements included, and whether it creates them.
pub(crate) type Listed<'a> = BTreeMap<&'a str, bool>;

/// The end of a plan: what is dropped, and how the claims change.
#[derive(Debug, Default)]
pub(crate) struct Removal {
    /// The drop of all that goes.
    pub drop: Option<Step>,
    /// How the claims change, after everything else.
    pub changes: Vec<ClaimChange>,
    /// What was there before and is not claimed.
    pub kept: Vec<String>,
    /// What stands in the way.
    pub problems: Vec<Problem>,
}

/// The names of what shall be dropped.
pub(crate) fn to_drop<'a>(
    desired: &'a Desired,
    catalog: &'a Catalog,
    listed: Listed<'a>,
) -> Vec<&'a str> {
    let claims = Claims::new(desired, catalog, listed);
    claims.to_drop().into_iter().map(|installed| installed.name.as_str()).collect()
}

/// Decides what is dropped, and how the claims change.
pub(crate) fn removal(desired: &Desired, catalog: &Catalog, listed: Listed<'_>) -> Removal {
    let claims = Claims::new(desired, catalog, listed);
    let mut removal = Removal { problems: claims.absent_problems(), ..Removal::default() };
    let to_drop = claims.to_drop();
    if !to_drop.is_empty() {
        removal.problems.extend(claims.drop_problems(&to_drop));
        removal.drop = Some(claims.drop_step(&to_drop));
    }
    let table = catalog.claim_table.as_ref();
    if desired.removal == RemovalPolicy::Retain {
        // It was another policy once, or there would be no claims of this resource.
        if table.is_some_and(|table| table.writable) && !claims.own.is_empty() {
            removal.changes = claims.given_up();
        }
    } else if claims.listed.is_empty() && claims.own.is_empty() {
        // Claims that cannot be read or believed may be this resource's.
        if table.is_some_and(|table| table.table && !table.has_claims()) {
            let why = claims.claim_table_problem();
            let kept = why.map(|why| format!("left whatever this resource created: {why}"));
            removal.kept.extend(kept);
        }
    } else {
        removal.problems.extend(claims.claim_table_problem());
        removal.changes = claims.changes(&to_drop);
        removal.kept = claims.adopted();
    }
    removal
}

/// The claims, as one resource sees them.
struct Claims<'a> {
    policy: RemovalPolicy,
    claimants: &'a Claimants,
    catalog: &'a Catalog,
    listed: Listed<'a>,
    own: Vec<&'a Claim>,
    others: Vec<&'a Claim>,
    /// The names that this resource has claimed and that leave with this request.
    leaving: BTreeSet<&'a str>,
    /// What is wanted `absent`, by the server's spelling.
    absent: BTreeSet<&'a str>,
}

impl<'a> Claims<'a> {
    fn new(desired: &'a Desired, catalog: &'a Catalog, listed: Listed<'a>) -> Self {
        let claimants = &desired.claimants;
        let (own, others) = catalog.claims.iter().partition(|claim| claimants.has(&claim.claimant));
        let others: Vec<&Claim> = others;
        let others = others.into_iter().filter(|claim| !claim.void).collect();
        let leaving = BTreeSet::new();
        let policy = desired.removal;
        let entries = resolve(desired, catalog).0.into_iter();
        let is_absent = |entry: &&DesiredExtension| entry.version == DesiredVersion::Absent;
        let absent = entries.filter(|(_, entry)| is_absent(entry)).map(|(name, _)| name).collect();
        let mut claims = Self { policy, claimants, catalog, listed, own, others, leaving, absent };
        claims.leaving = claims.leaving(desired.earlier.as_ref());
        claims
    }

    /// What is claimed, not listed, and may leave: by itself or as a requirement, and not required by
    /// what stays.
    fn leaving(&self, earlier: Option<&BTreeSet<String>>) -> BTreeSet<&'a str> {
        let catalog = self.catalog;
        let names = self.valid().map(|claim| claim.extension.as_str());
        let unlisted = names.filter(|name| !self.listed.contains_key(name));
        let Some(earlier) = earlier else { return unlisted.collect() };
        let before = earlier.iter().filter_map(|key| match catalog.alike(key).as_slice() {
            [name] => Some(*name),
            _ => None,
        });
        let before = catalog.with_required(before.collect());
        let leaves = |name: &&str| before.contains(name) || self.absent.contains(name);
        let (leaving, staying) = unlisted.partition::<Vec<_>, _>(leaves);
        let staying = catalog.with_required(staying);
        leaving.into_iter().filter(|name| !staying.contains(name)).collect()
    }

    fn valid(&self) -> impl Iterator<Item = &'a Claim> {
        self.own.iter().copied().filter(|claim| !claim.void)
    }

    fn created(&self, name: &str) -> bool {
        self.valid().any(|claim| claim.extension == name && claim.created)
    }

    /// The other resource that has listed it for longest.
    fn next_owner(&self, name: &str) -> Option<&'a Claimant> {
        self.others.iter().find(|claim| claim.extension == name).map(|claim| &claim.claimant)
    }

    fn to_drop(&self) -> Vec<&'a Installed> {
        let is_created = |name: &&str| {
            self.policy != RemovalPolicy::Retain
                && self.created(name)
                && self.next_owner(name).is_none()
        };
        let created = self.leaving.iter().copied().filter(is_created);
        let names: BTreeSet<&str> = created.chain(self.absent.iter().copied()).collect();
        let names = names.into_iter().filter(|name| *name != "plpgsql");
        names.filter_map(|name| self.catalog.installed(name)).collect()
    }

    /// Whether the drop takes along what depends on the extensions.
    fn is_cascade(&self) -> bool {
        self.policy == RemovalPolicy::DropCascade && !self.is_dropped_by_absent()
    }

    /// Why what is wanted `absent` has to stay, before what depends on it is looked at.
    fn absent_problems(&self) -> Vec<Problem> {
        let catalog = self.catalog;
        let mut problems = Vec::new();
        for name in &self.absent {
            let requires = |other: &&str| {
                let installed = catalog.installed(other).into_iter().flat_map(|it| &it.requires);
                let offered = catalog.offered(other).flat_map(|it| it.requires.iter().flatten());
                installed.chain(offered).any(|it| it == name)
            };
            if self.listed.contains_key(name) {
                let by = self.listed.keys().copied().find(requires).unwrap_or_default();
                problems.push(refusal::required_by_listed(name, by));
            }
            if catalog.installed(name).is_none() {
                continue;
            }
            if *name == "plpgsql" {
                problems.push(refusal::is_plpgsql());
            }
            if let Some(claimant) = self.next_owner(name) {
                problems.push(refusal::claimed_elsewhere(name, claimant));
            }
        }
        let installed = self.absent.iter().copied();
        let installed: Vec<&str> =
            installed.filter(|name| catalog.installed(name).is_some()).collect();
        let is_unknown = |table: &&ClaimTable| table.table && !table.has_claims();
        if let Some(table) = catalog.claim_table.as_ref().filter(is_unknown)
            && !installed.is_empty()
        {
            problems.push(refusal::unknown_claims(&installed, table, &catalog.role));
        }
        problems
    }

    fn is_dropped_by_absent(&self) -> bool {
        self.absent.iter().any(|name| self.catalog.installed(name).is_some())
    }

    fn drop_step(&self, to_drop: &[&Installed]) -> Step {
        let cascade = self.is_cascade();
        let dependents = &self.catalog.dependents;
        let mut along: Vec<String> = Vec::new();
        if cascade {
            along.extend(dependents.objects.iter().map(|dependent| dependent.what.clone()));
            let more = dependents.total.saturating_sub(along.len());
            along.extend((more > 0).then(|| format!("{more} more")));
            let rows = dependents.tables.iter().filter(|table| table.has_rows);
            along.extend(rows.map(|table| format!("the rows of {table}")));
        }
        let named =
            to_drop.iter().map(|installed| (installed.name.clone(), installed.version.clone()));
        Step::Drop { extensions: named.collect(), cascade, along }
    }

    /// What forbids the drop.
    fn drop_problems(&self, to_drop: &[&Installed]) -> Vec<Problem> {
        let catalog = self.catalog;
        let mut problems: Vec<Problem> =
            to_drop.iter().filter_map(|it| privileges::to_change(it, catalog)).collect();
        let dependents = &catalog.dependents;
        if self.is_cascade() {
            for dependent in &dependents.objects {
                let (of, Some(extension)) = (&dependent.of, &dependent.extension) else { continue };
                if let Some(claimant) = self.next_owner(extension) {
                    problems.push(refusal::listed_elsewhere(of, extension, claimant));
                } else if self.listed.contains_key(extension.as_str()) {
                    problems.push(refusal::listed_here(of, extension));
                } else if self.valid().any(|claim| claim.extension == *extension) {
                    problems.push(refusal::stays(of, extension));
                }
            }
            return problems;
        }
        let may_cascade = !self.is_dropped_by_absent();
        for (extension, count) in &dependents.counts {
            let objects = dependents.objects.iter().filter(|it| it.of.contains(extension));
            let objects: Vec<&str> = objects.map(|it| it.what.as_str()).collect();
            problems.push(refusal::depended_on(extension, &objects, *count, may_cascade));
        }
        for table in &dependents.tables {
            if !table.readable {
                problems.push(refusal::rows_not_readable(table, &catalog.role, may_cascade));
            } else if table.has_rows {
                problems.push(refusal::holds_rows(table, may_cascade));
            }
        }
        problems
    }

    /// What keeps the claims from being read or written.
    fn claim_table_problem(&self) -> Option<Problem> {
        let catalog = self.catalog;
        if let Some(table) = &catalog.claim_table {
            return refusal::of_claim_table(table, &catalog.role);
        }
        let may = catalog.superuser || catalog.may_create || self.listed.is_empty();
        (!may).then(|| may_not_create_schema(SCHEMA, catalog))
    }

    /// How the claims change: not at all where nothing else does.
    fn changes(&self, to_drop: &[&Installed]) -> Vec<ClaimChange> {
        let claimed: BTreeMap<&str, bool> =
            self.valid().map(|claim| (claim.extension.as_str(), claim.created)).collect();
        let news: Vec<(String, bool)> = self
            .listed
            .iter()
            .map(|(name, now)| (*name, *now || self.created(name)))
            .filter(|(name, created)| claimed.get(name) != Some(created))
            .map(|(name, created)| (name.to_owned(), created))
            .collect();
        let table = self.catalog.claim_table.as_ref().is_some_and(|table| table.table);
        let mut changes = Vec::new();
        let all_leave = self.valid().all(|claim| self.leaving.contains(claim.extension.as_str()));
        if table && self.listed.is_empty() && self.others.is_empty() && all_leave {
            return self.closed();
        }
        let any = |is: fn(&Claim) -> bool| {
            self.own.iter().chain(&self.others).any(|claim| !claim.void && is(claim))
        };
        if self.own.iter().any(|claim| claim.void) {
            changes.push(ClaimChange::RemoveOfOtherDatabases);
        }
        if any(|claim| claim.restored) {
            changes.push(ClaimChange::RenewOids);
        }
        if any(|claim| claim.stale) {
            changes.push(ClaimChange::EndOwnership);
        }
        let stays = |name: &&&str| !to_drop.iter().any(|installed| installed.name == **name);
        for name in self.leaving.iter().filter(stays) {
            if let Some(next_owner) = self.next_owner(name).filter(|_| self.created(name)) {
                let extension = (*name).to_owned();
                changes.push(ClaimChange::TransferOwnership {
                    claimant: next_owner.clone(),
                    extension,
                });
            }
        }
        changes.extend(self.released(|name| self.leaving.contains(name)));
        if let (false, Claimants::This(claimant)) = (news.is_empty(), self.claimants) {
            if !table {
                changes
                    .push(ClaimChange::CreateTable { schema: self.catalog.claim_table.is_none() });
            }
            changes.push(ClaimChange::Claim { claimant: claimant.clone(), extensions: news });
        }
        changes
    }

    /// All claims of this resource are given up: it neither owns nor protects anything any more.
    fn given_up(&self) -> Vec<ClaimChange> {
        if self.others.is_empty() { self.closed() } else { self.released(|_| true) }
    }

    fn released(&self, which: impl Fn(&str) -> bool) -> Vec<ClaimChange> {
        let mut names: BTreeMap<&Claimant, Vec<String>> = BTreeMap::new();
        for claim in self.own.iter().filter(|claim| which(&claim.extension)) {
            names.entry(&claim.claimant).or_default().push(claim.extension.clone());
        }
        let release = |(claimant, extensions): (&Claimant, _)| ClaimChange::Release {
            claimant: claimant.clone(),
            extensions,
        };
        names.into_iter().map(release).collect()
    }

    /// The last claim goes, and the table with it.
    fn closed(&self) -> Vec<ClaimChange> {
        match &self.catalog.claim_table {
            Some(ClaimTable { owned: true, alone: true, .. }) => {
                vec![ClaimChange::DropTable, ClaimChange::DropSchema]
            }
            Some(ClaimTable { owned: true, .. }) => vec![ClaimChange::DropTable],
            _ => self.released(|_| true),
        }
    }

    /// What this request lists for the first time and was there before.
    fn adopted(&self) -> Vec<String> {
        let claimed: BTreeSet<&str> = self.valid().map(|claim| claim.extension.as_str()).collect();
        self.listed
            .iter()
            .filter(|(name, created)| {
                !**created && !claimed.contains(**name) && **name != "plpgsql"
            })
            .filter_map(|(name, _)| self.catalog.installed(name))
            .map(|Installed { name, version, .. }| {
                format!("left {name} {version} unclaimed (it was there before)")
            })
            .collect()
    }
}
