//! One run: build, load, break, mend, wait until everybody has caught up, and gather the history.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use signalbox_identity::Role;
use signalbox_proto::v1::{
    Connectivity, ListAgentsRequest, ReadRequest, agent_service_client::AgentServiceClient,
    watch_service_client::WatchServiceClient,
};
use sqlx::{Connection as _, PgConnection};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    Kind,
    checker::asks_for,
    house::{House, Plan},
    load::{Caller, Commander, Publisher, publish},
    reader::Reader,
    record::{self, Entry, Record, Recorder},
    schedule::{rolling, schedule},
    stored,
};

/// How long agents may take to connect for the first time.
const READY_MAX: Duration = Duration::from_secs(60);
/// How long each step of catching up may take once nothing is broken any more. An agent may wait for half a minute
/// before it connects again.
const CATCH_UP_MAX: Duration = Duration::from_secs(90);
/// How often somebody who is waited for is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How many publish at once.
const PUBLISHERS: u64 = 2;
/// Name of the publisher of the last event.
const CURTAIN: &str = "curtain";

/// The course of a run.
#[derive(Debug, Clone)]
pub struct Course {
    /// What the schedule and the load are drawn from.
    pub seed: u64,
    /// How long there are faults.
    pub length: Duration,
    /// The mean time between two faults.
    pub every: Duration,
    /// Which faults there are.
    pub faults: Faults,
}

/// Which faults there are.
#[derive(Debug, Clone)]
pub enum Faults {
    /// Faults of these kinds, drawn from the seed.
    Drawn(Vec<Kind>),
    /// Every replica, edge and agent is restarted in turn.
    Rolling,
}

/// Runs it all; answers the history, which is also in `history.jsonl` of the plan's directory.
///
/// # Errors
///
/// When the house cannot be built or the history not be gathered. What the house does wrong is no error here, but
/// in the history.
pub async fn run(plan: &Plan, course: &Course) -> Result<Vec<Entry>> {
    std::fs::create_dir_all(&plan.dir).with_context(|| format!("make {}", plan.dir.display()))?;
    let observed = plan.dir.join("observed.jsonl");
    let recorder = Recorder::open(&observed).context("open the record of the run")?;
    recorder.put(Record::Run { seed: course.seed, seconds: course.length.as_secs() });
    let mut house = House::open(plan, recorder.clone()).await?;
    let caller = Caller::new(house.load_url(), &house.token("load", Role::Operator)?)?;
    connected(&caller, &house).await?;

    let (epoch, head) = head(&caller).await?;
    let (stop_readers, stop_load) = (CancellationToken::new(), CancellationToken::new());
    let readers = Readers::start(house.readers(&epoch, head), &stop_readers);
    let load = start_load(&house, &caller, course.seed, &recorder, &stop_load);
    break_things(&house, course).await;
    stop_load.cancel();
    finish(load, &recorder).await;

    commands_end(&house, &recorder).await;
    house.dismiss_agents().await;
    let curtain = timeout(CATCH_UP_MAX, publish(&caller, CURTAIN, 1, 1)).await;
    let curtain = curtain.context("nothing can be published any more")?.context("publish the last event")?;
    let curtain = curtain.first().copied().unwrap_or_default();
    recorder.put(Record::Published { publisher: CURTAIN.into(), first: 1, revisions: vec![curtain] });
    recorder.put(Record::Curtain { revision: curtain });
    let mut history = stored::read(house.database_url()).await?;
    readers.catch_up(&history, curtain, &recorder).await;
    stop_readers.cancel();
    readers.tasks.join_all().await;
    house.close().await;

    let mut entries = record::read(&observed).context("read the record of the run")?;
    entries.extend(journals(&plan.dir.join("journals"))?);
    entries.sort_by_key(|entry| entry.at_ms);
    entries.append(&mut history);
    write(&plan.dir.join("history.jsonl"), &entries)?;
    Ok(entries)
}

/// Waits until every agent has a session.
async fn connected(caller: &Caller, house: &House) -> Result<()> {
    let (programs, workers) = house.agent_names();
    let wanted = programs.len() + workers.len();
    let begun = Instant::now();
    loop {
        let answer = caller
            .call(ListAgentsRequest::default(), |channel, request| async move {
                AgentServiceClient::new(channel).list_agents(request).await
            })
            .await
            .context("list the agents")?;
        let connected = |agent: &&signalbox_proto::v1::Agent| agent.connectivity() == Connectivity::Connected;
        let count = answer.agents.iter().filter(connected).count();
        if count >= wanted {
            return Ok(());
        }
        if begun.elapsed() > READY_MAX {
            bail!("{count} of {wanted} agents have connected after {} s; see the logs", READY_MAX.as_secs());
        }
        sleep(LOOK_EVERY).await;
    }
}

/// The log's incarnation and its newest revision.
async fn head(caller: &Caller) -> Result<(String, u64)> {
    let answer = caller
        .call(ReadRequest { limit: 1, ..ReadRequest::default() }, |channel, request| async move {
            WatchServiceClient::new(channel).read(request).await
        })
        .await
        .context("read the log's head")?;
    Ok((answer.next.map(|cursor| cursor.epoch).unwrap_or_default(), answer.head))
}

