//! Extensions as this function creates, updates, moves and drops them, beside plain SQL in another
//! database: the catalogs must be the same, object by object.
//!
//! Over what PostgreSQL itself and PostGIS bring; `make archive` has whatever the machine's server
//! offers. Some of that needs settings or libraries: what plain SQL cannot do, the function must refuse.

#![expect(clippy::expect_used, reason = "a broken comparison is a failed test")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::{env, thread};

use crate::support::database::{Database, quoted};
use crate::support::response::Response;
use crate::support::test_environment::TestEnvironment;
use serde_json::{Value, json};

/// What PostgreSQL's own packages bring, and PostGIS's, on any server that is claimed.
const LIMITED: &str = "
    address_standardizer address_standardizer_data_us adminpack amcheck autoinc bloom btree_gin
    btree_gist citext cube dblink dict_int dict_xsyn earthdistance file_fdw fuzzystrmatch hstore
    insert_username intagg intarray isn lo ltree moddatetime old_snapshot pageinspect pg_buffercache
    pg_freespacemap pg_logicalinspect pg_overexplain pg_prewarm pg_stat_statements pg_surgery pg_trgm
    pg_visibility pg_walinspect pgcrypto pgrowlocks pgstattuple postgis postgis_raster postgis_sfcgal
    postgis_tiger_geocoder postgis_topology postgres_fdw refint seg sslinfo tablefunc tcn timetravel
    tsm_system_rows tsm_system_time unaccent uuid-ossp xml2";

/// Where to move what can be moved.
const ELSEWHERE: &str = "Else where";

const SAME: &str = "the same";
const REFUSED: &str = "refused by both";

/// How many extensions are tried at a time.
const AT_A_TIME: usize = 4;

/// An extension on offer: its default version, an older one that leads to it, and whether it can be
/// moved.
struct Offer {
    name: String,
    default: String,
    older: Option<String>,
    relocatable: bool,
}

/// The catalog: one line for each extension, for each member of one, and for each schema.
const CATALOG: &str = "
    SELECT format('extension %s %s in %s, relocatable %s, of %s, tables %s %s', extname, extversion,
                  extnamespace::regnamespace, extrelocatable, extowner::regrole,
                  extconfig::regclass[], extcondition)
    FROM pg_extension
    UNION ALL
    SELECT format('member of %s: %s %s', e.extname, it.type, it.identity)
    FROM pg_depend AS d JOIN pg_extension AS e ON e.oid = d.refobjid
    CROSS JOIN LATERAL pg_identify_object(d.classid, d.objid, d.objsubid) AS it
    WHERE d.refclassid = 'pg_extension'::regclass
    UNION ALL
    SELECT format('function %s of %s %s %s %s', p.oid::regprocedure, p.proowner::regrole, p.proacl,
                  p.proconfig, md5(p.prosrc || coalesce(p.probin, '')))
    FROM pg_proc AS p JOIN pg_depend AS d ON d.objid = p.oid AND d.classid = 'pg_proc'::regclass
    WHERE d.deptype = 'e'
    UNION ALL
    SELECT format('relation %s of %s %s', c.oid::regclass, c.relowner::regrole, c.relacl)
    FROM pg_class AS c JOIN pg_depend AS d ON d.objid = c.oid AND d.classid = 'pg_class'::regclass
    WHERE d.deptype = 'e'
    UNION ALL
    SELECT format('schema %s of %s', nspname, nspowner::regrole)
    FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'cfn_postgres_extensions'
    ORDER BY 1";

/// What is on offer, but for the stand-ins of the tests and what nothing installs.
fn offers(database: &Database) -> Vec<Offer> {
    let stand_ins: BTreeMap<String, Value> =
        serde_json::from_str(include_str!("../../extensions.json")).expect("JSON");
    let rows = database.query(
        "SELECT a.name, a.default_version, coalesce((
             SELECT o.version FROM pg_available_extension_versions AS o
             JOIN pg_extension_update_paths(a.name) AS p ON p.source = o.version
             WHERE o.name = a.name AND p.target = a.default_version AND p.path IS NOT NULL
               AND o.version ~ '[0-9]' AND o.version !~ 'next|dev|unpackaged'
             ORDER BY o.version LIMIT 1), ''), v.relocatable
         FROM pg_available_extensions AS a
         JOIN pg_available_extension_versions AS v USING (name)
         WHERE v.version = a.default_version AND a.name <> 'plpgsql' ORDER BY a.name",
    );
    let all = env::var_os("ARCHIVE").is_some();
    rows.into_iter()
        .map(|row| {
            let [name, default, older, relocatable] = row.try_into().expect("four values");
            let older = Some(older).filter(|version| !version.is_empty());
            Offer { name, default, older, relocatable: relocatable == "t" }
        })
        .filter(|offer| all || LIMITED.split_whitespace().any(|name| name == offer.name))
        .filter(|offer| all || !stand_ins.contains_key(&offer.name))
        .collect()
}

/// How often each operation came to each result.
type Counts = BTreeMap<(&'static str, &'static str), usize>;

/// A database of the function's, and one for plain SQL.
struct Pair {
    env: TestEnvironment,
    plain: Database,
    /// The resource's id, once it has one.
    id: String,
}

