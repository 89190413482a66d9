//! `PlaceService`: what is limited over several edges.

use std::{sync::Arc, time::Duration};

use signalbox_proto::v1::{self, place_service_server::PlaceService};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::{Context, caller::Caller, convert};
use crate::{
    domain::{Code, Error, check_plain, check_word},
    store::{
        places::{self, Held, Holder, Wish},
        signed,
    },
};

/// Longest name of what is counted, in bytes.
const SCOPE_LEN_MAX: usize = 32;
/// Longest name of a user, in bytes.
const SUBJECT_LEN_MAX: usize = 256;
/// How long a lease may be asked for, in milliseconds.
const TTL_MS: std::ops::RangeInclusive<u32> = 1000..=60_000;

pub(super) struct Service(pub(super) Arc<Context>);

#[tonic::async_trait]
impl PlaceService for Service {
    async fn hold_places(
        &self,
        request: Request<v1::HoldPlacesRequest>,
    ) -> Result<Response<v1::HoldPlacesResponse>, Status> {
        let caller = Caller::of(&request)?;
        let asked = request.into_inner();
        let edge_id = convert::uuid("edge_id", &asked.edge_id)?;
        check_word("scope", &asked.scope, SCOPE_LEN_MAX)?;
        check_plain("subject", &asked.subject, SUBJECT_LEN_MAX)?;
        let held = i32::try_from(asked.held)
            .map_err(|_| Error::invalid("held", format!("held: expected at most {}", i32::MAX)))?;
        let holder = Holder {
            tenant_id: caller.tenant(&asked.tenant_id)?,
            scope: asked.scope,
            subject: asked.subject,
        };
        let sequence = i64::try_from(asked.sequence)
            .map_err(|_| Error::invalid("sequence", format!("sequence: expected at most {}", i64::MAX)))?;
        let tenant_max = signed(self.0.limits.sockets.unwrap_or(0));
        let wish = Wish { held, held_max: i64::from(asked.max), tenant_max, sequence };
        let outcome = self.hold(edge_id, &holder, wish).await;
        let (granted, total, tenant_max) = match outcome.map_err(Error::from)? {
            Held::Granted(total) => (true, total, 0),
            Held::Refused(total) => (false, total, 0),
            Held::TenantFull { total, max } => (false, total, max),
            Held::UnknownEdge => {
                let message = "edge_id: expected an edge that has renewed its places";
                return Err(
                    Error { code: Code::FailedPrecondition, ..Error::invalid("edge_id", message) }.into()
                );
            }
        };
        let tenant_max = u64::try_from(tenant_max).unwrap_or(0);
        Ok(Response::new(v1::HoldPlacesResponse { granted, total: count(total), tenant_max }))
    }

    async fn renew_places(
        &self,
        request: Request<v1::RenewPlacesRequest>,
    ) -> Result<Response<v1::RenewPlacesResponse>, Status> {
        let asked = request.into_inner();
        let edge_id = convert::uuid("edge_id", &asked.edge_id)?;
        if !TTL_MS.contains(&asked.ttl_ms) {
            let message =
                format!("ttl_ms: expected {} to {}, got {}", TTL_MS.start(), TTL_MS.end(), asked.ttl_ms);
            return Err(Error::invalid("ttl_ms", message).into());
        }
        let ttl = Duration::from_millis(u64::from(asked.ttl_ms));
        let (known, shared) = self.renew(edge_id, ttl).await.map_err(Error::from)?;
        let total = |(holder, total): (Holder, i64)| v1::HolderTotal {
            tenant_id: holder.tenant_id,
            scope: holder.scope,
            subject: holder.subject,
            total: count(total),
        };
        Ok(Response::new(v1::RenewPlacesResponse { known, totals: shared.into_iter().map(total).collect() }))
    }

    async fn release_places(
        &self,
        request: Request<v1::ReleasePlacesRequest>,
    ) -> Result<Response<v1::ReleasePlacesResponse>, Status> {
        let edge_id = convert::uuid("edge_id", &request.into_inner().edge_id)?;
        self.release(edge_id).await.map_err(Error::from)?;
        Ok(Response::new(v1::ReleasePlacesResponse {}))
    }
}

impl Service {
    async fn hold(&self, edge_id: Uuid, holder: &Holder, wish: Wish) -> Result<Held, sqlx::Error> {
        let transaction = self.0.pool.begin(std::slice::from_ref(&holder.tenant_id)).await?;
        places::hold(transaction, edge_id, holder, wish).await
    }

    async fn renew(&self, edge_id: Uuid, ttl: Duration) -> Result<(bool, Vec<(Holder, i64)>), sqlx::Error> {
        let known = places::renew(self.0.places.begin().await?, edge_id, ttl).await?;
        Ok((known, places::shared(&mut *self.0.places.acquire().await?, edge_id).await?))
    }

    async fn release(&self, edge_id: Uuid) -> Result<(), sqlx::Error> {
        places::release(&mut *self.0.places.acquire().await?, edge_id).await
    }
}

fn count(total: i64) -> u32 {
    u32::try_from(total).unwrap_or(u32::MAX)
}
