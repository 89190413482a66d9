//! Plays the situations, and tells what a client sees.

use std::time::Duration;

use serde_json::{Value, json};
use signalbox_identity::Role;
use signalbox_proto::v1::AgentStatus;
use tokio_tungstenite::tungstenite::{Message, protocol::CloseFrame};

use super::{
    book::{BOOKS, Book, Place},
    situation::{FLOOD_LIMIT, Situation},
};
use crate::{
    client::Client,
    desk::API_KEY,
    edge::{Edge, TENANT, token, token_for},
    wire::{self, Wire},
};

/// Events of the situations in which a client reads slowly or not at all, and how long each is: more than the
/// sockets hold.
const MANY: usize = 1500;
const LONG: usize = 16 * 1024;

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

    async fn credential(&self, situation: Situation) -> Seen {
        use Situation as S;
        let good = token("ann", Role::Viewer);
        let lasting = |seconds| token_for("ann", TENANT, Role::Viewer, time::Duration::seconds(seconds));
        let (place, credential) = match situation {
            S::GoodHeader => (Place::Header, good),
            S::GoodMessage => (Place::Message, good),
            S::GoodKey => (Place::Query, API_KEY.to_owned()),
            S::BadHeader => (Place::Header, "a.b.c".to_owned()),
            S::BadQuery => (Place::Query, "rubbish".to_owned()),
            S::BadMessage => (Place::Message, "rubbish".to_owned()),
            S::ExpiredCredential => (Place::Query, lasting(-1)),
            S::CredentialExpires => (Place::Query, lasting(2)),
            S::AgentCredential => (Place::Query, token("web-1", Role::Agent)),
            S::UnknowableKey => (Place::Query, API_KEY.to_owned()),
            S::NoCredential => {
                return self.see(Client::connect(&self.book.url(&self.edge, "")).await).await;
            }
            S::NoCursor => (Place::Query, format!("{good}&cursor=yesterday")),
            _ => (Place::Query, good),
        };
        let mut client = self.book.connect(&self.edge, place, &credential).await;
        if situation == S::FreshCredential {
            client.send(&json!({"type": "auth", "token": token("ann", Role::Operator)})).await;
        }
        self.see(client).await
    }

    async fn subscription(&self, situation: Situation) -> Seen {
        use Situation as S;
        let (book, edge) = (self.book, &self.edge);
        for index in 0..5 {
            edge.append(book.event(index, 0));
        }
        let cursor = |revision| edge.desk.log.cursor(TENANT, revision).to_string();
        let cursor = match situation {
            S::Resume => cursor(3),
            S::StaleCursor => {
                let stale = cursor(1);
                edge.desk.log.compact(TENANT, 4);
                stale
            }
            S::ForeignCursor => "0190c1a2-7b3c-7def-8123-456789abcdef:1".to_owned(),
            _ => cursor(5),
        };
        let mut client = book.admitted_from(edge, "ann", Role::Viewer, &format!("cursor={cursor}")).await;
        if !book.name.is_empty() {
            client.send(&book.subscribe(book.name)).await;
        }
        if situation == S::Unsubscribe {
            return self.unsubscription(client).await;
        }
        let mut told = Vec::new();
        while told.len() + 1 < self.told {
            note(&mut told, Book::label(&client.next().await));
        }
        // Whatever is told of the cursor comes first; then the stream goes on.
        edge.append(book.event(5, 0));
        for expected in if situation == S::Resume { 3..=5 } else { 5..=5 } {
            let message = client.next().await;
            note(&mut told, Book::label(&message));
            assert_eq!(Book::index_of(&message), expected, "{situation:?}: {message}");
        }
        self.see_more(client, told).await
    }

    /// Leaves one subscription for another. Changes are made one after the other, so that the second is in force
    /// says that the first is over.
    async fn unsubscription(&self, mut client: Client) -> Seen {
        let (book, edge) = (self.book, &self.edge);
        let mut told = Vec::new();
        if !book.name.is_empty() {
            let begin = edge.desk.log.cursor(TENANT, 5).to_string();
            client.send(&book.unsubscribe(book.name)).await;
            client.send(&book.subscribe_from(book.other.0, &begin)).await;
        }
        edge.append(book.other_event(6));
        while told
            .last()
            .is_none_or(|(r#type, more): &(String, String)| (r#type.as_str(), more.as_str()) != book.other.2)
        {
            note(&mut told, Book::label(&client.next().await));
        }
        edge.append(book.event(7, 0));
        edge.append(book.other_event(8));
        loop {
            let message = client.next().await;
            note(&mut told, Book::label(&message));
            if Book::index_of(&message) == 8 {
                return self.see_more(client, told).await;
            }
        }
    }

    async fn too_many(&self, situation: Situation) -> Seen {
        let first = self.book.admitted(&self.edge, "ann", Role::Viewer).await;
        if situation == Situation::TooManyInAMinute {
            first.close().await;
            return self
                .see(self.book.connect(&self.edge, Place::Query, &token("ann", Role::Viewer)).await)
                .await;
        }
        let second = if situation == Situation::TooManyOfUser { "ann" } else { "bob" };
        let second = self.book.connect(&self.edge, Place::Query, &token(second, Role::Viewer)).await;
        let seen = self.see(second).await;
        first.close().await;
        seen
    }

    async fn flood(&self, situation: Situation) -> Seen {
        let mut client = self.book.admitted(&self.edge, "ann", Role::Viewer).await;
        let messages = if situation == Situation::Flood { 2 * FLOOD_LIMIT } else { 2 * FLOOD_LIMIT + 1 };
        for _ in 0..messages {
            client.send_text(self.book.harmless).await;
        }
        // Past the limit even pings are not answered, so the number of answers says that all have come.
        let mut told = Vec::new();
        while told.len() < self.told {
            note(&mut told, Book::label(&client.next().await));
        }
        if situation == Situation::LastingFlood {
            return self.see_more(client, told).await;
        }
        client.close().await;
        Seen { told, close: None }
    }

    async fn message(&self, situation: Situation) -> Seen {
        use Situation as S;
        let (book, channels) = (self.book, !self.book.subscribe("")["channel"].is_null());
        let role = if situation == S::ViewerCommands { Role::Viewer } else { Role::Operator };
        let mut client = book.admitted(&self.edge, "ann", role).await;
        let text = match situation {
            S::UnknownName => book.subscribe("weather").to_string(),
            S::ForeignName => book.subscribe(if channels { "incidents" } else { "case_comment" }).to_string(),
            S::NoJson => "{".into(),
            S::UnknownType => r#"{"type": "dance"}"#.into(),
            S::MissingField => r#"{"type": "subscribe"}"#.into(),
            S::WrongField if channels => json!({"type": "subscribe", "channel": 7}).to_string(),
            S::WrongField => json!({"type": "subscribe", "data": {"events": 7}}).to_string(),
            S::TooLong => "x".repeat(128 * 1024 + 1),
            S::TooManySubscriptions => {
                let two = if channels { ["cases", "alerts"] } else { ["system.alert", "agent.error"] };
                let two = match book.name {
                    "project.*" => ["project.p1", "project.p2"],
                    "agent_updated" => ["agent_status", "agent_created"],
                    _ => two,
                };
                client.send(&book.subscribe(two[0])).await;
                book.subscribe(two[1]).to_string()
            }
            S::ViewerCommands => command(book, "stop", "web-1").to_string(),
            S::NotThere if book.shown.0 == "event" => {
                json!({"type": "request", "data": {"action": "get_agent", "agent_id": "nobody"}}).to_string()
            }
            S::NotThere => command(book, "stop", "nobody").to_string(),
            _ => {
                client.send_raw(Message::binary(vec![1, 2, 3])).await;
                return self.see(client).await;
            }
        };
        client.send_text(&text).await;
        self.see(client).await
    }

    async fn signs_of_life(&self, situation: Situation) -> Seen {
        if !self.book.pings_by_message {
            return self.signs_of_life_of_the_transport(situation).await;
        }
        let mut client = self.book.admitted(&self.edge, "ann", Role::Viewer).await;
        if situation == Situation::Silence {
            return self.see(client).await;
        }
        for _ in 0..5 {
            client.expect("ping").await;
            client.send(&json!({"type": "pong"})).await;
        }
        client.close().await;
        Seen { told: vec![("ping".into(), String::new())], close: None }
    }

    async fn signs_of_life_of_the_transport(&self, situation: Situation) -> Seen {
        let path = format!(
            "{}?token={token}&api_key={token}",
            self.book.main_path(),
            token = token("ann", Role::Viewer)
        );
        let mut wire = Wire::open(&self.edge, &path).await;
        if situation == Situation::Silence {
            for _ in 0..2 {
                wire.find(wire::PING).await;
            }
            return Seen { told: Vec::new(), close: Some(wire.find(wire::CLOSE).await.close_code()) };
        }
        for _ in 0..5 {
            let ping = wire.find(wire::PING).await;
            wire.send(&wire::frame(wire::PONG, ping.payload)).await;
        }
        wire.send(&wire::goodbye(1000, "")).await;
        assert_eq!(wire.find(wire::CLOSE).await.close_code(), 1000);
        Seen::default()
    }

    async fn slow(&self, situation: Situation) -> Seen {
        let (book, edge) = (self.book, &self.edge);
        let mut slow = book.subscribed(edge, "ann").await;
        edge.desk.log.wait_followed(&[TENANT]).await;
        for index in 0..MANY {
            edge.append(book.event(index, LONG));
            tokio::task::yield_now().await;
        }
        if situation == Situation::NeverReads {
            // The tenant is let go when its last connection is gone.
            edge.desk.log.wait_followed(&[]).await;
            return Seen { told: Vec::new(), close: Some(slow.cut_off().await) };
        }
        let mut told = Vec::new();
        let mut next = 0;
        while next < MANY as u64 {
            let message = slow.next().await;
            let label = Book::label(&message);
            if book.is_shown(&label) {
                assert_eq!(Book::index_of(&message), next, "every event comes, in its order");
                next += 1;
            } else {
                note(&mut told, label);
            }
        }
        slow.close().await;
        Seen { told, close: None }
    }

    async fn ending(&self, situation: Situation) -> Seen {
        use Situation as S;
        let mut client = if situation == S::Degraded {
            self.book.subscribed(&self.edge, "ann").await
        } else {
            self.book.admitted(&self.edge, "ann", Role::Viewer).await
        };
        match situation {
            S::Degraded => return self.degraded(client).await,
            S::Drain => self.edge.shut_down(),
            S::Goodbye => return Seen { told: Vec::new(), close: Some(client.say_goodbye(1000).await) },
            _ => client.send(&json!({"type": "disconnect", "data": {"reason": "user_initiated"}})).await,
        }
        self.see(client).await
    }

    async fn degraded(&self, mut client: Client) -> Seen {
        let mut observer = BOOKS[0].admitted(&self.edge, "bob", Role::Viewer).await;
        self.edge.desk.log.set_down(true);
        // By then every dialect that has words for it has been told.
        observer.expect("event").await;
        self.edge.append(self.book.event(0, 0));
        self.edge.desk.log.set_down(false);
        observer.expect("event").await;
        // What happened meanwhile comes too, before or after the news that all is well.
        let (mut told, mut events) = (Vec::new(), 0);
        while events == 0 || told.len() < self.told {
            let label = Book::label(&client.next().await);
            if self.book.is_shown(&label) {
                events += 1;
            } else {
                told.push(label);
            }
        }
        client.close().await;
        observer.close().await;
        Seen { told, close: None }
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

fn command(book: &Book, action: &str, agent_id: &str) -> Value {
    let field = if book.shown.0 == "event" { "action" } else { "command" };
    json!({"type": "command", "data": {field: action, "agent_id": agent_id}})
}
