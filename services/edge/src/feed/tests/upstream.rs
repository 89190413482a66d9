//! Following the state service through everything that can go wrong with it.

use std::time::Duration;

use futures::FutureExt as _;
use signalbox_proto::v1;

use super::rig::{PLAIN, Received, Rig, TENANT, config, event, everything, read_frame, soon};
use crate::{
    feed::{FeedConfig, MemberNotice, NoEvent, Origin, Start, SubscribeError},
    upstream::Health,
};

#[tokio::test]
async fn a_lost_stream_is_resumed_without_loss_or_repeat() {
    let rig = Rig::start(config()).await;
    let mut client = rig.connect().await;
    client.watch().await;
    for round in 0..5 {
        for _ in 0..50 {
            rig.append("a", 10);
        }
        rig.state.disconnect();
        for _ in 0..50 {
            rig.append("a", 10);
        }
        let last = (round + 1) * 100;
        assert_eq!(client.until(last).await, (last - 99..=last).collect::<Vec<_>>());
    }
    assert!(rig.state.watches() >= 2);
    rig.stop().await;
}

#[tokio::test]
async fn revisions_that_are_lost_or_repeated_on_the_way_are_repaired() {
    let rig = Rig::start(config()).await;
    let mut client = rig.connect().await;
    client.watch().await;
    rig.state.hide(3);
    rig.state.double(5);
    rig.state.hide(8);
    rig.state.hide(9);
    for _ in 0..12 {
        rig.append("a", 10);
    }
    assert_eq!(client.until(12).await, (1..=12).collect::<Vec<_>>());
    rig.stop().await;
}

#[tokio::test]
async fn a_log_that_cannot_be_read_keeps_no_other_tenant_waiting() {
    let rig = Rig::start(config()).await;
    let mut stuck = rig.connect().await;
    stuck.watch().await;
    let mut other = rig.connect_in("other", PLAIN).await;
    other.watch().await;
    rig.state.set_unreadable(TENANT, true);
    rig.state.hide(2);
    for _ in 0..4 {
        rig.append("a", 10);
    }
    assert_eq!(stuck.until(1).await, [1]);
    // The hole is known once it was tried to be read.
    while rig.state.reads() == 0 {
        tokio::task::yield_now().await;
    }
    for _ in 0..50 {
        rig.state.append("other", event("b", 10));
    }
    assert_eq!(other.until(50).await, (1..=50).collect::<Vec<_>>());
    rig.append("a", 10);
    rig.state.set_unreadable(TENANT, false);
    assert_eq!(stuck.until(5).await, [2, 3, 4, 5]);
    rig.append("a", 10);
    assert_eq!(stuck.until(6).await, [6]);
    assert_eq!(rig.state.watches(), 1, "the stream was never opened again");
    rig.stop().await;
}

#[tokio::test]
async fn a_hole_that_the_log_no_longer_fills_is_a_gap_for_its_tenant_alone() {
    let rig = Rig::start(config()).await;
    let mut client = rig.connect().await;
    client.watch().await;
    let mut other = rig.connect_in("other", PLAIN).await;
    other.watch().await;
    let waiting = rig.feeds.once(TENANT, everything());
    rig.state.set_unreadable(TENANT, true);
    rig.state.hide(1);
    for _ in 0..4 {
        rig.append("a", 10);
    }
    while rig.state.reads() == 0 {
        tokio::task::yield_now().await;
    }
    rig.state.compact(TENANT, 4);
    rig.state.set_unreadable(TENANT, false);
    let MemberNotice::Gap(gap) = client.notice().await else { panic!("a gap was expected") };
    assert_eq!((gap.reason.as_str(), gap.oldest.revision), ("compacted", 3));
    assert_eq!(soon(waiting).await.unwrap_err(), NoEvent::Missed, "what was waited for may be in the hole");
    rig.append("a", 10);
    assert_eq!(client.until(5).await, [5]);
    rig.state.append("other", event("b", 10));
    assert_eq!(other.until(1).await, [1]);
    assert_eq!(rig.state.watches(), 1, "the stream was never opened again");
    rig.stop().await;
}

#[tokio::test]
async fn another_incarnation_of_the_log_is_a_gap_for_everybody() {
    let rig = Rig::start(config()).await;
    let mut client = rig.connect().await;
    client.watch().await;
    for _ in 0..10 {
        rig.append("a", 10);
    }
    client.until(10).await;
    rig.state.restore(TENANT, 4);
    let notice = client.notice().await;
    let MemberNotice::Gap(gap) = notice else { panic!("a gap, not {notice:?}") };
    assert_eq!((gap.reason.as_str(), gap.oldest), ("other_epoch", rig.state.cursor(TENANT, 0)));
    // The revisions of the new log begin below those that were seen of the old one.
    let last = rig.append("a", 10);
    assert_eq!(last, 5);
    assert_eq!(client.until(last).await, [5]);
    rig.stop().await;
}

