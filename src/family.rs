//! Extensions that move together: those that require another one and have its version, as PostGIS's
//! topology, raster and geocoder do.

use crate::observed::{Installed, Observed, Offered};
use crate::plan::Planner;
use crate::problem::Problem;
use crate::request::WantedVersion;
use crate::step::Step;

/// PostGIS, and the part of it that became an extension of its own with version 3.
const POSTGIS: &str = "postgis";
const RASTER: &str = "postgis_raster";

/// The version of [`RASTER`] that takes over what is there already.
const UNPACKAGED: &str = "unpackaged";

impl<'a> Planner<'a> {
    /// What requires an extension that is updated, and has had its version, goes along to the same
    /// one, unless the map has another version for it.
    pub(crate) fn take_families_along(&mut self) {
        let mut heads: Vec<(String, String, String)> =
            self.updates().map(|(name, from, to)| (name.into(), from.into(), to.into())).collect();
        let observed = self.observed;
        while let Some((head, from, to)) = heads.pop() {
            for member in &observed.installed {
                if !member.requires.contains(&head) || member.version != from {
                    continue;
                }
                if self.is_settled(member) || !reaches(observed, member, &to) {
                    continue;
                }
                self.problems.extend(Problem::of_ownership(member, observed));
                self.plan.steps.push(Step::Update {
                    name: member.name.clone(),
                    from: from.clone(),
                    to: to.clone(),
                    with: Some(head.clone()),
                });
                heads.push((member.name.clone(), from.clone(), to.clone()));
            }
        }
        let to = self.updates().find(|(name, ..)| *name == POSTGIS).map(|(_, _, to)| to.to_owned());
        let raster = observed.offered(RASTER).find(|raster| Some(&raster.version) == to.as_ref());
        if let Some(raster) = raster.filter(|_| !self.goals.contains_key(RASTER)) {
            self.package_raster(raster);
        }
    }

    /// An update of PostGIS from before version 3 leaves its raster functions in no extension. They
    /// are packed into one, as `postgis_extensions_upgrade()` does when it is run again.
    ///
    /// `false` where there is nothing to pack.
    pub(crate) fn package_raster(&mut self, raster: &'a Offered) -> bool {
        let observed = self.observed;
        let updated = self.updates().any(|(name, ..)| name == POSTGIS);
        let packs = observed.offered(RASTER).any(|raster| raster.version == UNPACKAGED);
        let Some(postgis) = observed.installed(POSTGIS) else { return false };
        if raster.name != RASTER || !observed.raster_inside || !updated || !packs {
            return false;
        }
        self.plan.steps.push(Step::Create {
            name: RASTER.to_owned(),
            version: UNPACKAGED.to_owned(),
            schema: Some(postgis.schema.clone()),
            new_schema: None,
            required_by: None,
        });
        self.plan.steps.push(Step::Update {
            name: RASTER.to_owned(),
            from: UNPACKAGED.to_owned(),
            to: raster.version.clone(),
            with: Some(POSTGIS.to_owned()),
        });
        true
    }

    fn updates(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        self.plan.steps.iter().filter_map(|step| match step {
            Step::Update { name, from, to, .. } => {
                Some((name.as_str(), from.as_str(), to.as_str()))
            }
            _ => None,
        })
    }

    /// Whether the map or an earlier step says which version it gets.
    fn is_settled(&self, member: &Installed) -> bool {
        let goal = self.goals.get(member.name.as_str());
        goal.is_some_and(|goal| goal.version != WantedVersion::Any)
            || self.updates().any(|(name, ..)| name == member.name)
    }
}

fn reaches(observed: &Observed, member: &Installed, to: &str) -> bool {
    observed.targets(&member.name).any(|(target, reachable)| reachable && target == to)
}
