//! Dependents of an extension, kind by kind: what `src/postgres/sql/dependents.sql` finds, and what
//! the server itself names and drops.

#![expect(clippy::expect_used, reason = "a broken kind is a failed test")]

use std::collections::BTreeSet;

use crate::support::database::{Database, Session};
use cfn_postgres_extensions::postgres::session::DEPENDENTS;

/// A kind of dependent: title, the extensions to drop, how it is made, and a word of what must be
/// named; nothing is named where that is empty. The number is the first server that has the kind.
type Case = (&'static str, &'static str, &'static str, &'static str, u32);

#[rustfmt::skip]
const CASES: &[Case] = &[
    ("a column", "hstore", "CREATE TABLE t (id int, a hstore)", "column a of table", 13),
    ("a column of arrays", "hstore", "CREATE TABLE t (id int, a hstore[])", "column a of table", 13),
    ("a column with an index of its own", "hstore", "CREATE TABLE t (id int, a hstore PRIMARY KEY)", "column a of table", 13),
    ("a view", "hstore", "CREATE VIEW v AS SELECT 'a=>b'::text::hstore AS a", "view public.v", 13),
    ("a view on a view", "hstore", "CREATE VIEW v AS SELECT hstore('a', 'b') AS a; CREATE VIEW w AS SELECT a FROM v", "view public.w", 13),
    ("a view on a column", "hstore", "CREATE TABLE t (id int, a hstore); CREATE VIEW v AS SELECT id, a FROM t", "view public.v", 13),
    ("a view on other columns of such a table", "hstore", "CREATE TABLE t (id int, a hstore); CREATE VIEW v AS SELECT id FROM t", "column a", 13),
    ("a view with whole rows", "hstore", "CREATE TABLE t (id int, a hstore); CREATE VIEW v AS SELECT t FROM t", "column a", 13),
    ("a materialised view", "hstore", "CREATE MATERIALIZED VIEW v AS SELECT hstore('a', 'b') AS a; CREATE INDEX i ON v (a)", "materialized view", 13),
    ("a rule", "hstore", "CREATE TABLE t (a int); CREATE RULE r AS ON INSERT TO t WHERE hstore('a', 'b') ? 'a' DO INSTEAD NOTHING", "rule r", 13),
    ("an index with an operator class", "pg_trgm", "CREATE TABLE t (a text); CREATE INDEX i ON t USING gin (a gin_trgm_ops)", "index public.i", 13),
    ("an index with an access method", "bloom", "CREATE TABLE t (a int); CREATE INDEX i ON t USING bloom (a)", "index public.i", 13),
    ("an index on an expression", "pg_trgm", "CREATE TABLE t (a text); CREATE INDEX i ON t ((similarity(a, 'x')))", "index public.i", 13),
    ("an index with a condition", "pg_trgm", "CREATE TABLE t (a text); CREATE INDEX i ON t (a) WHERE similarity(a, 'x') < 1", "index public.i", 13),
    ("an exclusion constraint", "btree_gist", "CREATE TABLE t (a int, EXCLUDE USING gist (a WITH =))", "constraint", 13),
    ("a default", "hstore", "CREATE TABLE t (a text DEFAULT (hstore('a', 'b') -> 'a'))", "default value", 13),
    ("a generated column", "pg_trgm", "CREATE TABLE t (a text, b real GENERATED ALWAYS AS (similarity(a, 'x')) STORED)", "column b", 13),
    ("a check constraint", "pg_trgm", "CREATE TABLE t (a text CHECK (similarity(a, 'x') < 1))", "constraint", 13),
    ("a domain", "hstore", "CREATE DOMAIN d AS hstore; CREATE TABLE t (id int, a d)", "type public.d", 13),
    ("a domain's check", "pg_trgm", "CREATE DOMAIN d AS text CHECK (similarity(VALUE, 'x') < 1); CREATE TABLE t (a d)", "constraint", 13),
    ("a composite type", "hstore", "CREATE TYPE c AS (id int, a hstore)", "column a of composite type", 13),
    ("a table of a composite type", "hstore", "CREATE TYPE c AS (id int, a hstore); CREATE TABLE t OF c", "column a of table", 13),
    ("a range type", "cube", "CREATE TYPE r AS RANGE (subtype = cube); CREATE TABLE t (id int, a r)", "type public.r", 13),
    ("an argument", "hstore", "CREATE FUNCTION f(hstore) RETURNS int LANGUAGE sql AS 'SELECT 1'", "function public.f", 13),
    ("the default of an argument", "hstore", "CREATE FUNCTION f(a text DEFAULT hstore('a', 'b') -> 'a') RETURNS int LANGUAGE sql AS 'SELECT 1'", "function public.f", 13),
    ("a result", "hstore", "CREATE FUNCTION f() RETURNS SETOF hstore LANGUAGE sql AS 'SELECT NULL::public.hstore'", "function public.f", 13),
    ("a body", "hstore", "CREATE FUNCTION f() RETURNS text LANGUAGE sql BEGIN ATOMIC SELECT hstore('a', 'b') -> 'a'; END", "function public.f", 14),
    ("a procedure", "hstore", "CREATE PROCEDURE p(hstore) LANGUAGE sql AS ''", "p(public.hstore)", 13),
    ("a language", "plpgsql", "CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN 1; END'", "function public.f", 13),
    ("an aggregate", "hstore", "CREATE AGGREGATE g(hstore) (SFUNC = hs_concat, STYPE = hstore)", "g(public.hstore)", 13),
    ("an operator", "hstore", "CREATE OPERATOR ### (LEFTARG = hstore, RIGHTARG = hstore, FUNCTION = hs_concat)", "operator", 13),
    ("an operator class", "hstore", "CREATE FUNCTION h(hstore) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 1'; CREATE OPERATOR CLASS o FOR TYPE hstore USING hash AS OPERATOR 1 =, FUNCTION 1 h(hstore)", "operator class", 13),
    ("a cast", "cube", "CREATE CAST (cube AS text) WITH INOUT", "cast from", 13),
    ("a policy", "pg_trgm", "CREATE TABLE t (a text); CREATE POLICY p ON t USING (similarity(a, 'x') < 1)", "policy p", 13),
    ("a trigger", "tcn", "CREATE TABLE t (a int PRIMARY KEY); CREATE TRIGGER g AFTER UPDATE ON t FOR EACH ROW EXECUTE FUNCTION triggered_change_notification()", "trigger g", 13),
    ("a trigger's condition", "pg_trgm", "CREATE TABLE t (a text); CREATE TRIGGER g BEFORE UPDATE ON t FOR EACH ROW WHEN (similarity(NEW.a, 'x') < 1) EXECUTE FUNCTION suppress_redundant_updates_trigger()", "trigger g", 13),
    ("an event trigger", "fixed", "CREATE FUNCTION e() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'; ALTER EXTENSION fixed ADD FUNCTION e(); CREATE EVENT TRIGGER et ON sql_drop WHEN TAG IN ('DROP CAST') EXECUTE FUNCTION e()", "event trigger et", 13),
    ("partitions", "hstore", "CREATE TABLE t (id int, a hstore) PARTITION BY LIST (id); CREATE TABLE t1 PARTITION OF t FOR VALUES IN (1); CREATE TABLE t2 PARTITION OF t DEFAULT", "column a of table public.t", 13),
    ("partitions by a column", "citext", "CREATE TABLE t (id int, a citext) PARTITION BY LIST (a); CREATE TABLE t1 PARTITION OF t FOR VALUES IN ('x')", "table public.t", 13),
    ("partitions with an index", "pg_trgm", "CREATE TABLE t (id int, a text) PARTITION BY LIST (id); CREATE TABLE t1 PARTITION OF t FOR VALUES IN (1); CREATE INDEX i ON t USING gin (a gin_trgm_ops)", "index public.i", 13),
    ("statistics", "pg_trgm", "CREATE TABLE t (a text, b text); CREATE STATISTICS s ON (similarity(a, 'x')), (b || 'x') FROM t", "statistics object", 14),
    ("a publication of its table", "keeper", "CREATE PUBLICATION p FOR TABLE kept", "", 13),
    ("another extension", "cube", "CREATE EXTENSION earthdistance", "extension earthdistance", 13),
    ("what another extension's depends on", "cube", "CREATE EXTENSION earthdistance; CREATE TABLE t (id int, a earth)", "column a of table", 13),
    ("both at once", "cube,earthdistance", "SELECT 1", "", 13),
    ("a member of another extension", "hstore", "CREATE EXTENSION fixed; CREATE FUNCTION f(hstore) RETURNS int LANGUAGE sql AS 'SELECT 1'; ALTER EXTENSION fixed ADD FUNCTION f(hstore)", "extension fixed", 13),
    ("what hangs on the other extension", "hstore", "CREATE EXTENSION fixed; CREATE FUNCTION f(hstore) RETURNS int LANGUAGE sql AS 'SELECT 1'; ALTER EXTENSION fixed ADD FUNCTION f(hstore); CREATE TABLE own (a int); ALTER EXTENSION fixed ADD TABLE own; CREATE VIEW v AS SELECT a FROM own", "view public.v", 13),
    ("an object in its schema", "fixed", "CREATE SCHEMA s; ALTER EXTENSION fixed ADD SCHEMA s; CREATE TABLE s.t (a int)", "table s.t", 13),
    ("an object in a schema that it was put into", "housed", "CREATE TABLE housed_home.t (a int)", "", 13),
    ("an heir of its table", "keeper", "CREATE TABLE t () INHERITS (kept)", "table public.t", 13),
    ("a key into its table", "keeper", "ALTER TABLE kept ADD PRIMARY KEY (id); CREATE TABLE t (id int REFERENCES kept)", "constraint", 13),
    ("a view on its table", "keeper", "CREATE VIEW v AS SELECT id FROM kept", "view public.v", 13),
    ("an index on its table", "keeper", "CREATE INDEX i ON kept (id)", "", 13),
    ("a trigger on its table", "keeper", "CREATE TRIGGER g BEFORE UPDATE ON kept FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()", "", 13),
    ("a server, its tables and users", "postgres_fdw", "CREATE SERVER s FOREIGN DATA WRAPPER postgres_fdw; CREATE FOREIGN TABLE t (a int) SERVER s; CREATE USER MAPPING FOR PUBLIC SERVER s", "foreign table public.t", 13),
    ("a dictionary", "unaccent", "CREATE TEXT SEARCH DICTIONARY d (TEMPLATE = unaccent, RULES = 'unaccent')", "text search dictionary", 13),
    ("a table and all that is in it", "hstore", "CREATE TYPE c AS (id int, a hstore); CREATE TABLE t (id int, x c); CREATE VIEW v AS SELECT (x).a FROM t", "view public.v", 13),
    ("nothing", "hstore", "CREATE TABLE t (a text)", "", 13),
    ("a use that nobody can know of", "hstore", "CREATE FUNCTION f() RETURNS text LANGUAGE sql AS 'SELECT public.hstore(''a'', ''b'') OPERATOR(public.->) ''a'''", "", 13),
];

