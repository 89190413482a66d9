//! Sockets of all five dialects, opened with a credential wherever their documents have one.

use futures::{SinkExt as _, StreamExt as _};
use serde_json::json;
use signalbox_testbed::{Edge, State, TENANT, soon};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream,
    tungstenite::{Message, client::IntoClientRequest as _},
};

/// Where a credential stands.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Place {
    /// In the query of this path, as this parameter.
    Query(&'static str, &'static str),
    /// In the header of a request for this path.
    Header(&'static str),
    /// In a first message on this path.
    Message(&'static str),
}

/// Every place of the five documents.
pub(crate) const EVERY_PLACE: [Place; 8] = [
    Place::Query("/ws", "api_key"),
    Place::Header("/ws"),
    Place::Message("/ws"),
    Place::Query("/api/v1/ws", "token"),
    Place::Query("/ws/logs", "token"),
    Place::Query("/v1/ws", "token"),
    Place::Query("/dialects/aisoc/ws", "token"),
    Place::Header("/dialects/aisoc/ws"),
];

/// An edge whose log stream shows the tests' tenant, and asks for a credential.
pub(crate) async fn edge(state: &State) -> Edge {
    edge_with(state, |_| {}).await
}

/// The same, with some settings changed.
pub(crate) async fn edge_with(state: &State, change: impl FnOnce(&mut signalbox_edge::Config)) -> Edge {
    Edge::start_with(&state.url(), |config| {
        config.logs_tenant = TENANT.into();
        config.logs_anonymous = Some(false);
        change(config);
    })
    .await
}

pub(crate) struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    pub(crate) async fn open(edge: &Edge, place: Place, credential: &str) -> Self {
        let at = |path: &str| format!("ws://{}{path}", edge.address);
        let url = match place {
            Place::Query(path, parameter) => at(&format!("{path}?{parameter}={credential}")),
            Place::Header(path) | Place::Message(path) => at(path),
        };
        let mut request = url.into_client_request().expect("the URL is well formed");
        if let Place::Header(_) = place {
            let bearer = format!("Bearer {credential}").parse().expect("a credential is ASCII");
            request.headers_mut().insert("authorization", bearer);
        }
        let connecting = tokio_tungstenite::connect_async(request);
        let (mut socket, _) = soon("handshake", connecting).await.expect("the edge takes the connection");
        if let Place::Message(_) = place {
            let message = json!({ "type": "auth", "token": credential }).to_string();
            socket.send(Message::text(message)).await.expect("the connection is there");
        }
        Self(socket)
    }

    /// Whether a ping is answered, and not by the end.
    pub(crate) async fn is_open(&mut self) -> bool {
        if self.0.send(Message::Ping("there?".into())).await.is_err() {
            return false;
        }
        loop {
            match soon("pong", self.0.next()).await {
                Some(Ok(Message::Pong(_))) => return true,
                Some(Ok(Message::Text(_) | Message::Ping(_))) => {}
                _ => return false,
            }
        }
    }

    /// Waits for the end, and says with which code it came.
    pub(crate) async fn closed(&mut self) -> u16 {
        loop {
            match soon("end of the connection", self.0.next()).await {
                Some(Ok(Message::Close(Some(frame)))) => return frame.code.into(),
                Some(Ok(Message::Text(_) | Message::Ping(_) | Message::Pong(_))) => {}
                other => panic!("expected a close frame, got {other:?}"),
            }
        }
    }

    /// Whether it is let in, which the first message or the end shows.
    pub(crate) async fn stays_open(&mut self) -> bool {
        loop {
            match soon("first message or end", self.0.next()).await {
                Some(Ok(Message::Text(text))) => return !text.contains("quota"),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                _ => return false,
            }
        }
    }
}
