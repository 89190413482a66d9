//! `SystemService`: how well a tenant's system is.

use std::sync::Arc;

use signalbox_proto::{
    timestamp,
    v1::{self, AgentStatus, Connectivity, system_service_server::SystemService},
};
use signalbox_telemetry::now;
use tonic::{Request, Response, Status};

use super::{Context, caller::Caller};
use crate::{
    domain::{
        Code, Error,
        system::{DATABASE, Health, Member},
    },
    store,
};

pub(super) struct Service(pub(super) Arc<Context>);

#[tonic::async_trait]
impl SystemService for Service {
    async fn get_system_status(
        &self,
        request: Request<v1::GetSystemStatusRequest>,
    ) -> Result<Response<v1::GetSystemStatusResponse>, Status> {
        let caller = Caller::of(&request)?;
        match self.status(&caller).await {
            Ok(status) => Ok(Response::new(status)),
            Err(error) if error.code == Code::Unavailable => Ok(Response::new(without_database())),
            Err(error) => Err(error.into()),
        }
    }
}

impl Service {
    async fn status(&self, caller: &Caller) -> Result<v1::GetSystemStatusResponse, Error> {
        let tenant_id = caller.tenant("")?;
        // Read before the status: events after the cursor may be in it already, but none is missed.
        let cursor = Some(self.0.cursor(caller).await?);
        let mut connection = self.0.pool.of(&tenant_id).await?;
        let mut systems =
            store::system::load(&mut connection, std::slice::from_ref(&tenant_id), now()).await?;
        let system = systems.remove(&tenant_id).unwrap_or_default();
        let assessment = system.assess();
        let component = |(name, health)| (name, wire(health).into());
        Ok(v1::GetSystemStatusResponse {
            health: wire(assessment.health).into(),
            components: assessment.components.into_iter().map(component).collect(),
            agents: system.members.iter().map(agent).collect(),
            changed_at: system.told.changed_at.map(timestamp),
            cursor,
        })
    }
}

/// What can be said while nothing can be read.
fn without_database() -> v1::GetSystemStatusResponse {
    v1::GetSystemStatusResponse {
        health: v1::Health::Degraded.into(),
        components: [(DATABASE.to_owned(), v1::Health::Down.into())].into(),
        ..v1::GetSystemStatusResponse::default()
    }
}

fn agent(member: &Member) -> v1::SystemAgent {
    v1::SystemAgent {
        agent_id: member.agent_id.clone(),
        status: AgentStatus::from_word(&member.status).unwrap_or_default().into(),
        connectivity: Connectivity::from_word(&member.connectivity).unwrap_or_default().into(),
        last_heartbeat: member.last_heartbeat.map(timestamp),
    }
}

const fn wire(health: Health) -> v1::Health {
    match health {
        Health::Healthy => v1::Health::Healthy,
        Health::Degraded => v1::Health::Degraded,
        Health::Down => v1::Health::Down,
    }
}
