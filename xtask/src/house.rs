//! A whole Signalbox on this machine: the state service, the edge, and agents, as processes.
//!
//! It must not know whether people or a check look at it.

mod addresses;
mod enrolment;
mod port_holder;
mod ready;
mod service;
mod tokens;

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use futures::future::select_all;

use crate::{console::Step, programs::Programs};
pub(crate) use addresses::{Addresses, OFFSETS_HELP};
use ready::Probe;
use service::Service;
pub(crate) use tokens::{TENANT, Tokens};

/// What a house is built from.
pub(crate) struct Plan {
    /// The programs.
    pub(crate) programs: Programs,
    /// Where it listens.
    pub(crate) addresses: Addresses,
    /// The database of the state service.
    pub(crate) database_url: String,
    /// What signs the tokens.
    pub(crate) jwt_secret: String,
    /// Where the logs and the agents' ledgers go.
    pub(crate) dir: PathBuf,
}

/// The running processes. Dropped without [`House::stop`], they are told to end but not waited for.
pub(crate) struct House {
    plan: Plan,
    tokens: Tokens,
    /// In the order of their start.
    services: Vec<Service>,
}

impl House {
    /// Prepares a house in which nothing runs yet.
    ///
    /// # Errors
    ///
    /// When the tokens cannot be signed, or its directory cannot be made.
    pub(crate) async fn new(plan: Plan) -> Result<Self> {
        std::fs::create_dir_all(plan.logs()).with_context(|| format!("make {}", plan.logs().display()))?;
        let tokens = Tokens::sign(&plan.programs.path("signalbox"), &plan.jwt_secret).await?;
        Ok(Self { plan, tokens, services: Vec::new() })
    }

    /// Starts the state service and the edge, and waits until they answer.
    ///
    /// # Errors
    ///
    /// When one ends or does not answer in time, with the end of its log.
    pub(crate) async fn open(&mut self) -> Result<()> {
        let Addresses { grpc, state_metrics, edge, aisoc, logs, .. } = self.plan.addresses;
        let step = Step::start("state service");
        let probes = [Probe::Health(state_metrics), Probe::Port(grpc)];
        let state = self.start_state()?;
        self.admit(state, &probes, &step).await?;
        step.done(&format!("gRPC on {grpc}"));

        let step = Step::start("edge");
        let probes = [Probe::Health(edge), Probe::Port(aisoc), Probe::Port(logs)];
        let service = self.start_edge()?;
        self.admit(service, &probes, &step).await?;
        step.done(&format!("WebSocket on {edge}, {aisoc} and {logs}"));
        Ok(())
    }

    /// Starts an agent that supervises a program, and waits until the house shows it as active.
    ///
    /// # Errors
    ///
    /// When it ends or does not become active in time.
    pub(crate) async fn add_agent(&mut self, agent_id: &str, program: &[String]) -> Result<()> {
        let step = Step::start(format!("agent {agent_id}"));
        let probe = Probe::ActiveAgent {
            cli: self.plan.programs.path("signalbox"),
            agent_id: agent_id.to_owned(),
            environment: [
                ("SIGNALBOX_GRPC_URL", self.plan.addresses.grpc_url()),
                ("SIGNALBOX_TOKEN", self.tokens.viewer.clone()),
            ],
        };
        let service = self.spawn_agent(agent_id, program).await?;
        self.admit(service, &[probe], &step).await?;
        step.done("supervises a program that runs");
        Ok(())
    }