#[tokio::test]
async fn a_log_that_was_compacted_beyond_the_edge_is_a_gap() {
    let rig = Rig::start(config()).await;
    let mut client = rig.connect().await;
    client.watch().await;
    rig.append("a", 10);
    client.until(1).await;
    rig.state.set_down(true);
    for _ in 0..10 {
        rig.append("a", 10);
    }
    rig.state.compact(TENANT, 8);
    rig.state.set_down(false);
    let notice = client.notice().await;
    assert!(matches!(&notice, MemberNotice::Gap(gap) if gap.reason == "compacted"), "{notice:?}");
    let last = rig.append("a", 10);
    assert_eq!(client.until(last).await, [last]);
    rig.stop().await;
}

#[tokio::test]
async fn who_is_further_than_the_edge_misses_nothing_when_the_log_was_compacted_beyond_that() {
    let rig = Rig::start(config()).await;
    let mut behind = rig.connect().await;
    behind.watch().await;
    rig.append("a", 10);
    behind.until(1).await;
    rig.state.set_unwatchable(true);
    for _ in 0..10 {
        rig.append("a", 10);
    }
    // It comes from another edge, which did not lose the state service.
    let mut ahead = rig.connect().await;
    let start = Start::From(Origin::After(rig.state.cursor(TENANT, 9)));
    let started = ahead.subscribe(everything(), start).await.unwrap();
    ahead.expect_confirmation(&started).await;
    assert_eq!(ahead.until(11).await, [10, 11]);
    rig.append("a", 10);
    rig.state.compact(TENANT, 8);
    rig.state.set_unwatchable(false);
    let notice = behind.notice().await;
    assert!(matches!(&notice, MemberNotice::Gap(gap) if gap.oldest.revision == 7), "{notice:?}");
    let last = rig.append("a", 10);
    assert_eq!(ahead.until(last).await, [12, 13]);
    assert_eq!(behind.until(last).await, [last]);
    assert_eq!(ahead.notices.next().now_or_never(), None, "it was told of no gap");
    rig.stop().await;
}

#[tokio::test]
async fn health_is_told_after_a_while_and_sockets_stay() {
    let rig = Rig::start(config()).await;
    let mut health = rig.feeds.upstream_health();
    let mut client = rig.connect().await;
    client.watch().await;
    assert_eq!(*health.borrow(), Health::Healthy);
    rig.state.set_down(true);
    let degraded = soon(health.wait_for(|health| *health != Health::Healthy)).await.unwrap().to_owned();
    assert!(matches!(degraded, Health::Degraded { since } if since <= signalbox_telemetry::now()));
    client.member.send("\"still here\"").unwrap();
    assert_eq!(client.next().await, Received::text("\"still here\""));
    rig.append("a", 1);
    rig.state.set_down(false);
    soon(health.wait_for(|health| *health == Health::Healthy)).await.unwrap();
    assert_eq!(client.until(1).await, [1]);
    rig.stop().await;
}

#[tokio::test]
async fn a_subscription_waits_for_the_log_but_not_for_ever() {
    let rig = Rig::start(FeedConfig { subscribe_timeout: Duration::from_millis(300), ..config() }).await;
    rig.state.set_down(true);
    let mut client = rig.connect().await;
    assert_eq!(client.subscribe(everything(), Start::Live).await, Err(SubscribeError::Unavailable));
    rig.state.set_down(false);
    // Each try waits for a while; the stream is opened again meanwhile.
    let started = loop {
        if let Ok(started) = client.subscribe(everything(), Start::Live).await {
            break started;
        }
    };
    client.expect_confirmation(&started).await;
    let last = rig.append("a", 1);
    assert_eq!(client.until(last).await, [last]);
    rig.stop().await;
}

#[tokio::test]
async fn a_tenant_is_followed_while_somebody_is_there_and_a_while_longer() {
    let rig = Rig::start(FeedConfig { linger: Duration::from_millis(20), ..config() }).await;
    let mut client = rig.connect().await;
    client.watch().await;
    soon(rig.state.wait_followed(&[TENANT])).await;
    drop(client);
    soon(rig.state.wait_followed(&[])).await;
    // And again, from the head of that moment on.
    rig.append("a", 1);
    let mut client = rig.connect().await;
    assert_eq!(client.watch().await.cursor.revision, 1);
    rig.append("a", 1);
    assert_eq!(client.until(2).await, [2]);
    rig.stop().await;
}

