//! Properties of the planner, over random maps on a small model of a server.

#![expect(clippy::expect_used, reason = "a broken model is a failed test")]

use std::collections::{BTreeMap, BTreeSet};

use cfn_postgres_extensions::planner::catalog::Catalog;
use cfn_postgres_extensions::planner::desired::{
    Desired, DesiredExtension, DesiredVersion, DowngradePolicy, Unnamed,
};
use cfn_postgres_extensions::planner::entries::unsatisfied;
use cfn_postgres_extensions::planner::inspect::{State, compare};
use cfn_postgres_extensions::planner::plan::{plan, to_drop};
use cfn_postgres_extensions::planner::removal::dependents::Dependent;
use cfn_postgres_extensions::planner::step::Step;
use proptest::prelude::*;
use serde_json::json;

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];
const VERSIONS: [&str; 4] = ["1.0", "1.1", "1.10", "2.0"];

/// A server: each extension requires some of those before it, and updates lead upwards only.
#[derive(Debug, Clone)]
struct Server {
    requires: BTreeMap<&'static str, BTreeSet<&'static str>>,
    defaults: BTreeMap<&'static str, &'static str>,
    relocatable: BTreeMap<&'static str, bool>,
    installed: BTreeMap<String, (String, String)>,
    schemas: BTreeSet<String>,
}

impl Server {
    fn catalog(&self, desired: &Desired) -> Catalog {
        let offered = |name: &'static str| {
            VERSIONS.iter().map(move |version| {
                json!({ "name": name, "version": version, "superuser": false, "trusted": false,
                        "relocatable": self.relocatable[name], "schema": null,
                        "requires": self.requires[name] })
            })
        };
        let installed = self.installed.iter().map(|(name, (version, schema))| {
            json!({ "name": name, "version": version, "schema": schema, "owned": true,
                    "relocatable": self.relocatable[name.as_str()],
                    "requires": self.requires[name.as_str()] })
        });
        let paths = self.installed.iter().flat_map(|(name, (from, _))| {
            VERSIONS.iter().filter(move |to| *to != from).map(move |to| {
                json!({ "name": name, "target": to, "reachable": order(from) < order(to) })
            })
        });
        let mut catalog = crate::catalog(json!({
            "database": "model", "server_version": "15.8", "role": "r", "superuser": true,
            "delegated": false, "may_create": true, "read_only": false, "libraries": null,
            "rds_extensions": null, "rds_allowed_extensions": null, "cron_database": null,
            "schemas": self.schemas.iter().map(|schema| (schema, true)).collect::<BTreeMap<_, _>>(),
            "installed": installed.collect::<Vec<_>>(),
            "available": self.defaults,
            "offered": NAMES.into_iter().flat_map(offered).collect::<Vec<_>>(),
            "paths": paths.collect::<Vec<_>>(),
        }));
        let dropped: Vec<String> =
            to_drop(desired, &catalog).iter().map(ToString::to_string).collect();
        for name in self.installed.keys().filter(|name| !dropped.contains(name)) {
            let is_dropped = |it: &&&str| dropped.iter().any(|name| name == **it);
            let of = self.requires[name.as_str()].iter().filter(is_dropped);
            let of: Vec<String> = of.map(ToString::to_string).collect();
            for it in &of {
                *catalog.dependents.counts.entry(it.clone()).or_default() += 1;
            }
            if !of.is_empty() {
                let (what, extension) = (format!("extension {name}"), Some(name.clone()));
                catalog.dependents.objects.push(Dependent { of, what, extension });
            }
        }
        catalog
    }

    /// Does what the statement does on a real server, and fails where that would.
    fn run(&mut self, step: &Step) {
        match step {
            Step::CreateSchema { schema } => {
                assert!(self.schemas.insert(schema.clone()), "the schema exists: {step}");
            }
            Step::Create { name, version, schema, .. } => {
                let schema = schema.clone().expect("nothing prescribes a schema here");
                assert!(self.schemas.contains(&schema), "no such schema: {step}");
                for requirement in &self.requires[name.as_str()] {
                    assert!(
                        self.installed.contains_key(*requirement),
                        "{step} needs {requirement}"
                    );
                }
                let entry = (version.clone(), schema);
                assert!(self.installed.insert(name.clone(), entry).is_none(), "installed: {step}");
            }
            Step::Update { name, from, to, .. } => {
                let (version, _) = self.installed.get_mut(name).expect("installed");
                assert_eq!(version, from);
                assert!(order(from) < order(to), "no path: {step}");
                version.clone_from(to);
            }
            Step::Move { name, to } => {
                assert!(self.relocatable[name.as_str()], "not relocatable: {step}");
                assert!(self.schemas.contains(to), "no such schema: {step}");
                self.installed.get_mut(name).expect("installed").1.clone_from(to);
            }
            Step::Drop { extensions, cascade, .. } => {
                assert!(!cascade, "what is absent is dropped by RESTRICT: {step}");
                for (name, version) in extensions {
                    let dropped = self.installed.remove(name).expect("installed");
                    assert_eq!(dropped.0, *version);
                }
                for name in self.installed.keys() {
                    let is_there = |it: &&str| self.installed.contains_key(*it);
                    assert!(self.requires[name.as_str()].iter().all(is_there), "{step}: {name}");
                }
            }
            Step::Claims(_) => panic!("nothing is claimed here: {step}"),
        }
    }
}

