//! Makes the faults of the schedule, and undoes them.

use std::time::Duration;

use sqlx::{Connection as _, PgConnection};
use tokio::time::{sleep, timeout};

use super::{House, Process, link::Mode, process::Order};
use crate::{
    reader::Pace,
    record::Record,
    schedule::{Fault, Kind},
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
        sleep(fault.lasts).await;
        self.undo(fault).await;
    }

    async fn begin(&self, fault: Fault) {
        match fault.kind {
            Kind::KillAgent | Kind::KillReplica | Kind::KillEdge | Kind::KillPostgres => {
                self.order(fault, Order::Kill).await;
            }
            Kind::PauseAgent | Kind::PauseReplica | Kind::PauseEdge => self.order(fault, Order::Pause).await,
            Kind::StopReplica | Kind::StopEdge => self.order(fault, Order::Stop).await,
            Kind::Twin => self.order(fault, Order::Replace).await,
            Kind::Cut => self.links[fault.target].set(Mode::Cut),
            Kind::Freeze => self.links[fault.target].set(Mode::Frozen),
            Kind::Delay => self.links[fault.target].set(Mode::Delayed(DELAY)),
            Kind::StopReading => self.pace(fault.target, Pace::Stopped),
            Kind::SlowReading => self.pace(fault.target, Pace::Slow),
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
            | Kind::StopReplica
            | Kind::StopEdge => self.order(fault, Order::Start).await,
            Kind::PauseAgent | Kind::PauseReplica | Kind::PauseEdge => self.order(fault, Order::Resume).await,
            Kind::Twin => self.order(fault, Order::Return).await,
            Kind::Cut | Kind::Freeze | Kind::Delay => self.links[fault.target].set(Mode::Open),
            Kind::StopReading | Kind::SlowReading => self.pace(fault.target, Pace::Usual),
            Kind::Storm | Kind::BusLost => {}
        }
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
            Kind::KillAgent | Kind::PauseAgent | Kind::Twin => self.agents.get(fault.target),
            Kind::KillReplica | Kind::PauseReplica | Kind::StopReplica => self.replicas.get(fault.target),
            Kind::KillEdge | Kind::PauseEdge | Kind::StopEdge => self.edges.get(fault.target),
            Kind::KillPostgres => self.postgres.process.as_ref(),
            _ => None,
        }
    }

    fn target(&self, fault: Fault) -> String {
        let number = fault.target + 1;
        match fault.kind {
            Kind::KillAgent | Kind::PauseAgent | Kind::Twin => self.agent_names[fault.target].clone(),
            Kind::KillReplica | Kind::PauseReplica | Kind::StopReplica => format!("replica-{number}"),
            Kind::KillEdge | Kind::PauseEdge | Kind::StopEdge => format!("edge-{number}"),
            Kind::KillPostgres | Kind::BusLost => "postgres".into(),
            Kind::Cut | Kind::Freeze | Kind::Delay => self.links[fault.target].name.clone(),
            Kind::StopReading | Kind::SlowReading => self.seats[fault.target].name.clone(),
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
