//! One suite over all five dialects: every situation, in every dialect, told and closed as its document has it.

pub(crate) mod book;
mod play;
mod situation;
mod tables;

use std::collections::BTreeSet;

use signalbox_edge::dialect::DialectId;

use book::BOOKS;
use play::Seen;
use situation::Situation;
use tables::Row;

/// The table of a dialect.
fn rows(dialect: DialectId) -> &'static [Row] {
    match dialect {
        DialectId::SentinelOps => &tables::SENTINELOPS,
        DialectId::FreeAgentics => &tables::FREEAGENTICS,
        DialectId::Aisoc => &tables::AISOC,
        DialectId::SentinelAi => &tables::SENTINEL_AI,
        DialectId::Projects => &tables::PROJECTS,
    }
}

/// Plays every situation and compares what is seen with the table; all differences are told at once.
async fn conforms(dialect: DialectId) {
    let book = BOOKS.iter().find(|book| book.id == dialect).expect("every dialect has a document");
    let mut differences = Vec::new();
    for row in rows(dialect) {
        let seen = play::play(book, row.situation, row.told.len(), row.close.is_some());
        // A panic in one situation leaves the others to be told too.
        let seen = match tokio::spawn(seen).await {
            Ok(seen) => seen,
            Err(panic) => {
                differences.push(format!("{:?}: {panic}", row.situation));
                continue;
            }
        };
        let told = row.told.iter().map(|(r#type, more)| ((*r#type).to_owned(), (*more).to_owned())).collect();
        let expected = Seen { told, close: row.close };
        if seen != expected {
            differences.push(format!("{:?}: expected {expected:?}, saw {seen:?}", row.situation));
        }
    }
    assert!(differences.is_empty(), "{dialect:?}:\n{}", differences.join("\n"));
}

#[tokio::test]
async fn sentinelops_speaks_as_its_document() {
    conforms(DialectId::SentinelOps).await;
}

#[tokio::test]
async fn freeagentics_speaks_as_its_document() {
    conforms(DialectId::FreeAgentics).await;
}

#[tokio::test]
async fn aisoc_speaks_as_its_document() {
    conforms(DialectId::Aisoc).await;
}

#[tokio::test]
async fn sentinel_ai_speaks_as_its_document() {
    conforms(DialectId::SentinelAi).await;
}

#[tokio::test]
async fn projects_speaks_as_its_document() {
    conforms(DialectId::Projects).await;
}

#[test]
fn no_table_leaves_a_situation_out() {
    for dialect in DialectId::ALL {
        let situations: Vec<Situation> = rows(dialect).iter().map(|row| row.situation).collect();
        assert_eq!(situations, Situation::ALL, "{dialect:?}");
    }
}

/// Every code of an error message that a document lists or shows.
const DOCUMENTED_CODES: [(DialectId, &[&str]); 5] = [
    (
        DialectId::SentinelOps,
        &[
            "INVALID_MESSAGE",
            "INVALID_REQUEST",
            "UNAUTHORIZED",
            "FORBIDDEN",
            "NOT_FOUND",
            "RATE_LIMITED",
            "INTERNAL_ERROR",
        ],
    ),
    (
        DialectId::FreeAgentics,
        &[
            "AUTHENTICATION_FAILED",
            "RATE_LIMIT_EXCEEDED",
            "INVALID_MESSAGE_FORMAT",
            "UNSUPPORTED_EVENT_TYPE",
            "INVALID_EVENT_TYPE",
            "AGENT_NOT_FOUND",
            "PERMISSION_DENIED",
            "CONNECTION_LIMIT_EXCEEDED",
        ],
    ),
    // These three have a message at most, and no list of codes.
    (DialectId::Aisoc, &[]),
    (DialectId::SentinelAi, &[]),
    (DialectId::Projects, &[]),
];

/// Every code of a close frame that a document lists or shows.
const DOCUMENTED_CLOSES: [(DialectId, &[u16]); 5] = [
    (DialectId::SentinelOps, &[1000, 1001, 1006, 1008, 1011, 4000, 4001, 4002, 4003]),
    (DialectId::FreeAgentics, &[1000, 1008]),
    (DialectId::Aisoc, &[4001]),
    (DialectId::SentinelAi, &[]),
    (DialectId::Projects, &[]),
];

#[test]
fn every_documented_code_is_brought_about() {
    for (dialect, codes) in DOCUMENTED_CODES {
        let told: BTreeSet<&str> = rows(dialect).iter().flat_map(|row| row.told).map(|told| told.1).collect();
        for code in codes {
            assert!(told.contains(code), "{dialect:?}: no situation brings {code} about");
        }
    }
    for (dialect, closes) in DOCUMENTED_CLOSES {
        let closed: BTreeSet<u16> = rows(dialect).iter().filter_map(|row| row.close).collect();
        for code in closes {
            assert!(closed.contains(code), "{dialect:?}: no situation closes with {code}");
        }
    }
}
