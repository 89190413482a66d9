//! Slow clients: what they cost the edge and those who keep up, and whether they get everything in the end.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use signalbox_identity::Role;
use signalbox_proto::v1::{
    EventInput, PublishRequest, ReadRequest, event_service_client::EventServiceClient,
    watch_service_client::WatchServiceClient,
};
use tokio::{
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    caller,
    client::{Client, Seen},
    edge_memory, percentile, table,
};
use crate::{house::House, load::Caller};

/// Clients that keep up.
const HEALTHY: usize = 10;
/// Slow clients of each of the three sorts.
const SLOW: usize = 4;
/// Size of an event. An edge keeps 64 MiB of them and of their frames in memory, which is less than what is
/// published while there are slow clients.
const EVENT_LEN: usize = 20_000;
/// So many fill that memory, which would otherwise grow while it is measured.
const WARM_UP: u64 = 1_800;
/// How many events one call publishes, and how often there is a call.
const CALL_LEN: u64 = 5;
const CALL_EVERY: Duration = Duration::from_millis(80);
/// How long is measured without slow clients, and with them.
const WITHOUT: Duration = Duration::from_secs(15);
const WITH: Duration = Duration::from_secs(35);
/// How long one that comes and goes stays.
const VISIT: Duration = Duration::from_millis(500);
/// How often the edge's memory is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long slow clients may take to get everything once they read again.
const CATCH_UP_MAX: Duration = Duration::from_secs(90);

/// What readers and publisher share.
struct Stage {
    edge: SocketAddr,
    token: String,
    epoch: String,
    begun: Instant,
    /// The end of the log before anything was published.
    base: u64,
    published: AtomicU64,
}

impl Stage {
    fn cursor(&self, after: u64) -> String {
        format!("{}:{after}", self.epoch)
    }

    /// Nothing is missing and nothing comes twice: besides what is published the log has only what it tells of each
    /// call, which no client is shown.
    fn follows(&self, after: &mut u64, seen: Seen) -> Result<()> {
        let is_of_call = (*after + 1 - self.base).is_multiple_of(CALL_LEN + 1);
        let expected = *after + if is_of_call { 2 } else { 1 };
        ensure!(seen.revision == expected, "after revision {after} came {}", seen.revision);
        *after = seen.revision;
        Ok(())
    }

    async fn client(&self, after: u64, narrow: bool) -> Result<Client> {
        Client::open(self.edge, &self.token, &self.cursor(after), narrow).await
    }
}

pub(super) async fn run(house: &House) -> Result<String> {
    let caller = caller(house)?;
    let read = caller.call(ReadRequest::default(), |channel, request| async move {
        WatchServiceClient::new(channel).read(request).await
    });
    let next = read.await.context("read the log's head")?.next.context("a log has a cursor")?;
    let token = house.token("reader", Role::Viewer)?;
    let (edge, begun, base) = (house.edge().1, Instant::now(), next.revision);
    let stage =
        Arc::new(Stage { edge, token, epoch: next.epoch, begun, base, published: AtomicU64::new(base) });

    let (stop, mut healthy) = (CancellationToken::new(), JoinSet::new());
    let first = stage.published.load(Ordering::Relaxed);
    for _ in 0..HEALTHY {
        let client = stage.client(first, false).await?;
        healthy.spawn(keep_up(client, Arc::clone(&stage), first, stop.clone()));
    }
    for _ in 0..WARM_UP / CALL_LEN {
        publish(&caller, &stage).await?;
    }
    let stopping = stop.clone();
    let publishing = tokio::spawn(publish_on(caller, Arc::clone(&stage), stop.clone()));
    let course = phases(house, &stage).await;
    stopping.cancel();
    publishing.await.context("publish")??;
    let phases = course?;
    let mut latencies = Vec::new();
    while let Some(client) = healthy.join_next().await {
        latencies.extend(client.context("read")?.context("a client that keeps up was not served")?);
    }
    Ok(report(&phases, &latencies))
}

