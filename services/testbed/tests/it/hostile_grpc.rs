//! Connections and calls made to hurt the state service: bytes one at a time, floods of frames and metadata, sockets
//! that say nothing, messages that are cut off, too long or blown up. Each ends soon, and others are served meanwhile.

mod raw;
mod wire;

use std::time::Duration;

use signalbox_identity::Role;
use signalbox_proto::v1;
use signalbox_testbed::{Client, PATIENCE, State, TENANT, Watcher, database, soon, token};
use tokio::time::Instant;
use tonic::{Code, Status, metadata::MetadataValue};

use raw::Raw;
use wire::Wire;

/// How long a stranger may stay in these tests: long enough for the calls of those who are none, on a slow machine.
const STRANGER: Duration = Duration::from_secs(5);

async fn state() -> State {
    State::start_with(&database().await, |config| {
        config.stranger_timeout_ms = STRANGER.as_millis().try_into().unwrap();
    })
    .await
}

async fn is_served(state: &State) {
    let client = Client::new(state.channel(), Role::Viewer);
    soon("answer", client.agents().list_agents(v1::ListAgentsRequest::default())).await.unwrap();
}

fn anomaly(data: impl Into<Vec<u8>>) -> v1::PublishRequest {
    let event = v1::EventInput {
        r#type: "ueba.anomaly".into(),
        data: data.into().into(),
        ..v1::EventInput::default()
    };
    v1::PublishRequest { events: vec![event], ..v1::PublishRequest::default() }
}

/// Publishes one event on a connection of its own, and gives what became of it.
async fn publish(state: &State, data: impl Into<Vec<u8>>) -> Result<v1::PublishResult, Status> {
    publish_by(&Client::new(state.channel(), Role::Operator), data).await
}

async fn publish_by(client: &Client, data: impl Into<Vec<u8>>) -> Result<v1::PublishResult, Status> {
    let answer = soon("answer", client.events().publish(anomaly(data))).await?.into_inner();
    Ok(answer.results.into_iter().next().expect("a result for each event"))
}

#[tokio::test]
async fn a_preface_of_a_byte_at_a_time_is_cut_off() {
    let state = state().await;
    let mut wire = Wire::connect(&state).await;
    let began = Instant::now();
    for byte in wire::PREFACE.iter().copied().chain(std::iter::repeat(0)) {
        if !wire.send(&[byte]).await {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "it goes on for ever");
        // Slowly is what this is about.
        tokio::time::sleep(STRANGER / 100).await;
    }
    is_served(&state).await;
    state.stop().await;
}

