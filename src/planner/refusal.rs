//! Why a plan is refused: one sentence each, with what the server has and what to do.

use crate::did_you_mean::did_you_mean;
use crate::planner::catalog::{Catalog, Installed};
use crate::planner::desired::DesiredVersion;
use crate::planner::version_order::{is_release, rank};
use crate::problem::Problem;
use crate::text::{listed, shown};

/// Projects whose extension has another name.
const PROJECTS: [(&str, &str); 2] = [("pgvector", "vector"), ("timescale", "timescaledb")];

/// Modules of PostgreSQL, and others that are well known, which are no extensions: how each is used.
const LIBRARIES: [(&str, &[&str]); 2] = [
    (
        "a library, not an extension: leave it out here, and name it in `shared_preload_libraries`",
        &[
            "auth_delay",
            "auto_explain",
            "passwordcheck",
            "pgextwlist",
            "safeupdate",
            "sepgsql",
            "supautils",
        ],
    ),
    (
        "an output plugin of logical decoding, not an extension: leave it out here, and name it where \
         a replication slot is created",
        &["decoderbufs", "pgoutput", "test_decoding", "wal2json"],
    ),
];

/// No extension has that name, in any case.
pub(super) fn unknown_extension(key: &str, catalog: &Catalog) -> Problem {
    let is_key = |name: &&str| name.eq_ignore_ascii_case(key);
    if let Some((what, _)) = LIBRARIES.iter().find(|(_, names)| names.iter().any(is_key)) {
        return Problem::new(format!("`{key}` is {what}"));
    }
    let project = PROJECTS.iter().find(|(project, _)| key.eq_ignore_ascii_case(project));
    let suggestion = match project {
        Some((_, name)) if !catalog.names().any(|other| other == *name) => {
            format!("; did you mean `{name}`? This server does not offer that one either")
        }
        _ => did_you_mean(key, catalog.names()),
    };
    Problem::new(format!(
        "`{}`: this server (PostgreSQL {}) offers no such extension{suggestion}",
        shown(key),
        catalog.short_version()
    ))
}

/// Several extensions differ from the key in case alone.
pub(super) fn ambiguous(key: &str, names: &[&str]) -> Problem {
    let names = listed(names.iter().copied());
    Problem::new(format!("`{key}` could be {names}: spell it as the server does"))
}

/// Two keys of the map are one extension.
pub(super) fn same_extension(name: &str, keys: [&str; 2]) -> Problem {
    let [one, other] = keys;
    Problem::new(format!(
        "`{one}` and `{other}` are the same extension, `{name}`: keep one of them"
    ))
}

/// The server has no such version to create or to update to.
pub(super) fn version_not_offered(
    name: &str,
    wanted: &DesiredVersion,
    catalog: &Catalog,
) -> Problem {
    let mut versions: Vec<&str> = catalog
        .offered(name)
        .map(|offered| offered.version.as_str())
        .filter(|version| is_release(version))
        .collect();
    versions.sort_unstable_by(|a, b| rank(b, a));
    let by_default = matches!(wanted, DesiredVersion::Any | DesiredVersion::Latest);
    let offers = if versions.is_empty() {
        String::new()
    } else {
        format!("; it offers {}", listed(versions))
    };
    Problem::new(match catalog.available.get(name) {
        Some(None) if by_default && !offers.is_empty() => {
            format!("`{name}` has no default version on this server: name one{offers}")
        }
        Some(Some(version)) if by_default || offers.is_empty() => format!(
            "`{name}`: the server lists it, but has no script that installs its version `{version}`{}",
            did_you_mean(name, catalog.names().filter(|other| *other != name))
        ),
        _ => {
            let wanted = wanted.to_string();
            let suggestion = probable_version(&wanted)
                .map_or_else(String::new, |version| format!("; did you mean `{version}`?"));
            let wanted = shown(&wanted);
            format!("`{name}`: this server does not offer version `{wanted}`{offers}{suggestion}")
        }
    })
}

/// What a version that is not offered most likely means: a word, or a `*`.
fn probable_version(version: &str) -> Option<String> {
    let lower = version.to_ascii_lowercase();
    match lower.as_str() {
        "any" | "latest" | "absent" => Some(lower),
        _ => lower.strip_suffix(".x").map(|start| format!("{start}.*")),
    }
}