/// What was measured apart from the delivery.
struct Phases {
    slow_from: Duration,
    slow_until: Duration,
    memory_without: Vec<f64>,
    memory_with: Vec<f64>,
    caught_up_in: Duration,
    owed: u64,
    visits: u64,
}

async fn phases(house: &House, stage: &Arc<Stage>) -> Result<Phases> {
    let memory_without = watch_memory(house, WITHOUT).await?;
    let after = stage.published.load(Ordering::Relaxed);
    let (mut stopped, mut restless, leave) = (Vec::new(), JoinSet::new(), CancellationToken::new());
    let (mut dripping, read_on) = (JoinSet::new(), CancellationToken::new());
    let slow_from = stage.begun.elapsed();
    for _ in 0..SLOW {
        stopped.push(stage.client(after, true).await?);
        let client = stage.client(after, true).await?;
        dripping.spawn(drip(client, Arc::clone(stage), after, read_on.clone()));
        restless.spawn(come_and_go(Arc::clone(stage), after, leave.clone()));
    }
    let memory_with = watch_memory(house, WITH).await?;
    let slow_until = stage.begun.elapsed();
    leave.cancel();
    let mut visits = 0;
    while let Some(client) = restless.join_next().await {
        visits += client.context("read")?.context("a client that comes and goes was not served")?;
    }
    // And now they read.
    let (reads_again, last) = (Instant::now(), stage.published.load(Ordering::Relaxed));
    read_on.cancel();
    let mut all = dripping;
    for client in stopped {
        all.spawn(read_through(client, Arc::clone(stage), after, last));
    }
    let everybody = async {
        while let Some(client) = all.join_next().await {
            client.context("read")?.context("a slow client did not get everything")?;
        }
        anyhow::Ok(())
    };
    timeout(CATCH_UP_MAX, everybody).await.context("slow clients do not catch up")??;
    let caught_up_in = reads_again.elapsed();
    Ok(Phases {
        slow_from,
        slow_until,
        memory_without,
        memory_with,
        caught_up_in,
        owed: last - after,
        visits,
    })
}

async fn watch_memory(house: &House, length: Duration) -> Result<Vec<f64>> {
    let (begun, mut seen) = (Instant::now(), Vec::new());
    while begun.elapsed() < length {
        sleep(LOOK_EVERY).await;
        seen.push(edge_memory(house).await?);
    }
    Ok(seen)
}

async fn publish_on(caller: Caller, stage: Arc<Stage>, stop: CancellationToken) -> Result<()> {
    let mut calls = interval(CALL_EVERY);
    calls.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !stop.is_cancelled() {
        calls.tick().await;
        publish(&caller, &stage).await?;
    }
    Ok(())
}

