//! What a connected client receives, in which order, and what it costs.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::rig::{Client, PLAIN, Received, Rig, TENANT, TWICE, TYPE, config, event, everything, soon};
use crate::{
    feed::{CloseCause, LatestSlot, MemberNotice, NoEvent, Start, SubscribeError, entry::Entry},
    frame::Frame,
    interest::{Filters, Interest, Pattern, Scope, Topic},
};

fn of_agents(agents: &[&str]) -> Interest {
    let topics = agents.iter().map(|agent| Topic::Agent((*agent).to_owned())).collect::<BTreeSet<_>>();
    Interest { types: BTreeMap::from([(TYPE.to_owned(), Scope::Only(topics))]), ..Interest::default() }
}

#[tokio::test]
async fn an_event_reaches_everybody_who_wants_it_and_nobody_else() {
    let rig = Rig::start(config()).await;
    let mut all = rig.connect().await;
    let mut only_a = rig.connect().await;
    let mut but_a = rig.connect().await;
    all.watch().await;
    let started = only_a.subscribe(of_agents(&["a"]), Start::Live).await.unwrap();
    only_a.expect_confirmation(&started).await;
    let topics = BTreeSet::from([Topic::Agent("a".into())]);
    let interest =
        Interest { types: BTreeMap::from([(TYPE.to_owned(), Scope::AllBut(topics))]), ..Interest::default() };
    let started = but_a.subscribe(interest, Start::Live).await.unwrap();
    but_a.expect_confirmation(&started).await;
    for agent in ["a", "b", "a", "c"] {
        rig.append(agent, 10);
    }
    assert_eq!(all.until(4).await, [1, 2, 3, 4]);
    assert_eq!(only_a.until(3).await, [1, 3]);
    assert_eq!(but_a.until(4).await, [2, 4]);
    rig.stop().await;
}

#[tokio::test]
async fn a_filter_on_an_attribute_that_the_type_lacks_passes_its_events() {
    let rig = Rig::start(config()).await;
    let mut client = rig.connect().await;
    let filters = Filters(BTreeMap::from([("severity", vec![Pattern::new("HIGH")])]));
    let started = client.subscribe(Interest { filters, ..everything() }, Start::Live).await.unwrap();
    client.expect_confirmation(&started).await;
    let revision = rig.append("a", 1);
    assert_eq!(client.until(revision).await, [revision]);
    rig.stop().await;
}