fn order(version: &str) -> usize {
    VERSIONS.iter().position(|other| *other == version).expect("a version of the model")
}

fn a_version() -> impl Strategy<Value = DesiredVersion> {
    let version = || prop::sample::select(&VERSIONS[..]).prop_map(ToOwned::to_owned);
    prop_oneof![
        Just(DesiredVersion::Any),
        Just(DesiredVersion::Latest),
        version().prop_map(DesiredVersion::Exact),
        prop::sample::select(vec!["1.", "1.1", "2."])
            .prop_map(|start| DesiredVersion::StartsWith(start.to_owned())),
        Just(DesiredVersion::Absent),
    ]
}

fn a_wish() -> impl Strategy<Value = Desired> {
    let schema = prop::option::of(prop::sample::select(vec!["public", "ext", "other"]));
    let extension = (a_version(), schema).prop_map(|(version, schema)| DesiredExtension {
        schema: schema.filter(|_| version != DesiredVersion::Absent).map(ToOwned::to_owned),
        version,
    });
    let unnamed = prop::sample::select(vec![None, Some(Unnamed::Any), Some(Unnamed::Latest)]);
    let names = prop::sample::select(vec!["a", "B", "c", "D", "e"]).prop_map(ToOwned::to_owned);
    let policy = prop_oneof![Just(DowngradePolicy::Fail), Just(DowngradePolicy::Keep)];
    (prop::collection::btree_map(names, extension, 0..5), policy, unnamed).prop_map(
        |(extensions, downgrade, unnamed)| Desired {
            extensions,
            unnamed,
            downgrade,
            ..Desired::default()
        },
    )
}

prop_compose! {
    fn a_server()(
        requires in prop::collection::vec(prop::collection::btree_set(0..5usize, 0..3), 5),
        defaults in prop::collection::vec(prop::sample::select(&VERSIONS[..]), 5),
        relocatable in prop::collection::vec(any::<bool>(), 5),
        installed in prop::collection::vec(prop::option::of(prop::sample::select(&VERSIONS[..])), 5),
    ) -> Server {
        let requires: BTreeMap<_, BTreeSet<_>> = NAMES.into_iter().zip(requires).enumerate()
            .map(|(index, (name, set))| {
                (name, set.into_iter().filter(|other| *other < index).map(|other| NAMES[other]).collect())
            })
            .collect();
        let mut server = Server {
            defaults: NAMES.into_iter().zip(defaults).collect(),
            relocatable: NAMES.into_iter().zip(relocatable).collect(),
            installed: BTreeMap::new(),
            schemas: BTreeSet::from(["public".to_owned()]),
            requires,
        };
        for (name, version) in NAMES.into_iter().zip(installed) {
            let complete = server.requires[name].iter().all(|other| server.installed.contains_key(*other));
            if let (Some(version), true) = (version, complete) {
                server.installed.insert(name.to_owned(), (version.to_owned(), "public".to_owned()));
            }
        }
        server
    }
}

/// Whether an entry of the map is as wanted.
fn fulfilled(server: &Server, name: &str, wanted: &DesiredExtension, keep: bool) -> bool {
    let Some((version, schema)) = server.installed.get(name) else {
        return wanted.version == DesiredVersion::Absent;
    };
    let placed = wanted.schema.as_ref().is_none_or(|wanted| wanted == schema);
    let versioned = match &wanted.version {
        DesiredVersion::Any => true,
        DesiredVersion::Absent => false,
        DesiredVersion::Latest => version == server.defaults[name],
        DesiredVersion::Exact(exact) => exact == version || keep,
        DesiredVersion::StartsWith(start) => version.starts_with(start.as_str()),
    };
    placed && versioned
}

/// Whether an update path leads to the exact version that is wanted.
fn is_upgrade(server: &Server, name: &str, wanted: &DesiredExtension) -> bool {
    match (&wanted.version, server.installed.get(name)) {
        (DesiredVersion::Exact(to), Some((from, _))) => order(from) < order(to),
        _ => false,
    }
}