/// Publishes some events that carry the time of the call.
async fn publish(caller: &Caller, stage: &Stage) -> Result<()> {
    let (now, padding) = (stage.begun.elapsed().as_micros(), "x".repeat(EVENT_LEN));
    let data = json!({"severity": "info", "message": format!("mark-{now}"), "details": {"padding": padding}});
    let data = data.to_string();
    let event =
        |_| EventInput { r#type: "system.alert".into(), data: data.clone().into(), ..EventInput::default() };
    let request = PublishRequest { events: (0..CALL_LEN).map(event).collect(), ..PublishRequest::default() };
    let answer = caller
        .call(
            request,
            |channel, request| async move { EventServiceClient::new(channel).publish(request).await },
        )
        .await
        .context("publish")?;
    let last = answer.results.last().map_or(0, |result| result.revision);
    ensure!(last > 0, "an event was refused");
    stage.published.store(last, Ordering::Relaxed);
    Ok(())
}

/// When an event was published, and how long it took to a client.
type Delivery = (Duration, Duration);

/// Reads everything at once, and notes how long each event took.
async fn keep_up(
    mut client: Client,
    stage: Arc<Stage>,
    mut after: u64,
    stop: CancellationToken,
) -> Result<Vec<Delivery>> {
    let mut deliveries = Vec::new();
    loop {
        let seen = tokio::select! {
            () = stop.cancelled() => return Ok(deliveries),
            seen = client.event() => seen?,
        };
        stage.follows(&mut after, seen)?;
        let published = Duration::from_micros(seen.mark);
        deliveries.push((published, stage.begun.elapsed().saturating_sub(published)));
    }
}

/// Reads a byte a second, and from a word on everything that there is then.
async fn drip(client: Client, stage: Arc<Stage>, after: u64, read_on: CancellationToken) -> Result<()> {
    client.drip(true);
    let mut client = client;
    let mut position = after;
    loop {
        let seen = tokio::select! {
            () = read_on.cancelled() => break,
            seen = client.event() => seen?,
        };
        stage.follows(&mut position, seen)?;
    }
    client.drip(false);
    let last = stage.published.load(Ordering::Relaxed);
    read_through(client, stage, position, last).await
}

async fn read_through(mut client: Client, stage: Arc<Stage>, mut after: u64, last: u64) -> Result<()> {
    while after < last {
        let seen = client.event().await?;
        stage.follows(&mut after, seen)?;
    }
    Ok(())
}

/// Connects again and again, each time after what it has seen; answers how often.
async fn come_and_go(stage: Arc<Stage>, mut after: u64, leave: CancellationToken) -> Result<u64> {
    let mut visits = 0;
    while !leave.is_cancelled() {
        let mut client = stage.client(after, false).await?;
        let until = Instant::now() + VISIT;
        while let Ok(seen) = tokio::time::timeout_at(until, client.event()).await {
            stage.follows(&mut after, seen?)?;
        }
        visits += 1;
    }
    Ok(visits)
}

fn report(phases: &Phases, deliveries: &[Delivery]) -> String {
    let within = |from: Duration, until: Duration| -> Vec<Duration> {
        let of = deliveries.iter().filter(|(published, _)| (from..until).contains(published));
        of.map(|(_, took)| *took).collect()
    };
    let mut without = within(phases.slow_from.saturating_sub(WITHOUT), phases.slow_from);
    let mut with = within(phases.slow_from, phases.slow_until);
    let span = |memory: &[f64]| {
        let (least, most) = memory.iter().fold((f64::MAX, 0_f64), |(a, b), at| (a.min(*at), b.max(*at)));
        format!("{least:.0} to {most:.0}")
    };
    let mut rows = Vec::new();
    for (name, share) in [("p50", 0.5), ("p99", 0.99)] {
        let (a, b) = (percentile(&mut without, share), percentile(&mut with, share));
        let what = format!("publish to a client that keeps up, {name}, ms");
        rows.push(vec![what, format!("{a:.1}"), format!("{b:.1}"), format!("{:.2}", b / a)]);
    }
    let half = phases.memory_with.len() / 2;
    let mean =
        |memory: &[f64]| memory.iter().sum::<f64>() / f64::from(u32::try_from(memory.len()).unwrap_or(1));
    let (first, second) = phases.memory_with.split_at(half);
    let growth = format!("{:.2} (second half to first)", mean(second) / mean(first));
    rows.push(vec![
        "memory of the edge, MiB".into(),
        span(&phases.memory_without),
        span(&phases.memory_with),
        growth,
    ]);
    let tail = format!(
        "\n{HEALTHY} clients keep up; {SLOW} read nothing, {SLOW} a byte a second, and {SLOW} came and went \
         {} times.\nEach slow client was owed {} events of {EVENT_LEN} bytes; once they read again, all had \
         everything after {:.1} s,\nin order and once.",
        phases.visits,
        phases.owed,
        phases.caught_up_in.as_secs_f64()
    );
    table(&["", "without slow clients", "with them", "ratio"], rows) + &tail
}
