//! How a connection becomes a user's: credentials, limits, the end of both.

use std::{ops::ControlFlow::Continue, time::Duration};

use secrecy::SecretString;
use signalbox_identity::{Principal, Role};
use signalbox_proto::v1::Cursor;
use tokio::time::Instant;

use super::{
    credentials::{self, User},
    machine::{Flow, Machine},
    timers::Timer,
    work::Outcome,
};
use crate::{
    dialect::{
        Code, Notice, Refusal,
        notice::{Ending, Pool, Ready},
    },
    limits::{Refused, SocketLimits, UserKey, UserPermit},
    places::{Full, Place},
    tenants::Hold,
};

/// A user who was let in.
pub(super) struct Admitted {
    pub(super) user: User,
    tenant: Hold,
    permit: UserPermit,
    place: Place,
    connections_max: u32,
}

impl Admitted {
    /// Waits until something has become of the user that concerns the connection.
    pub(super) async fn changed(&mut self) -> Changed {
        tokio::select! {
            () = self.permit.changed() => Changed::Pool,
            () = self.place.changed() => Changed::Pool,
            () = self.user.revoked() => Changed::Revoked,
            why = self.tenant.refused() => Changed::TenantRefused(why),
        }
    }
}

/// What has become of a user.
pub(super) enum Changed {
    /// The number of the user's connections is another, at this edge or at others.
    Pool,
    /// The credential was taken back.
    Revoked,
    /// The tenant is not served any more.
    TenantRefused(String),
}

/// A user for whom a place among all edges was asked for.
pub(super) struct Placed {
    user: User,
    tenant: Result<Hold, String>,
    permit: UserPermit,
    place: Result<Place, Full>,
    limits: SocketLimits,
}

impl Machine {
    pub(super) fn begin(&mut self) -> Flow {
        let dialect = self.dialect.id();
        match self.shared.limits.address(dialect, self.address, &self.shared.policies.of_dialect(dialect)) {
            Ok(place) => self.place = Some(place),
            Err(refused) => return self.close_for(&too_many(refused)),
        }
        self.read_cursor();
        if let Some(credential) = self.arrival.credential(self.manners).cloned() {
            self.check(credential);
        } else if self.manners.credential_by_message {
            self.timers.set(Timer::Authentication, Instant::now() + self.shared.timing.authentication);
        } else if self.manners.anonymous && self.shared.logs.anonymous {
            return self.admit(self.anyone());
        } else {
            return self.close_for(&credentials::missing(self.manners));
        }
        Continue(())
    }

    /// Takes `?cursor=`; what is no cursor is refused, and the stream begins live.
    pub(super) fn read_cursor(&mut self) {
        match self.arrival.cursor.as_deref().map(str::parse::<Cursor>) {
            None => {}
            Some(Ok(cursor)) => self.resume_from = Some(cursor),
            Some(Err(error)) => {
                let mut refusal = Refusal::new(Code::Invalid, format!("cursor: {error}"));
                refusal.field = Some("cursor".into());
                self.teller.tell(&Notice::Refused(&refusal));
            }
        }
    }

    /// Whoever reads the log stream without a credential; counted by address.
    pub(super) fn anyone(&self) -> User {
        let principal = Principal {
            subject: self.address.to_string(),
            tenant_id: self.shared.logs.tenant_id.clone(),
            role: Role::Viewer,
            expires_at: None,
            fingerprint: None,
            key_id: None,
            agent_id: None,
        };
        User { principal, credential: String::new().into(), hold: None }
    }

    /// Begins to check a credential.
    pub(super) fn check(&mut self, credential: SecretString) {
        self.checking = true;
        let fingerprint = self.arrival.fingerprint.clone();
        let (keys, api_keys) = (self.shared.keys.clone(), (self.shared.api_keys.clone(), self.client()));
        let checked = credentials::check(credential, fingerprint, keys, api_keys, signalbox_telemetry::now());
        self.work.push(Box::pin(async move { Outcome::Checked(Box::new(checked.await)) }));
    }

    pub(super) fn on_checked(&mut self, checked: Result<User, Ending>) -> Flow {
        self.checking = false;
        match (checked, &mut self.admitted) {
            (Ok(user), None) => self.admit(user),
            (Ok(user), Some(admitted)) => {
                let (old, new) = (&admitted.user.principal, &user.principal);
                if (&old.tenant_id, &old.subject) != (&new.tenant_id, &new.subject) {
                    let message = "the token is another user's; open another connection for it";
                    self.teller.tell(&Notice::Refused(&Refusal::new(Code::Forbidden, message)));
                    return Continue(());
                }
                admitted.user = user;
                self.watch_expiry();
                self.tell_ready();
                Continue(())
            }
            (Err(ending), None) => self.close_for(&ending),
            (Err(ending), Some(_)) => {
                self.teller.tell(&Notice::Refused(&Refusal::new(ending.code, ending.message)));
                Continue(())
            }
        }
    }

