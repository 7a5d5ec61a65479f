//! `CloudFormation`'s id for the resource.

use sha2::{Digest, Sha256};

use crate::cloudformation::event::{Event, RequestType};

/// The id of a resource on one server: `<logical_id>-<first 8 hex digits of SHA-256("host:port")>`.
pub fn issued(logical_id: &str, host: &str, port: u16) -> String {
    let digest = Sha256::digest(format!("{host}:{port}"));
    let [a, b, c, d, ..] = <[u8; 32]>::from(digest);
    format!("{}-{a:02x}{b:02x}{c:02x}{d:02x}", prefix(logical_id))
}

/// The id of a Create that failed and left nothing behind. A Delete for it touches nothing.
pub fn create_failed(logical_id: &str) -> String {
    format!("{}-create-failed", prefix(logical_id))
}

/// The id of a Create that may have left anything behind: the failure destination's.
pub fn create_unknown(logical_id: &str) -> String {
    format!("{}-create-unknown", prefix(logical_id))
}

/// The id after an Update: the one that came in, unless it is one of ours for another server.
///
/// An id of another form, an older function's say, is kept: a changed id is a replacement.
pub fn after_update(incoming: &str, issued: &str, logical_id: &str) -> String {
    if is_issued(incoming, logical_id) { issued.to_owned() } else { incoming.to_owned() }
}

/// The id of a request that failed: the one that came in; for a Create, the one of the server
/// (`issued`) if something may have been left behind there, so that the Delete that follows finds it.
pub fn of_failure(event: &Event, issued: Option<&str>, may_have_left_something: bool) -> String {
    match (&event.physical_resource_id, issued) {
        (Some(incoming), _) if event.request_type != RequestType::Create => incoming.clone(),
        (_, Some(issued)) if may_have_left_something => issued.to_owned(),
        _ => create_failed(&event.logical_resource_id),
    }
}

/// Whether `id` has the form of [`issued`].
pub fn is_issued(id: &str, logical_id: &str) -> bool {
    id.strip_prefix(prefix(logical_id)).and_then(|rest| rest.strip_prefix('-')).is_some_and(|hex| {
        hex.len() == 8 && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    })
}

/// A direct invocation may have no logical id, and an id must not be empty.
fn prefix(logical_id: &str) -> &str {
    if logical_id.is_empty() { "PostgresExtensions" } else { logical_id }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_the_hash_of_host_and_port() {
        // printf 'localhost:5432' | sha256sum
        assert_eq!(issued("Extensions", "localhost", 5432), "Extensions-19635846");
        assert_ne!(issued("X", "localhost", 5432), issued("X", "localhost", 5433));
    }

    #[test]
    fn an_update_keeps_the_id_on_the_same_server() {
        let [here, there] = ["a", "b"].map(|host| issued("Extensions", host, 5432));
        assert_eq!(after_update(&here, &here, "Extensions"), here);
        assert_eq!(after_update(&here, &there, "Extensions"), there, "it is a replacement");
    }

    #[test]
    fn an_id_of_another_form_is_kept() {
        let issued = issued("Extensions", "b", 5432);
        for foreign in
            ["2021/01/01/[$LATEST]abc", "Extensions-create-failed", "Extensions-0123456G", "x", ""]
        {
            assert_eq!(after_update(foreign, &issued, "Extensions"), foreign);
        }
    }

    #[test]
    fn a_request_that_failed_keeps_its_id_and_a_create_says_whether_it_left_something() {
        let event = |kind: &str| {
            Event::read(&format!(
                r#"{{ "RequestType": "{kind}", "LogicalResourceId": "X", "PhysicalResourceId": "id" }}"#
            ))
        };
        assert_eq!(of_failure(&event("Update"), Some("new"), true), "id");
        assert_eq!(of_failure(&event("Delete"), None, false), "id");
        assert_eq!(of_failure(&event("Create"), Some("new"), true), "new");
        assert_eq!(of_failure(&event("Create"), Some("new"), false), "X-create-failed");
        assert_eq!(of_failure(&event("Create"), None, true), "X-create-failed");
    }
}
