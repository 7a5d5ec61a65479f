//! What a plan refuses: one sentence each, with what the server has and what to do.

use crate::did_you_mean::did_you_mean;
use crate::planner::catalog::{Installed, Observed};
use crate::planner::removal::refusal::Refusal;
use crate::planner::version_order::{is_release, rank};
use crate::request::WantedVersion;
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

/// One thing that stands between the map and the database.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// No extension of that name, in any case.
    #[error("`{key}`: this server (PostgreSQL {server}) offers no such extension{suggestion}")]
    UnknownExtension {
        /// As the template has it.
        key: String,
        /// The server's version.
        server: String,
        /// `; did you mean ...?`, or nothing.
        suggestion: String,
    },
    /// The server can load something of that name, but not create it.
    #[error("`{key}` is {what}")]
    Library {
        /// As the template has it.
        key: String,
        /// What it is, and how it is used.
        what: &'static str,
    },
    /// Several extensions differ from the key in case alone.
    #[error("`{key}` could be {names}: spell it as the server does")]
    Ambiguous {
        /// As the template has it.
        key: String,
        /// Those it could be.
        names: String,
    },
    /// Two keys, one extension.
    #[error("`{}` and `{}` are the same extension, `{name}`: keep one of them", keys[0], keys[1])]
    SameExtension {
        /// The server's spelling.
        name: String,
        /// The template's spellings.
        keys: [String; 2],
    },
    /// The server does not offer that version.
    #[error("`{name}`: this server does not offer version `{wanted}`{offered}")]
    VersionNotOffered {
        /// The extension.
        name: String,
        /// As the template has it.
        wanted: String,
        /// `; it offers ...`, and `; did you mean ...?`.
        offered: String,
    },
    /// It is listed, and cannot be created at its default version.
    #[error(
        "`{name}`: the server lists it, but has no script that installs its version `{version}`\
         {suggestion}"
    )]
    NoScript {
        /// The extension.
        name: String,
        /// The default version.
        version: String,
        /// `; did you mean ...?`, or nothing.
        suggestion: String,
    },
    /// The server does not say which version is meant where none is named.
    #[error("`{name}` has no default version on this server: name one{offered}")]
    NoDefaultVersion {
        /// The extension.
        name: String,
        /// `; it offers ...`.
        offered: String,
    },
    /// It cannot be updated in a transaction.
    #[error(
        "`{name}`: {installed} is installed, and the server updates it to {wanted} by the first \
         statement of a session only, which an update in a transaction never is: run `psql -X -d \
         {database} -c \"ALTER EXTENSION {name} UPDATE TO '{wanted}'\"` there by hand, then deploy again"
    )]
    FirstStatement {
        /// Where it is.
        database: String,
        /// The extension.
        name: String,
        /// The version there is.
        installed: String,
        /// The version wanted.
        wanted: String,
    },
    /// Its raster functions would be left in no extension.
    #[error(
        "`postgis`: {installed} is installed, whose raster functions become an extension of their own \
         with version 3, which a plain update to {wanted} does not do: run `SELECT \
         postgis_extensions_upgrade()` there by hand, twice, then deploy again"
    )]
    RasterInside {
        /// The version there is.
        installed: String,
        /// The version wanted.
        wanted: String,
    },
    /// The server knows the version, but cannot get there from the one installed.
    #[error(
        "`{name}`: {installed} is installed, and the server has no update path from it to \
         {wanted}; {reachable}"
    )]
    NoUpdatePath {
        /// The extension.
        name: String,
        /// The version there is.
        installed: String,
        /// The version wanted.
        wanted: String,
        /// What can be reached, and what to do.
        reachable: String,
    },
    /// Something that the extension needs is not on the server.
    #[error(
        "`{required_by}` requires `{name}`, which this server does not offer: install the \
             package that has it on the server, or leave `{required_by}` out"
    )]
    MissingRequirement {
        /// What is not there.
        name: String,
        /// What needs it.
        required_by: String,
    },
    /// The extension says where it goes.
    #[error(
        "`{name}` can only be installed in schema `{schema}`, not in `{wanted}`: leave `Schema` out"
    )]
    PrescribedSchema {
        /// The extension.
        name: String,
        /// Where it goes.
        schema: String,
        /// As the template has it.
        wanted: String,
    },
    /// It is installed, elsewhere, for good.
    #[error(
        "`{name}` is installed in schema `{schema}` and cannot be moved to `{wanted}` (it is not \
         relocatable): ask for `{schema}`, or drop it by hand first"
    )]
    NotRelocatable {
        /// The extension.
        name: String,
        /// Where it is.
        schema: String,
        /// As the template has it.
        wanted: String,
    },
    /// CREATE on the schema that it shall be moved to is missing.
    #[error(
        "`{name}`: role `{role}` may not create objects in schema `{schema}`: GRANT CREATE ON SCHEMA `{schema}` TO `{role}`, or ask for another `Schema`"
    )]
    SchemaForbidden {
        /// The extension.
        name: String,
        /// Where it should go.
        schema: String,
        /// Who we are.
        role: String,
    },
    /// CREATE on the database is missing, and a schema too.
    #[error(
        "schema `{schema}` does not exist, and role `{role}` may not create it: GRANT CREATE ON DATABASE `{database}` TO `{role}`, or create the schema by hand"
    )]
    MayNotCreateSchema {
        /// The schema.
        schema: String,
        /// Who we are.
        role: String,
        /// Where we are.
        database: String,
    },
    /// Only a superuser may.
    #[error(
        "{subject} {version} may be installed by a superuser only (it is not trusted), and role \
         `{role}` is none: use a secret of one{remedy}"
    )]
    NeedsSuperuser {
        /// The extension, and what requires it.
        subject: String,
        /// The version.
        version: String,
        /// Who we are.
        role: String,
        /// Who else may.
        remedy: &'static str,
    },
    /// It is trusted, but CREATE on the database is missing.
    #[error(
        "{subject}: role `{role}` may not create extensions here: GRANT CREATE ON DATABASE `{database}` TO `{role}`"
    )]
    MayNotCreate {
        /// The extension, and what requires it.
        subject: String,
        /// Who we are.
        role: String,
        /// Where we are.
        database: String,
    },
    /// The role may create extensions, but not this one.
    #[error(
        "{subject}: This extension is not specified in \"rds.allowed_delegated_extensions\" (it has: \
         {delegated}), which says what role `{role}`, a member of `rds_extension`, may create: add \
         it there, or use a secret of a member of `rds_superuser`"
    )]
    NotDelegated {
        /// The extension, and what requires it.
        subject: String,
        /// The setting.
        delegated: String,
        /// Who we are.
        role: String,
    },
    /// It belongs to somebody else.
    #[error(
        "`{name}` is installed and not owned by role `{role}`, which therefore cannot change or drop it: use a secret of its owner"
    )]
    NotOwner {
        /// The extension.
        name: String,
        /// Who we are.
        role: String,
    },
    /// A library is not loaded.
    #[error(
        "{subject} needs its library in `shared_preload_libraries` (it has: {libraries}): {remedy}"
    )]
    NotPreloaded {
        /// The extension, and what requires it.
        subject: String,
        /// The setting.
        libraries: String,
        /// How that is done.
        remedy: &'static str,
    },
    /// `pg_cron` lives in one database only.
    #[error(
        "`pg_cron` can only be installed in database `{cron_database}` (`cron.database_name`), not \
         in `{database}`: set `Databases`, or the parameter"
    )]
    CronDatabase {
        /// The one database.
        cron_database: String,
        /// Where we are.
        database: String,
    },
    /// The parameter group blocks it.
    #[error(
        "{subject}: This extension is not specified in \"rds.allowed_extensions\" (it has: {allowed}): add it in the parameter group"
    )]
    NotAllowed {
        /// The extension, and what requires it.
        subject: String,
        /// The setting.
        allowed: String,
    },
    /// The engine does not support it.
    #[error(
        "{subject} is not in \"rds.extensions\", the list of what this engine version supports: upgrade the engine, or leave it out"
    )]
    NotSupported {
        /// The extension, and what requires it.
        subject: String,
    },
    /// A script that reads the setting would run what somebody put there.
    #[error(
        "no extension script is run: `search_path` is set to `{path}`, which {fault}, and scripts \
         that read this setting would run what is in there; {} to plain names, `pg_catalog` first or \
         not at all",
        reset.as_deref().map_or_else(
            || "set it in the server's configuration".to_owned(),
            |reset| format!("as its owner or as a superuser, run `{reset}`, or set it")
        )
    )]
    PreparedPath {
        /// The setting.
        path: String,
        /// What is wrong with it.
        fault: String,
        /// What takes it back, where a database or a role has it.
        reset: Option<String>,
    },
    /// A script would use somebody else's tables.
    #[error(
        "no extension script is run: the extension prescribes schema `{schema}`, which belongs to role \
         `{owner}` or has tables of that role in it, and scripts go on with what they find there: drop \
         it, or give it and its tables to a superuser after a look at their triggers"
    )]
    PreparedSchema {
        /// The schema.
        schema: String,
        /// Who is neither a superuser nor the role.
        owner: String,
    },
    /// A script would run somebody else's operators.
    #[error(
        "no extension script is run: scripts may take these operators for those of `pg_catalog`, \
         and run what belongs to neither a superuser nor role `{role}`: {operators}; DROP OPERATOR, \
         or read their functions and give both to a superuser"
    )]
    PreparedOperators {
        /// The first few of them, with their owners.
        operators: String,
        /// Who we are.
        role: String,
    },
    /// SET SCHEMA needs the objects of an extension, not only the extension.
    #[error("`{name}` can only be moved by a superuser: its objects belong to `{owner}`")]
    ForeignObjects {
        /// The extension.
        name: String,
        /// Whose they are.
        owner: String,
    },
    /// Something stays that should go.
    #[error(transparent)]
    Removal(#[from] Refusal),
    /// Nothing can be written here.
    #[error(
        "database `{database}` is read-only (SQLSTATE 25006): point `Host` at the writer, not at a \
         reader endpoint, and see that `default_transaction_read_only` is off"
    )]
    ReadOnly {
        /// Where we are.
        database: String,
    },
}

