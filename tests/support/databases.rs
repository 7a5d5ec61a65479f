//! Several databases on one server.

use serde_json::{Value, json};

use super::database::Database;
use super::response::Response;
use super::test_environment::TestEnvironment;

/// What all requests of this product lock in a database.
pub const LOCK: &str = "SELECT pg_advisory_lock(7162533686429448308)";

/// A test environment, and so many databases beside its own.
pub fn with_others(count: usize) -> (TestEnvironment, Vec<Database>) {
    (TestEnvironment::new(), (0..count).map(|_| Database::create()).collect())
}

/// The names of all of them, the test environment's first.
pub fn names<'a>(env: &'a TestEnvironment, others: &'a [Database]) -> Vec<&'a str> {
    let others = others.iter().map(|database| database.name.as_str());
    std::iter::once(env.database.name.as_str()).chain(others).collect()
}

/// Creates in these databases, twice: nothing changes in the others the second time either.
#[track_caller]
pub fn create(env: &TestEnvironment, databases: &Value, map: &Value) -> Response {
    env.create_with(&json!({ "Databases": databases, "PluginsMap": map }))
}
