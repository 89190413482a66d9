//! One lane: takes what is queued, decides it, and commits it.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Instant,
};

use signalbox_proto::v1;
use signalbox_telemetry::now;
use sqlx::{PgConnection, PgPool};
use time::OffsetDateTime;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Idempotency, job::Job};
use crate::{
    bus::Bell,
    domain::{Agent, Code, Command, Error, Execution, Needs, View, event::whole_micros},
    store::{self, idempotency::Answer, tenants::Bounds},
    system::Monitor,
    watch::Hub,
};

/// What one lane works with.
pub(super) struct Lane {
    pub(super) pool: PgPool,
    pub(super) hub: Hub,
    pub(super) bell: Bell,
    pub(super) monitor: Monitor,
    pub(super) batch_len_max: usize,
}

/// What a commit brought to one tenant's log.
struct Appended {
    tenant_id: String,
    head: u64,
    events: Vec<Arc<v1::Event>>,
}

/// Why a batch was not written.
enum Failure {
    /// Nothing was written: the transaction was never asked to commit.
    Before(sqlx::Error),
    /// The commit was sent and its answer was lost.
    During(sqlx::Error),
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::Before(error)
    }
}

impl Lane {
    /// Works until `shutdown`, and then until the queue is empty.
    pub(super) async fn run(self, mut queue: mpsc::Receiver<Box<dyn Job>>, shutdown: CancellationToken) {
        let mut batch = Vec::new();
        loop {
            tokio::select! {
                biased;
                () = shutdown.cancelled(), if !queue.is_closed() => queue.close(),
                taken = queue.recv_many(&mut batch, self.batch_len_max) => {
                    if taken == 0 {
                        return;
                    }
                    self.commit(std::mem::take(&mut batch)).await;
                }
            }
        }
    }

    async fn commit(&self, mut jobs: Vec<Box<dyn Job>>) {
        let started = Instant::now();
        let written = self.write(&mut jobs).await;
        metrics::histogram!("signalbox_appender_commit_seconds").record(started.elapsed());
        metrics::histogram!("signalbox_appender_batch_len")
            .record(u32::try_from(jobs.len()).unwrap_or(u32::MAX));
        match written {
            Ok(appended) => {
                self.publish(appended);
                jobs.into_iter().for_each(Job::committed);
            }
            Err(Failure::Before(error)) if jobs.len() > 1 && is_about_data(&error) => {
                // One of them carries something that the database refuses and the rules let through: the
                // others must not suffer for it.
                tracing::warn!(%error, "a batch was refused by the database; its changes are tried alone");
                for job in jobs {
                    Box::pin(self.commit(vec![job])).await;
                }
            }
            Err(failure) => fail(jobs, &failure),
        }
    }

    fn publish(&self, appended: Vec<Appended>) {
        for Appended { tenant_id, head, events } in appended {
            metrics::counter!("signalbox_events_appended_total").increment(events.len() as u64);
            self.monitor.committed(&tenant_id, &events);
            self.hub.committed(&tenant_id, events);
            self.bell.ring(tenant_id, head);
        }
    }

    async fn write(&self, jobs: &mut [Box<dyn Job>]) -> Result<Vec<Appended>, Failure> {
        let mut transaction = self.pool.begin().await?;
        let mut wanted: BTreeMap<String, Needs> = BTreeMap::new();
        for job in jobs.iter() {
            job.needs(wanted.entry(job.tenant_id().to_owned()).or_default());
        }
        let tenant_ids: Vec<_> = wanted.keys().cloned().collect();
        let bounds = store::tenants::lock(&mut transaction, &tenant_ids).await?;
        // Read under the locks, so that the times of a log never run backwards by more than the clocks differ.
        let committed_at = whole_micros(now());
        let mut views = load(&mut transaction, &wanted, &bounds, committed_at).await?;
        let answers = decide(&mut transaction, jobs, &mut views, committed_at).await?;
        save(&mut transaction, &views, &bounds, &answers, committed_at).await?;
        transaction.commit().await.map_err(Failure::During)?;
        let appended =
            views.into_iter().filter(|(_, view)| !view.events.is_empty()).map(|(tenant_id, view)| {
                let events = view
                    .events
                    .iter()
                    .map(|event| Arc::new(store::events::to_wire(&tenant_id, event, committed_at)));
                Appended { head: view.head, events: events.collect(), tenant_id }
            });
        Ok(appended.collect())
    }
}

