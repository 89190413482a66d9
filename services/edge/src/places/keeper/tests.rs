//! Several edges, and a state service that counts for them in memory, forgets and goes away when told to.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use signalbox_proto::v1::place_service_server::{PlaceService, PlaceServiceServer};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::task::TaskTracker;
use tonic::{Request, Response};

use super::*;
use crate::{
    places::{Full, Place},
    scripted::keys,
    upstream::{self, Own},
};

/// What each edge has told, by holder.
type Edges = HashMap<String, HashMap<(String, String, String), u32>>;
/// By edge and user.
type Numbers = HashMap<(String, String), u64>;

#[derive(Clone, Default)]
struct Counter {
    edges: Arc<Mutex<Edges>>,
    /// Number of the last call of each edge about each holder.
    numbers: Arc<Mutex<Numbers>>,
    down: Arc<Mutex<bool>>,
}

impl Counter {
    fn check(&self) -> Result<(), Status> {
        if *self.down.lock().unwrap() { Err(Status::unavailable("down")) } else { Ok(()) }
    }

    fn total(&self) -> u32 {
        self.edges.lock().unwrap().values().flat_map(HashMap::values).sum()
    }
}

#[tonic::async_trait]
impl PlaceService for Counter {
    async fn hold_places(
        &self,
        request: Request<v1::HoldPlacesRequest>,
    ) -> Result<Response<v1::HoldPlacesResponse>, Status> {
        self.check()?;
        let asked = request.into_inner();
        let whose = (asked.edge_id.clone(), asked.subject.clone());
        let before = self.numbers.lock().unwrap().insert(whose, asked.sequence);
        assert!(before.unwrap_or_default() < asked.sequence, "each call has a higher number");
        let key = (asked.tenant_id, asked.scope, asked.subject);
        let mut edges = self.edges.lock().unwrap();
        let others: u32 = edges
            .iter()
            .filter(|(edge_id, _)| **edge_id != asked.edge_id)
            .filter_map(|(_, held)| held.get(&key))
            .sum();
        let own = edges.get_mut(&asked.edge_id).ok_or_else(|| Status::failed_precondition("unknown"))?;
        let before = own.get(&key).copied().unwrap_or_default();
        let granted = asked.held <= before || others.saturating_add(asked.held) <= asked.max;
        if granted {
            own.insert(key, asked.held);
        }
        let total = others + if granted { asked.held } else { before };
        Ok(Response::new(v1::HoldPlacesResponse { granted, total, tenant_max: 0 }))
    }

    async fn renew_places(
        &self,
        request: Request<v1::RenewPlacesRequest>,
    ) -> Result<Response<v1::RenewPlacesResponse>, Status> {
        self.check()?;
        let edge_id = request.into_inner().edge_id;
        let mut edges = self.edges.lock().unwrap();
        let known = edges.contains_key(&edge_id);
        edges.entry(edge_id).or_default();
        Ok(Response::new(v1::RenewPlacesResponse { known, totals: Vec::new() }))
    }

    async fn release_places(
        &self,
        request: Request<v1::ReleasePlacesRequest>,
    ) -> Result<Response<v1::ReleasePlacesResponse>, Status> {
        self.edges.lock().unwrap().remove(&request.into_inner().edge_id);
        Ok(Response::new(v1::ReleasePlacesResponse {}))
    }
}

struct Rig {
    counter: Counter,
    address: SocketAddr,
    tasks: TaskTracker,
    stop: CancellationToken,
    _server: JoinHandle<Result<(), tonic::transport::Error>>,
}

impl Rig {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (counter, address) = (Counter::default(), listener.local_addr().unwrap());
        let server = tonic::transport::Server::builder()
            .add_service(PlaceServiceServer::new(counter.clone()))
            .serve_with_incoming(TcpListenerStream::new(listener));
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        Self { counter, address, tasks, stop, _server: tokio::spawn(server) }
    }

    fn edge(&self) -> Places {
        let channel = upstream::channel(&format!("http://{}", self.address)).unwrap();
        let (places, credentials) = (Places::default(), Credentials::for_calls(Own::Signed(keys())));
        let keeper = Keeper::new(channel, credentials, places.clone());
        self.tasks.spawn(keeper.run(Duration::from_millis(50), self.stop.clone()));
        places
    }

    /// Waits until the state service was told of so many places.
    async fn told(&self, total: u32) {
        let told = async {
            while self.counter.total() != total {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), told).await.expect("it is told in time");
    }
}

