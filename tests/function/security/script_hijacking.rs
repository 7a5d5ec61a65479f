//! Objects of a database's owner that an extension's script would run. Every event is sent twice.
//!
//! Rights are read from the server's catalog at the end of each story.

use crate::support::database::{Database, quoted, server};
use crate::support::fault_injection::{backends, eventually};
use crate::support::resource::Resource;
use crate::support::test_environment::TestEnvironment;
use serde_json::json;

/// A database whose owner is no superuser.
struct Tenancy {
    env: TestEnvironment,
    tenant: String,
}

impl Tenancy {
    fn new() -> Self {
        let env = TestEnvironment::new();
        let tenant = env.database.role("of a tenant", "");
        let name = &env.database.name;
        env.database.query(&format!("ALTER DATABASE {name} OWNER TO {tenant}"));
        Self { env, tenant }
    }

    /// Runs statements as the tenant.
    #[track_caller]
    fn prepare(&self, sql: &str) {
        self.env.database.query(&format!("SET ROLE {}; {sql}; RESET ROLE", self.tenant));
    }

    /// A function in a schema for an operator, or by another name, that takes all rights it can get.
    #[track_caller]
    fn plant_function(&self, name: &str, arguments: &str, returns: &str, value: &str) {
        self.prepare(&format!(
            "CREATE FUNCTION {name}({arguments}) RETURNS {returns} LANGUAGE plpgsql AS $$ BEGIN
               EXECUTE 'ALTER ROLE {} SUPERUSER'; RETURN {value};
             EXCEPTION WHEN insufficient_privilege THEN RETURN {value}; END $$",
            self.tenant
        ));
    }

    /// An operator that takes all rights it can get.
    #[track_caller]
    fn plant_operator(&self, schema: &str, operand: &str) {
        let function = format!("{schema}.planted");
        let value = "$1::pg_catalog.text OPERATOR(pg_catalog.=) $2::pg_catalog.text";
        self.plant_function(&function, &format!("{operand}, {operand}"), "boolean", value);
        self.prepare(&format!(
            "CREATE OPERATOR {schema}.=
               (FUNCTION = {function}, LEFTARG = {operand}, RIGHTARG = {operand})"
        ));
    }

    /// The database's `search_path`, as its owner sets it: any text.
    #[track_caller]
    fn set_path(&self, path: &str) {
        self.prepare(&format!(
            "SELECT set_config('search_path', '{path}', false);
             ALTER DATABASE {} SET search_path FROM CURRENT; RESET search_path",
            self.env.database.name
        ));
    }

    fn injection(&self) -> String {
        let tenant = &self.tenant;
        format!("public;alter/**/role/**/{tenant}/**/superuser;set/**/search_path=public")
    }

    /// Every right that the tenant has on the server.
    fn rights(&self) -> Vec<Vec<String>> {
        self.env.database.query(&format!(
            "SELECT to_jsonb(r) - 'rolpassword', ARRAY(
                 SELECT m.roleid::regrole FROM pg_auth_members AS m WHERE m.member = r.oid)
             FROM pg_roles AS r WHERE rolname = '{}'",
            self.tenant
        ))
    }

    /// What would run scripts is refused with these words, and the tenant gains nothing.
    #[track_caller]
    fn refused(&self, words: &[&str]) {
        let before = (self.rights(), self.env.database.extensions());
        let mut maps =
            vec![json!({ "trusting": "1.1" }), json!({ "trusting": "1.0", "hstore": "" })];
        if self.env.postgis().is_some() {
            maps.push(json!({ "postgis_tiger_geocoder": "" }));
            maps.push(json!({ "postgis_topology": "" }));
        }
        for map in maps {
            let response = self.env.create(&map).failed(words);
            response.failed(&["no extension script is run", "nothing was changed"]);
            assert_eq!((self.rights(), self.env.database.extensions()), before, "{map}");
        }
    }
}

#[test]
fn a_search_path_that_is_more_than_names() {
    let it = Tenancy::new();
    it.set_path(&it.injection());
    let reset = format!("ALTER DATABASE {} RESET search_path", it.env.database.name);
    let path = format!("`{}`", it.injection());
    it.refused(&["`search_path`", &path, "holds more than names", &reset]);
    it.prepare(&reset);
    it.env.create(&json!({ "trusting": "" })).succeeded();
}

