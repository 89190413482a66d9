//! The whole house as processes: Postgres, replicas, edges, agents, and a link between every pair that matters.
//!
//! It must not know what is promised; it builds, breaks and mends.

mod breaking;
mod link;
mod postgres;
pub(crate) mod process;
mod recipes;

use std::{
    collections::HashSet,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, Result, bail};
use secrecy::SecretString;
use signalbox_identity::{Keys, Role, TokenConfig, TokenRequest};
use time::Duration;
use tokio::sync::watch;
use uuid::Uuid;

use crate::{
    reader::{Reader, Seat},
    record::Recorder,
    schedule::Cast,
    stored,
};
use link::Link;
use postgres::Postgres;
pub use postgres::Source;
use process::Process;
pub(crate) use recipes::answers;

/// The tenant of everybody in the house.
pub(crate) const TENANT: &str = "chaos";
/// How long tokens hold: longer than any run.
const TOKEN_TTL: Duration = Duration::days(7);
/// Ports are taken from here on: below those that the system gives to connections, so that a process that is
/// started again finds its own free.
const FIRST_PORT: u16 = 20_000;
/// Beyond this the system gives ports to connections.
const LAST_PORT: u16 = 32_000;

/// How large a house is.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Replicas of the state service.
    pub replicas: usize,
    /// Edges.
    pub edges: usize,
    /// Supervised programs.
    pub programs: usize,
    /// Agents built on the SDK that have a ledger on disk.
    pub workers: usize,
    /// Agents built on the SDK that have none.
    pub forgetful: usize,
    /// Watchers over gRPC.
    pub watchers: usize,
    /// WebSocket clients of each protocol.
    pub sockets: usize,
}

impl Size {
    /// A house for runs of minutes and more.
    pub const LARGE: Self =
        Self { replicas: 3, edges: 2, programs: 2, workers: 2, forgetful: 2, watchers: 2, sockets: 2 };
    /// A house for a short run beside other work.
    pub const SMALL: Self =
        Self { replicas: 2, edges: 2, programs: 1, workers: 1, forgetful: 1, watchers: 1, sockets: 1 };
    /// One replica and one edge, for an experiment that brings its own clients.
    pub const EMPTY: Self =
        Self { replicas: 1, edges: 1, programs: 0, workers: 0, forgetful: 0, watchers: 0, sockets: 0 };
}

/// What a house is built from.
#[derive(Debug, Clone)]
pub struct Plan {
    /// How large it is.
    pub size: Size,
    /// Where the programs `signalbox-state`, `signalbox-edge` and `signalbox-agent` are.
    pub bin_dir: PathBuf,
    /// The program of this crate, which is a worker and a supervised program as well.
    pub own_program: PathBuf,
    /// Where Postgres comes from.
    pub postgres: Source,
    /// Where the history, the journals and the logs go.
    pub dir: PathBuf,
}

/// A house in which everything runs.
pub(crate) struct House {
    postgres: Postgres,
    replicas: Vec<Process>,
    edges: Vec<Process>,
    agents: Vec<Process>,
    agent_names: Vec<String>,
    web: Vec<SocketAddr>,
    links: Vec<Arc<Link>>,
    seats: Vec<Seat>,
    storms: watch::Sender<u64>,
    recorder: Recorder,
    keys: Keys,
    /// What publishers and commanders connect to.
    load: Arc<Link>,
    size: Size,
}

impl House {
    /// Starts Postgres, the replicas and the edges. They answer when they have what they need.
    pub(crate) async fn open(plan: &Plan, recorder: Recorder) -> Result<Self> {
        let size = plan.size;
        for dir in ["logs", "journals", "state"] {
            let dir = plan.dir.join(dir);
            std::fs::create_dir_all(&dir).with_context(|| format!("make {}", dir.display()))?;
        }
        let mut ports = Ports::default();
        let log = plan.dir.join("logs/postgres.log");
        let postgres = Postgres::start(&plan.postgres, ports.take()?, log, recorder.clone()).await?;
        let secret = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
        let secret = SecretString::from(secret);
        let keys = Keys::new(&TokenConfig::secret(secret.clone())).context("make the token keys")?;
        let workshop = recipes::Workshop { plan, secret: &secret, recorder: &recorder };

        let mut links = Vec::new();
        let (mut replicas, mut grpc) = (Vec::new(), Vec::new());
        for at in 1..=size.replicas {
            let link = add(&mut links, format!("replica-{at}–postgres"), &[postgres.address]).await?;
            let listen = ports.address()?;
            let database_url = postgres.url(link.address);
            replicas.push(workshop.replica(at, listen, ports.address()?, database_url)?);
            grpc.push(listen);
        }
        let (mut edges, mut web) = (Vec::new(), Vec::new());
        for at in 1..=size.edges {
            let link = add(&mut links, format!("edge-{at}–replicas"), &grpc).await?;
            let listen = ports.address()?;
            edges.push(workshop.edge(at, listen, &link.url())?);
            web.push(listen);
        }
        let load = add(&mut links, "load–replicas".into(), &grpc).await?;
        let mut house = Self {
            postgres,
            replicas,
            edges,
            agents: Vec::new(),
            agent_names: Vec::new(),
            web: web.clone(),
            links,
            seats: Vec::new(),
            storms: watch::Sender::new(0),
            recorder: recorder.clone(),
            keys,
            load,
            size,
        };
        for address in grpc.iter().chain(&web) {
            answers(*address).await?;
        }
        stored::prepare(house.database_url()).await?;
        house.start_agents(&workshop, &grpc).await?;
        house.place_readers(&grpc, &web).await?;
        Ok(house)
    }

