//! The planner and what reads text: no server, seconds.

mod convergence;
mod docs;
mod fuzzing;
mod layers;
mod messages;
mod plans;
mod plans_removal;
mod troubleshooting;

/// A server's catalog: what it offers stands beside the rest in `server`.
#[expect(clippy::expect_used, reason = "a broken case is a failed test")]
fn catalog(mut server: serde_json::Value) -> cfn_postgres_extensions::planner::catalog::Catalog {
    server["schemas"]["pg_catalog"] = true.into();
    server["offers"] = serde_json::json!({
        "versions": server["offered"].take(),
        "paths": server["paths"].take(),
        "schemas": server["schemas"].take(),
    });
    serde_json::from_value(server).expect("a server")
}