#[tokio::test]
async fn the_latest_measurements_arrive_on_the_board() {
    let rig = Rig::start(config()).await;
    let mut client = rig.connect().await;
    client.watch().await;
    let mut board = rig.feeds.metrics(TENANT);
    let load = |load| v1::AgentMetrics {
        agent_id: "a".into(),
        values: [("current_load".to_owned(), load)].into(),
        ..Default::default()
    };
    rig.state.set_metrics(TENANT, vec![load(0.5)]);
    soon(board.changed()).await.unwrap();
    assert_eq!(board.latest().agents["a"].values["current_load"], 0.5);
    rig.state.append(TENANT, v1::Event { r#type: "agent.deleted".into(), ..event("a", 1) });
    soon(board.changed()).await.unwrap();
    assert!(board.latest().agents.is_empty());
    rig.stop().await;
}

#[tokio::test]
async fn an_event_that_cannot_be_read_keeps_its_place_and_is_shown_to_nobody() {
    let rig = Rig::start(config()).await;
    let mut client = rig.connect().await;
    client.watch().await;
    rig.append("a", 1);
    rig.state.append(TENANT, v1::Event { data: b"no json".as_slice().into(), ..event("a", 1) });
    let last = rig.append("a", 1);
    assert_eq!(client.until(last).await, [1, 3]);
    rig.stop().await;
}

#[tokio::test]
async fn the_stream_is_opened_again_before_its_credential_expires() {
    let rig = Rig::start_with(config(), |upstream| {
        upstream.token_ttl = Duration::from_secs(1);
        upstream.degraded_after = Duration::from_secs(10);
    })
    .await;
    let mut client = rig.connect().await;
    client.watch().await;
    let mut health = rig.feeds.upstream_health();
    // It may have taken its time to begin.
    soon(health.wait_for(|health| *health == Health::Healthy)).await.unwrap();
    let mut last = 0;
    while rig.state.watches() < 3 {
        last = rig.append("a", 1);
        assert_eq!(client.until(last).await, [last]);
    }
    assert!(last > 0 && !health.has_changed().unwrap(), "nobody has noticed");
    rig.stop().await;
}

#[tokio::test]
async fn answers_go_out_while_the_log_cannot_be_read() {
    let rig = Rig::start(FeedConfig { ring_len_max: 4, ..config() }).await;
    let mut client = rig.connect().await;
    client.watch().await;
    for _ in 0..20 {
        rig.append("a", 1);
    }
    client.until(20).await;
    rig.state.set_down(true);
    let from = Start::From(Origin::After(rig.state.cursor(TENANT, 2)));
    let resuming = client.member.subscribe(everything(), from, Box::new(|_| vec!["\"resumed\"".into()]));
    let answering = async {
        soon(rig.wait_for_stragglers()).await;
        client.member.send("\"answer\"").unwrap();
        assert_eq!(soon(read_frame(&mut client.stream)).await, Received::text("\"answer\""));
        rig.state.set_down(false);
    };
    let (resumed, ()) = tokio::join!(soon(resuming), answering);
    assert_eq!(resumed.unwrap().cursor.revision, 2);
    assert_eq!(client.next().await, Received::text("\"resumed\""));
    assert_eq!(client.until(20).await, (3..=20).collect::<Vec<_>>());
    rig.stop().await;
}

#[tokio::test]
async fn tenants_do_not_see_each_other() {
    let rig = Rig::start(config()).await;
    let mut ours = rig.connect().await;
    let mut theirs = rig.connect_in("other", PLAIN).await;
    ours.watch().await;
    theirs.watch().await;
    rig.state.append("other", event("theirs", 1));
    rig.state.append(TENANT, event("ours", 1));
    for (client, agent) in [(&mut ours, "ours"), (&mut theirs, "theirs")] {
        let Received::Text(shown) = client.next().await else { panic!("an event") };
        assert_eq!((shown["agent"].as_str(), shown["revision"].as_u64()), (Some(agent), Some(1)));
    }
    rig.stop().await;
}

#[tokio::test]
async fn what_was_written_is_measured() {
    // Whoever asks first installs the recorder, which the handles are made from.
    let _ = signalbox_telemetry::metrics_text();
    let rig = Rig::start(config()).await;
    let mut client = rig.connect().await;
    client.watch().await;
    for _ in 0..3 {
        let last = rig.append("a", 1);
        client.until(last).await;
    }
    rig.stop().await;
    let text = signalbox_telemetry::metrics_text();
    for line in ["signalbox_commit_to_frame_seconds_count 3", "signalbox_edge_deliveries_total 3"] {
        assert!(text.contains(line), "{line} in {text}");
    }
}
