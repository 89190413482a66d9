//! Plays the situations, and tells what a client sees.

mod arriving;
mod asking;
mod living;

use std::time::Duration;

use serde_json::Value;
use signalbox_proto::v1::AgentStatus;
use tokio_tungstenite::tungstenite::{Message, protocol::CloseFrame};

use super::{book::Book, situation::Situation};
use crate::{client::Client, edge::Edge};

/// What a client saw.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// Its messages in short, repetitions left out.
    pub(super) told: Vec<(String, String)>,
    /// The code it was closed with; 1006 where there was none.
    pub(super) close: Option<u16>,
}

/// Plays a situation. Until `told` so many different messages are waited for, and no more may come.
pub(super) async fn play(book: &Book, situation: Situation, told: usize, closes: bool) -> Seen {
    let limits = situation.limits().map(|limits| {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), limits.to_string()).expect("the file is writable");
        file
    });
    let edge = Edge::start_with(|config| {
        config.limits_file = limits.as_ref().map(|file| file.path().to_owned());
        situation.configure(config);
    })
    .await;
    edge.desk.add_agent("web-1", AgentStatus::Active);
    let mut scene = Scene { book, edge, told, closes };
    let seen = scene.play(situation).await;
    scene.edge.stopped().await;
    seen
}

struct Scene<'a> {
    book: &'a Book,
    edge: Edge,
    told: usize,
    closes: bool,
}

impl Scene<'_> {
    async fn play(&mut self, situation: Situation) -> Seen {
        use Situation as S;
        match situation {
            S::GoodHeader
            | S::GoodQuery
            | S::GoodMessage
            | S::GoodKey
            | S::BadHeader
            | S::BadQuery
            | S::BadMessage
            | S::NoCredential
            | S::ExpiredCredential
            | S::CredentialExpires
            | S::FreshCredential
            | S::AgentCredential
            | S::UnknowableKey
            | S::NoCursor => self.credential(situation).await,
            S::Subscribe | S::Unsubscribe | S::Resume | S::StaleCursor | S::ForeignCursor => {
                self.subscription(situation).await
            }
            S::TooManyOfUser | S::TooManyOfAddress | S::TooManyInAMinute => self.too_many(situation).await,
            S::Flood | S::LastingFlood => self.flood(situation).await,
            S::Silence | S::SignsOfLife => self.signs_of_life(situation).await,
            S::SlowReader | S::NeverReads => self.slow(situation).await,
            S::Degraded | S::Drain | S::Goodbye | S::Disconnect => self.ending(situation).await,
            S::UnknownName
            | S::ForeignName
            | S::NoJson
            | S::UnknownType
            | S::MissingField
            | S::WrongField
            | S::Binary
            | S::TooLong
            | S::TooManySubscriptions
            | S::ViewerCommands
            | S::NotThere => self.message(situation).await,
        }
    }

    async fn see(&self, client: Client) -> Seen {
        self.see_more(client, Vec::new()).await
    }

    /// Reads what is to come, and whatever comes beside it.
    async fn see_more(&self, mut client: Client, mut told: Vec<(String, String)>) -> Seen {
        while told.len() < self.told && !self.closes {
            match client.receive().await {
                Message::Text(text) => note(&mut told, Book::label(&json_of(&text))),
                Message::Close(frame) => return Seen { told, close: Some(close_code(frame.as_ref())) },
                other => panic!("a text was expected, got {other:?}"),
            }
        }
        if !self.closes {
            client.send_raw(Message::Ping("settle".into())).await;
        }
        loop {
            match client.receive().await {
                Message::Text(text) => note(&mut told, Book::label(&json_of(&text))),
                Message::Close(frame) => return Seen { told, close: Some(close_code(frame.as_ref())) },
                Message::Pong(_) => break,
                other => panic!("a text, a close or a pong was expected, got {other:?}"),
            }
        }
        // The feeds may hold an answer that is no answer to the ping; a goodbye comes after all of them.
        let close = tokio::time::timeout(Duration::from_secs(10), client.close());
        close.await.expect("the goodbye is answered");
        Seen { told, close: None }
    }
}

/// Notes a message, unless it is the same as the one before.
fn note(told: &mut Vec<(String, String)>, label: (String, String)) {
    if told.last() != Some(&label) {
        told.push(label);
    }
}

/// A close frame without a code says 1005, as programs are told it.
fn close_code(frame: Option<&CloseFrame>) -> u16 {
    frame.map_or(1005, |frame| frame.code.into())
}

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).expect("texts are JSON")
}
