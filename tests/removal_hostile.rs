//! Others on the same server who stand in the way of a drop. Every event is sent twice, unless it says
//! otherwise.

mod support;

use serde_json::json;
use support::resource::{Resource, claims};
use support::stage::Stage;

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
