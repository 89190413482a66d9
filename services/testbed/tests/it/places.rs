//! Places: what is limited over several edges.

use signalbox_identity::Role;
use signalbox_proto::v1;
use signalbox_testbed::{Client, State, database, soon, token};
use tonic::Code;
use uuid::Uuid;

/// An edge, as the state service sees it.
struct Edge {
    client: Client,
    edge_id: String,
}

impl Edge {
    fn new(state: &State) -> Self {
        let client = Client::with_token(state.channel(), &token("*", Role::Service));
        Self { client, edge_id: Uuid::now_v7().to_string() }
    }

    async fn known(state: &State) -> Self {
        let edge = Self::new(state);
        assert!(!edge.renew(60_000).await.known);
        edge
    }

    async fn renew(&self, ttl_ms: u32) -> v1::RenewPlacesResponse {
        let request = v1::RenewPlacesRequest { edge_id: self.edge_id.clone(), ttl_ms };
        self.client.places().renew_places(request).await.unwrap().into_inner()
    }

    async fn hold(&self, subject: &str, held: u32, max: u32) -> Result<(bool, u32), tonic::Status> {
        self.hold_as(subject, held, max, 0).await
    }

    async fn hold_as(
        &self,
        subject: &str,
        held: u32,
        max: u32,
        sequence: u64,
    ) -> Result<(bool, u32), tonic::Status> {
        let request = v1::HoldPlacesRequest {
            edge_id: self.edge_id.clone(),
            tenant_id: "acme".into(),
            scope: "freeagentics".into(),
            subject: subject.into(),
            held,
            max,
            sequence,
        };
        let answer = self.client.places().hold_places(request).await?.into_inner();
        Ok((answer.granted, answer.total))
    }
}

#[tokio::test]
async fn places_are_counted_over_all_edges() {
    let state = State::start(&database().await).await;
    let (a, b) = (Edge::known(&state).await, Edge::known(&state).await);
    assert_eq!(a.hold("ann", 3, 5).await.unwrap(), (true, 3));
    assert_eq!(b.hold("ann", 2, 5).await.unwrap(), (true, 5));
    assert_eq!(b.hold("ann", 3, 5).await.unwrap(), (false, 5), "refused, and what was held stays");
    assert_eq!(b.hold("bob", 5, 5).await.unwrap(), (true, 5), "another user has places of his own");
    assert_eq!(a.hold("ann", 2, 1).await.unwrap(), (true, 4), "fewer than before is always granted");

    let renewed = a.renew(60_000).await;
    assert!(renewed.known);
    let [ann] = &renewed.totals[..] else { panic!("{:?}", renewed.totals) };
    assert_eq!((ann.subject.as_str(), ann.total), ("ann", 4));

    let release = v1::ReleasePlacesRequest { edge_id: a.edge_id.clone() };
    a.client.places().release_places(release).await.unwrap();
    assert_eq!(b.hold("ann", 5, 5).await.unwrap(), (true, 5));
    assert_eq!(a.hold("ann", 1, 9).await.unwrap_err().code(), Code::FailedPrecondition);
    state.stop().await;
}

#[tokio::test]
async fn the_last_place_is_given_once() {
    let database = database().await;
    let (one, two) = (State::start(&database).await, State::start(&database).await);
    let mut edges = Vec::new();
    for state in [&one, &two, &one, &two] {
        edges.push(Edge::known(state).await);
    }
    for round in 0..10 {
        let subject = format!("user-{round}");
        let asked = edges.iter().map(|edge| edge.hold(&subject, 1, 1));
        let granted = futures::future::try_join_all(asked).await.unwrap();
        assert_eq!(granted.iter().filter(|(granted, _)| *granted).count(), 1, "{granted:?}");
    }
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn a_call_that_is_late_does_not_undo_a_newer_one() {
    let state = State::start(&database().await).await;
    let (a, b) = (Edge::known(&state).await, Edge::known(&state).await);
    assert_eq!(a.hold_as("ann", 3, 5, 2).await.unwrap(), (true, 3));
    assert_eq!(a.hold_as("ann", 1, 5, 1).await.unwrap(), (false, 3), "the earlier call comes later");
    assert_eq!(a.hold_as("ann", 3, 5, 2).await.unwrap(), (true, 3), "the same call comes twice");
    assert_eq!(b.hold_as("ann", 1, 5, 1).await.unwrap(), (true, 4), "each edge has numbers of its own");
    assert_eq!(a.hold_as("ann", 0, 5, 5).await.unwrap(), (true, 1));
    assert_eq!(a.hold_as("ann", 4, 9, 4).await.unwrap(), (false, 1), "what was given back stays given back");
    assert!(a.renew(60_000).await.totals.is_empty(), "who holds nothing shares with nobody");
    assert_eq!(a.hold_as("ann", 4, 5, 6).await.unwrap(), (true, 5));
    state.stop().await;
}

#[tokio::test]
async fn an_edge_that_died_gives_its_places_back() {
    let state = State::start(&database().await).await;
    let (dead, alive) = (Edge::new(&state), Edge::known(&state).await);
    dead.renew(60_000).await;
    assert_eq!(dead.hold("ann", 5, 5).await.unwrap(), (true, 5));
    assert_eq!(alive.hold("ann", 1, 5).await.unwrap(), (false, 5));
    dead.renew(1000).await;
    soon("end of the lease", async {
        // It runs out by the database's clock, which nothing announces.
        while !alive.hold("ann", 1, 5).await.unwrap().0 {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    })
    .await;
    assert!(!dead.renew(60_000).await.known, "it is told that it has to say its places again");
    state.stop().await;
}

#[tokio::test]
async fn only_edges_count_places() {
    let state = State::start(&database().await).await;
    for role in Role::ALL.into_iter().filter(|role| *role != Role::Service) {
        let request = v1::RenewPlacesRequest { edge_id: Uuid::now_v7().to_string(), ttl_ms: 5000 };
        let refused = Client::new(state.channel(), role).places().renew_places(request).await.unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied);
    }
    let edge = Edge::new(&state);
    for ttl_ms in [0, 999, 60_001] {
        let request = v1::RenewPlacesRequest { edge_id: edge.edge_id.clone(), ttl_ms };
        assert_eq!(
            edge.client.places().renew_places(request).await.unwrap_err().code(),
            Code::InvalidArgument
        );
    }
    state.stop().await;
}