    /// Starts an agent that supervises a program, without waiting for it.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub(crate) async fn start_agent(&mut self, agent_id: &str, program: &[String]) -> Result<()> {
        let service = self.spawn_agent(agent_id, program).await?;
        self.services.push(service);
        Ok(())
    }

    /// Starts what plays a fleet: agents that do not exist, and the people who work with them.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub(crate) fn start_simulator(&mut self) -> Result<()> {
        let step = Step::start("simulated fleet");
        let service = self.plan.service("simulator", "signalbox-agent", |command| {
            command.arg("simulate");
            command.env("SIGNALBOX_GRPC_URL", self.plan.addresses.grpc_url());
            command.env("SIGNALBOX_TOKEN", &self.tokens.agent);
            command.env("SIGNALBOX_ADMIN_TOKEN", &self.tokens.admin);
        })?;
        self.services.push(service);
        step.done("tells stories of every kind");
        Ok(())
    }

    /// Waits until a process ends by itself, which none should. Returns which, with the end of its log.
    pub(crate) async fn broken(&mut self) -> anyhow::Error {
        let deaths = self.services.iter_mut().map(|service| Box::pin(service.died()));
        select_all(deaths).await.0
    }

    /// Ends every process, last started first, and waits for it.
    ///
    /// # Errors
    ///
    /// When one cannot be ended.
    pub(crate) async fn stop(mut self) -> Result<()> {
        let mut first_failure = Ok(());
        while let Some(service) = self.services.pop() {
            let stopped = service.stop().await;
            first_failure = first_failure.and(stopped);
        }
        first_failure
    }

    /// The ends of all logs, for whoever has to find out what went wrong.
    pub(crate) fn log_tails(&self) -> String {
        let tails = self.services.iter().map(Service::log_tail);
        tails.collect::<Vec<_>>().join("\n")
    }

    /// What it was built from.
    pub(crate) fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Tokens of its tenant.
    pub(crate) fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    fn start_state(&self) -> Result<Service> {
        let Plan { addresses, database_url, jwt_secret, .. } = &self.plan;
        self.plan.service("signalbox-state", "signalbox-state", |command| {
            command.arg("--listen").arg(addresses.grpc.to_string());
            command.arg("--metrics-listen").arg(addresses.state_metrics.to_string());
            // The simulated fleet never tires: a week of it is enough to look at.
            command.args(["--profile", "development", "--retention-age", "7d"]);
            command.env("SIGNALBOX_DATABASE_URL", database_url);
            command.env("SIGNALBOX_JWT_SECRET", jwt_secret);
        })
    }

    fn start_edge(&self) -> Result<Service> {
        let Plan { addresses, jwt_secret, .. } = &self.plan;
        self.plan.service("signalbox-edge", "signalbox-edge", |command| {
            command.arg("--listen").arg(addresses.edge.to_string());
            command.arg("--aisoc-listen").arg(addresses.aisoc.to_string());
            command.arg("--logs-listen").arg(addresses.logs.to_string());
            command.arg("--grpc-url").arg(addresses.grpc_url());
            command.args(["--profile", "development", "--logs-tenant", TENANT]);
            command.env("SIGNALBOX_JWT_SECRET", jwt_secret);
        })
    }

    /// Takes a process in, so that it is ended with the others whatever happens, and waits for it.
    async fn admit(&mut self, service: Service, probes: &[Probe], step: &Step) -> Result<()> {
        self.services.push(service);
        let service = self.services.last_mut().expect("one was just taken in");
        for probe in probes {
            ready::wait(service, probe, step).await?;
        }
        Ok(())
    }

    /// Starts an agent that enrols itself where it has no key yet, as agents elsewhere do.
    async fn spawn_agent(&self, agent_id: &str, program: &[String]) -> Result<Service> {
        let ledger = self.plan.dir.join("agents").join(agent_id);
        std::fs::create_dir_all(&ledger).with_context(|| format!("make {}", ledger.display()))?;
        let cli = self.plan.programs.path("signalbox");
        let grpc_url = self.plan.addresses.grpc_url();
        let enrolment = enrolment::token(&cli, &grpc_url, &self.tokens.admin, agent_id).await?;
        self.plan.service(agent_id, "signalbox-agent", |command| {
            command.args(["run", "--id", agent_id, "--state-dir"]).arg(&ledger).arg("--").args(program);
            command.env("SIGNALBOX_GRPC_URL", grpc_url);
            command.env("SIGNALBOX_ENROLMENT_TOKEN", enrolment);
        })
    }
}

impl Plan {
    /// Where the logs of its processes go.
    pub(crate) fn logs(&self) -> PathBuf {
        self.dir.join("logs")
    }

    fn service(
        &self,
        name: &str,
        program: &str,
        prepare: impl FnOnce(&mut tokio::process::Command),
    ) -> Result<Service> {
        let log = self.logs().join(format!("{name}.log"));
        Service::spawn(name, &self.programs.path(program), &log, prepare)
    }
}
