//! Clients that do not keep up: they lose nothing, disturb nobody, and come back at the exact revision.

use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use super::rig::{Client, Received, Rig, TENANT, config, everything, read_frame, soon};
use crate::feed::{CloseCause, FeedConfig, MemberNotice, Origin, Overflow, Start};

#[tokio::test]
async fn answers_overtake_the_events_that_a_slow_client_has_not_read() {
    let rig = Rig::start(config()).await;
    let mut client = rig.connect().await;
    client.watch().await;
    while rig.feeds.stragglers() == 0 {
        rig.append("a", 2000);
        tokio::task::yield_now().await;
    }
    let last = (0..2000).map(|_| rig.append("a", 2000)).last().unwrap();
    client.member.send(r#"{"answer":1}"#).unwrap();
    let mut before = 0;
    while client.next().await != Received::text(r#"{"answer":1}"#) {
        before += 1;
    }
    assert!(before < 500, "{before} events of {last} came before the answer");
    let rest = client.until(last).await;
    assert_eq!(rest, (before + 1..=last).collect::<Vec<_>>());
    rig.stop().await;
}

#[tokio::test]
async fn a_client_that_reads_nothing_costs_the_others_nothing_and_loses_nothing() {
    let rig = Rig::start(FeedConfig { ring_len_max: 64, lag_notice_after: 500, ..config() }).await;
    let mut slow = rig.connect().await;
    let mut quick = rig.connect().await;
    slow.watch().await;
    quick.watch().await;
    for _ in 0..1500 {
        rig.append("a", 1000);
    }
    assert_eq!(quick.until(1500).await, (1..=1500).collect::<Vec<_>>());
    let notice = slow.notice().await;
    assert!(matches!(notice, MemberNotice::Lagging { behind } if behind > 500), "{notice:?}");
    assert_eq!(slow.until(1500).await, (1..=1500).collect::<Vec<_>>());
    assert_eq!(slow.notice().await, MemberNotice::CaughtUp);
    assert!(rig.state.reads() > 0, "it fell out of memory");
    let last = rig.append("a", 1);
    assert_eq!(slow.until(last).await, [last]);
    rig.stop().await;
}

#[tokio::test]
async fn a_client_that_takes_nothing_for_too_long_is_dropped() {
    let write_stall_timeout = Duration::from_secs(2);
    let rig = Rig::start(FeedConfig { write_stall_timeout, ..config() }).await;
    let mut stalled = rig.connect().await;
    let mut other = rig.connect().await;
    stalled.watch().await;
    other.watch().await;
    for _ in 0..200 {
        rig.append("a", 30_000);
    }
    assert_eq!(other.until(200).await.len(), 200);
    assert_eq!(stalled.notice().await, MemberNotice::Closed(CloseCause::Stalled));
    let result = stalled.member.subscribe(everything(), Start::Keep, Box::new(|_| Vec::new())).await;
    assert_eq!(result, Err(crate::feed::SubscribeError::Closed));
    let last = rig.append("a", 1);
    assert_eq!(other.until(last).await, [last]);
    rig.stop().await;
}

#[tokio::test]
async fn a_client_that_asks_without_reading_overflows_its_lane() {
    let rig = Rig::start(FeedConfig { control_bytes_max: 100_000, ..config() }).await;
    let mut client = rig.connect().await;
    let answer = serde_json::json!({ "answer": "x".repeat(10_000) }).to_string();
    let mut sent = 0;
    while client.member.send(&answer) != Err(Overflow) {
        sent += 1;
        assert!(sent < 100_000, "the lane is bounded");
        tokio::task::yield_now().await;
    }
    assert_eq!(client.notice().await, MemberNotice::Closed(CloseCause::Overflow));
    rig.stop().await;
}

#[tokio::test]
async fn a_lagging_client_that_skips_to_live_sees_only_what_is_new() {
    let rig = Rig::start(FeedConfig { ring_len_max: 64, ..config() }).await;
    let mut client = rig.connect().await;
    client.watch().await;
    let mut quick = rig.connect().await;
    quick.watch().await;
    for _ in 0..1000 {
        rig.append("a", 1000);
    }
    quick.until(1000).await;
    let skip = client.member.subscribe(everything(), Start::Live, Box::new(|_| vec!["\"live\"".into()]));
    let (started, seen) = tokio::join!(soon(skip), async {
        let mut seen = 0;
        while soon(read_frame(&mut client.stream)).await != Received::text("\"live\"") {
            seen += 1;
        }
        seen
    });
    assert_eq!(started.unwrap().cursor.revision, 1000);
    assert!(seen < 1000, "{seen} events were on their way");
    let last = rig.append("a", 1);
    assert_eq!(client.until(last).await, [last]);
    rig.stop().await;
}

/// Many readers of random speed, over a ring that holds little: whatever the order in which they fall behind,
/// come back, resume and change their place, each receives every revision once and in order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_reader_receives_every_revision_once_whatever_its_speed() {
    for seed in 0..3 {
        let rig = Rig::start(FeedConfig { ring_len_max: 96, ..config() }).await;
        let mut readers = Vec::new();
        for number in 0..24 {
            let mut client = rig.connect().await;
            client.watch().await;
            readers.push((client, StdRng::seed_from_u64(seed * 1000 + number)));
        }
        let total = 1500;
        let writer = async {
            let mut random = StdRng::seed_from_u64(seed);
            for _ in 0..total {
                rig.append("a", random.random_range(0..2000));
                if random.random_ratio(1, 20) {
                    tokio::task::yield_now().await;
                }
                if random.random_ratio(1, 200) {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
        };
        let readers = readers.into_iter().map(|(mut client, mut random)| async move {
            let mut expected = 1;
            while expected <= total {
                if random.random_ratio(1, 60) {
                    // A reader's own pace is what is tested.
                    tokio::time::sleep(Duration::from_millis(random.random_range(0..12))).await;
                }
                let received = client.next().await;
                assert_eq!(received.revision(), Some(expected), "{received:?}");
                expected += 1;
                if random.random_ratio(1, 300) {
                    subscribe_again(&mut client, &mut expected).await;
                }
            }
        });
        tokio::join!(writer, futures::future::join_all(readers));
        assert!(rig.feeds.fell_behind() > 0, "some fell behind");
        rig.stop().await;
    }
}

/// Subscribes to the same again, at the position where the connection is, reading on meanwhile.
async fn subscribe_again(client: &mut Client, expected: &mut u64) {
    let again = client.member.subscribe(everything(), Start::Keep, Box::new(|_| vec!["\"again\"".into()]));
    let reading = async {
        loop {
            let received = read_frame(&mut client.stream).await;
            if received == Received::text("\"again\"") {
                return;
            }
            assert_eq!(received.revision(), Some(*expected), "{received:?}");
            *expected += 1;
        }
    };
    let (started, ()) = soon(async { tokio::join!(again, reading) }).await;
    assert_eq!(started.unwrap().cursor.revision, *expected - 1, "what was before was received before");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_resume_while_events_flow_find_neither_hole_nor_repeat() {
    let rig = Rig::start(FeedConfig { ring_len_max: 128, ..config() }).await;
    let mut witness = rig.connect().await;
    witness.watch().await;
    let total = 2000;
    let writer = async {
        for number in 0..total {
            rig.append("a", 100);
            if number % 16 == 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    };
    let resumers = (0..16_u64).map(|number| {
        let rig = &rig;
        async move {
            let mut random = StdRng::seed_from_u64(number);
            let mut seen = 0;
            while seen < total {
                let mut client = rig.connect().await;
                let start = Start::From(Origin::After(rig.state.cursor(TENANT, seen)));
                let started = client.subscribe(everything(), start).await.unwrap();
                assert_eq!((started.cursor.revision, started.gap.clone()), (seen, None));
                client.expect_confirmation(&started).await;
                let until = (seen + random.random_range(1..400)).min(total);
                assert_eq!(client.until(until).await, (seen + 1..=until).collect::<Vec<_>>());
                seen = until;
            }
        }
    });
    let ((), _, all) = tokio::join!(writer, futures::future::join_all(resumers), witness.until(total));
    assert_eq!(all, (1..=total).collect::<Vec<_>>());
    rig.stop().await;
}

#[tokio::test]
async fn a_client_with_much_to_read_has_the_time_for_it_before_its_stream_begins() {
    let rig = Rig::start(FeedConfig { subscribe_timeout: Duration::from_millis(50), ..config() }).await;
    let mut client = rig.connect().await;
    let part = serde_json::json!({ "part": "x".repeat(20_000) }).to_string();
    for _ in 0..10 {
        client.member.send_paced(&part).await;
    }
    rig.wait_for_stragglers().await;
    let refused = client.subscribe(everything(), Start::Keep).await;
    assert_eq!(refused, Err(crate::feed::SubscribeError::Unavailable));
    let until = tokio::time::Instant::now() + Duration::from_secs(20);
    let confirm = |_: &_| vec!["\"confirmed\"".to_owned()];
    let subscribe = client.member.subscribe_by(until, everything(), Start::Keep, Box::new(confirm));
    let (started, ()) = tokio::join!(soon(subscribe), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        while soon(read_frame(&mut client.stream)).await != Received::text("\"confirmed\"") {}
    });
    assert!(started.is_ok(), "{started:?}");
    rig.stop().await;
}
