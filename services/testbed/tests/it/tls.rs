//! Encrypted connections from end to end, with certificates of a private authority.

pub(crate) mod authority;
mod socket;

use std::{net::SocketAddr, time::Duration};

use signalbox_identity::Role;
use signalbox_proto::v1;
use signalbox_state::ClientIdentity;
use signalbox_testbed::{
    AgentWire, Client, Edge, State, TENANT, agent_token, database, hello, soon, token, token_config,
};
use signalbox_transport::{ClientTlsConfig, ServerTlsConfig, endpoint};
use tokio::{io::AsyncWriteExt as _, net::TcpStream};
use tonic::transport::Channel;

use authority::Authority;
use socket::Socket;

/// How large the data of one event is, and how many there are: more than sockets and buffers hold.
const EVENT_LEN: usize = 60_000;
const EVENTS: usize = 300;

fn url(state: &State) -> String {
    format!("https://{}", state.address)
}

fn channel(state: &State, tls: &ClientTlsConfig) -> Channel {
    endpoint(&url(state), tls).expect("the files are good").connect_lazy()
}

async fn house(authority: &Authority) -> (State, Edge) {
    let state = State::start_with(&database().await, |config| config.tls = authority.server()).await;
    let edge = Edge::start_with(&url(&state), |config| {
        config.tls = authority.server();
        config.client_tls = authority.client();
    })
    .await;
    (state, edge)
}

