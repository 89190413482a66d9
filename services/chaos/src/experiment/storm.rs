//! A storm: an edge restarts under thousands of clients, and all of them come back at once.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
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
    sync::{Semaphore, watch},
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use super::{caller, client::Client, edge_memory, percentile, table};
use crate::{
    house::{House, answers, process::Order},
    load::Caller,
};

/// How many connect at once before the storm; in the storm nobody holds back.
const OPENING: usize = 64;
/// How many connections one user has.
const CLIENTS_OF_USER: usize = 500;
/// How soon somebody who was not let in tries again.
const AGAIN_AFTER: Duration = Duration::from_millis(100);
/// How many of those that are back first go on reading, to see how late events come while the others return.
const FIRST_BACK: usize = 100;
/// The mark of the event that everybody misses; those of the storm follow.
const MISSED_MARK: u64 = 1;
/// How often something happens during the storm.
const PUBLISH_EVERY: Duration = Duration::from_millis(200);
/// How long all of them together may take to come back.
const STORM_MAX: Duration = Duration::from_secs(600);

/// How one client came back.
struct Return {
    /// From the edge's listening to its subscription.
    subscribed: Duration,
    /// And to the event that it had missed.
    resumed: Duration,
    /// How often it was not let in.
    turned_away: u32,
}

/// What happens during the storm, and how late those hear of it who are back first.
#[derive(Default)]
struct Live(Mutex<Heard>);

#[derive(Default)]
struct Heard {
    /// When each event was published, by its mark.
    sent: Vec<Instant>,
    back: usize,
    late: Vec<Duration>,
}

impl Live {
    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a client that is back is one of the first.
    fn is_first(&self) -> bool {
        let mut heard = self.heard();
        heard.back += 1;
        heard.back <= FIRST_BACK
    }

    /// Something is about to be published; gives its mark.
    fn publishes(&self) -> u64 {
        let mut heard = self.heard();
        heard.sent.push(Instant::now());
        MISSED_MARK + heard.sent.len() as u64
    }

    /// A client that was back since then has seen an event.
    fn saw(&self, mark: u64, back_since: Instant) {
        let mut heard = self.heard();
        let at = usize::try_from(mark - MISSED_MARK).unwrap_or(usize::MAX);
        let sent = at.checked_sub(1).and_then(|at| heard.sent.get(at)).copied();
        // What it had missed is not late.
        heard.late.extend(sent.filter(|sent| *sent > back_since).map(|sent| sent.elapsed()));
    }
}

pub(super) async fn run(house: &House, clients: usize) -> Result<String> {
    let caller = caller(house)?;
    let read = caller.call(ReadRequest::default(), |channel, request| async move {
        WatchServiceClient::new(channel).read(request).await
    });
    let next = read.await.context("read the log's head")?.next.context("a log has a cursor")?;
    let cursor: Arc<str> = format!("{}:{}", next.epoch, next.revision).into();
    let (edge, places) = (house.edge().1, Arc::new(Semaphore::new(OPENING)));
    let idle = edge_memory(house).await?;
    let mut opening = JoinSet::new();
    let mut token: Arc<str> = "".into();
    for at in 0..clients {
        if at % CLIENTS_OF_USER == 0 {
            token = house.token(&format!("reader-{at}"), Role::Viewer)?.into();
        }
        let (cursor, token, places) = (Arc::clone(&cursor), Arc::clone(&token), Arc::clone(&places));
        opening.spawn(async move {
            let _place = places.acquire().await;
            let client = Client::open(edge, &token, &cursor, false).await?;
            anyhow::Ok((client, token))
        });
    }
    let (begin, begins) = watch::channel(None::<Instant>);
    let mut returning = JoinSet::new();
    let live = Arc::new(Live::default());
    // Whoever is connected reads, while the others connect: the edge wants its pings answered.
    while let Some(client) = opening.join_next().await {
        let (mut client, token) = client.context("connect")??;
        let (cursor, live, mut begins) = (Arc::clone(&cursor), Arc::clone(&live), begins.clone());
        returning.spawn(async move {
            client.ended().await;
            let begun = *begins.wait_for(Option::is_some).await.context("the storm begins")?;
            come_back(edge, &token, &cursor, begun.context("it has begun")?, live).await
        });
    }
    let full = edge_memory(house).await?;
    house.edge().0.order(Order::Stop).await;
    // Its listeners are the first to go; this is missed by everybody.
    publish(&caller, MISSED_MARK).await?;
    house.edge().0.order(Order::Start).await;
    sleep(AGAIN_AFTER).await;
    answers(edge).await?;
    begin.send_replace(Some(Instant::now()));
    let mut returns = Vec::new();
    let everybody = async {
        while let Some(client) = returning.join_next().await {
            returns.push(client.context("come back")??);
        }
        anyhow::Ok(())
    };
    let publishing = async {
        loop {
            publish(&caller, live.publishes()).await?;
            sleep(PUBLISH_EVERY).await;
        }
    };
    tokio::select! {
        back = timeout(STORM_MAX, everybody) => back.context("not everybody came back")??,
        failed = publishing => return failed,
    }
    let after = edge_memory(house).await?;
    let late = std::mem::take(&mut live.heard().late);
    Ok(report(&returns, late, [idle, full, after]))
}

