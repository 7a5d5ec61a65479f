//! Several databases on one server.

use serde_json::{Value, json};

use super::answer::Answer;
use super::database::Database;
use super::stage::Stage;

/// What all requests of this product lock in a database.
pub const LOCK: &str = "SELECT pg_advisory_lock(7162533686429448308)";

/// A stage, and so many databases beside its own.
pub fn with_others(count: usize) -> (Stage, Vec<Database>) {
    (Stage::new(), (0..count).map(|_| Database::create()).collect())
}

/// The names of all of them, the stage's first.
pub fn names<'a>(stage: &'a Stage, others: &'a [Database]) -> Vec<&'a str> {
    let others = others.iter().map(|database| database.name.as_str());
    std::iter::once(stage.database.name.as_str()).chain(others).collect()
}

/// Creates in these databases, twice: nothing changes in the others the second time either.
#[track_caller]
pub fn create(stage: &Stage, databases: &Value, map: &Value) -> Answer {
    stage.create_with(&json!({ "Databases": databases, "PluginsMap": map }))
}
