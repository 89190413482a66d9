//! The situations in which a client arrives.

use serde_json::json;
use signalbox_identity::Role;

use super::{Scene, Seen};
use crate::{
    client::Client,
    conformance::{book::Place, situation::Situation},
    desk::API_KEY,
    edge::{TENANT, token, token_for},
};

impl Scene<'_> {
    pub(super) async fn credential(&self, situation: Situation) -> Seen {
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
            S::CredentialExpires => (Place::Query, lasting(4)),
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

    pub(super) async fn too_many(&self, situation: Situation) -> Seen {
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
}