#[test]
fn a_schema_before_pg_catalog_in_the_search_path() {
    let it = Tenancy::new();
    it.prepare("CREATE SCHEMA evil");
    it.plant_operator("evil", "text");
    it.set_path("evil, pg_catalog, public");
    let path = "`evil, pg_catalog, public`";
    it.refused(&[path, "has a schema before `pg_catalog`", "evil.=(text,text)", &it.tenant]);
}

#[test]
fn a_search_path_of_the_database_that_the_roles_own_hides() {
    let it = Tenancy::new();
    let role = it.env.database.role("of an operator", "SUPERUSER");
    it.env.credentials(&role, "of an operator");
    it.env.database.query(&format!("ALTER ROLE {role} SET search_path = public"));
    it.set_path(&it.injection());
    it.refused(&["holds more than names", "ALTER DATABASE"]);
    it.set_path("public");
    it.env.create(&json!({ "trusting": "" })).succeeded();
    // The role's own setting is reported as the role's.
    it.env.database.query(&format!("ALTER ROLE {role} SET search_path = public, pg_catalog"));
    let reset = format!("ALTER ROLE {role} RESET search_path");
    it.env.create(&json!({ "hstore": "" })).failed(&["before `pg_catalog`", &reset]);
}

#[test]
fn operators_on_built_in_types_where_scripts_search() {
    type Preparation = fn(&Tenancy);
    let cases: [(&str, &str, Preparation); 5] = [
        ("in public", "public.=(character varying,character varying)", |it| {
            it.plant_operator("public", "varchar");
        }),
        ("in a schema of the configured path", "\"He\"\"rs, too\".=(character varying", |it| {
            it.prepare("CREATE SCHEMA \"He\"\"rs, too\"");
            it.plant_operator("\"He\"\"rs, too\"", "varchar");
            it.set_path("public, \"He\"\"rs, too\"");
        }),
        ("in the schema of the role's name", "postgres.=(character varying", |it| {
            it.prepare("CREATE SCHEMA postgres");
            it.plant_operator("postgres", "varchar");
        }),
        ("taken into an extension", "public.=(character varying", |it| {
            it.prepare("CREATE EXTENSION pg_trgm");
            it.plant_operator("public", "varchar");
            it.prepare("ALTER EXTENSION pg_trgm ADD OPERATOR public.=(varchar, varchar)");
        }),
        ("given to a superuser, but for its function", "public.=(character varying", |it| {
            it.plant_operator("public", "varchar");
            it.env.database.query("ALTER OPERATOR public.=(varchar, varchar) OWNER TO postgres");
        }),
    ];
    for (title, operator, prepare) in cases {
        println!("{title}");
        let it = Tenancy::new();
        prepare(&it);
        it.refused(&[operator, &format!("of `{}`", it.tenant), "DROP OPERATOR"]);
    }
}

#[test]
fn operators_where_one_extension_goes_or_what_it_requires_is() {
    let it = Tenancy::new();
    it.prepare("CREATE SCHEMA theirs");
    it.plant_operator("theirs", "varchar");
    // Nothing searches there.
    it.env.create(&json!({ "trusting": "1.0" })).succeeded();
    it.env.database.query("CREATE EXTENSION cube SCHEMA theirs");
    for map in [
        json!({ "citext": { "Schema": "theirs" } }),
        json!({ "earthdistance": "" }),
        json!({ "trusting": { "Version": "1.1", "Schema": "theirs" } }),
    ] {
        it.env.create(&map).failed(&["theirs.=(character varying,character varying)"]);
    }
    it.env.create(&json!({ "citext": "", "trusting": "1.1" })).succeeded();
}

#[test]
fn many_operators_are_counted() {
    let it = Tenancy::new();
    for operand in ["varchar", "oid", "information_schema.sql_identifier", "name[]", "bit", "box"] {
        let function = format!("public.of_{}", operand.len());
        it.plant_function(&function, &format!("{operand}, {operand}"), "boolean", "true");
        it.prepare(&format!(
            "CREATE OPERATOR public.<>
               (FUNCTION = {function}, LEFTARG = {operand}, RIGHTARG = {operand})"
        ));
    }
    it.plant_function("public.minus", "varchar", "varchar", "$1");
    it.prepare("CREATE OPERATOR public.- (FUNCTION = public.minus, RIGHTARG = varchar)");
    let words = ["public.<>(information_schema.sql_identifier", "and 2 more"];
    it.env.create(&json!({ "hstore": "" })).failed(&words);
}

