//! Whether the scripts of a plan may be run: not where others have put something in their way.

use std::collections::BTreeSet;

use crate::planner::catalog::Catalog;
use crate::planner::step::Step;
use crate::problem::Problem;

/// Why the scripts of these steps are not run; asked again after they have run.
pub fn problems(steps: &[Step], catalog: &Catalog) -> Vec<Problem> {
    let searched = searched(steps, catalog);
    if searched.is_empty() {
        return Vec::new();
    }
    let prescribed = steps.iter().filter_map(|step| match step {
        Step::Create { name, schema: None, .. } => schema_of(name, steps, catalog),
        _ => None,
    });
    catalog.untrusted.problems(&searched, &prescribed.collect(), &catalog.role)
}

/// What the scripts of these steps may run by mistake.
pub(super) fn warning(steps: &[Step], catalog: &Catalog) -> Option<String> {
    let searched = searched(steps, catalog);
    if searched.is_empty() { None } else { catalog.untrusted.warning(&searched) }
}

/// Where the scripts search, but for the configured schemas: the extension's own, those of what it
/// requires, and `public`. Empty where no script is run.
fn searched<'a>(steps: &'a [Step], catalog: &'a Catalog) -> BTreeSet<&'a str> {
    let mut searched = BTreeSet::new();
    for step in steps {
        let (Step::Create { name, .. } | Step::Update { name, .. }) = step else { continue };
        // Any version's: an update may go by several.
        let offered = catalog.offered(name).flat_map(|it| it.requires.iter().flatten());
        let installed = catalog.installed(name).into_iter().flat_map(|it| &it.requires);
        let names = offered.chain(installed).chain([name]);
        searched.extend(names.filter_map(|name| schema_of(name, steps, catalog)));
        searched.insert("public");
    }
    searched
}

/// Where an extension is when the scripts run.
fn schema_of<'a>(name: &'a str, steps: &'a [Step], catalog: &'a Catalog) -> Option<&'a str> {
    let planned = steps.iter().find_map(|step| match step {
        Step::Move { name: other, to } if other == name => Some(to.as_str()),
        Step::Create { name: other, version, schema, .. } if other == name => {
            let created = || catalog.offered(name).find(|it| it.version == *version);
            schema.as_deref().or_else(|| created()?.schema.as_deref())
        }
        _ => None,
    });
    planned.or_else(|| Some(catalog.installed(name)?.schema.as_str()))
}