/// Every object with a dependency of its own, that is no part of the server.
const OBJECTS: &str = "SELECT DISTINCT classid::regclass, objid, objsubid \
                       FROM pg_depend WHERE objid >= 16384";

/// The look, with other words for what it finds: those of the server's own messages.
fn look(names: &str, ending: Option<&str>) -> String {
    let names: Vec<&str> = names.split(',').collect();
    let literal = format!("'{}'", serde_json::json!(names));
    let sql = DEPENDENTS.replace("$1", &literal);
    let Some(ending) = ending else {
        let described = "pg_describe_object(n.classid, n.objid, n.objsubid)";
        let told = "what.type || ' ' || what.identity";
        assert!(sql.contains(told), "the look says it otherwise now");
        return sql.replace(told, described);
    };
    let (found, _) = sql.split_once("\nSELECT jsonb_build_object(").expect("its last part");
    format!("{found}\n{ending}")
}

fn first(rows: Vec<Vec<String>>) -> BTreeSet<String> {
    rows.into_iter().map(|mut row| row.remove(0)).collect()
}

/// What the query names.
fn named(session: &Session, names: &str) -> BTreeSet<String> {
    let text = session.value(&look(names, None));
    let found: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let dependents = found["objects"].as_array().expect("a list");
    dependents.iter().map(|it| it["what"].as_str().expect("a text").to_owned()).collect()
}

