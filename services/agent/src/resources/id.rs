//! Ids of resources: a prefix that tells the kind, and a `UUIDv7`, so that ids sort by the time they were made.

use uuid::Uuid;

/// A tenant's own kind may have a long name; this much of it makes a prefix.
const PREFIX_LEN_MAX: usize = 32;

/// A new id for a resource of this kind.
pub(super) fn new(kind: &str) -> String {
    format!("{}_{}", prefix(kind), Uuid::now_v7().simple())
}

/// As the server begins the ids that it makes.
fn prefix(kind: &str) -> &str {
    match kind {
        "incident" => "inc",
        "analysis" => "ana",
        "remediation" => "rem",
        "investigation" => "inv",
        "playbook" => "pb",
        "inference" => "inf",
        "relationship" => "rel",
        "project" => "proj",
        "validation" => "val",
        other => &other[..other.floor_char_boundary(PREFIX_LEN_MAX)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_tells_its_kind_and_sorts_by_time() {
        let ids: Vec<_> = (0..100).map(|_| new("incident")).collect();
        assert!(ids.is_sorted() && ids.iter().all(|id| id.starts_with("inc_") && id.len() == 36), "{ids:?}");
        assert_eq!(new(&"x".repeat(100)).len(), 65);
    }
}