/// Decides the changes in the order of their arrival.
async fn decide(
    connection: &mut PgConnection,
    jobs: &mut [Box<dyn Job>],
    views: &mut BTreeMap<String, View>,
    now: OffsetDateTime,
) -> Result<Vec<Answer>, sqlx::Error> {
    let (tenant_ids, keys): (Vec<_>, Vec<_>) = jobs
        .iter()
        .filter_map(|job| Some((job.tenant_id().to_owned(), job.idempotency()?.key.clone())))
        .unzip();
    let mut given: HashMap<(String, String), (Vec<u8>, String)> = HashMap::new();
    if !keys.is_empty() {
        let answers = store::idempotency::load(&mut *connection, &tenant_ids, &keys).await?;
        given.extend(
            answers
                .into_iter()
                .map(|answer| ((answer.tenant_id, answer.key), (answer.fingerprint, answer.response))),
        );
    }
    let mut answers = Vec::new();
    for job in jobs {
        let view = views.entry(job.tenant_id().to_owned()).or_default();
        let place = job.idempotency().map(|idempotency| (job.tenant_id().to_owned(), idempotency.clone()));
        let Some((tenant_id, idempotency)) = place else {
            job.decide(view, now);
            continue;
        };
        let slot = (tenant_id.clone(), idempotency.key.clone());
        if let Some((fingerprint, response)) = given.get(&slot) {
            job.repeat(fingerprint, response);
        } else if let Some(response) = job.decide(view, now) {
            given.insert(slot, (idempotency.fingerprint.clone(), response.clone()));
            let Idempotency { key, fingerprint } = idempotency;
            answers.push(Answer { tenant_id, key, fingerprint, response });
        }
    }
    Ok(answers)
}

/// Loads the rows that the changes look at, with one statement for each kind of row.
async fn load(
    connection: &mut PgConnection,
    wanted: &BTreeMap<String, Needs>,
    bounds: &HashMap<String, Bounds>,
    now: OffsetDateTime,
) -> Result<BTreeMap<String, View>, sqlx::Error> {
    #[derive(Default)]
    struct Rows {
        agents: Vec<Agent>,
        instances: Vec<((String, Uuid), u64)>,
        commands: Vec<Command>,
        executions: Vec<Execution>,
    }
    let mut rows: HashMap<String, Rows> = HashMap::new();

    let (tenants, ids) = flatten(wanted, |needs| &needs.agents);
    if !ids.is_empty() {
        for (tenant_id, agent) in store::agents::load(&mut *connection, &tenants, &ids).await? {
            rows.entry(tenant_id).or_default().agents.push(agent);
        }
    }
    let (tenants, runs) = flatten(wanted, |needs| &needs.instances);
    if !runs.is_empty() {
        let (agents, uids): (Vec<_>, Vec<_>) = runs.into_iter().unzip();
        for (tenant_id, run, last) in
            store::agents::load_instances(&mut *connection, &tenants, &agents, &uids).await?
        {
            rows.entry(tenant_id).or_default().instances.push((run, last));
        }
    }
    let (command_tenants, command_ids) = flatten(wanted, |needs| &needs.commands);
    let (agent_tenants, agent_ids) = flatten(wanted, |needs| &needs.open_executions);
    if !command_ids.is_empty() || !agent_ids.is_empty() {
        let of_commands = (&command_tenants[..], &command_ids[..]);
        let of_agents = (&agent_tenants[..], &agent_ids[..]);
        let executions = store::commands::load_executions(&mut *connection, of_commands, of_agents).await?;
        let (mut tenants, mut ids) = (command_tenants, command_ids);
        tenants.extend(executions.iter().map(|(tenant_id, _)| tenant_id.clone()));
        ids.extend(executions.iter().map(|(_, execution)| execution.command_id));
        for (tenant_id, execution) in executions {
            rows.entry(tenant_id).or_default().executions.push(execution);
        }
        if !ids.is_empty() {
            for (tenant_id, command) in store::commands::load(&mut *connection, &tenants, &ids).await? {
                rows.entry(tenant_id).or_default().commands.push(command);
            }
        }
    }
    let (tenants, ids) = flatten(wanted, |needs| &needs.queues);
    let mut queues = store::commands::queues(&mut *connection, &tenants, &ids).await?;
    let of_systems: Vec<_> =
        wanted.iter().filter(|(_, needs)| needs.system).map(|(tenant_id, _)| tenant_id.clone()).collect();
    let mut systems = store::system::load(&mut *connection, &of_systems, now).await?;
    let view = |(tenant_id, bounds): (&String, &Bounds)| {
        let rows = rows.remove(tenant_id).unwrap_or_default();
        let mut view = View::new(bounds.head, rows.agents, rows.instances, rows.commands, rows.executions);
        view.queues = queues.remove(tenant_id).unwrap_or_default();
        view.system = systems.remove(tenant_id);
        (tenant_id.clone(), view)
    };
    Ok(bounds.iter().map(view).collect())
}