impl Problem {
    pub(crate) fn unknown_extension(key: &str, observed: &Observed) -> Self {
        let is_key = |name: &&str| name.eq_ignore_ascii_case(key);
        if let Some((what, _)) = LIBRARIES.iter().find(|(_, names)| names.iter().any(is_key)) {
            return Self::Library { key: key.to_owned(), what };
        }
        Self::UnknownExtension {
            key: shown(key).into(),
            server: observed.short_version().to_owned(),
            suggestion: suggestion(key, observed),
        }
    }

    pub(crate) fn version_not_offered(
        name: &str,
        wanted: &WantedVersion,
        observed: &Observed,
    ) -> Self {
        let mut versions: Vec<&str> = observed
            .offered(name)
            .map(|offered| offered.version.as_str())
            .filter(|version| is_release(version))
            .collect();
        versions.sort_unstable_by(|a, b| rank(b, a));
        let by_default = matches!(wanted, WantedVersion::Any | WantedVersion::Latest);
        let (name, wanted) = (name.to_owned(), wanted.to_string());
        let offered = if versions.is_empty() {
            String::new()
        } else {
            format!("; it offers {}", listed(versions))
        };
        match observed.available.get(&name) {
            Some(None) if by_default && !offered.is_empty() => {
                Self::NoDefaultVersion { name, offered }
            }
            Some(Some(version)) if by_default || offered.is_empty() => {
                let others = observed.names().filter(|other| *other != name);
                let suggestion = did_you_mean(&name, others);
                Self::NoScript { version: version.clone(), suggestion, name }
            }
            _ => {
                let suggestion = meant(&wanted)
                    .map_or_else(String::new, |meant| format!("; did you mean `{meant}`?"));
                let wanted = shown(&wanted).into();
                Self::VersionNotOffered { name, wanted, offered: offered + &suggestion }
            }
        }
    }