async fn come_back(
    edge: std::net::SocketAddr,
    token: &str,
    cursor: &str,
    begun: Instant,
    live: Arc<Live>,
) -> Result<Return> {
    let mut turned_away = 0;
    loop {
        match Client::open(edge, token, cursor, false).await {
            Ok(mut client) => {
                let subscribed = begun.elapsed();
                client.event().await.context("a client did not get what it had missed")?;
                let resumed = begun.elapsed();
                // Stays, as it would.
                let (is_first, back_since) = (live.is_first(), Instant::now());
                tokio::spawn(async move {
                    while is_first && let Ok(seen) = client.event().await {
                        live.saw(seen.mark, back_since);
                    }
                    client.ended().await;
                });
                return Ok(Return { subscribed, resumed, turned_away });
            }
            Err(_) => {
                turned_away += 1;
                sleep(AGAIN_AFTER).await;
            }
        }
    }
}

async fn publish(caller: &Caller, mark: u64) -> Result<()> {
    let event = EventInput {
        r#type: "system.alert".into(),
        data: json!({"severity": "info", "message": format!("mark-{mark}")}).to_string().into(),
        ..EventInput::default()
    };
    let request = PublishRequest { events: vec![event], ..PublishRequest::default() };
    let answer = caller
        .call(
            request,
            |channel, request| async move { EventServiceClient::new(channel).publish(request).await },
        )
        .await
        .context("publish")?;
    ensure!(answer.results.iter().all(|result| result.revision > 0), "an event was refused");
    Ok(())
}

fn report(returns: &[Return], mut late: Vec<Duration>, [idle, full, after]: [f64; 3]) -> String {
    let mut subscribed: Vec<_> = returns.iter().map(|client| client.subscribed).collect();
    let mut resumed: Vec<_> = returns.iter().map(|client| client.resumed).collect();
    let turned_away: u32 = returns.iter().map(|client| client.turned_away).sum();
    let all = percentile(&mut resumed, 1.0);
    let rate = f64::from(u32::try_from(returns.len()).unwrap_or(u32::MAX)) / all * 1000.0;
    let times = |values: &mut [Duration]| {
        let [half, most, last] = [0.5, 0.99, 1.0].map(|share| percentile(values, share) / 1000.0);
        format!("{half:.2} / {most:.2} / {last:.2}")
    };
    let rows = [
        ("clients", returns.len().to_string()),
        ("subscribed after, s (p50 / p99 / last)", times(&mut subscribed)),
        ("had what they missed after, s (p50 / p99 / last)", times(&mut resumed)),
        ("clients a second", format!("{rate:.0}")),
        (
            "publish to those back first, meanwhile, ms (p50 / p99)",
            format!("{:.0} / {:.0}", percentile(&mut late, 0.5), percentile(&mut late, 0.99)),
        ),
        ("tries that were not let in", turned_away.to_string()),
        (
            "memory of the edge, MiB (empty / before / after the storm)",
            format!("{idle:.0} / {full:.0} / {after:.0}"),
        ),
    ];
    let rows = rows.into_iter().map(|(what, figure)| vec![what.to_owned(), figure]).collect();
    table(&["", ""], rows)
}