fn ann() -> UserKey {
    UserKey { dialect: DialectId::FreeAgentics, tenant_id: "dev".into(), subject: "ann".into() }
}

async fn take(edge: &Places) -> Result<Place, Full> {
    tokio::time::timeout(Duration::from_secs(20), edge.take(ann(), 3)).await.expect("an answer in time")
}

#[tokio::test]
async fn two_edges_share_one_limit() {
    let rig = Rig::start().await;
    let (a, b) = (rig.edge(), rig.edge());
    let taken = futures::future::join_all((0..8).map(|at| take(if at % 2 == 0 { &a } else { &b }))).await;
    let mut held: Vec<_> = taken.into_iter().flatten().collect();
    assert_eq!((held.len(), rig.counter.total()), (3, 3));
    drop(held.pop());
    rig.told(2).await;
    held.push(take(&a).await.unwrap());
    assert!(take(&b).await.is_err());
    drop(held);
    rig.told(0).await;
}

#[tokio::test]
async fn a_connection_that_gives_up_leaves_no_place_behind() {
    let rig = Rig::start().await;
    let edge = rig.edge();
    for _ in 0..20 {
        let taking = tokio::spawn({
            let edge = edge.clone();
            async move { edge.take(ann(), 3).await.is_ok() }
        });
        tokio::task::yield_now().await;
        taking.abort();
        let _ = taking.await;
    }
    let held = futures::future::join_all((0..3).map(|_| take(&edge))).await;
    assert!(held.iter().all(Result::is_ok));
    rig.told(3).await;
}

#[tokio::test]
async fn an_edge_that_was_forgotten_says_everything_again() {
    let rig = Rig::start().await;
    let edge = rig.edge();
    let first = take(&edge).await.unwrap();
    rig.counter.edges.lock().unwrap().clear();
    let second = take(&edge).await.unwrap();
    rig.told(2).await;
    drop((first, second));
    rig.told(0).await;
}

#[tokio::test]
async fn without_the_state_service_an_edge_goes_by_its_own_count() {
    let rig = Rig::start().await;
    let edge = rig.edge();
    let first = take(&edge).await.unwrap();
    *rig.counter.down.lock().unwrap() = true;
    let second = take(&edge).await.unwrap();
    let third = take(&edge).await.unwrap();
    let beyond = take(&edge).await.unwrap();
    assert_eq!(rig.counter.total(), 1);
    *rig.counter.down.lock().unwrap() = false;
    rig.told(4).await;
    drop((first, second, third, beyond));
    rig.told(0).await;
}

#[tokio::test]
async fn places_are_given_back_when_the_edge_stops() {
    let rig = Rig::start().await;
    let edge = rig.edge();
    let held = take(&edge).await.unwrap();
    rig.stop.cancel();
    rig.tasks.close();
    rig.tasks.wait().await;
    assert!(rig.counter.edges.lock().unwrap().is_empty());
    assert!(take(&edge).await.is_ok(), "nobody is left waiting");
    drop(held);
}

#[tokio::test]
async fn an_edge_that_is_alone_for_long_forgets_whoever_has_left() {
    let places = Places::default();
    let now = Instant::now();
    places.lock().alone_since = Some(now);
    let stays = take(&places).await.unwrap();
    for _ in 0..3 {
        for index in 0..100 {
            let key = UserKey { subject: format!("user-{index}"), ..ann() };
            drop(places.take(key, 3).await.unwrap());
        }
        places.lock().forget_absent();
        let state = places.lock();
        assert_eq!((state.holders.len(), state.due.len()), (1, 0));
    }
    drop(stays);
    assert_eq!(places.lock().due.len(), 1, "that is told as soon as somebody listens");
}
