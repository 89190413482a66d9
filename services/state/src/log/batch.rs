//! One lane: takes what is queued, decides it, and commits it.

mod load;
mod save;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
    time::Instant,
};

use signalbox_proto::v1;
use signalbox_telemetry::now;
use sqlx::PgConnection;
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;

use super::{
    Idempotency, Paces,
    job::{Beginning, Job},
    queue::Queue,
};
use crate::{
    bus::Bell,
    domain::{Code, Error, Needs, View, event::whole_micros, tenant::Limits},
    store::{self, TenantPool, idempotency::Answer, kinds::KindCache, tenants::Head},
    system::Monitor,
    watch::Hub,
};

/// What one lane works with.
pub(super) struct Lane {
    pub(super) pool: TenantPool,
    pub(super) hub: Hub,
    pub(super) bell: Bell,
    pub(super) kinds: KindCache,
    pub(super) monitor: Monitor,
    pub(super) paces: Paces,
    pub(super) batch_len_max: usize,
    /// What tenants may use that have no bounds of their own.
    pub(super) limits: Limits,
    /// Whether a tenant begins with its first use.
    pub(super) begins_by_use: bool,
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
    pub(super) async fn run(self, queue: Queue<Box<dyn Job>>, shutdown: CancellationToken) {
        let mut is_closed = false;
        loop {
            tokio::select! {
                biased;
                () = shutdown.cancelled(), if !is_closed => {
                    is_closed = true;
                    queue.close();
                }
                batch = queue.take(self.batch_len_max) => match batch {
                    Some(batch) => self.commit(batch).await,
                    None => return,
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
                // One of them carries something that the database refuses and the rules let through, or looks at
                // a row that cannot be read: the others must not suffer for it.
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
        let mut wanted: BTreeMap<String, Needs> = BTreeMap::new();
        for job in jobs.iter() {
            job.needs(wanted.entry(job.tenant_id().to_owned()).or_default());
        }
        let tenant_ids: Vec<_> = wanted.keys().cloned().collect();
        let mut transaction = self.pool.begin(&tenant_ids).await?;
        let (heads, begun) = self.lock(&mut transaction, jobs, &wanted).await?;
        // Read under the locks, so that the times of a log never run backwards by more than the clocks differ.
        let committed_at = whole_micros(now());
        let mut views = load::load(&mut transaction, &self.kinds, jobs, wanted, &heads, committed_at).await?;
        for (tenant_id, view) in &mut views {
            (view.standing.defaults, view.standing.is_new) = (self.limits, begun.contains(tenant_id));
        }
        let answers = decide(&mut transaction, jobs, &mut views, committed_at).await?;
        save::save(&mut transaction, &views, &heads, &answers, committed_at).await?;
        transaction.commit().await.map_err(Failure::During)?;
        for (tenant_id, view) in &views {
            let ahead = committed_at - view.standing.now;
            let pace = view.standing.pace().map(|pace| pace.by_clock_ahead(ahead));
            self.paces.put(tenant_id, pace, committed_at);
        }
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

    /// Locks the tenants of a batch, and says which of them it has begun. One that is not there and that nothing of
    /// the batch begins is left out.
    async fn lock(
        &self,
        connection: &mut PgConnection,
        jobs: &[Box<dyn Job>],
        wanted: &BTreeMap<String, Needs>,
    ) -> Result<(HashMap<String, Head>, HashSet<String>), sqlx::Error> {
        let tenant_ids: Vec<_> = wanted.keys().cloned().collect();
        let mut heads = store::tenants::lock(&mut *connection, &tenant_ids).await?;
        if heads.len() == tenant_ids.len() {
            return Ok((heads, HashSet::new()));
        }
        let missing = |beginning: Beginning| {
            let begins = jobs.iter().filter(|job| job.beginning() == beginning).map(|job| job.tenant_id());
            let absent: BTreeSet<_> = begins.filter(|tenant_id| !heads.contains_key(*tenant_id)).collect();
            absent.into_iter().map(str::to_owned).collect::<Vec<_>>()
        };
        let by_use = if self.begins_by_use { missing(Beginning::Use) } else { Vec::new() };
        let by_creation = missing(Beginning::Creation);
        if by_use.is_empty() && by_creation.is_empty() {
            return Ok((heads, HashSet::new()));
        }
        let begun = store::tenants::begin(&mut *connection, &by_use, &by_creation).await?;
        heads = store::tenants::lock(&mut *connection, &tenant_ids).await?;
        Ok((heads, begun))
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
        let Some(view) = views.get_mut(job.tenant_id()) else {
            job.refuse_absent();
            continue;
        };
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

/// Whether the database refused what it was given, or holds what cannot be read, rather than being out of reach
/// or busy.
fn is_about_data(error: &sqlx::Error) -> bool {
    if matches!(error, sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. }) {
        return true;
    }
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    // Class 22: data exceptions; class 23: integrity constraints; class 54: program limits.
    code.is_some_and(|code| ["22", "23", "54"].iter().any(|class| code.starts_with(class)))
}

fn fail(jobs: Vec<Box<dyn Job>>, failure: &Failure) {
    let error = match failure {
        Failure::Before(error) if is_about_data(error) => {
            tracing::error!(%error, "a change was refused by the database, or looks at a row that cannot be read");
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
