//! The state rebuilt from the log equals the rows, at every revision at which somebody has looked: random
//! operations on random resources of every kind, by several writers over two replicas.

mod operation;
mod rebuilt;

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use proptest::test_runner::{Config, TestRunner};
use secrecy::SecretString;
use serde_json::json;
use signalbox_catalog as catalog;
use signalbox_identity::Role;
use signalbox_proto::v1;
use signalbox_testbed::{AgentWire, Client, State, database, hello, resource_report};
use tokio_util::sync::CancellationToken;

use operation::Operation;
use rebuilt::Rebuilt;

const CASES: u32 = 6;
/// Callers of the service, beside an agent that reports.
const CALLERS: usize = 3;
const OPERATIONS_MAX: usize = 40;

#[test]
fn the_log_rebuilds_the_rows_at_every_revision_that_was_looked_at() {
    let config =
        Config { cases: CASES, max_shrink_iters: 20, failure_persistence: None, ..Config::default() };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (tried, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let writers = proptest::collection::vec(operation::several(OPERATIONS_MAX), CALLERS + 1);
    let outcome = TestRunner::new(config).run(&writers, |writers| {
        tried.fetch_add(writers.iter().map(Vec::len).sum(), Ordering::Relaxed);
        done.fetch_add(runtime.block_on(run(writers)), Ordering::Relaxed);
        Ok(())
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
    let (tried, done) = (tried.into_inner(), done.into_inner());
    assert!(done * 10 > tried, "of {tried} operations only {done} were any good");
    assert!(done < tried, "none of {tried} operations was refused");
}

/// Runs the writers and somebody who looks; answers how many operations had an effect.
async fn run(mut writers: Vec<Vec<Operation>>) -> usize {
    let database: SecretString = database().await;
    let (a, b) = (State::start(&database).await, State::start(&database).await);
    prepare(&a).await;
    let reports = writers.pop().unwrap_or_default();
    let done = Arc::new(AtomicUsize::new(0));
    let written = CancellationToken::new();
    let looking = tokio::spawn(rebuilt::look(Client::new(b.channel(), Role::Viewer), written.clone()));
    let mut tasks = tokio::task::JoinSet::new();
    for (n, operations) in writers.into_iter().enumerate() {
        let client = Client::new(if n % 2 == 0 { a.channel() } else { b.channel() }, Role::Operator);
        let done = Arc::clone(&done);
        tasks.spawn(async move {
            for operation in operations {
                if operation.call(&client).await {
                    done.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
    }
    let wire = AgentWire::open(b.channel(), hello("worker-0")).await.unwrap();
    let reported = Arc::clone(&done);
    tasks.spawn(async move {
        reported.fetch_add(report(wire, reports).await, Ordering::Relaxed);
    });
    while let Some(task) = tasks.join_next().await {
        task.unwrap();
    }
    // What the agent was at work on fails with it.
    let admin = Client::new(a.channel(), Role::Admin);
    let delete = v1::DeleteAgentRequest { agent_id: "worker-0".into(), ..v1::DeleteAgentRequest::default() };
    admin.agents().delete_agent(delete).await.unwrap();
    written.cancel();
    let mut pages = looking.await.unwrap();
    let viewer = Client::new(a.channel(), Role::Viewer);
    for kind in operation::kinds() {
        pages.extend(rebuilt::pages(&viewer, &kind).await);
    }
    Rebuilt::read(&viewer).await.check(&pages);
    a.stop().await;
    b.stop().await;
    done.load(Ordering::Relaxed)
}

/// Something of each kind, so that there is what can be referred to, and a kind of the tenant's own.
async fn prepare(state: &State) {
    let (admin, operator) =
        (Client::new(state.channel(), Role::Admin), Client::new(state.channel(), Role::Operator));
    let kind = v1::ApplyKindRequest { kind: Some(operation::own_kind()), ..v1::ApplyKindRequest::default() };
    admin.catalog().apply_kind(kind).await.unwrap();
    let agent = v1::CreateAgentRequest { agent_id: "worker-0".into(), ..v1::CreateAgentRequest::default() };
    admin.agents().create_agent(agent).await.unwrap();
    // Some kinds refer to others that come later in the alphabet.
    for _ in 0..3 {
        for kind in catalog::kinds() {
            let data = operation::example(kind, 0);
            let _ = operator.create(&kind.name, &operation::id(&kind.name, 0), data).await;
        }
    }
    for kind in catalog::kinds() {
        let found = operator.get(&kind.name, &operation::id(&kind.name, 0)).await;
        assert!(found.is_ok(), "the example of {} cannot be created: {found:?}", kind.name);
    }
    operator.create(operation::OWN, &operation::id(operation::OWN, 0), json!({"title": "a"})).await.unwrap();
}

/// Sends operations in reports of several; answers how many were taken.
async fn report(mut wire: AgentWire, operations: Vec<Operation>) -> usize {
    let mut taken = 0;
    for (at, batch) in operations.chunks(5).enumerate() {
        let sequence = at as u64 + 1;
        wire.report(resource_report(sequence, batch.iter().map(Operation::change).collect())).await;
        taken += batch.len() - wire.acknowledged(sequence).await.len();
    }
    taken
}