    async fn start_agents(&mut self, workshop: &recipes::Workshop<'_>, grpc: &[SocketAddr]) -> Result<()> {
        let Size { programs, workers, forgetful, .. } = self.size;
        let token = self.token("agents", Role::Agent)?;
        // Those without a ledger come last, where the schedule looks for them.
        let names = (1..=programs).map(|at| format!("program-{at}"));
        let names: Vec<_> = names.chain((1..=workers + forgetful).map(|at| format!("worker-{at}"))).collect();
        for (at, name) in names.into_iter().enumerate() {
            let link = add(&mut self.links, agent_link(&name), grpc).await?;
            let agent = if at < programs {
                workshop.supervised(&name, at % 2 == 0, &link.url(), &token)?
            } else {
                workshop.worker(&name, at < programs + workers, &link.url(), &token)?
            };
            self.agents.push(agent);
            self.agent_names.push(name);
        }
        Ok(())
    }

    async fn place_readers(&mut self, grpc: &[SocketAddr], web: &[SocketAddr]) -> Result<()> {
        for at in 1..=self.size.watchers {
            let name = format!("watcher-{at}");
            let link = add(&mut self.links, format!("{name}–replicas"), grpc).await?;
            // Administrators alone are shown the audit, which is part of the log.
            let token = self.token(&name, Role::Admin)?;
            self.seats.push(Seat::watcher(name, link.address, token));
        }
        for protocol in crate::reader::PROTOCOLS {
            for at in 1..=self.size.sockets {
                let name = format!("{}-{at}", protocol.name);
                let link = add(&mut self.links, format!("{name}–edges"), web).await?;
                let token = self.token(&name, Role::Viewer)?;
                self.seats.push(Seat::socket(name, protocol, link.address, token));
            }
        }
        Ok(())
    }

    /// The readers, each for a task of its own, beginning after a revision.
    pub(crate) fn readers(&self, epoch: &str, after: u64) -> Vec<Reader> {
        let reader = |seat: &Seat| seat.reader(epoch, after, self.recorder.clone(), self.storms.subscribe());
        self.seats.iter().map(reader).collect()
    }

    /// What the schedule has to know.
    pub(crate) fn cast(&self) -> Cast {
        Cast {
            agents: self.agents.len(),
            spooled: self.size.workers,
            forgetful: self.size.forgetful,
            replicas: self.replicas.len(),
            edges: self.edges.len(),
            links: self.links.len(),
            readers: self.seats.len(),
            postgres: self.postgres.process.is_some(),
        }
    }

    /// The names of the supervised programs' agents, and of the workers.
    pub(crate) fn agent_names(&self) -> (&[String], &[String]) {
        self.agent_names.split_at(self.size.programs)
    }

    /// The first edge, and where it listens.
    pub(crate) fn edge(&self) -> (&Process, SocketAddr) {
        (&self.edges[0], self.web[0])
    }

    /// Where publishers and commanders connect to.
    pub(crate) fn load_url(&self) -> String {
        self.load.url()
    }

    /// The database, without a link in between.
    pub(crate) fn database_url(&self) -> &str {
        self.postgres.direct_url()
    }

    /// Signs a token of the house's tenant.
    pub(crate) fn token(&self, subject: &str, role: Role) -> Result<String> {
        let request = TokenRequest {
            subject: subject.into(),
            tenant_id: TENANT.into(),
            role,
            ttl: TOKEN_TTL,
            agent_id: None,
        };
        self.keys.issue(&request, signalbox_telemetry::now()).context("sign a token")
    }

    /// Ends the agents in good order: what they have reported is acknowledged.
    pub(crate) async fn dismiss_agents(&mut self) {
        futures::future::join_all(self.agents.drain(..).map(Process::end)).await;
    }

    /// Ends everything else.
    pub(crate) async fn close(self) {
        futures::future::join_all(self.agents.into_iter().map(Process::end)).await;
        futures::future::join_all(self.edges.into_iter().map(Process::end)).await;
        futures::future::join_all(self.replicas.into_iter().map(Process::end)).await;
        if let Some(process) = self.postgres.process {
            // Nobody misses its data.
            process.order(process::Order::Kill).await;
            process.end().await;
        }
    }
}

async fn add(links: &mut Vec<Arc<Link>>, name: String, targets: &[SocketAddr]) -> Result<Arc<Link>> {
    let link = Link::start(name, targets.to_vec()).await.context("start a link")?;
    let link = Arc::new(link);
    links.push(Arc::clone(&link));
    Ok(link)
}

/// Addresses that are free, and stay the house's by being out of the system's way.
#[derive(Default)]
struct Ports {
    taken: HashSet<u16>,
}

impl Ports {
    fn take(&mut self) -> Result<u16> {
        let span = u32::from(LAST_PORT - FIRST_PORT);
        // Runs beside each other look from different places on.
        let begin = std::process::id().wrapping_mul(97) % span;
        for offset in 0..span {
            let port = FIRST_PORT + u16::try_from((begin + offset) % span).unwrap_or_default();
            if !self.taken.contains(&port) && TcpListener::bind(("127.0.0.1", port)).is_ok() {
                self.taken.insert(port);
                return Ok(port);
            }
        }
        bail!("no port from {FIRST_PORT} to {LAST_PORT} is free")
    }

    fn address(&mut self) -> Result<SocketAddr> {
        Ok(SocketAddr::from(([127, 0, 0, 1], self.take()?)))
    }
}

/// What the link between an agent and the replicas is called.
fn agent_link(agent: &str) -> String {
    format!("{agent}–replicas")
}

/// A file for the journal of an agent.
fn journal(dir: &Path, agent: &str) -> PathBuf {
    dir.join("journals").join(format!("{agent}.jsonl"))
}