#[tokio::test]
async fn thousands_without_a_credential_are_gone_soon_and_who_has_one_stays() {
    const ROUNDS: usize = 10;
    const AT_ONCE: usize = 200;
    let state = State::start_with(&database().await, |config| {
        config.stranger_timeout_ms = 2000;
        config.connections_max = AT_ONCE + 20;
    })
    .await;
    let known = state.channel();
    let mut watcher = Watcher::start(known.clone()).await;
    let publisher = Client::new(known, Role::Operator);
    for round in 0..ROUNDS {
        let mut strangers = Vec::new();
        for index in 0..AT_ONCE {
            let mut stranger = Wire::connect(&state).await;
            // Some say nothing at all, some speak HTTP/2 as it should be and show no credential.
            if index % 2 == 0 {
                stranger.send(&[wire::PREFACE, &wire::frame(wire::SETTINGS, 0, 0, &[])].concat()).await;
            }
            strangers.push(stranger);
        }
        publish_by(&publisher, format!(r#"{{"entity":"user:{round}","score":0.5}}"#)).await.unwrap();
        for stranger in &mut strangers {
            stranger.ended().await;
        }
    }
    for _ in 0..ROUNDS {
        watcher.next().await;
    }
    state.stop().await;
}

#[tokio::test]
async fn connections_beyond_the_last_place_are_cut_off() {
    let state = State::start_with(&database().await, |config| config.connections_max = 1).await;
    let watcher = Watcher::start(state.channel()).await;
    let mut second = Wire::connect(&state).await;
    second.send(wire::PREFACE).await;
    second.ended().await;
    drop(watcher);
    let again = async {
        // The place is free once the connection has ended on the server's side too, which nothing tells.
        while publish(&state, r#"{"entity":"user:1","score":0.5}"#).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    soon("free place", again).await;
    state.stop().await;
}

#[tokio::test]
async fn floods_of_frames_are_cut_off() {
    use wire::{CONTINUATION, DATA, HEADERS, PING, RST_STREAM, SETTINGS, frame};
    let state = state().await;
    let cookie = [0x00, 1, b'a', 1, b'b'];
    let opened = |stream: u32| {
        let head = wire::head("/signalbox.v1.EventService/Publish", "not a token");
        [frame(HEADERS, wire::END_HEADERS, stream, &head), frame(RST_STREAM, 0, stream, &[0, 0, 0, 8])]
            .concat()
    };
    for (what, flood) in [
        ("pings", frame(PING, 0, 0, &[0; 8]).repeat(500)),
        ("settings", frame(SETTINGS, 0, 0, &[]).repeat(500)),
        ("headers without end", {
            let begun = frame(HEADERS, 0, 1, &cookie);
            [begun, frame(CONTINUATION, 0, 1, &cookie.repeat(200)).repeat(500)].concat()
        }),
        ("data of no stream", frame(DATA, 0, 1, &[]).repeat(500)),
        ("calls that are taken back", (0..500).flat_map(|index| opened(2 * index + 1)).collect()),
        ("no frames", b"GET / HTTP/1.1\r\nHost: state\r\n\r\n".repeat(100)),
    ] {
        let mut wire = Wire::connect(&state).await;
        wire.send(&[wire::PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()).await;
        soon(what, wire.flood(&flood)).await;
        is_served(&state).await;
    }
    state.stop().await;
}

#[tokio::test]
async fn too_much_metadata_is_refused_and_the_connection_goes_on() {
    let state = state().await;
    let client = Client::new(state.channel(), Role::Viewer);
    for _ in 0..3 {
        let mut request = tonic::Request::new(v1::ListAgentsRequest::default());
        for index in 0..40 {
            let name: tonic::metadata::AsciiMetadataKey = format!("x-{index}").parse().unwrap();
            request.metadata_mut().insert(name, MetadataValue::try_from("y".repeat(1024)).unwrap());
        }
        assert!(soon("answer", client.agents().list_agents(request)).await.is_err());
        soon("answer", client.agents().list_agents(v1::ListAgentsRequest::default())).await.unwrap();
    }
    state.stop().await;
}

#[tokio::test]
async fn messages_that_are_none_are_refused_by_every_service() {
    let state = state().await;
    let random: Vec<u8> =
        (0..1024_u32).flat_map(|index| index.wrapping_mul(2_654_435_761).to_be_bytes()).collect();
    let messages = [
        ("cut off", vec![0x0a, 0x7f, b'x']),
        ("a length beyond all", vec![0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]),
        ("a number without end", vec![0x08; 64].into_iter().chain([0xff; 64]).collect()),
        ("a field of no kind", vec![0x07; 32]),
        ("groups in groups", vec![0x0b; 1 << 20]),
        ("text that is no UTF-8", vec![0x0a, 0x02, 0xff, 0xfe]),
        ("random", random),
    ];
    for path in [
        "/signalbox.v1.EventService/Publish",
        "/signalbox.v1.EventService/PublishStream",
        "/signalbox.v1.WatchService/Watch",
        "/signalbox.v1.AgentService/Connect",
        "/signalbox.v1.AgentService/ListAgents",
        "/signalbox.v1.ResourceService/CreateResource",
    ] {
        let operator = Raw::new(
            &state,
            &token(TENANT, if path.ends_with("Connect") { Role::Agent } else { Role::Operator }),
        );
        for (what, message) in &messages {
            let status = operator.call(path, message.clone()).await;
            assert_ne!(status.code(), Code::Ok, "{path}: {what}");
            assert_ne!(status.code(), Code::Unknown, "{path}: {what}: {status:?}");
        }
    }
    is_served(&state).await;
    state.stop().await;
}

#[tokio::test]
async fn messages_that_are_too_long_are_refused_however_short_they_come() {
    let state = state().await;
    let operator = Raw::new(&state, &token(TENANT, Role::Operator));
    let path = "/signalbox.v1.EventService/Publish";
    // The refusal does not wait for the end of the message, and may cut off who still sends.
    let long = operator.call(path, vec![0; 5 << 20]).await;
    assert!(matches!(long.code(), Code::OutOfRange | Code::ResourceExhausted | Code::Unknown), "{long:?}");
    // Zeros are a thousand times as short on the wire. To make them so takes its time, for which the caller is known.
    let operator = Raw::new(&state, &token(TENANT, Role::Operator)).compressed();
    operator.call(path, Vec::new()).await;
    let bomb = operator.call(path, vec![0; 16 << 20]).await;
    assert!(matches!(bomb.code(), Code::OutOfRange | Code::ResourceExhausted), "{bomb:?}");
    is_served(&state).await;
    state.stop().await;
}

#[tokio::test]
async fn a_message_that_ends_before_its_length_leaves_nothing_behind() {
    let state = state().await;
    let path = "/signalbox.v1.EventService/Publish";
    let mut watcher = Watcher::start(state.channel()).await;
    for (sent, last) in [(10, true), (10, false), (0, true)] {
        let mut wire = Wire::connect(&state).await;
        let head = wire::head(path, &token(TENANT, Role::Operator));
        // Five bytes of gRPC say that a hundred follow.
        let body = [&[0, 0, 0, 0, 100][..], &vec![0x0a; sent]].concat();
        let flags = if last { wire::END_STREAM } else { 0 };
        let call = [
            wire::PREFACE,
            &wire::frame(wire::SETTINGS, 0, 0, &[]),
            &wire::frame(wire::HEADERS, wire::END_HEADERS, 1, &head),
            &wire::frame(wire::DATA, flags, 1, &body),
        ];
        assert!(wire.send(&call.concat()).await);
        if last {
            soon("refusal", wire.until(wire::HEADERS)).await;
        }
    }
    publish(&state, r#"{"entity":"user:1","score":0.5}"#).await.unwrap();
    let event = watcher.next().await;
    assert_eq!(event.r#type, "ueba.anomaly", "of the messages that were cut off there is nothing");
    state.stop().await;
}

#[tokio::test]
async fn data_made_to_hurt_is_refused_by_field() {
    let state = state().await;
    let within = |details: &str| format!(r#"{{"entity":"user:1","score":0.5,"details":{{"x":{details}}}}}"#);
    for (what, data) in [
        ("lists in lists", "[".repeat(200_000)),
        ("lists in lists that are closed", within(&("[".repeat(5000) + &"]".repeat(5000)))),
        ("objects in objects", r#"{"a":"#.repeat(50_000)),
        ("an exponent above all", within("1e999")),
        ("a score of many digits", format!(r#"{{"entity":"user:1","score":{}}}"#, "9".repeat(400))),
        ("half a character", within(r#""\ud800""#)),
        ("no UTF-8", String::new()),
    ] {
        let bytes =
            if what == "no UTF-8" { b"{\"entity\":\"\xff\xfe\"}".to_vec() } else { data.into_bytes() };
        let refused = publish(&state, bytes).await.unwrap();
        assert_eq!((refused.code.as_str(), refused.revision), ("INVALID_ARGUMENT", 0), "{what}: {refused:?}");
        assert!(refused.error.len() < 4096, "{what}: what was sent is not sent back");
    }
    is_served(&state).await;
    state.stop().await;
}