#[test]
fn functions_with_the_names_of_the_servers_are_a_warning() {
    let it = Tenancy::new();
    it.plant_function("public.lower", "varchar", "text", "pg_catalog.lower($1)");
    let created = it.env.create(&json!({ "hstore": "1.7" })).succeeded();
    let tenant = &it.tenant;
    let warning = format!("`public.lower(character varying)` of `{tenant}`");
    assert!(created.data("Changes").starts_with("created hstore 1.7; warning: "), "{created:#?}");
    assert!(created.data("Changes").ends_with(&warning), "{created:#?}");
    let again = it.env.create(&json!({ "hstore": "1.7" })).succeeded();
    assert_eq!(again.data("Changes"), "none", "no script was run");
}

#[test]
fn what_runs_no_script_is_not_refused() {
    let it = Tenancy::new();
    let mut resource = Resource::new(&it.env, "a", "Drop");
    resource.create(&json!({ "hstore": "1.7", "citext": "" })).succeeded();
    it.prepare("CREATE SCHEMA evil");
    it.plant_operator("public", "varchar");
    it.plant_operator("evil", "text");
    it.set_path(&format!("evil, pg_catalog, {}", it.injection()));
    let before = it.rights();
    resource.update(&json!({ "hstore": "any", "citext": "" })).succeeded();
    resource.update(&json!({ "hstore": { "Schema": "evil" }, "citext": "" })).succeeded();
    assert_eq!(it.env.database.schema_of("hstore"), "evil");
    resource.update(&json!({ "hstore": "" })).succeeded();
    assert_eq!(it.env.database.installed(), "hstore 1.7");
    resource.delete().succeeded();
    assert_eq!(it.env.database.installed(), "");
    assert_eq!(it.rights(), before);
}

#[test]
fn one_prepared_database_of_several() {
    let it = Tenancy::new();
    it.plant_operator("public", "varchar");
    let other = Database::create();
    let databases = json!([other.name, it.env.database.name]);
    let properties = json!({ "PluginsMap": { "hstore": "" }, "Databases": databases });
    let response = it.env.create_with(&properties);
    response.failed(&[&it.env.database.name, "public.=(character varying", "nothing was changed"]);
    assert_eq!(other.installed(), "");
}

#[test]
fn a_role_that_the_database_has_everybody_take() {
    let it = Tenancy::new();
    it.plant_operator("public", "varchar");
    it.prepare(&format!("ALTER DATABASE {} SET role = {}", it.env.database.name, it.tenant));
    let before = it.rights();
    it.env.create(&json!({ "humble": "" })).failed(&["public.=(character varying"]);
    assert_eq!(it.rights(), before);
}

#[test]
fn a_tenants_own_role_and_its_own_operators() {
    let it = Tenancy::new();
    it.env.credentials(&it.tenant, "of a tenant");
    it.plant_operator("public", "varchar");
    it.env.create(&json!({ "citext": "1.5" })).succeeded();
    it.prepare("DROP OPERATOR public.=(varchar, varchar)");
    let created = it.env.create(&json!({ "humble": "", "citext": "1.5" })).succeeded();
    // Its operators belong to the role.
    it.env.update(&created, &json!({ "humble": "", "citext": "1.6" })).succeeded();
}