fn start_load(
    house: &House,
    caller: &Caller,
    seed: u64,
    recorder: &Recorder,
    stop: &CancellationToken,
) -> JoinSet<()> {
    let mut load = JoinSet::new();
    for at in 1..=PUBLISHERS {
        let (caller, recorder) = (caller.clone(), recorder.clone());
        let publisher =
            Publisher { name: format!("publisher-{at}"), caller, seed: seed.wrapping_add(at), recorder };
        load.spawn(publisher.run(stop.clone()));
    }
    let (programs, workers) = house.agent_names();
    let commander = Commander {
        caller: caller.clone(),
        programs: programs.to_vec(),
        workers: workers.to_vec(),
        seed,
        recorder: recorder.clone(),
    };
    load.spawn(commander.run(stop.clone()));
    load
}

/// Makes the faults of the schedule, and waits until the last is undone.
async fn break_things(house: &House, course: &Course) {
    let begun = Instant::now();
    let faults = match &course.faults {
        Faults::Drawn(kinds) => schedule(course.seed, course.length, course.every, &house.cast(), kinds),
        Faults::Rolling => rolling(course.length, course.every, &house.cast()),
    };
    let befall = |fault: crate::schedule::Fault| async move {
        sleep_until(begun + fault.at).await;
        house.befall(fault).await;
    };
    futures::future::join_all(faults.into_iter().map(befall)).await;
    sleep_until(begun + course.length).await;
}

/// Waits for the answers to the last calls.
async fn finish(mut load: JoinSet<()>, recorder: &Recorder) {
    let all = async { while load.join_next().await.is_some() {} };
    if timeout(CATCH_UP_MAX, all).await.is_err() {
        let what = "calls are not answered though nothing is broken any more".into();
        recorder.put(Record::Behind { who: "the load".into(), what });
    }
}

/// Waits until every command has its end. One that has none is found by the checker, in the log.
async fn commands_end(house: &House, recorder: &Recorder) {
    let open = async {
        let mut connection = PgConnection::connect(house.database_url()).await?;
        let sql = "SELECT count(*) FROM command_executions
                   WHERE state IN ('QUEUED', 'DELIVERED', 'ACKNOWLEDGED', 'IN_PROGRESS')";
        while sqlx::query_scalar::<_, i64>(sql).fetch_one(&mut connection).await? > 0 {
            sleep(LOOK_EVERY).await;
        }
        connection.close().await
    };
    match timeout(CATCH_UP_MAX, open).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            recorder.put(Record::Behind { who: "the database".into(), what: error.to_string() });
        }
        Err(_) => {
            let what = "some have no end long after their deadlines".into();
            recorder.put(Record::Behind { who: "the commands".into(), what });
        }
    }
}

/// The readers at work.
struct Readers {
    tasks: JoinSet<()>,
    positions: Vec<(String, Arc<AtomicU64>)>,
}

impl Readers {
    fn start(readers: Vec<Reader>, stop: &CancellationToken) -> Self {
        let (mut tasks, mut positions) = (JoinSet::new(), Vec::new());
        for reader in readers {
            positions.push((reader.name.clone(), reader.position()));
            tasks.spawn(reader.run(stop.clone()));
        }
        Self { tasks, positions }
    }

    /// Waits until each has the last event that it is owed.
    async fn catch_up(&self, history: &[Entry], curtain: u64, recorder: &Recorder) {
        let due = Instant::now() + CATCH_UP_MAX;
        let wanted = self.last_owed(history, curtain);
        for ((name, position), wanted) in self.positions.iter().zip(wanted) {
            while position.load(Ordering::Relaxed) < wanted && Instant::now() < due {
                sleep(LOOK_EVERY).await;
            }
            let position = position.load(Ordering::Relaxed);
            if position < wanted {
                let what = format!("it stands at revision {position} and is owed {wanted}");
                recorder.put(Record::Behind { who: name.clone(), what });
            }
        }
    }

    fn last_owed(&self, history: &[Entry], curtain: u64) -> Vec<u64> {
        let last = |types: &[String]| {
            let owed = |entry: &Entry| match &entry.record {
                Record::Logged(event) if event.revision <= curtain && asks_for(types, &event.event_type) => {
                    Some(event.revision)
                }
                _ => None,
            };
            history.iter().rev().find_map(owed).unwrap_or_default()
        };
        self.positions.iter().map(|(name, _)| last(&crate::reader::types_of(name))).collect()
    }
}

/// What the agents and their programs have written down.
fn journals(dir: &Path) -> Result<Vec<Entry>> {
    let mut paths: Vec<PathBuf> = Vec::new();
    for file in std::fs::read_dir(dir).with_context(|| format!("read {}", dir.display()))? {
        paths.push(file.context("read the journals")?.path());
    }
    paths.sort();
    let mut entries = Vec::new();
    for path in paths {
        entries.extend(record::read(&path).context("read a journal")?);
    }
    Ok(entries)
}

fn write(path: &Path, entries: &[Entry]) -> Result<()> {
    let mut text = String::new();
    for entry in entries {
        text.push_str(&entry.line());
        text.push('\n');
    }
    std::fs::write(path, text).with_context(|| format!("write {}", path.display()))
}
