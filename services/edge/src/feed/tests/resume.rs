//! Beginning in the past: out of memory, out of the log, and where the past is gone.

use std::collections::{BTreeMap, BTreeSet};

use signalbox_proto::v1::Cursor;

use super::rig::{Rig, TENANT, TYPE, config, everything};
use crate::{
    feed::{FeedConfig, Origin, Start},
    interest::{Interest, Scope, Topic},
};

fn of_agent(agent: &str) -> Interest {
    let topics = BTreeSet::from([Topic::Agent(agent.to_owned())]);
    Interest { types: BTreeMap::from([(TYPE.to_owned(), Scope::Only(topics))]), ..Interest::default() }
}

/// A ring that holds little.
fn small_ring() -> FeedConfig {
    FeedConfig { ring_len_max: 8, ..config() }
}

#[tokio::test]
async fn a_client_resumes_out_of_memory() {
    let rig = Rig::start(config()).await;
    let mut first = rig.connect().await;
    first.watch().await;
    for _ in 0..20 {
        rig.append("a", 1);
    }
    first.until(20).await;
    let mut second = rig.connect().await;
    let start = Start::From(Origin::After(rig.state.cursor(TENANT, 5)));
    let started = second.subscribe(everything(), start).await.unwrap();
    assert_eq!((started.cursor.revision, started.head), (5, 20));
    second.expect_confirmation(&started).await;
    assert_eq!(second.until(20).await, (6..=20).collect::<Vec<_>>());
    rig.append("a", 1);
    assert_eq!(second.until(21).await, [21]);
    assert_eq!(rig.state.reads(), 0);
    rig.stop().await;
}

#[tokio::test]
async fn a_client_resumes_out_of_the_log_and_goes_on_live() {
    let rig = Rig::start(small_ring()).await;
    for number in 0..1000 {
        rig.append(if number % 10 == 0 { "a" } else { "b" }, 1);
    }
    let mut client = rig.connect().await;
    let start = Start::From(Origin::After(rig.state.cursor(TENANT, 0)));
    let started = client.subscribe(of_agent("a"), start).await.unwrap();
    client.expect_confirmation(&started).await;
    assert_eq!(client.until(991).await, (0..100).map(|at| at * 10 + 1).collect::<Vec<_>>());
    assert!(rig.state.reads() >= 4, "pages of 256 events");
    let last = rig.append("a", 1);
    assert_eq!(client.until(last).await, [last]);
    rig.stop().await;
}

#[tokio::test]
async fn what_happened_since_a_moment_is_found_in_memory_and_in_the_log() {
    for ring_len_max in [8, 10_000] {
        let rig = Rig::start(FeedConfig { ring_len_max, ..config() }).await;
        let mut witness = rig.connect().await;
        witness.watch().await;
        let moment = |minute: i64| time::OffsetDateTime::UNIX_EPOCH + time::Duration::minutes(1000 + minute);
        for minute in 1..=100 {
            let mut event = super::rig::event("a", 1);
            event.committed_at = Some(signalbox_proto::timestamp(moment(minute)));
            rig.state.append(TENANT, event);
        }
        witness.until(100).await;
        let mut client = rig.connect().await;
        let start = Start::From(Origin::Since(moment(51)));
        let started = client.subscribe(everything(), start).await.unwrap();
        assert_eq!(started.cursor.revision, 50);
        client.expect_confirmation(&started).await;
        assert_eq!(client.until(100).await, (51..=100).collect::<Vec<_>>());
        assert_eq!(rig.state.reads() == 0, ring_len_max == 10_000);
        let started = client.subscribe(everything(), Start::From(Origin::Since(moment(200)))).await.unwrap();
        assert_eq!(started.cursor.revision, 100);
        rig.stop().await;
    }
}

#[tokio::test]
async fn a_replay_repeats_only_what_it_names_and_loses_nothing_live() {
    let rig = Rig::start(small_ring()).await;
    let mut client = rig.connect().await;
    client.watch().await;
    for number in 0..60 {
        rig.append(if number % 2 == 0 { "a" } else { "b" }, 1);
    }
    client.until(60).await;
    let start = Start::Replay { from: Origin::After(rig.state.cursor(TENANT, 10)), only: of_agent("b") };
    let started = client.subscribe(everything(), start).await.unwrap();
    assert_eq!(started.cursor.revision, 10);
    client.expect_confirmation(&started).await;
    rig.append("a", 1);
    rig.append("b", 1);
    let expected: Vec<u64> = (11..=60).filter(|revision| revision % 2 == 0).chain([61, 62]).collect();
    assert_eq!(client.until(62).await, expected);
    rig.stop().await;
}

#[tokio::test]
async fn a_cursor_that_cannot_be_served_is_a_gap_and_the_stream_goes_on_live() {
    let rig = Rig::start(small_ring()).await;
    for _ in 0..100 {
        rig.append("a", 1);
    }
    rig.state.compact(TENANT, 50);
    let foreign = Cursor { epoch: "0190c1a2-7b3c-7def-8123-456789abcdef".into(), revision: 60 };
    let cases = [
        (rig.state.cursor(TENANT, 10), "compacted"),
        (foreign, "other_epoch"),
        (rig.state.cursor(TENANT, 1_000_000), "ahead"),
    ];
    let mut head = 100;
    for (cursor, reason) in cases {
        let mut client = rig.connect().await;
        let started = client.subscribe(everything(), Start::From(Origin::After(cursor))).await.unwrap();
        let gap = started.gap.clone().unwrap();
        assert_eq!(gap.reason, reason);
        assert_eq!(gap.oldest, rig.state.cursor(TENANT, 49));
        assert_eq!(started.cursor.revision, head);
        client.expect_confirmation(&started).await;
        head = rig.append("a", 1);
        assert_eq!(client.until(head).await, [head]);
    }
    rig.stop().await;
}

#[tokio::test]
async fn a_cursor_right_before_the_oldest_event_is_served() {
    let rig = Rig::start(small_ring()).await;
    for _ in 0..100 {
        rig.append("a", 1);
    }
    rig.state.compact(TENANT, 50);
    let mut client = rig.connect().await;
    let start = Start::From(Origin::After(rig.state.cursor(TENANT, 49)));
    let started = client.subscribe(everything(), start).await.unwrap();
    assert_eq!(started.gap, None);
    client.expect_confirmation(&started).await;
    assert_eq!(client.until(100).await, (50..=100).collect::<Vec<_>>());
    rig.stop().await;
}