    /// `exact` says that the map names the very version, which `DowngradePolicy` is for.
    pub(crate) fn no_update_path(
        installed: &Installed,
        wanted: &str,
        exact: bool,
        observed: &Observed,
    ) -> Self {
        let mut reachable: Vec<&str> = observed
            .targets(&installed.name)
            .filter(|(version, reachable)| *reachable && is_release(version))
            .map(|(version, _)| version)
            .collect();
        reachable.sort_unstable_by(|a, b| rank(b, a));
        let keep = if exact { ", or let it be with `DowngradePolicy: Keep`" } else { "" };
        Self::NoUpdatePath {
            name: installed.name.clone(),
            installed: installed.version.clone(),
            wanted: wanted.to_owned(),
            reachable: if observed.targets(&installed.name).next().is_none() {
                format!(
                    "it knows none from there at all, as with an extension that cannot be updated \
                     in place (`pg_repack`): if it keeps nothing of yours, drop it by hand and \
                     deploy again; else ask for the installed version or for `any`{keep}"
                )
            } else if reachable.is_empty() {
                format!(
                    "no other version can be reached from it: ask for the installed one or for \
                     `any`{keep}"
                )
            } else {
                format!(
                    "it can be updated to {}; ask for one of these, for the installed one or for \
                     `any`{keep}",
                    listed(reachable)
                )
            },
        }
    }

    pub(crate) fn missing_requirement(
        name: &str,
        required_by: Option<&str>,
        observed: &Observed,
    ) -> Self {
        required_by.map_or_else(
            || Self::unknown_extension(name, observed),
            |by| Self::MissingRequirement { name: name.to_owned(), required_by: by.to_owned() },
        )
    }
}

/// What somebody most likely meant with a version that is not offered: a word, or a `*`.
fn meant(version: &str) -> Option<String> {
    let lower = version.to_ascii_lowercase();
    match lower.as_str() {
        "any" | "latest" => Some(lower),
        _ => lower.strip_suffix(".x").map(|start| format!("{start}.*")),
    }
}

/// What somebody who wrote `key` most likely meant.
fn suggestion(key: &str, observed: &Observed) -> String {
    let project = PROJECTS.iter().find(|(project, _)| key.eq_ignore_ascii_case(project));
    match project {
        Some((_, name)) if !observed.names().any(|other| other == *name) => {
            format!("; did you mean `{name}`? This server does not offer that one either")
        }
        _ => did_you_mean(key, observed.names()),
    }
}
