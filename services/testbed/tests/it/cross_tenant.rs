//! Ten thousand random attempts of one tenant at others that have the same ids: over gRPC at every method there is, and
//! over the five protocols. No answer holds a byte that is the others', and nothing of theirs has changed.
//!
//! An attempt is made of a seed and its number alone. `SIGNALBOX_ATTEMPTS_SEED` repeats a run.

mod sockets;
mod wire;
mod world;

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::{StreamExt as _, stream};
use prost::bytes::Bytes;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};
use secrecy::ExposeSecret as _;
use serde_json::json;
use signalbox_identity::{RULES, Role};
use signalbox_proto::v1;
use signalbox_testbed::{Client, Edge, State, database, soon, token};
use sqlx::{Connection as _, PgConnection};
use tokio_util::sync::CancellationToken;
use tonic::{
    Request, Status,
    client::Grpc,
    codegen::http::uri::PathAndQuery,
    metadata::{Ascii, AsciiMetadataKey, KeyAndValueRef, MetadataMap, MetadataValue},
};

use crate::row_security::{rows_of, tables};
use wire::{Raw, Schema, Words};
use world::{ATTACKER, BUSY, Known, QUIET, words};

/// Attempts over gRPC.
const CALLS: u64 = 8000;
/// Attempts over each of the five protocols.
const FRAMES: u64 = 400;
/// Calls that are under way at once.
const AT_ONCE: usize = 8;
/// How many calls later the attacker gets back what it has deleted of its own.
const RESETTLE_EVERY: u64 = 400;
/// Most answers of a stream that are read, and how long it may stay silent before it is left.
const ANSWERS_MAX: usize = 40;
const SILENCE_MAX: Duration = Duration::from_millis(40);
/// Of so many calls at least the answer must hold what is the attacker's own: the attempts reach what they are to reach.
const REACHED_MIN: usize = 100;
/// How often the attacker has a line of its own logged while it tries the protocols.
const LINE_EVERY: Duration = Duration::from_millis(100);

/// The place of all attempts.
struct Field {
    seed: u64,
    schema: Schema,
    words: Words,
    others: Vec<Known>,
    cursors: Vec<String>,
    own_secret: String,
    state: State,
    reached: AtomicUsize,
}

/// One call: who, what, with which message.
#[derive(Debug)]
struct Attempt {
    path: String,
    credential: String,
    metadata: Option<(&'static str, String)>,
    message: Bytes,
}

impl Field {
    fn draw(&self, number: u64) -> Attempt {
        let mut rng = StdRng::seed_from_u64(self.seed ^ number);
        let (path, input) = self.schema.methods.choose(&mut rng).expect("there are methods").clone();
        let roles = RULES.iter().find(|rule| rule.path == path).map_or(&[][..], |rule| rule.roles);
        let roles: Vec<_> = roles.iter().copied().filter(|role| *role != Role::Service).collect();
        let role = roles.choose(&mut rng).copied().unwrap_or(Role::Admin);
        let credential = match rng.random_range(0..12) {
            0 => self.forged(&mut rng),
            1 => self.own_secret.clone(),
            _ => token(ATTACKER.id, role),
        };
        let names = ["tenant", "tenant-id", "x-tenant-id", "signalbox-tenant", "x-forwarded-user"];
        let metadata = rng.random_bool(0.3).then(|| {
            (
                *names.choose(&mut rng).expect("some"),
                (*[QUIET.id, BUSY.id].choose(&mut rng).expect("two")).into(),
            )
        });
        let message = self.schema.message(&input, &self.words, &mut rng).into();
        Attempt { path, credential, metadata, message }
    }

    /// The id of another's key with the secret of an own one.
    fn forged(&self, rng: &mut StdRng) -> String {
        let secret = self.own_secret.rsplit('_').next().unwrap_or_default();
        let other = self.others.choose(rng).expect("there are others");
        format!("sbk_{}_{secret}", other.key_id)
    }