fn is_drift(state: Option<State>) -> bool {
    !matches!(state, Some(State::AsWanted | State::NotListed))
}

/// The part of a catalog that an Update reads.
fn of_update(catalog: &Catalog, desired: &Desired) -> Catalog {
    let names: BTreeSet<String> =
        unsatisfied(desired, catalog).into_iter().map(ToOwned::to_owned).collect();
    let mut part = catalog.clone();
    let offers = part.offers.as_mut().expect("offers");
    let required: BTreeSet<String> =
        offers.versions.iter().filter_map(|it| it.requires.clone()).flatten().collect();
    offers.versions.retain(|it| names.contains(&it.name) || required.contains(&it.name));
    offers.paths.retain(|it| names.contains(&it.name));
    if names.is_empty() {
        part.offers = None;
    }
    part
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_plan_leaves_nothing_to_do_and_touches_only_what_is_named(
        server in a_server(),
        wanted in a_wish(),
    ) {
        let Ok(planned) = plan(&wanted, &server.catalog(&wanted)) else { return Ok(()) };
        for (at, step) in planned.steps.iter().enumerate() {
            let (Step::Create { name, .. } | Step::Update { name, with: None, .. }) = step else {
                continue;
            };
            let is_required = |other: &Step| matches!(
                other, Step::Create { name: other, .. } | Step::Update { name: other, with: None, .. }
                if server.requires[name.as_str()].contains(other.as_str()));
            prop_assert!(!planned.steps[at..].iter().any(is_required), "{} comes too early", step);
        }
        let mut after = server.clone();
        planned.steps.iter().for_each(|step| after.run(step));

        let keep = wanted.downgrade == DowngradePolicy::Keep;
        for (key, extension) in &wanted.extensions {
            let name = key.to_lowercase();
            prop_assert!(planned.names.contains(&name));
            prop_assert!(fulfilled(&after, &name, extension, keep), "{} in {:?}", key, after);
        }
        for (name, before) in &server.installed {
            let is_member = |step: &Step| matches!(
                step, Step::Update { name: other, with: Some(_), .. } if other == name);
            if !planned.names.contains(name) && !planned.steps.iter().any(is_member) {
                prop_assert_eq!(after.installed.get(name), Some(before), "untouched");
            }
        }
        for name in after.installed.keys() {
            let required = planned.steps.iter().any(|step| matches!(
                step, Step::Create { name: other, required_by: Some(_), .. } if other == name));
            prop_assert!(server.installed.contains_key(name) || planned.names.contains(name) || required);
        }

        let again = plan(&wanted, &after.catalog(&wanted)).map_err(|problems| {
            TestCaseError::fail(format!("refused the second time: {problems:?}"))
        })?;
        prop_assert_eq!(again.steps, vec![]);
        prop_assert_eq!(again.names, planned.names);
    }

    #[test]
    fn an_inspect_compares_as_an_update_plans(server in a_server(), wanted in a_wish()) {
        // An Inspect reads what is offered of all that is installed; an Update of what it may change.
        let all = server.catalog(&wanted);
        let planned = plan(&wanted, &of_update(&all, &wanted));
        let compared = compare(&wanted, &all);
        let drifted = compared.extensions.iter().any(|it| is_drift(it.state));
        prop_assert!(compared.extensions.iter().all(|it| it.state.is_some()));
        match planned {
            Err(problems) => {
                prop_assert_eq!(&compared.plan, &Err(problems));
                prop_assert!(compared.is_drift());
            }
            Ok(planned) => {
                let nothing = planned.steps.is_empty();
                prop_assert_eq!(&compared.plan, &Ok(planned.steps));
                prop_assert_eq!(compared.is_drift(), !nothing);
                prop_assert!(!drifted || !nothing, "{:?}", compared);
                let mut after = server.clone();
                compared.plan.iter().flatten().for_each(|step| after.run(step));
                let again = compare(&wanted, &after.catalog(&wanted));
                prop_assert!(!again.is_drift(), "{:?}", again);
                prop_assert!(!again.extensions.iter().any(|it| is_drift(it.state)), "{:?}", again);
            }
        }
        // What differs is told of the very extension.
        let keep = wanted.downgrade == DowngradePolicy::Keep;
        for (key, extension) in &wanted.extensions {
            let name = key.to_lowercase();
            let found = compared.extensions.iter().find(|it| it.name == name);
            let as_wanted = fulfilled(&server, &name, extension, keep && !is_upgrade(&server, &name, extension));
            prop_assert_eq!(found.is_none_or(|it| !is_drift(it.state)), as_wanted, "{}", key);
        }
    }
}