impl Pair {
    fn new() -> Self {
        let pair =
            Self { env: TestEnvironment::new(), plain: Database::create(), id: String::new() };
        // So that names are written with their schemas.
        for database in [&pair.env.database, &pair.plain] {
            database.query("SET search_path = pg_catalog");
        }
        pair
    }

    fn deliver(&mut self, kind: &str, map: &Value) -> Response {
        let properties = json!({ "PluginsMap": map, "RemovalPolicy": "Drop" });
        let event = match kind {
            "Create" => self.env.event(kind, &properties),
            kind => self.env.event_about(kind, &self.id, &properties),
        };
        let response = self.env.deliver_once(&event);
        self.id.clone_from(&response.id);
        response
    }

    /// What there is in one of the databases and not in the other.
    fn differences(&self) -> Vec<String> {
        let read = |database: &Database| -> BTreeSet<String> {
            database.query(CATALOG).into_iter().flatten().collect()
        };
        let (ours, plain) = (read(&self.env.database), read(&self.plain));
        let more = ours.difference(&plain).map(|line| format!("  only here:  {line}"));
        let less = plain.difference(&ours).map(|line| format!("  only plain: {line}"));
        more.chain(less).collect()
    }

    /// Does the same on both sides: how that ended, and where it differs what differs.
    fn both(&mut self, kind: &str, map: &Value, sql: &str) -> Result<&'static str, String> {
        let response = self.deliver(kind, map);
        // TimescaleDB must be the first statement of its session.
        let plain = self.plain.server.connect(&self.plain.name).attempt(sql);
        match (plain, response.status.as_str()) {
            (Ok(_), "SUCCESS") => {}
            (Err(_), "FAILED") => return Ok(REFUSED),
            (Ok(_), _) if response.reason.contains("first statement of a session") => {
                return Ok("by hand only");
            }
            (plain, _) => {
                let plain = plain.err().map(|error| format!("{:?}", error.as_db_error()));
                return Err(format!("  here: {}\n  plain: {plain:?}", response.reason));
            }
        }
        let differences = self.differences();
        if differences.is_empty() { Ok(SAME) } else { Err(differences.join("\n")) }
    }

    /// All operations on one extension, from a state without it to one without it.
    fn run(&mut self, offer: &Offer, counts: &mut Counts) -> Result<(), String> {
        let (name, identifier) = (&offer.name, quoted(&offer.name));
        let mut step = |it: &mut Self, operation, kind, entry: Value, sql: &str| {
            let map = if kind == "Delete" { json!({}) } else { json!({ name: entry }) };
            let result = it.both(kind, &map, sql);
            *counts
                .entry((operation, result.as_ref().map_or("different", |it| *it)))
                .or_default() += 1;
            match result {
                Ok(result) => Ok(result == SAME),
                Err(what) => Err(format!("{operation} {name}:\n{what}")),
            }
        };
        let create = format!("CREATE EXTENSION {identifier} CASCADE");
        let drop = |it: &Self| {
            let extensions = it.plain.extensions().into_keys().filter(|name| name != "plpgsql");
            let names: Vec<_> = extensions.map(|name| quoted(&name)).collect();
            format!("DROP EXTENSION {}", names.join(", "))
        };
        if step(self, "create", "Create", json!("any"), &create)? {
            if offer.relocatable {
                let entry = json!({ "Version": offer.default, "Schema": ELSEWHERE });
                let to = quoted(ELSEWHERE);
                let sql = format!(
                    "CREATE SCHEMA IF NOT EXISTS {to}; ALTER EXTENSION {identifier} SET SCHEMA {to}"
                );
                step(self, "move", "Update", entry, &sql)?;
            }
            let sql = drop(self);
            step(self, "drop", "Delete", json!(null), &sql)?;
        }
        if let Some(older) = &offer.older {
            let create = format!("CREATE EXTENSION {identifier} VERSION '{older}' CASCADE");
            if step(self, "create exactly", "Create", json!(older), &create)? {
                let update = format!("ALTER EXTENSION {identifier} UPDATE");
                step(self, "update", "Update", json!("latest"), &update)?;
                let sql = drop(self);
                step(self, "drop", "Delete", json!(null), &sql)?;
            }
        }
        Ok(())
    }
}

#[test]
fn extensions_are_as_plain_sql_makes_them() {
    let offers = Mutex::new(offers(&Database::create()));
    let total = offers.lock().expect("the offers").len();
    assert!(total >= 30, "{total} extensions on offer: is contrib installed?");
    let results = Mutex::new((Counts::new(), Vec::new()));
    thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                let mut pair = Pair::new();
                loop {
                    let Some(offer) = offers.lock().expect("the offers").pop() else { break };
                    let mut counts = Counts::new();
                    let result = pair.run(&offer, &mut counts);
                    let mut results = results.lock().expect("the results");
                    for (key, count) in counts {
                        *results.0.entry(key).or_default() += count;
                    }
                    results.1.extend(result.err());
                    drop(results);
                    // The next one begins without any.
                    let databases = [&pair.env.database, &pair.plain];
                    if !databases.iter().all(|database| database.installed().is_empty()) {
                        pair = Pair::new();
                    }
                }
            });
        }
    });
    let (counts, differences) = results.into_inner().expect("the results");
    println!("{total} extensions");
    for ((operation, result), count) in &counts {
        println!("{operation:15} {result:16} {count:5}");
    }
    for difference in &differences {
        println!("{difference}");
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert!(counts[&("create", SAME)] >= 30, "{counts:?}");
}
