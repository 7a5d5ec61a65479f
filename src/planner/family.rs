//! Extensions that move together: those that require another one and have its version, as PostGIS's
//! topology, raster and geocoder do.

use crate::planner::catalog::{Installed, Observed};
use crate::planner::plan::Planner;
use crate::planner::problem::Problem;
use crate::planner::step::Step;
use crate::request::WantedVersion;

impl Planner<'_> {
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