    async fn run(&self, number: u64) {
        let attempt = self.draw(number);
        let answers = call(&self.state, &attempt).await;
        let all = answers.concat();
        for word in [QUIET.word, BUSY.word] {
            if holds(&all, word) {
                let again = holds(&call(&self.state, &attempt).await.concat(), word);
                panic!(
                    "seed {} attempt {number} was answered with {word} (alone again: {again}): {attempt:?}: {:?}",
                    self.seed,
                    String::from_utf8_lossy(&all)
                );
            }
        }
        self.reached.fetch_add(usize::from(holds(&all, ATTACKER.word)), Ordering::Relaxed);
    }
}

fn holds(bytes: &[u8], word: &str) -> bool {
    bytes.windows(word.len()).any(|window| window == word.as_bytes())
}

/// Calls, and gives every byte that comes back: messages, metadata, and what a refusal says.
async fn call(state: &State, attempt: &Attempt) -> Vec<Vec<u8>> {
    let mut grpc = Grpc::new(state.channel());
    soon("connection", grpc.ready()).await.expect("the replica is there");
    let mut request = Request::new(stream::iter([attempt.message.clone()]));
    let bearer: MetadataValue<Ascii> = format!("Bearer {}", attempt.credential).parse().expect("ASCII");
    request.metadata_mut().insert("authorization", bearer);
    if let Some((name, value)) = &attempt.metadata {
        let name = AsciiMetadataKey::from_static(name);
        request.metadata_mut().insert(name, value.parse().expect("ASCII"));
    }
    let path = PathAndQuery::try_from(attempt.path.as_str()).expect("a path");
    let streams = ["/Watch", "/Connect"].iter().any(|name| attempt.path.ends_with(name));
    let opened = patient(streams, grpc.streaming(request, path, Raw)).await;
    let mut seen = Vec::new();
    let mut answers = match opened {
        None => return seen,
        Some(Err(status)) => return said(&status),
        Some(Ok(response)) => {
            seen.extend(listed(response.metadata()));
            response.into_inner()
        }
    };
    while seen.len() < ANSWERS_MAX {
        match patient(streams, answers.message()).await {
            Some(Ok(Some(message))) => seen.push(message.to_vec()),
            Some(Err(status)) => {
                seen.extend(said(&status));
                break;
            }
            Some(Ok(None)) | None => break,
        }
    }
    seen
}

/// A stream may have nothing to say; a call has to answer.
async fn patient<T>(may_be_silent: bool, answer: impl Future<Output = T>) -> Option<T> {
    if may_be_silent {
        return tokio::time::timeout(SILENCE_MAX, answer).await.ok();
    }
    Some(soon("answer", answer).await)
}

fn said(status: &Status) -> Vec<Vec<u8>> {
    let mut seen = listed(status.metadata());
    seen.extend([status.message().as_bytes().to_vec(), status.details().to_vec()]);
    seen
}

fn listed(metadata: &MetadataMap) -> Vec<Vec<u8>> {
    metadata
        .iter()
        .map(|entry| match entry {
            KeyAndValueRef::Ascii(_, value) => value.as_encoded_bytes().to_vec(),
            KeyAndValueRef::Binary(_, value) => value.to_bytes().unwrap_or_default().to_vec(),
        })
        .collect()
}

fn seed() -> u64 {
    let given = std::env::var("SIGNALBOX_ATTEMPTS_SEED").ok().and_then(|seed| seed.parse().ok());
    given.unwrap_or_else(rand::random)
}

/// Works for a tenant until it is told to stop; answers how much it has published.
async fn work(client: Client, stop: CancellationToken) -> i64 {
    let mut published = 0;
    while !stop.is_cancelled() {
        let line = json!({"category": "system", "message": BUSY.word});
        client.publish("log.line", line).await.unwrap();
        published += 1;
        tokio::task::yield_now().await;
    }
    published
}

/// How many lines the log of a tenant has.
async fn lines(watcher: &mut PgConnection, tenant: &str) -> i64 {
    let lines = "SELECT count(*) FROM events WHERE tenant_id = $1 AND type = 'log.line'";
    sqlx::query_scalar(lines).bind(tenant).fetch_one(watcher).await.unwrap()
}

/// The rows of a tenant, but for what its log tells of those who knocked with a bad key: that is what it is for.
async fn untouched(watcher: &mut PgConnection, tables: &[(String, bool)], tenant: &str) -> Vec<String> {
    let mut rows = rows_of(watcher, tables, tenant).await;
    rows.retain(|row| {
        let counts = ["tenants ", "log_segments "].iter().any(|table| row.starts_with(table));
        !counts && !row.contains("audit.call")
    });
    rows
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_attempts_find_no_byte_of_another_tenant() {
    let seed = seed();
    let database = database().await;
    // No session ends meanwhile for want of a heartbeat.
    let state = State::start_with(&database, |config| config.heartbeat_interval_ms = 300_000).await;
    let (own, own_agent) = ATTACKER.move_in(&state).await;
    let (quiet, mut quiet_agent) = QUIET.move_in(&state).await;
    let (busy, busy_agent) = BUSY.move_in(&state).await;
    let key = v1::CreateApiKeyRequest {
        name: ATTACKER.word.into(),
        role: v1::Role::Operator.into(),
        ..v1::CreateApiKeyRequest::default()
    };
    let admin = ATTACKER.client(&state, Role::Admin);
    let own_secret = admin.access().create_api_key(key).await.unwrap().into_inner().secret;

    let mut watcher = PgConnection::connect(database.expose_secret()).await.unwrap();
    let tables = tables(&mut watcher).await;
    let before = untouched(&mut watcher, &tables, QUIET.id).await;
    let at_work = BUSY.client(&state, Role::Operator);
    let begin = lines(&mut watcher, BUSY.id).await;
    let stop = CancellationToken::new();
    let working = tokio::spawn(work(at_work, stop.clone()));

    let edge = sockets::edge(&state).await;
    let words = words([&own, &quiet, &busy]);
    // Its own cursor is among them, so that there is something to be seen.
    let cursors = [&own, &own, &quiet, &busy].map(|known| known.cursor.clone()).into();
    let (schema, others, reached) = (Schema::read(), vec![quiet, busy], AtomicUsize::new(0));
    let field = Arc::new(Field { seed, schema, words, others, cursors, own_secret, state, reached });
    attack(&field, &edge).await;

    stop.cancel();
    let published = working.await.expect("the busy tenant is not disturbed");
    let reached = field.reached.load(Ordering::Relaxed);
    assert!(reached >= REACHED_MIN, "seed {seed}: only {reached} answers held anything");
    let after = untouched(&mut watcher, &tables, QUIET.id).await;
    assert_eq!(after, before, "seed {seed}: rows of the quiet tenant have changed");
    assert_eq!(lines(&mut watcher, BUSY.id).await, begin + published, "seed {seed}");
    // The first that the quiet tenant's agent is sent is what its own people ask of it.
    let people = QUIET.client(&field.state, Role::Operator);
    let own_command = world::issue(&people, QUIET.word, "web-2", "the-last").await.unwrap();
    assert_eq!(quiet_agent.command().await.command_id, own_command, "seed {seed}");
    drop((own_agent, busy_agent));
    edge.stop().await;
    Arc::into_inner(field).expect("every attempt has ended").state.stop().await;
}

async fn attack(field: &Arc<Field>, edge: &Edge) {
    for from in (0..CALLS).step_by(usize::try_from(RESETTLE_EVERY).expect("small")) {
        ATTACKER.settle(&field.state).await;
        let numbers = from..(from + RESETTLE_EVERY).min(CALLS);
        stream::iter(numbers).for_each_concurrent(AT_ONCE, |number| field.run(number)).await;
    }
    ATTACKER.settle(&field.state).await;
    let tries = sockets::DIALECTS.into_iter().map(|dialect| {
        sockets::try_frames(edge, dialect, field.seed, FRAMES, &field.words.texts, &field.cursors)
    });
    tokio::select! {
        _ = futures::future::join_all(tries) => {}
        () = speak(ATTACKER.client(&field.state, Role::Operator)) => {}
    }
}

/// Has lines of the attacker logged, so that a stream of lines has something to show.
async fn speak(client: Client) {
    let mut interval = tokio::time::interval(LINE_EVERY);
    loop {
        interval.tick().await;
        let line = json!({"category": "system", "message": ATTACKER.word});
        client.publish("log.line", line).await.expect("it may speak");
    }
}
