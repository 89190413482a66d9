//! Enrolment tokens as they are presented. Each costs one look-up, whether it is known or not, and whoever presents
//! what is none is not looked at for long.

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use moka::future::Cache;
use signalbox_identity::{PresentedApiKey, Principal, Role, SecretHash};

use super::certificate::{self, AgentName};
use crate::{
    domain::{Code, Error, enrolment, not_own},
    store::{SystemPool, enrolment_tokens},
};

/// How many tokens that are none an address may present within [`FAILURES_WITHIN`].
const FAILURES_MAX: u32 = 20;
/// How long an address with so many is not listened to.
const FAILURES_WITHIN: Duration = Duration::from_secs(60);
/// Most addresses of which failures are remembered.
const ADDRESSES_MAX: u64 = 10_000;

/// Knows whose enrolment token is whose.
pub(super) struct Enrolments {
    pool: SystemPool,
    failures: Cache<IpAddr, Arc<AtomicU32>>,
}

/// The token by which a call enrols, in the extensions of its request.
#[derive(Debug, Clone)]
pub(in crate::grpc) struct Enroller {
    /// Its id.
    pub(in crate::grpc) token_id: String,
    tenant_id: String,
    /// The agent that the connection's certificate names, where agents have some.
    agent_id: Option<String>,
}

impl Enroller {
    /// The same, where an agent is who its certificate says.
    pub(super) fn certified(self, name: Option<AgentName>) -> Result<Self, Error> {
        let name = name.ok_or_else(certificate::none)?;
        name.check_tenant(&self.tenant_id)?;
        Ok(Self { agent_id: Some(name.agent_id), ..self })
    }

    /// Refuses another agent than the certificate's.
    pub(in crate::grpc) fn check(&self, agent_id: &str) -> Result<(), Error> {
        match &self.agent_id {
            Some(own) if own != agent_id => Err(not_own("agent_id", own, agent_id)),
            _ => Ok(()),
        }
    }
}

impl Enrolments {
    pub(super) fn new(pool: SystemPool) -> Self {
        let failures = Cache::builder().max_capacity(ADDRESSES_MAX).time_to_live(FAILURES_WITHIN).build();
        Self { pool, failures }
    }

    /// Says whose token this is. Whether it still enrols is decided under the lock, when it is used.
    pub(super) async fn check(
        &self,
        presented: &PresentedApiKey,
        address: Option<SocketAddr>,
    ) -> Result<(Principal, Enroller), Error> {
        let place = address.map(|address| neighbourhood(address.ip()));
        if let Some(place) = place
            && self
                .failures
                .get(&place)
                .await
                .is_some_and(|count| count.load(Ordering::Relaxed) >= FAILURES_MAX)
        {
            let message = "too many enrolment tokens that are none came from this address";
            return Err(Error::later(Code::ResourceExhausted, message, FAILURES_WITHIN));
        }
        let mut connection = self.pool.acquire().await?;
        let found = enrolment_tokens::find(&mut *connection, &presented.key_id).await?;
        drop(connection);
        let nobody = SecretHash::stored(&[0; 32]).expect("a hash has 32 bytes");
        let is_good = found.as_ref().map_or(&nobody, |(_, hash)| hash).matches(&presented.hash);
        let Some((tenant_id, _)) = found.filter(|_| is_good) else {
            if let Some(place) = place {
                let count = self.failures.get_with(place, async { Arc::default() }).await;
                count.fetch_add(1, Ordering::Relaxed);
            }
            return Err(enrolment::unknown());
        };
        let token_id = presented.key_id.clone();
        let principal = Principal {
            subject: format!("enrolment:{token_id}"),
            tenant_id: tenant_id.clone(),
            role: Role::Agent,
            expires_at: None,
            fingerprint: None,
            key_id: None,
            agent_id: None,
        };
        Ok((principal, Enroller { token_id, tenant_id, agent_id: None }))
    }
}

/// Who has an IPv6 address has a network of them (RFC 6177).
fn neighbourhood(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let bits = address.to_bits() & (u128::MAX << 64);
            IpAddr::V6(Ipv6Addr::from_bits(bits))
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}
