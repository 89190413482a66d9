//! A socket of the dialect aisoc over TLS.

use std::{io, net::SocketAddr, sync::Arc};

use futures::{SinkExt as _, StreamExt as _};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use serde_json::{Value, json};
use signalbox_identity::Role;
use signalbox_testbed::{TENANT, soon, token};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_tungstenite::{WebSocketStream, client_async, tungstenite::Message};

use super::authority::{Authority, NAME};

pub(super) struct Socket {
    socket: WebSocketStream<TlsStream<TcpStream>>,
    /// How long browsers are to come encrypted, as the handshake said.
    pub(super) encrypted_for: Option<String>,
}

impl Socket {
    /// Connects, and trusts this authority alone.
    pub(super) async fn open(edge: SocketAddr, authority: &Authority) -> io::Result<Self> {
        let mut roots = RootCertStore::empty();
        let trusted = CertificateDer::from_pem_file(authority.path()).expect("the authority's file is PEM");
        roots.add(trusted).expect("the authority is good");
        let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider knows them")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from(NAME).expect("a name");
        let connecting = TlsConnector::from(Arc::new(config)).connect(name, TcpStream::connect(edge).await?);
        let stream = soon("TLS handshake", connecting).await?;
        let url = format!("ws://{NAME}/dialects/aisoc/ws?token={}", token(TENANT, Role::Viewer));
        let (socket, answer) =
            soon("handshake", client_async(url, stream)).await.map_err(io::Error::other)?;
        let header = answer.headers().get("strict-transport-security");
        let encrypted_for = header.and_then(|value| value.to_str().ok()).map(str::to_owned);
        Ok(Self { socket, encrypted_for })
    }

    /// The certificate that the edge has shown.
    pub(super) fn certificate(&self) -> Vec<u8> {
        self.socket.get_ref().get_ref().1.peer_certificates().expect("a server has one")[0].to_vec()
    }

    /// Subscribes to everything, and waits until that is live, which the end of the snapshot tells.
    pub(super) async fn subscribe(&mut self) {
        self.send(&json!({ "type": "subscribe", "channel": "all", "snapshot": true })).await;
        while self.next().await["type"] != "snapshot.end" {}
    }

    /// The text of the next anomaly.
    pub(super) async fn next_anomaly(&mut self) -> String {
        loop {
            let message = self.next().await;
            if message["type"] == "ueba.anomaly" {
                return message.to_string();
            }
        }
    }

    /// Whether a ping is answered, and not by the end.
    pub(super) async fn answers_ping(&mut self) -> bool {
        self.socket.send(Message::Ping("there?".into())).await.expect("the connection is there");
        loop {
            match soon("pong", self.socket.next()).await {
                Some(Ok(Message::Pong(_))) => return true,
                Some(Ok(Message::Text(_) | Message::Ping(_))) => {}
                _ => return false,
            }
        }
    }

    async fn send(&mut self, message: &Value) {
        self.socket.send(Message::text(message.to_string())).await.expect("the connection is there");
    }

    async fn next(&mut self) -> Value {
        loop {
            match soon("message", self.socket.next()).await {
                Some(Ok(Message::Text(text))) => {
                    return serde_json::from_str(&text).expect("messages are JSON");
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                other => panic!("expected a message, got {other:?}"),
            }
        }
    }
}