    /// Lets a user in who has a place at this edge and among all: from then on there are a tenant, limits and an
    /// end.
    pub(super) fn admit(&mut self, user: User) -> Flow {
        let dialect = self.dialect.id();
        let tenant_id = user.principal.tenant_id.clone();
        if self.manners.anonymous && tenant_id != self.shared.logs.tenant_id {
            let message = "this stream shows the lines of another tenant".to_owned();
            return self.close_for(&Ending { code: Code::Forbidden, message, retry_after_s: None });
        }
        let now = signalbox_telemetry::now();
        let limits = self.shared.policies.of_tenant(dialect, &tenant_id);
        let key = UserKey { dialect, tenant_id, subject: user.principal.subject.clone() };
        let permit = match self.shared.limits.user(key.clone(), &limits, now) {
            Ok(permit) => permit,
            Err(refused) => return self.close_for(&too_many(refused)),
        };
        self.checking = true;
        let (places, tenants) = (self.shared.places.clone(), self.shared.tenants.clone());
        self.work.push(Box::pin(async move {
            let tenant = tenants.hold(&key.tenant_id).await;
            let place = places.take(key, limits.connections_per_user).await;
            Outcome::Placed(Box::new(Placed { user, tenant, permit, place, limits }))
        }));
        Continue(())
    }

    /// The other edges leave a place for the user, or do not.
    pub(super) fn on_placed(&mut self, placed: Placed) -> Flow {
        self.checking = false;
        let Placed { user, tenant, permit, place, limits } = placed;
        let tenant = match tenant {
            Ok(tenant) => tenant,
            Err(why) => return self.close_for(&credentials::tenant_refused(why)),
        };
        let place = match place {
            Ok(place) => place,
            Err(Full::Holder) => {
                return self.close_for(&too_many(Refused::User { max: limits.connections_per_user }));
            }
            Err(full @ Full::Tenant { .. }) => {
                let message = full.to_string();
                return self.close_for(&Ending {
                    code: Code::TooManyConnections,
                    message,
                    retry_after_s: None,
                });
            }
        };
        let (dialect, tenant_id) = (self.dialect.id(), user.principal.tenant_id.clone());
        tracing::info!(
            connection_id = self.connection_id,
            dialect = dialect.name(),
            tenant_id,
            subject = user.principal.subject,
            role = user.principal.role.word(),
            address = %self.address,
            client_version = self.arrival.client_version,
            fingerprint = self.arrival.fingerprint,
            "a connection is ready"
        );
        self.allowance.set_limit(limits.messages_per_minute);
        let connections_max = limits.connections_per_user;
        self.admitted = Some(Admitted { user, tenant, permit, place, connections_max });
        self.teller.enter(&tenant_id);
        self.timers.clear(Timer::Authentication);
        self.timers.set(Timer::KeepAlive, Instant::now() + self.shared.timing.keep_alive);
        self.watch_expiry();
        self.tell_ready();
        let _ = self.tell_pool();
        let health = *self.shared.feeds.upstream_health().borrow();
        let _ = self.on_health(health);
        self.open();
        Continue(())
    }

    pub(super) fn on_user(&mut self, changed: &Changed) -> Flow {
        match changed {
            Changed::Pool => self.tell_pool(),
            Changed::Revoked => self.close_for(&credentials::revoked()),
            Changed::TenantRefused(why) => self.close_for(&credentials::tenant_refused(why.clone())),
        }
    }

    pub(super) fn watch_expiry(&mut self) {
        let Some(admitted) = &self.admitted else { return };
        self.timers.clear(Timer::Expiry);
        self.timers.clear(Timer::ExpiryWarning);
        let Some(expires_at) = admitted.user.principal.expires_at else { return };
        let left = Duration::try_from(expires_at - signalbox_telemetry::now()).unwrap_or_default();
        if let Some(at) = Instant::now().checked_add(left) {
            self.timers.set(Timer::Expiry, at);
            let warning = at.checked_sub(self.shared.timing.expiry_warning).unwrap_or_else(Instant::now);
            self.timers.set(Timer::ExpiryWarning, warning);
        }
    }

    pub(super) fn tell_ready(&self) {
        let Some(admitted) = &self.admitted else { return };
        let client_id = self.arrival.fingerprint.as_deref().unwrap_or(&self.connection_id);
        let may_command = admitted.user.principal.role.may_operate();
        self.teller.tell(&Notice::Ready(Ready {
            connection_id: &self.connection_id,
            client_id,
            may_command,
        }));
    }

    pub(super) fn tell_pool(&mut self) -> Flow {
        if let Some(admitted) = &mut self.admitted {
            let active = admitted.permit.active() + admitted.place.elsewhere();
            let pool_id = &admitted.user.principal.subject;
            self.teller.tell(&Notice::Pool(Pool { pool_id, active, max: admitted.connections_max }));
        }
        Continue(())
    }
}

fn too_many(refused: Refused) -> Ending {
    let (code, retry_after_s) = match refused {
        Refused::User { .. } | Refused::Address { .. } => (Code::TooManyConnections, None),
        Refused::Rate { retry_at, .. } => {
            let left = retry_at - signalbox_telemetry::now();
            (Code::RateLimited, Some(left.whole_seconds().clamp(1, 60).unsigned_abs()))
        }
    };
    Ending { code, message: refused.to_string(), retry_after_s }
}
