//! Extensions that move together.

mod support;

use serde_json::json;
use support::several::{create, names, with_others};
use support::stage::Stage;

#[test]
fn a_family_is_updated_together() {
    let stage = Stage::new();
    stage.database.query(
        "CREATE EXTENSION clan VERSION '1.0'; CREATE EXTENSION clan_child VERSION '1.0';
         CREATE EXTENSION clan_cousin VERSION '0.9'",
    );
    let answer = stage.create(&json!({ "clan": "1.1" })).succeeded();
    assert_eq!(
        answer.data("Changes"),
        "updated clan 1.0 to 1.1; updated clan_child 1.0 to 1.1 (with clan)"
    );
    assert_eq!(stage.database.installed(), "clan 1.1, clan_child 1.1, clan_cousin 0.9");
}

#[test]
fn a_member_that_the_map_has_its_own_word_for() {
    let stage = Stage::new();
    stage
        .database
        .query("CREATE EXTENSION clan VERSION '1.0'; CREATE EXTENSION clan_child VERSION '1.0'");
    stage.create(&json!({ "clan": "1.1", "clan_child": "1.0" })).succeeded();
    assert_eq!(stage.database.installed(), "clan 1.1, clan_child 1.0", "as it says");
    let answer = stage.create(&json!({ "clan": "1.1", "clan_child": "latest" })).succeeded();
    assert_eq!(answer.data("Changes"), "updated clan_child 1.0 to 1.1");
}

#[test]
fn raster_functions_that_an_update_of_postgis_unpackages() {
    let stage = Stage::new();
    let Some(version) = postgis_after(&stage, BEFORE) else { return };
    // The look has enough memory for its update paths.
    stage.database.set("temp_file_limit", "0");
    stage.database.query("CREATE EXTENSION postgis; CREATE EXTENSION postgis_raster");
    let in_one = in_one_extension();
    stage.database.query(&in_one);
    stage.database.query("CREATE TABLE public.maps (id int, tile raster)");
    let answer = stage.create(&json!({ "PostGIS": version })).succeeded();
    assert_eq!(
        answer.data("Changes"),
        format!(
            "updated postgis {BEFORE} to {version}; created postgis_raster unpackaged; \
             updated postgis_raster unpackaged to {version} (with postgis)"
        )
    );
    let installed = format!("postgis {version}, postgis_raster {version}");
    assert_eq!(stage.database.installed(), installed);
    stage.database.query("SELECT st_width(tile) FROM public.maps");

    stage.database.query(&in_one);
    let answer = stage.create(&json!({ "postgis_raster": "latest", "postgis": "latest" }));
    assert_eq!(answer.succeeded().data("postgis_raster"), version);
}

#[test]
fn raster_functions_where_other_databases_have_told_of_postgis_already() {
    let (stage, others) = with_others(4);
    let Some(version) = postgis_after(&stage, BEFORE) else { return };
    // Four are looked at together, and tell of what requires PostGIS; the fifth has an old one.
    let (old, new) = others.split_last().expect("four others");
    for database in new.iter().chain([&stage.database]) {
        database.query("CREATE EXTENSION postgis");
    }
    old.query("CREATE EXTENSION postgis; CREATE EXTENSION postgis_raster");
    old.query(&in_one_extension());
    let map = json!({ "postgis": version, "postgis_topology": "" });
    create(&stage, &json!(names(&stage, &others)), &map).succeeded();
    let installed =
        format!("postgis {version}, postgis_raster {version}, postgis_topology {version}");
    assert_eq!(old.installed(), installed);
}

/// The last version of `PostGIS` 2, which had the raster functions in it.
const BEFORE: &str = "2.5.5";

/// The version of `PostGIS` here, if that one can be updated to it.
fn postgis_after(stage: &Stage, before: &str) -> Option<String> {
    let version = stage.postgis()?;
    let paths = format!(
        "SELECT count(*) FROM pg_extension_update_paths('postgis')
         WHERE source = '{before}' AND target = '{version}' AND path IS NOT NULL"
    );
    if stage.database.value(&paths) == "0" {
        println!("skipped: this PostGIS has no update from {before}");
        return None;
    }
    Some(version)
}

/// Makes of `PostGIS` and its raster functions what version 2 was: one extension with both in it.
fn in_one_extension() -> String {
    format!(
        "UPDATE pg_depend SET refobjid = (SELECT oid FROM pg_extension WHERE extname = 'postgis')
     WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e'
       AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'postgis_raster');
     DELETE FROM pg_depend WHERE classid = 'pg_extension'::regclass
       AND objid = (SELECT oid FROM pg_extension WHERE extname = 'postgis_raster');
     DELETE FROM pg_extension WHERE extname = 'postgis_raster';
     UPDATE pg_extension SET extversion = '{BEFORE}' WHERE extname = 'postgis'"
    )
}