/// The server knows the version, and no update path leads to it. `exact` says that the map names the
/// very version, which `DowngradePolicy` is for.
pub(super) fn no_update_path(
    installed: &Installed,
    wanted: &str,
    exact: bool,
    catalog: &Catalog,
) -> Problem {
    let Installed { name, version, .. } = installed;
    let mut reachable: Vec<&str> = catalog
        .update_targets(name)
        .filter(|(version, reachable)| *reachable && is_release(version))
        .map(|(version, _)| version)
        .collect();
    reachable.sort_unstable_by(|a, b| rank(b, a));
    let keep = if exact { ", or let it be with `DowngradePolicy: Keep`" } else { "" };
    let advice = if catalog.update_targets(name).next().is_none() {
        format!(
            "it knows none from there at all, as with an extension that cannot be updated in place \
             (`pg_repack`): if it keeps nothing of yours, drop it by hand and deploy again; else ask \
             for the installed version or for `any`{keep}"
        )
    } else if reachable.is_empty() {
        format!(
            "no other version can be reached from it: ask for the installed one or for `any`{keep}"
        )
    } else {
        format!(
            "it can be updated to {}; ask for one of these, for the installed one or for `any`{keep}",
            listed(reachable)
        )
    };
    Problem::new(format!(
        "`{name}`: {version} is installed, and the server has no update path from it to {wanted}; \
         {advice}"
    ))
}

/// The server updates it by the first statement of a session only.
pub(super) fn first_statement(installed: &Installed, wanted: &str, catalog: &Catalog) -> Problem {
    let (Installed { name, version, .. }, database) = (installed, &catalog.database);
    Problem::new(format!(
        "`{name}`: {version} is installed, and the server updates it to {wanted} by the first statement \
         of a session only, which an update in a transaction never is: run `psql -X -d {database} -c \
         \"ALTER EXTENSION {name} UPDATE TO '{wanted}'\"` there by hand, then deploy again"
    ))
}

/// PostGIS 2 has raster functions, which version 3 has in an extension of their own.
pub(super) fn raster_inside(installed: &Installed, wanted: &str) -> Problem {
    let version = &installed.version;
    Problem::new(format!(
        "`postgis`: {version} is installed, whose raster functions become an extension of their own \
         with version 3, which a plain update to {wanted} does not do: run `SELECT \
         postgis_extensions_upgrade()` there by hand, twice, then deploy again"
    ))
}

/// Something that an extension requires is not on the server.
pub(super) fn missing_requirement(name: &str, required_by: &str) -> Problem {
    Problem::new(format!(
        "`{required_by}` requires `{name}`, which this server does not offer: install the package \
         that has it on the server, or leave `{required_by}` out"
    ))
}

/// The extension says where it goes.
pub(super) fn prescribed_schema(name: &str, schema: &str, wanted: &str) -> Problem {
    let wanted = shown(wanted);
    Problem::new(format!(
        "`{name}` can only be installed in schema `{schema}`, not in `{wanted}`: leave `Schema` out"
    ))
}

/// It is installed in another schema, for good.
pub(super) fn not_relocatable(installed: &Installed, wanted: &str) -> Problem {
    let (Installed { name, schema, .. }, wanted) = (installed, shown(wanted));
    Problem::new(format!(
        "`{name}` is installed in schema `{schema}` and cannot be moved to `{wanted}` (it is not \
         relocatable): ask for `{schema}`, or drop it by hand first"
    ))
}

/// The role lacks CREATE on the schema that the extension shall be moved to.
pub(super) fn schema_forbidden(name: &str, schema: &str, role: &str) -> Problem {
    Problem::new(format!(
        "`{name}`: role `{role}` may not create objects in schema `{schema}`: GRANT CREATE ON SCHEMA \
         `{schema}` TO `{role}`, or ask for another `Schema`"
    ))
}

/// The role lacks CREATE on the database, and a schema is missing.
pub(super) fn may_not_create_schema(schema: &str, catalog: &Catalog) -> Problem {
    let (schema, Catalog { role, database, .. }) = (shown(schema), catalog);
    Problem::new(format!(
        "schema `{schema}` does not exist, and role `{role}` may not create it: GRANT CREATE ON \
         DATABASE `{database}` TO `{role}`, or create the schema by hand"
    ))
}

/// Nothing can be written.
pub(super) fn read_only(database: &str) -> Problem {
    Problem::new(format!(
        "database `{database}` is read-only (SQLSTATE 25006): point `Host` at the writer, not at a \
         reader endpoint, and see that `default_transaction_read_only` is off"
    ))
}