#[test]
fn types_of_a_user_and_a_plain_search_path_are_not_refused() {
    let it = Tenancy::new();
    it.prepare(
        "CREATE SCHEMA app;
         CREATE TYPE app.amount AS (value numeric);
         CREATE DOMAIN app.short AS varchar(10);
         CREATE FUNCTION app.is(app.amount, app.amount) RETURNS boolean LANGUAGE sql AS 'SELECT true';
         CREATE FUNCTION app.is(app.amount, integer) RETURNS boolean LANGUAGE sql AS 'SELECT true';
         CREATE FUNCTION app.is(app.short, app.short) RETURNS boolean LANGUAGE sql AS 'SELECT true';
         CREATE FUNCTION app.lower(app.amount) RETURNS text LANGUAGE sql AS 'SELECT ''''';
         CREATE FUNCTION app.odd(integer) RETURNS boolean LANGUAGE sql AS 'SELECT true';
         CREATE OPERATOR app.= (FUNCTION = app.is, LEFTARG = app.amount, RIGHTARG = app.amount);
         CREATE OPERATOR app.= (FUNCTION = app.is, LEFTARG = app.amount, RIGHTARG = integer);
         CREATE OPERATOR app.= (FUNCTION = app.is, LEFTARG = app.short, RIGHTARG = app.short);
         CREATE OPERATOR app.@@@@ (FUNCTION = app.odd, RIGHTARG = integer)",
    );
    for path in ["app, public", "\"$user\", public, app", "", "App,\tpublic", "pg_catalog, app"] {
        it.set_path(path);
        let map = json!({ "hstore": "1.4", "citext": { "Schema": "app" } });
        let created = it.env.create(&map).succeeded();
        let updated = it.env.update(&created, &json!({ "hstore": "1.7", "citext": "" }));
        assert_eq!(updated.succeeded().data("Changes"), "updated hstore 1.4 to 1.7", "{path}");
        it.env.database.query("DROP EXTENSION hstore, citext");
    }
}

#[test]
fn objects_of_installed_extensions_are_not_refused() {
    for creator in ["a superuser", "the owner of the database"] {
        let it = Tenancy::new();
        let database = &it.env.database;
        let names = database.query(
            "SELECT name FROM pg_available_extensions
             WHERE name NOT IN ('humble', 'trusting') ORDER BY name",
        );
        let role = if creator == "a superuser" { "postgres" } else { it.tenant.as_str() };
        database.query(&format!(
            "SET ROLE {role}; CREATE EXTENSION hstore VERSION '1.4'; CREATE EXTENSION citext VERSION '1.5';
             RESET ROLE"
        ));
        let session = database.server.connect(&database.name);
        session.query(&format!("SET ROLE {role}"));
        // Not all can be had together, or here, or by everybody.
        let created = |row: &&Vec<String>| {
            let name = quoted(&row[0]);
            session.attempt(&format!("CREATE EXTENSION {name} CASCADE")).is_ok()
        };
        let count = names.iter().filter(created).count();
        println!("{creator}: {count} of {}", names.len());
        assert!(count > 10);
        let map = json!({ "hstore": "1.7", "citext": "1.6", "trusting": "1.1" });
        let created = it.env.create(&map).succeeded();
        assert!(!created.data("Changes").contains("warning"), "{created:#?}");
    }
}

#[test]
fn an_operator_that_is_created_while_a_script_waits() {
    let it = Tenancy::new();
    let before = it.rights();
    // The script waits for the tenant, who has been seen to have no operator.
    let session = server().connect(&it.env.database.name);
    session.query(&format!("SET ROLE {}; BEGIN; CREATE TYPE public.hstore AS (x int)", it.tenant));
    std::thread::scope(|scope| {
        let event =
            it.env.event("Create", &json!({ "PluginsMap": { "hstore": "", "trusting": "" } }));
        let env = &it.env;
        let waiting = scope.spawn(move || env.deliver_once(&event));
        let stuck = backends("AND wait_event_type = 'Lock' AND datname = current_database()");
        eventually(|| env.database.value(&stuck) == "1");
        it.plant_operator("public", "varchar");
        session.query("ROLLBACK");
        let response = waiting.join().expect("a response");
        response.failed(&["no extension script is run", "public.=(character varying", &it.tenant]);
    });
    assert_eq!((it.rights(), it.env.database.installed()), (before, String::new()));
}

#[test]
fn an_operator_that_fits_better_by_one_operand() {
    for other in [
        "CREATE DOMAIN public.own AS text",
        "CREATE TYPE public.own AS ENUM ('x')",
        "CREATE TYPE public.own AS (it text);
         CREATE FUNCTION public.made(varchar) RETURNS own LANGUAGE sql AS 'SELECT ROW($1)::public.own';
         CREATE CAST (varchar AS public.own) WITH FUNCTION public.made(varchar) AS IMPLICIT",
    ] {
        let it = Tenancy::new();
        it.prepare(other);
        it.plant_function("public.planted", "varchar, public.own", "boolean", "true");
        it.prepare(
            "CREATE OPERATOR public.=
               (FUNCTION = public.planted, LEFTARG = varchar, RIGHTARG = public.own)",
        );
        it.refused(&["public.=(character varying,public.own)", &it.tenant]);
    }
}

#[test]
fn a_schema_that_an_extension_prescribes_and_somebody_has_made() {
    let it = Tenancy::new();
    let before = it.rights();
    it.prepare("CREATE SCHEMA housed_home; CREATE TABLE housed_home.settings (a int)");
    let words = ["no extension script is run", "`housed_home`", &it.tenant];
    it.env.create(&json!({ "housed": "" })).failed(&words);
    it.env.database.query("ALTER SCHEMA housed_home OWNER TO CURRENT_USER");
    it.env.create(&json!({ "housed": "" })).failed(&words);
    it.env.database.query("DROP TABLE housed_home.settings");
    it.env.create(&json!({ "housed": "" })).succeeded();
    assert_eq!(it.rights(), before);
}
