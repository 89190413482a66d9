//! Revisions are dense and in the order of the commits, whoever writes and whoever watches.

use std::sync::Arc;

use signalbox_identity::Role;
use signalbox_proto::v1;
use signalbox_testbed::{Client, State, Watcher, database};
use tokio::sync::Barrier;

const WRITERS: usize = 64;
const CALLS_EACH: usize = 20;
const EVENTS_A_CALL: usize = 3;

fn data(call: usize, n: usize) -> String {
    format!(r#"{{"title":"odd","severity":"low","details":{{"call":{call},"n":{n}}}}}"#)
}

fn batch(writer: usize, call: usize) -> v1::PublishRequest {
    let event = |n: usize| v1::EventInput {
        r#type: "detection.triggered".into(),
        subject: format!("writer-{writer}"),
        data: data(call, n).into(),
        ..v1::EventInput::default()
    };
    v1::PublishRequest { events: (0..EVENTS_A_CALL).map(event).collect(), idempotency_key: String::new() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_writers_on_two_replicas_make_revisions_without_hole_or_repeat() {
    let database = database().await;
    let (a, b) = (State::start(&database).await, State::start(&database).await);
    let mut from_the_start = Watcher::start(a.channel()).await.with_calls();
    let ready = Arc::new(Barrier::new(WRITERS));
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let channel = if writer % 2 == 0 { a.channel() } else { b.channel() };
            let (client, ready) = (Client::new(channel, Role::Operator), Arc::clone(&ready));
            tokio::spawn(async move {
                ready.wait().await;
                let mut revisions = Vec::new();
                for call in 0..CALLS_EACH {
                    let answer = client
                        .events()
                        .publish(batch(writer, call))
                        .await
                        .expect("it is logged")
                        .into_inner();
                    revisions.push(answer.results.iter().map(|result| result.revision).collect::<Vec<_>>());
                }
                revisions
            })
        })
        .collect();

    // Each call is told of as well.
    let total = (WRITERS * CALLS_EACH * (EVENTS_A_CALL + 1)) as u64;
    let mut in_the_middle = None;
    let mut seen = Vec::new();
    while seen.len() < usize::try_from(total).unwrap() {
        seen.push(from_the_start.next().await);
        if seen.len() == usize::try_from(total / 2).unwrap() {
            let epoch = from_the_start.started.after.clone().unwrap().epoch;
            let after = v1::Cursor { epoch, revision: from_the_start.position };
            let watcher = Watcher::start_after(b.channel(), Some(after)).await.with_calls();
            in_the_middle = Some((seen.len(), watcher));
        }
    }

    // The watcher has asserted that revisions are 1, 2, 3, …; commit times never run backwards on one clock.
    assert_eq!(from_the_start.position, total);
    let committed = |event: &v1::Event| {
        let at = event.committed_at.unwrap();
        (at.seconds, at.nanos)
    };
    assert!(seen.is_sorted_by_key(committed), "revision order is not commit order");

    let (joined_at, mut late) = in_the_middle.expect("the middle was passed");
    for event in &seen[joined_at..] {
        assert_eq!(&late.next().await, event, "the one who joined sees the same log");
    }

    for (writer, task) in writers.into_iter().enumerate() {
        let revisions = task.await.unwrap();
        assert!(revisions.concat().is_sorted(), "a writer's calls are in the order of its calls");
        for (call, revisions) in revisions.iter().enumerate() {
            assert!(revisions.windows(2).all(|pair| pair[1] == pair[0] + 1), "a change is in one piece");
            for (n, revision) in revisions.iter().enumerate() {
                let event = &seen[usize::try_from(revision - 1).unwrap()];
                assert_eq!(event.subject, format!("writer-{writer}"));
                assert_eq!(event.data, data(call, n).as_bytes());
                assert_eq!(event.change_end, *revisions.last().unwrap());
            }
        }
    }
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn a_repeated_call_with_its_key_has_no_further_effect() {
    let database = database().await;
    let state = State::start(&database).await;
    let client = Client::new(state.channel(), Role::Operator);
    let request = v1::PublishRequest { idempotency_key: "once".into(), ..batch(1, 1) };
    let first = client.events().publish(request.clone()).await.unwrap().into_inner();
    let again = client.events().publish(request).await.unwrap().into_inner();
    assert_eq!(first, again);

    let other = v1::PublishRequest { idempotency_key: "once".into(), ..batch(1, 2) };
    let refused = client.events().publish(other).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::AlreadyExists);

    let viewer = Client::new(state.channel(), Role::Viewer);
    let log = viewer.watch().read(v1::ReadRequest::default()).await.unwrap().into_inner();
    assert_eq!(log.events.len(), EVENTS_A_CALL);
    state.stop().await;
}
