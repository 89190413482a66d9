//! The situations in which a client asks for something.

use serde_json::json;
use signalbox_identity::Role;
use tokio_tungstenite::tungstenite::Message;

use super::{Scene, Seen, note};
use crate::{
    client::Client,
    conformance::{
        book::Book,
        situation::{FLOOD_LIMIT, Situation},
    },
    edge::TENANT,
};

impl Scene<'_> {
    pub(super) async fn subscription(&self, situation: Situation) -> Seen {
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

    pub(super) async fn flood(&self, situation: Situation) -> Seen {
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

    pub(super) async fn message(&self, situation: Situation) -> Seen {
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
}

fn command(book: &Book, action: &str, agent_id: &str) -> serde_json::Value {
    let field = if book.shown.0 == "event" { "action" } else { "command" };
    json!({"type": "command", "data": {field: action, "agent_id": agent_id}})
}