#[tokio::test]
async fn one_event_may_become_several_frames() {
    let rig = Rig::start(config()).await;
    let mut client = rig.connect_as(TWICE).await;
    client.watch().await;
    rig.append("a", 1);
    assert_eq!(client.next().await, Received::text(r#"{"revision":1,"part":1}"#));
    assert_eq!(client.next().await, Received::text(r#"{"revision":1,"part":2}"#));
    rig.stop().await;
}

#[tokio::test]
async fn frames_are_made_once_and_shared() {
    let rig = Rig::start(config()).await;
    let encoders = Arc::clone(&rig.feeds.inner.context.encoders);
    let meter = Arc::default();
    let mut proto = event("a", 100);
    proto.revision = 1;
    proto.time = Some(signalbox_proto::timestamp(signalbox_telemetry::now()));
    proto.committed_at = proto.time;
    let event = crate::event::Event::from_proto(&"epoch".into(), proto).unwrap();
    let entry = Entry::new(event, 100, encoders.len(), &meter);
    let first = entry.frames(PLAIN, &encoders).unwrap().clone();
    let second = entry.frames(PLAIN, &encoders).unwrap().clone();
    assert_eq!(first.as_ptr(), second.as_ptr());
    assert_ne!(first.as_ptr(), entry.frames(TWICE, &encoders).unwrap().as_ptr());
    assert!(meter.load(std::sync::atomic::Ordering::Relaxed) > first.len());
    drop(entry);
    assert_eq!(meter.load(std::sync::atomic::Ordering::Relaxed), 0);
    rig.stop().await;
}

#[tokio::test]
async fn a_changed_interest_holds_from_one_revision_on() {
    let rig = Rig::start(config()).await;
    let mut client = rig.connect().await;
    client.watch().await;
    rig.append("a", 1);
    assert_eq!(client.until(1).await, [1]);
    let started = client.subscribe(of_agents(&["b"]), Start::Keep).await.unwrap();
    assert_eq!((started.cursor.revision, started.head, started.gap.is_none()), (1, 1, true));
    client.expect_confirmation(&started).await;
    rig.append("a", 1);
    rig.append("b", 1);
    assert_eq!(client.until(3).await, [3]);
    let started = client.subscribe(Interest::default(), Start::Keep).await.unwrap();
    client.expect_confirmation(&started).await;
    rig.append("b", 1);
    let started = client.subscribe(everything(), Start::Keep).await.unwrap();
    client.expect_confirmation(&started).await;
    let last = rig.append("b", 1);
    let revisions = client.until(last).await;
    assert_eq!(revisions, (started.cursor.revision + 1..=last).collect::<Vec<_>>());
    rig.stop().await;
}

#[tokio::test]
async fn a_subscription_without_a_tenant_is_refused() {
    let rig = Rig::start(config()).await;
    let (_client, server) = tokio::io::duplex(64);
    let (member, _notices) = rig.feeds.join(PLAIN, Nowhere(server));
    let result = member.subscribe(everything(), Start::Live, Box::new(|_| Vec::new())).await;
    assert_eq!(result, Err(SubscribeError::NoTenant));
    rig.stop().await;
}

/// A socket that takes everything.
struct Nowhere(#[expect(dead_code, reason = "kept open")] tokio::io::DuplexStream);

impl crate::feed::Socket for Nowhere {
    fn try_write(&mut self, slices: &[std::io::IoSlice<'_>]) -> std::io::Result<usize> {
        Ok(slices.iter().map(|slice| slice.len()).sum())
    }

    fn poll_writable(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn answers_go_out_before_there_is_a_tenant_and_the_close_frame_is_the_last() {
    let rig = Rig::start(config()).await;
    let mut client = rig.connect().await;
    client.member.send(r#"{"type":"error"}"#).unwrap();
    client.member.ping(b"are you there").unwrap();
    client.member.pong(b"yes").unwrap();
    client.member.close(4000, "no credentials");
    client.member.send(r#"{"too":"late"}"#).unwrap();
    assert_eq!(client.next().await, Received::text(r#"{"type":"error"}"#));
    assert_eq!(client.next().await, Received::Ping(b"are you there".to_vec()));
    assert_eq!(client.next().await, Received::Pong(b"yes".to_vec()));
    assert_eq!(client.next().await, Received::Close(4000, "no credentials".into()));
    assert_eq!(client.notice().await, MemberNotice::Closed(CloseCause::Requested));
    let Client { mut stream, member, .. } = client;
    drop(member);
    let end = soon(tokio::io::AsyncReadExt::read_u8(&mut stream)).await;
    assert!(end.is_err(), "the socket ends with its member");
    rig.stop().await;
}

#[tokio::test]
async fn no_event_follows_a_close() {
    let rig = Rig::start(config()).await;
    let mut client = rig.connect().await;
    let mut witness = rig.connect().await;
    client.watch().await;
    witness.watch().await;
    client.member.close(1001, "going away");
    assert_eq!(client.next().await, Received::Close(1001, "going away".into()));
    rig.append("a", 1);
    assert_eq!(witness.until(1).await, [1]);
    let Client { mut stream, member, .. } = client;
    drop(member);
    assert!(soon(tokio::io::AsyncReadExt::read_u8(&mut stream)).await.is_err());
    rig.stop().await;
}

#[tokio::test]
async fn an_unsent_frame_of_the_same_slot_is_replaced() {
    let rig = Rig::start(config()).await;
    let mut client = rig.connect().await;
    client.watch().await;
    // The client reads nothing until its connection is full.
    while rig.feeds.stragglers() == 0 {
        rig.append("a", 30_000);
        tokio::task::yield_now().await;
    }
    let slot = LatestSlot(7);
    for latest in 0..100 {
        client.member.send_latest(slot, Frame::text(&serde_json::json!({ "latest": latest }).to_string()));
    }
    let mut latest = Vec::new();
    let last = rig.append("a", 1);
    loop {
        let received = client.next().await;
        if let Received::Text(value) = &received
            && let Some(number) = value["latest"].as_u64()
        {
            latest.push(number);
        }
        if received.revision() == Some(last) {
            break;
        }
    }
    assert_eq!(latest, [99]);
    rig.stop().await;
}

#[tokio::test]
async fn who_waits_for_one_event_gets_the_next_that_matches() {
    let rig = Rig::start(config()).await;
    let mut client = rig.connect().await;
    client.watch().await;
    let waiting = rig.feeds.once(TENANT, of_agents(&["b"]));
    rig.append("a", 1);
    rig.append("b", 1);
    rig.append("b", 1);
    assert_eq!(soon(waiting).await.unwrap().revision, 2);
    rig.stop().await;
}

#[tokio::test]
async fn too_many_waiters_are_refused_and_those_who_gave_up_make_room() {
    let rig = Rig::start(crate::feed::FeedConfig { waiters_max: 1, ..config() }).await;
    let first = rig.feeds.once(TENANT, everything());
    assert_eq!(soon(rig.feeds.once(TENANT, everything())).await.unwrap_err(), NoEvent::TooMany);
    drop(first);
    let mut client = rig.connect().await;
    client.watch().await;
    let third = rig.feeds.once(TENANT, everything());
    rig.append("a", 1);
    assert_eq!(soon(third).await.unwrap().revision, 1);
    rig.stop().await;
}

#[tokio::test]
async fn sockets_are_counted_and_the_shutdown_ends_them() {
    let rig = Rig::start(config()).await;
    let clients = [rig.connect().await, rig.connect().await, rig.connect().await];
    assert_eq!(rig.feeds.live_sockets(), 3);
    let feeds = rig.feeds.clone();
    rig.stop().await;
    for mut client in clients {
        assert_eq!(client.notice().await, MemberNotice::Closed(CloseCause::Shutdown));
        assert_eq!(client.next().await, Received::End);
    }
    assert_eq!(feeds.live_sockets(), 0);
}
