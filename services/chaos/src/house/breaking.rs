//! Makes the faults of the schedule, and undoes them.

use std::time::Duration;

use sqlx::{Connection as _, PgConnection};
use tokio::time::{sleep, timeout};

use super::{
    House, Process, agent_link,
    link::{Link, Mode},
    process::Order,
};
use crate::{
    reader::Pace,
    record::Record,
    schedule::{Fault, Kind},
    stored,
};

/// By how much a delayed link is late.
const DELAY: Duration = Duration::from_millis(150);
/// How long the database may take to end the listeners' connections.
const BUS_TIMEOUT: Duration = Duration::from_secs(5);

impl House {
    /// Makes a fault, waits for its time, and undoes it.
    pub(crate) async fn befall(&self, fault: Fault) {
        let target = self.target(fault);
        let lasts_ms = u64::try_from(fault.lasts.as_millis()).unwrap_or(u64::MAX);
        self.recorder.put(Record::Fault { kind: fault.kind, target, lasts_ms });
        self.begin(fault).await;
        match fault.kind {
            // Long enough to report into the spool, and then long enough to be dead.
            Kind::HandOver => {
                sleep(fault.lasts / 2).await;
                self.order(fault, Order::Kill).await;
                sleep(fault.lasts / 2).await;
            }
            _ => sleep(fault.lasts).await,
        }
        self.undo(fault).await;
    }

    async fn begin(&self, fault: Fault) {
        match fault.kind {
            Kind::KillAgent | Kind::KillReplica | Kind::KillEdge | Kind::KillPostgres => {
                self.order(fault, Order::Kill).await;
            }
            Kind::PauseAgent | Kind::PauseReplica | Kind::PauseEdge => self.order(fault, Order::Pause).await,
            Kind::StopAgent | Kind::StopReplica | Kind::StopEdge => self.order(fault, Order::Stop).await,
            Kind::Twin => self.order(fault, Order::Replace).await,
            Kind::Cut => self.links[fault.target].set(Mode::Cut),
            Kind::Freeze => self.links[fault.target].set(Mode::Frozen),
            Kind::Delay => self.links[fault.target].set(Mode::Delayed(DELAY)),
            Kind::StopReading => self.pace(fault.target, Pace::Stopped),
            Kind::SlowReading => self.pace(fault.target, Pace::Slow),
            Kind::HandOver => self.link_of(fault.target).set(Mode::Cut),
            Kind::Compact => {
                self.pace(fault.target, Pace::Away);
                stored::cut_off(self.postgres.direct_url(), true).await;
            }
            Kind::Storm => self.storms.send_modify(|storms| *storms += 1),
            Kind::BusLost => self.lose_the_bus().await,
        }
    }

    async fn undo(&self, fault: Fault) {
        match fault.kind {
            Kind::KillAgent
            | Kind::KillReplica
            | Kind::KillEdge
            | Kind::KillPostgres
            | Kind::StopAgent
            | Kind::StopReplica
            | Kind::StopEdge => self.order(fault, Order::Start).await,
            Kind::PauseAgent | Kind::PauseReplica | Kind::PauseEdge => self.order(fault, Order::Resume).await,
            Kind::Twin => self.order(fault, Order::Return).await,
            Kind::Cut | Kind::Freeze | Kind::Delay => self.links[fault.target].set(Mode::Open),
            Kind::StopReading | Kind::SlowReading => self.pace(fault.target, Pace::Usual),
            Kind::HandOver => {
                self.link_of(fault.target).set(Mode::Open);
                self.order(fault, Order::Start).await;
            }
            Kind::Compact => {
                stored::cut_off(self.postgres.direct_url(), false).await;
                self.pace(fault.target, Pace::Usual);
            }
            Kind::Storm | Kind::BusLost => {}
        }
    }

    /// The link between an agent and the replicas.
    fn link_of(&self, agent: usize) -> &Link {
        let name = agent_link(&self.agent_names[agent]);
        self.links.iter().find(|link| link.name == name).expect("every agent has a link")
    }

    async fn order(&self, fault: Fault, order: Order) {
        if let Some(process) = self.process(fault) {
            process.order(order).await;
        }
    }

    /// Changes how a reader reads.
    fn pace(&self, reader: usize, pace: Pace) {
        self.seats[reader].set_pace(pace);
    }

    fn process(&self, fault: Fault) -> Option<&Process> {
        match fault.kind {
            Kind::KillAgent | Kind::PauseAgent | Kind::StopAgent | Kind::Twin | Kind::HandOver => {
                self.agents.get(fault.target)
            }
            Kind::KillReplica | Kind::PauseReplica | Kind::StopReplica => self.replicas.get(fault.target),
            Kind::KillEdge | Kind::PauseEdge | Kind::StopEdge => self.edges.get(fault.target),
            Kind::KillPostgres => self.postgres.process.as_ref(),
            _ => None,
        }
    }

    fn target(&self, fault: Fault) -> String {
        let number = fault.target + 1;
        match fault.kind {
            Kind::KillAgent | Kind::PauseAgent | Kind::StopAgent | Kind::Twin | Kind::HandOver => {
                self.agent_names[fault.target].clone()
            }
            Kind::KillReplica | Kind::PauseReplica | Kind::StopReplica => format!("replica-{number}"),
            Kind::KillEdge | Kind::PauseEdge | Kind::StopEdge => format!("edge-{number}"),
            Kind::KillPostgres | Kind::BusLost => "postgres".into(),
            Kind::Cut | Kind::Freeze | Kind::Delay => self.links[fault.target].name.clone(),
            Kind::StopReading | Kind::SlowReading | Kind::Compact => self.seats[fault.target].name.clone(),
            Kind::Storm => "every WebSocket client".into(),
        }
    }

    /// While Postgres is away there is no bus to be lost.
    async fn lose_the_bus(&self) {
        let lost = async {
            let mut connection = PgConnection::connect(self.postgres.direct_url()).await?;
            let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                       WHERE datname = current_database() AND query ILIKE 'LISTEN%'";
            sqlx::query(sql).execute(&mut connection).await?;
            connection.close().await
        };
        let _ = timeout(BUS_TIMEOUT, lost).await;
    }
}