fn anomalies(count: usize) -> v1::PublishRequest {
    let text = "x".repeat(EVENT_LEN);
    let event = |number| v1::EventInput {
        r#type: "ueba.anomaly".into(),
        data: format!(r#"{{"entity":"user:{number}","score":0.5,"details":{{"text":"{text}"}}}}"#)
            .into_bytes()
            .into(),
        ..v1::EventInput::default()
    };
    v1::PublishRequest { events: (0..count).map(event).collect(), ..v1::PublishRequest::default() }
}

async fn list_agents(client: &Client) -> Result<(), tonic::Status> {
    soon("answer", client.agents().list_agents(v1::ListAgentsRequest::default())).await.map(drop)
}

#[tokio::test]
async fn an_event_goes_its_whole_way_encrypted() {
    let authority = Authority::new();
    let (state, edge) = house(&authority).await;
    let operator = Client::new(channel(&state, &authority.client()), Role::Operator);
    let mut socket = Socket::open(edge.address, &authority).await.expect("the edge is certified");
    assert_eq!(socket.encrypted_for.as_deref(), Some("max-age=31536000"));
    socket.subscribe().await;
    operator.events().publish(anomalies(1)).await.unwrap();
    assert!(socket.next_anomaly().await.len() > EVENT_LEN);
    let agents = Client::new(channel(&state, &authority.client()), Role::Agent);
    AgentWire::open_as(&agents, hello("encrypted")).await.unwrap();
    edge.stop().await;
    state.stop().await;
}

#[tokio::test]
async fn a_client_that_does_not_read_for_a_while_misses_nothing() {
    let authority = Authority::new();
    let (state, edge) = house(&authority).await;
    let operator = Client::new(channel(&state, &authority.client()), Role::Operator);
    let mut socket = Socket::open(edge.address, &authority).await.expect("the edge is certified");
    let mut other = Socket::open(edge.address, &authority).await.expect("the edge is certified");
    socket.subscribe().await;
    other.subscribe().await;
    for _ in 0..EVENTS / 50 {
        operator.events().publish(anomalies(50)).await.unwrap();
    }
    // One that reads has everything: so has the edge, and the first socket is full.
    for _ in 0..EVENTS {
        other.next_anomaly().await;
    }
    for _ in 0..EVENTS {
        assert!(socket.next_anomaly().await.len() > EVENT_LEN);
    }
    assert!(socket.answers_ping().await);
    edge.stop().await;
    state.stop().await;
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_and_drops_no_socket() {
    let authority = Authority::new();
    let (state, edge) = house(&authority).await;
    let mut old = Socket::open(edge.address, &authority).await.expect("the edge is certified");
    authority.certify("server");
    soon("new certificate", async {
        loop {
            let new = Socket::open(edge.address, &authority).await.expect("the edge is certified");
            if new.certificate() != old.certificate() {
                break;
            }
            // Nothing tells when the files were read again.
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    })
    .await;
    assert!(old.answers_ping().await);
    edge.stop().await;
    state.stop().await;
}

#[tokio::test]
async fn who_speaks_plaintext_or_trusts_others_gets_nothing() {
    let authority = Authority::new();
    let (state, edge) = house(&authority).await;
    let in_clear = Client::new(state.channel(), Role::Viewer);
    assert!(list_agents(&in_clear).await.is_err());
    let plain = format!("ws://{}/v1/ws?token={}", edge.address, token(TENANT, Role::Viewer));
    assert!(soon("refusal", tokio_tungstenite::connect_async(plain)).await.is_err());
    let stranger = Authority::new();
    assert!(Socket::open(edge.address, &stranger).await.is_err());
    let client = Client::new(channel(&state, &stranger.client()), Role::Viewer);
    assert!(list_agents(&client).await.is_err());
    let client = Client::new(channel(&state, &authority.client()), Role::Viewer);
    list_agents(&client).await.unwrap();
    edge.stop().await;
    state.stop().await;
}

#[tokio::test]
async fn where_clients_are_asked_for_certificates_only_those_with_one_get_in() {
    let authority = Authority::new();
    let mut tls = authority.server();
    tls.tls_client_ca = Some(authority.path());
    let state = State::start_with(&database().await, |config| config.tls = tls).await;
    let without = Client::new(channel(&state, &authority.client()), Role::Agent);
    assert!(AgentWire::open_as(&without, hello("nameless")).await.is_err());
    let foreign = Authority::new();
    let other = ClientTlsConfig { tls_ca: Some(authority.path()), ..foreign.certified_client() };
    let other = Client::new(channel(&state, &other), Role::Agent);
    assert!(AgentWire::open_as(&other, hello("foreign")).await.is_err());
    let with = Client::new(channel(&state, &authority.certified_client()), Role::Agent);
    AgentWire::open_as(&with, hello("certified")).await.unwrap();
    state.stop().await;
}

#[tokio::test]
async fn an_agent_is_the_one_that_its_certificate_names() {
    let authority = Authority::new();
    let mut tls = authority.server();
    tls.tls_client_ca = Some(authority.path());
    let state = State::start_with(&database().await, |config| {
        (config.tls, config.tls_client_identity) = (tls, ClientIdentity::AgentId);
    })
    .await;
    let code = |opened: Result<AgentWire, tonic::Status>| opened.err().map(|status| status.code());
    let connect = |client: Client, agent_id: &'static str| async move {
        code(AgentWire::open_as(&client, hello(agent_id)).await)
    };
    let named = |uris: &[&str]| channel(&state, &authority.named_client(uris));
    let denied = Some(tonic::Code::PermissionDenied);

    let web_1 = named(&["signalbox://acme/agent/web-1"]);
    let mut bare = v1::agent_service_client::AgentServiceClient::new(web_1.clone());
    let first = |agent_id: &str| v1::ConnectRequest {
        message: Some(v1::connect_request::Message::Hello(hello(agent_id))),
    };
    let mut own = bare.connect(tokio_stream::iter([first("web-1")])).await.unwrap().into_inner();
    let welcome = soon("welcome", own.message()).await.unwrap().and_then(|message| message.message);
    assert!(matches!(welcome, Some(v1::connect_response::Message::Welcome(_))), "{welcome:?}");
    let mut other = bare.connect(tokio_stream::iter([first("web-2")])).await.unwrap().into_inner();
    let refused = soon("refusal", other.message()).await.unwrap_err();
    assert!(refused.message().contains("web-1") && refused.message().contains("web-2"), "{refused}");

    let fleet = |channel| Client::new(channel, Role::Agent);
    assert_eq!(connect(fleet(web_1.clone()), "web-1").await, None);
    assert_eq!(connect(fleet(web_1.clone()), "web-2").await, denied, "a fleet's token is bound by it");
    let bound = Client::with_token(web_1, &agent_token("web-2"));
    assert_eq!(connect(bound, "web-2").await, denied, "the token and the certificate differ");
    let foreign = named(&["signalbox://other/agent/web-1"]);
    assert_eq!(connect(fleet(foreign), "web-1").await, denied, "the tenants differ");
    assert_eq!(connect(fleet(named(&[])), "web-1").await, denied, "it names no agent");
    let several = named(&["signalbox://acme/agent/web-1", "signalbox://acme/agent/web-2"]);
    assert_eq!(connect(fleet(several), "web-1").await, Some(tonic::Code::Unauthenticated));
    list_agents(&Client::new(named(&[]), Role::Viewer)).await.expect("people need no such name");
    state.stop().await;
}

#[tokio::test]
async fn no_server_speaks_plaintext_to_other_machines_unless_it_is_allowed() {
    let everywhere = SocketAddr::from(([0, 0, 0, 0], 0));
    let database = database().await;
    let state = |tls| {
        let mut config = signalbox_state::Config::local(database.clone(), token_config());
        (config.listen, config.tls) = (everywhere, tls);
        signalbox_state::Server::bind(config)
    };
    let edge = |tls| {
        let mut config = signalbox_edge::Config::local("http://127.0.0.1:1", token_config());
        (config.listen, config.tls) = (everywhere, tls);
        signalbox_edge::Server::bind(config)
    };
    let refused = state(ServerTlsConfig::default()).await.err().expect("plaintext is refused").to_string();
    assert!(refused.contains("--allow-plaintext"), "{refused}");
    let refused = edge(ServerTlsConfig::default()).await.err().expect("plaintext is refused").to_string();
    assert!(refused.contains("--allow-plaintext"), "{refused}");
    let allowed = ServerTlsConfig { allow_plaintext: true, ..ServerTlsConfig::default() };
    assert!(state(allowed.clone()).await.is_ok() && edge(allowed).await.is_ok());
    let authority = Authority::new();
    assert!(state(authority.server()).await.is_ok() && edge(authority.server()).await.is_ok());
}

#[tokio::test]
async fn a_handshake_of_a_byte_at_a_time_is_given_up_and_others_are_served_meanwhile() {
    const HANDSHAKE: Duration = Duration::from_secs(2);
    // The beginning of a greeting that a client would send whole (RFC 8446, section 4.1.2).
    const GREETING: [u8; 11] = [0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03];
    let authority = Authority::new();
    let state = State::start_with(&database().await, |config| {
        config.tls = authority.server();
        config.stranger_timeout_ms = HANDSHAKE.as_millis().try_into().unwrap();
    })
    .await;
    let edge = Edge::start_with(&url(&state), |config| {
        config.tls = authority.server();
        config.client_tls = authority.client();
        config.timing.handshake = HANDSHAKE;
    })
    .await;
    let drip = async |address: SocketAddr| {
        let mut socket = TcpStream::connect(address).await.expect("it listens");
        socket.set_nodelay(true).expect("the connection is open");
        for byte in GREETING.into_iter().chain(std::iter::repeat(0)) {
            if socket.write_all(&[byte]).await.is_err() {
                return;
            }
            // Slowly is what this is about.
            tokio::time::sleep(HANDSHAKE / 20).await;
        }
    };
    let served = async {
        let operator = Client::new(channel(&state, &authority.client()), Role::Operator);
        list_agents(&operator).await.expect("the state service serves others");
        let mut socket = Socket::open(edge.address, &authority).await.expect("the edge serves others");
        socket.subscribe().await;
    };
    soon("end of the dawdlers", async { tokio::join!(drip(state.address), drip(edge.address), served) })
        .await;
    edge.stop().await;
    state.stop().await;
}