/// What the server names when it refuses.
fn refused(session: &Session, statement: &str) -> BTreeSet<String> {
    session.query("SAVEPOINT before_it");
    let Err(error) = session.attempt(&format!("{statement} RESTRICT")) else {
        session.query("ROLLBACK TO before_it");
        return BTreeSet::new();
    };
    session.query("ROLLBACK TO before_it");
    let error = error.as_db_error().expect("the server's word");
    assert_eq!(error.code().code(), "2BP01", "{error}");
    let detail = error.detail().expect("a detail");
    detail
        .lines()
        .map(|line| line.split(" depends on ").next().unwrap_or(line).to_owned())
        .collect()
}

/// Objects as `class, oid, column`; a column says no more than its table.
fn objects(rows: Vec<Vec<String>>) -> BTreeSet<[String; 3]> {
    let all: BTreeSet<[String; 3]> =
        rows.into_iter().map(|row| row.try_into().expect("three")).collect();
    let whole = |it: &[String; 3]| all.contains(&[it[0].clone(), it[1].clone(), "0".to_owned()]);
    all.iter().filter(|it| it[2] == "0" || !whole(it)).cloned().collect()
}

/// What is wrong with one kind.
fn check(case: &Case, session: &Session, version: u32) -> Vec<String> {
    let (title, names, setup, word, _) = case;
    let mut wrong = Vec::new();
    session.query("BEGIN; SET LOCAL client_min_messages = error");
    for name in names.split(',').filter(|name| *name != "plpgsql") {
        session.query(&format!("CREATE EXTENSION {name}"));
    }
    session.query(setup);
    session.query("SET LOCAL search_path = pg_catalog, pg_temp");
    let found = named(session, names);
    let as_meant = match *word {
        "" => found.is_empty(),
        word => found.iter().any(|it| it.contains(word)),
    };
    if !as_meant {
        wrong.push(format!("{title}: `{word}` is meant, and this is named: {found:?}"));
    }
    let statement = format!("DROP EXTENSION {names}");
    let mut refused = refused(session, &statement);
    if version < 15 && *title == "a generated column" {
        // The server would take it along without a word.
        refused.insert("column b of table public.t".to_owned());
    }
    if found != refused {
        wrong.push(format!("{title}: the look names {found:?}, and the server {refused:?}"));
    }
    let reached = "SELECT classid::regclass, objid, objsubid FROM reached";
    let reached = objects(session.query(&look(names, Some(reached))));
    let before = objects(session.query(OBJECTS));
    session.query(&format!("{statement} CASCADE"));
    let after = objects(session.query(OBJECTS));
    let gone: BTreeSet<_> = before.difference(&after).cloned().collect();
    let expected: BTreeSet<_> = reached.intersection(&before).cloned().collect();
    if expected != gone {
        let (more, less) = (expected.difference(&gone), gone.difference(&expected));
        wrong.push(format!(
            "{title}: reached and not gone {:?}; gone and not reached {:?}",
            more.collect::<Vec<_>>(),
            less.collect::<Vec<_>>()
        ));
    }
    session.query("ROLLBACK");
    wrong
}

#[test]
fn every_dependent_is_named_as_the_server_names_it() {
    let database = Database::create();
    let version: u32 = database
        .value("SELECT current_setting('server_version_num')::int / 10000")
        .parse()
        .expect("a number");
    let offered = first(database.query("SELECT name FROM pg_available_extensions"));
    let session = database.server.connect(&database.name);
    let (mut kinds, mut wrong) = (0, Vec::new());
    for case in CASES {
        let there = case.1.split(',').all(|name| offered.contains(name));
        if version < case.4 || !there {
            println!("skipped on this server: {}", case.0);
            continue;
        }
        wrong.extend(check(case, &session, version));
        kinds += 1;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(kinds >= 40, "{kinds} kinds");
    println!("{kinds} kinds of dependents");
}
