//! Others on the same server who stand in the way of a drop. Every event is sent twice, unless it says
//! otherwise.

mod support;

use serde_json::json;
use support::database::{Database, server};
use support::resource::{Resource, claims};
use support::stage::Stage;
use support::trouble::{backends, eventually};

#[test]
fn a_view_of_the_claims() {
    let stage = Stage::new();
    let mut it = Resource::new(&stage, "a", "Drop");
    it.create(&json!({ "hstore": "1.7" })).succeeded();
    stage.database.query(
        "CREATE VIEW public.who AS SELECT logical_id, extension FROM cfn_postgres_extensions.claim",
    );
    it.delete().succeeded();
    assert_eq!(stage.database.installed(), "");
    assert_eq!(claims(&stage.database), "empty", "the view stays, and what it looks at");
}

#[test]
fn a_tenant_who_has_us_take_his_role() {
    for (setting, back) in [("role", "SET ROLE NONE"), ("session_authorization", "SUPERUSER")] {
        let stage = Stage::new();
        let back =
            back.replace("SUPERUSER", &format!("SET SESSION AUTHORIZATION {}", server().user));
        let mut it = Resource::new(&stage, "a", "Drop");
        it.create(&json!({ "hstore": "1.7" })).succeeded();
        let theirs = Database::create();
        let tenant = theirs.role("pw", "");
        // Reading such a table runs the tenant's code.
        theirs.query(&format!(
            "ALTER DATABASE {0} OWNER TO {tenant};
             SET ROLE {tenant};
             CREATE SCHEMA cfn_postgres_extensions;
             SET search_path = cfn_postgres_extensions;
             CREATE TYPE odd AS ENUM ('x');
             CREATE FUNCTION run(odd) RETURNS json LANGUAGE plpgsql AS $$ BEGIN
                 EXECUTE '{back}';
                 EXECUTE 'ALTER ROLE {tenant} SUPERUSER';
                 RETURN '1'; END $$;
             CREATE CAST (odd AS json) WITH FUNCTION run(odd);
             CREATE TABLE claim (stack odd, logical_id text, physical_id text, extension text,
                 created boolean, extension_oid oid, home oid, database text, claimed_at date);
             INSERT INTO claim (stack) VALUES ('x');
             ALTER DATABASE {0} SET {setting} = '{tenant}';
             RESET ROLE",
            theirs.name
        ));
        let both = json!([stage.database.name, theirs.name]);
        it.deliver("Delete", &json!({ "Databases": both })).succeeded();
        let superuser = format!("SELECT rolsuper FROM pg_roles WHERE rolname = '{tenant}'");
        assert_eq!(stage.database.value(&superuser), "f", "{setting}");
        assert_eq!(stage.database.installed(), "");
    }
}

#[test]
fn rows_that_are_being_written() {
    let stage = Stage::new();
    let mut it = Resource::new(&stage, "a", "Drop");
    it.create(&json!({ "keeper": "" })).succeeded();
    let writer = server().connect(&stage.database.name);
    writer.query("BEGIN; INSERT INTO public.kept VALUES (2, true)");
    std::thread::scope(|scope| {
        let delete = it.event("Delete", &json!({}));
        let stage = &stage;
        let deleting = scope.spawn(move || stage.deliver_once(&delete));
        let waiting = backends("AND wait_event_type = 'Lock'");
        eventually(|| stage.database.value(&waiting) != "0");
        writer.query("COMMIT");
        deleting.join().expect("an answer").failed(&["public.kept", "rows of yours"]);
    });
    assert_eq!(stage.database.value("SELECT count(*) FROM public.kept"), "1");
}