/// Parallel columns of the tenants and of what is wanted of each.
fn flatten<T: Clone>(
    wanted: &BTreeMap<String, Needs>,
    select: fn(&Needs) -> &BTreeSet<T>,
) -> (Vec<String>, Vec<T>) {
    wanted
        .iter()
        .flat_map(|(tenant_id, needs)| select(needs).iter().map(|item| (tenant_id.clone(), item.clone())))
        .unzip()
}

/// Writes what the changes made, with one statement for each kind of row.
async fn save(
    connection: &mut PgConnection,
    views: &BTreeMap<String, View>,
    bounds: &HashMap<String, Bounds>,
    answers: &[Answer],
    now: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    let events: Vec<_> = pairs(views, |view| view.events.iter());
    if !events.is_empty() {
        let (tenant_ids, heads): (Vec<_>, Vec<_>) = views
            .iter()
            .filter(|(tenant_id, view)| bounds.get(*tenant_id).is_some_and(|bounds| bounds.head != view.head))
            .map(|(tenant_id, view)| (tenant_id.clone(), store::signed(view.head)))
            .unzip();
        store::tenants::set_heads(&mut *connection, &tenant_ids, &heads).await?;
        store::events::append(&mut *connection, &events, now).await?;
        store::segments::grow(&mut *connection, &events, now).await?;
    }
    let agents = pairs(views, View::changed_agents);
    if !agents.is_empty() {
        store::agents::put(&mut *connection, &agents).await?;
    }
    let (tenant_ids, agent_ids): (Vec<_>, Vec<_>) = pairs(views, View::deleted_agents)
        .into_iter()
        .map(|(tenant, agent)| (tenant.to_owned(), agent.to_owned()))
        .unzip();
    if !agent_ids.is_empty() {
        store::agents::delete(&mut *connection, &tenant_ids, &agent_ids).await?;
    }
    let runs: Vec<_> = pairs(views, View::changed_instances)
        .into_iter()
        .map(|(tenant, (run, last))| (tenant, run, last))
        .collect();
    if !runs.is_empty() {
        store::agents::put_instances(&mut *connection, &runs, now).await?;
    }
    let commands = pairs(views, View::new_commands);
    if !commands.is_empty() {
        store::commands::insert(&mut *connection, &commands).await?;
    }
    let executions = pairs(views, View::changed_executions);
    if !executions.is_empty() {
        store::commands::put_executions(&mut *connection, &executions).await?;
    }
    let told = pairs(views, |view| view.told.iter());
    if !told.is_empty() {
        store::system::put(&mut *connection, &told).await?;
    }
    if !answers.is_empty() {
        store::idempotency::insert(&mut *connection, answers, now).await?;
    }
    Ok(())
}

/// Every item of every view, each with its tenant.
fn pairs<'view, T, I: Iterator<Item = T> + 'view>(
    views: &'view BTreeMap<String, View>,
    select: impl Fn(&'view View) -> I,
) -> Vec<(&'view str, T)> {
    views
        .iter()
        .flat_map(|(tenant_id, view)| select(view).map(move |item| (tenant_id.as_str(), item)))
        .collect()
}

/// Whether the database refused what it was given, rather than being out of reach or busy.
fn is_about_data(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    // Class 22: data exceptions; class 23: integrity constraints; class 54: program limits.
    code.is_some_and(|code| ["22", "23", "54"].iter().any(|class| code.starts_with(class)))
}

fn fail(jobs: Vec<Box<dyn Job>>, failure: &Failure) {
    let error = match failure {
        Failure::Before(error) if is_about_data(error) => {
            tracing::error!(%error, "a change that the rules let through was refused by the database");
            Error::new(Code::Internal, "the change could not be written")
        }
        Failure::Before(error) => {
            tracing::warn!(%error, "a batch was not written");
            Error::later(
                Code::Unavailable,
                "the database cannot be reached; nothing was written",
                store::RETRY_AFTER,
            )
        }
        Failure::During(error) => {
            tracing::warn!(%error, "the answer to a commit was lost");
            let message =
                "the database went away during the commit; repeat the call with its idempotency key";
            Error::later(Code::Unavailable, message, store::RETRY_AFTER)
        }
    };
    for job in jobs {
        job.failed(error.clone());
    }
}
