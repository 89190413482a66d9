//! The situations that come over a client: silence, slowness, and the ends of things.

use serde_json::json;
use signalbox_identity::Role;

use super::{Scene, Seen, note};
use crate::{
    client::Client,
    conformance::{
        book::{BOOKS, Book},
        situation::Situation,
    },
    edge::{TENANT, token},
    wire::{self, Wire},
};

/// Events of the situations in which a client reads slowly or not at all, and how long each is: more than the
/// sockets hold.
const MANY: usize = 1500;
const LONG: usize = 16 * 1024;

impl Scene<'_> {
    pub(super) async fn signs_of_life(&self, situation: Situation) -> Seen {
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

    pub(super) async fn slow(&self, situation: Situation) -> Seen {
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
        // What another has read, the edge has, and the slow one is behind with.
        let mut other = book.subscribed(edge, "bob").await;
        self.read_many(&mut other).await;
        other.close().await;
        let told = self.read_many(&mut slow).await;
        slow.close().await;
        Seen { told, close: None }
    }

    /// Reads the many events; gives what else was told.
    async fn read_many(&self, client: &mut Client) -> Vec<(String, String)> {
        let mut told = Vec::new();
        let mut next = 0;
        while next < MANY as u64 {
            let message = client.next().await;
            let label = Book::label(&message);
            if self.book.is_shown(&label) {
                assert_eq!(Book::index_of(&message), next, "every event comes, in its order");
                next += 1;
            } else {
                note(&mut told, label);
            }
        }
        told
    }

    pub(super) async fn ending(&self, situation: Situation) -> Seen {
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
}
