//! The conversation: what happens when something arrives, is told by the feeds, or is due.

use std::{
    collections::VecDeque,
    net::IpAddr,
    ops::ControlFlow::{self, Break, Continue},
    sync::Arc,
    time::Duration,
};

use futures::{StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use metrics::{counter, gauge};
use signalbox_identity::{Principal, Role};
use signalbox_proto::v1::Cursor;
use time::OffsetDateTime;
use tokio::time::Instant;
use uuid::Uuid;

use super::{
    Farewell, Shared,
    changes::Change,
    credentials::{self, Arrival, User},
    inbound::{Drain, Inbound, Reader},
    keep_alive::{Due, KeepAlive},
    subscriptions::Subscriptions,
    timers::{Timer, Timers, sleep_until},
    work::{Outcome, Teller},
};
use crate::{
    dialect::{
        Code, Dialect, DialectId, Manners, Notice, Refusal,
        code::{CLOSE_GOING_AWAY, CLOSE_NORMAL, CLOSE_UNSUPPORTED},
        notice::{Configured, Ending, LeavingReason, Pool, Ready},
    },
    feed::{Member, MemberNotice, Notices},
    limits::{AddressPermit, Allowance, Refused, UserKey, UserPermit, Verdict},
    upstream::Health,
};

/// The credential of nobody in particular is good for so long.
const ANONYMOUS_FOR: time::Duration = time::Duration::weeks(52);
/// How many events a client may lag before it is warned, until it sets its own number.
const BUFFER_SIZE: u32 = 1000;

/// What goes on, or how it ended.
pub(super) type Flow = ControlFlow<Farewell>;

/// One connection's state.
pub(super) struct Machine {
    pub(super) shared: Arc<Shared>,
    pub(super) dialect: Arc<dyn Dialect>,
    pub(super) manners: &'static Manners,
    pub(super) teller: Teller,
    pub(super) arrival: Arrival,
    pub(super) connection_id: String,
    address: IpAddr,
    opened_at: Instant,
    allowance: Allowance,
    keep_alive: KeepAlive,
    pub(super) timers: Timers,
    /// A credential is being checked; nothing is read meanwhile.
    checking: bool,
    place: Option<AddressPermit>,
    admitted: Option<Admitted>,
    told_degraded: bool,
    leaving: bool,
    pub(super) subscriptions: Subscriptions,
    pub(super) changes: VecDeque<Change>,
    pub(super) changing: bool,
    /// Whether the connection has a position in its log.
    pub(super) following: bool,
    /// Where the first subscription resumes from.
    pub(super) resume_from: Option<Cursor>,
    pub(super) work: FuturesUnordered<BoxFuture<'static, Outcome>>,
    pub(super) configured: Configured,
    pub(super) sequence: u64,
}

/// A user who was let in.
pub(super) struct Admitted {
    pub(super) user: User,
    permit: UserPermit,
    connections_max: u32,
}

impl Machine {
    pub(super) fn new(
        shared: Arc<Shared>,
        dialect: DialectId,
        address: IpAddr,
        arrival: Arrival,
        member: Member,
    ) -> Self {
        let limits = shared.policies.of_dialect(dialect);
        let interval_ms = u32::try_from(shared.timing.metrics.as_millis()).unwrap_or(u32::MAX);
        let dialect = dialect.dialect();
        counter!("signalbox_edge_connections_total", "dialect" => dialect.id().name()).increment(1);
        gauge!("signalbox_edge_sessions", "dialect" => dialect.id().name()).increment(1);
        Self {
            manners: dialect.manners(),
            teller: Teller::new(Arc::clone(&dialect), member),
            dialect,
            arrival,
            connection_id: Uuid::now_v7().simple().to_string(),
            address,
            opened_at: Instant::now(),
            allowance: Allowance::new(limits.messages_per_minute, signalbox_telemetry::now()),
            keep_alive: KeepAlive::default(),
            timers: Timers::default(),
            checking: false,
            place: None,
            admitted: None,
            told_degraded: false,
            leaving: false,
            subscriptions: Subscriptions::default(),
            changes: VecDeque::new(),
            changing: false,
            following: false,
            resume_from: None,
            work: FuturesUnordered::new(),
            configured: Configured {
                metrics_interval_ms: interval_ms,
                buffer_size: BUFFER_SIZE,
                compression: false,
            },
            sequence: 0,
            shared,
        }
    }

    /// Everything between the handshake and the goodbye.
    pub(super) async fn converse(&mut self, reader: &mut Reader, notices: &mut Notices) -> Farewell {
        if let Break(farewell) = self.begin() {
            return farewell;
        }
        let mut health = self.shared.feeds.upstream_health();
        loop {
            let listens = !self.checking;
            let next_due = self.timers.next();
            let flow = tokio::select! {
                notice = notices.next() => self.on_notice(notice),
                inbound = reader.next(), if listens => self.on_inbound(inbound),
                Some(outcome) = self.work.next() => self.on_outcome(outcome),
                () = sleep_until(next_due) => self.on_time(),
                Ok(()) = health.changed() => self.on_health(*health.borrow_and_update()),
                () = pool_changed(&mut self.admitted) => self.tell_pool(),
                () = self.shared.drain.cancelled(), if !self.leaving => self.on_drain(),
            };
            if let Break(farewell) = flow {
                return farewell;
            }
        }
    }

    /// Ends whatever the session still does, and gives its writing side back.
    pub(super) fn end(self: Box<Self>, farewell: &Farewell) -> Arc<Member> {
        let code = match farewell {
            Farewell::Close { code, .. } | Farewell::Reply(code) => code.to_string(),
            Farewell::Gone => "none".to_owned(),
        };
        let dialect = self.dialect.id().name();
        gauge!("signalbox_edge_sessions", "dialect" => dialect).decrement(1);
        counter!("signalbox_edge_closes_total", "dialect" => dialect, "code" => code).increment(1);
        tracing::info!(
            connection_id = self.connection_id,
            dialect,
            lived_ms = u64::try_from(self.opened_at.elapsed().as_millis()).unwrap_or(u64::MAX),
            ?farewell,
            "a connection ended"
        );
        self.teller.member()
    }

    fn begin(&mut self) -> Flow {
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
    fn read_cursor(&mut self) {
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
    fn anyone(&self) -> User {
        let principal = Principal {
            subject: self.address.to_string(),
            tenant_id: self.shared.logs.tenant_id.clone(),
            role: Role::Viewer,
            expires_at: signalbox_telemetry::now() + ANONYMOUS_FOR,
            fingerprint: None,
        };
        User { principal, credential: String::new().into() }
    }

    /// Begins to check a credential.
    pub(super) fn check(&mut self, credential: secrecy::SecretString) {
        self.checking = true;
        let fingerprint = self.arrival.fingerprint.clone();
        let (keys, calls) = (self.shared.keys.clone(), self.shared.calls.clone());
        let checked = credentials::check(credential, fingerprint, keys, calls, signalbox_telemetry::now());
        self.work.push(Box::pin(async move { Outcome::Checked(Box::new(checked.await)) }));
    }

    fn on_checked(&mut self, checked: Result<User, Ending>) -> Flow {
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

    /// Lets a user in: from now on there are a tenant, limits and an end.
    fn admit(&mut self, user: User) -> Flow {
        let dialect = self.dialect.id();
        let tenant_id = user.principal.tenant_id.clone();
        if self.manners.anonymous && tenant_id != self.shared.logs.tenant_id {
            let message = "this stream shows the lines of another tenant".to_owned();
            return self.close_for(&Ending { code: Code::Forbidden, message, retry_after_s: None });
        }
        let now = signalbox_telemetry::now();
        let limits = self.shared.policies.of_tenant(dialect, &tenant_id);
        let key = UserKey { dialect, tenant_id: tenant_id.clone(), subject: user.principal.subject.clone() };
        let permit = match self.shared.limits.user(key, &limits, now) {
            Ok(permit) => permit,
            Err(refused) => return self.close_for(&too_many(refused)),
        };
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
        self.admitted = Some(Admitted { user, permit, connections_max: limits.connections_per_user });
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

    pub(super) const fn admitted(&self) -> Option<&Admitted> {
        self.admitted.as_ref()
    }

    fn watch_expiry(&mut self) {
        let Some(admitted) = &self.admitted else { return };
        let left = admitted.user.principal.expires_at - signalbox_telemetry::now();
        let left = Duration::try_from(left).unwrap_or_default();
        if let Some(at) = Instant::now().checked_add(left) {
            self.timers.set(Timer::Expiry, at);
            let warning = at.checked_sub(self.shared.timing.expiry_warning).unwrap_or_else(Instant::now);
            self.timers.set(Timer::ExpiryWarning, warning);
        }
    }

    fn tell_ready(&self) {
        let Some(admitted) = &self.admitted else { return };
        let client_id = self.arrival.fingerprint.as_deref().unwrap_or(&self.connection_id);
        let may_command = admitted.user.principal.role.may_operate();
        self.teller.tell(&Notice::Ready(Ready {
            connection_id: &self.connection_id,
            client_id,
            may_command,
        }));
    }

    fn tell_pool(&mut self) -> Flow {
        if let Some(admitted) = &mut self.admitted {
            let active = admitted.permit.active();
            let pool_id = &admitted.user.principal.subject;
            self.teller.tell(&Notice::Pool(Pool { pool_id, active, max: admitted.connections_max }));
        }
        Continue(())
    }

    fn on_notice(&mut self, notice: MemberNotice) -> Flow {
        match notice {
            MemberNotice::Lagging { behind } => self.teller.tell(&Notice::Lagging(behind)),
            MemberNotice::CaughtUp => {}
            MemberNotice::Gap(gap) => self.teller.tell(&Notice::Gap { oldest: &gap.oldest.to_string() }),
            MemberNotice::Closed(cause) => {
                tracing::debug!(connection_id = self.connection_id, ?cause, "nothing more can be written");
                return Break(Farewell::Gone);
            }
        }
        Continue(())
    }

    fn on_inbound(&mut self, inbound: Inbound) -> Flow {
        match inbound {
            Inbound::Text(text) => self.on_text(&text),
            Inbound::Ping(payload) => {
                self.sign_of_life();
                match self.allowance.count(signalbox_telemetry::now()) {
                    Verdict::Taken | Verdict::Warned(_) => self.teller.pong(&payload),
                    Verdict::Refused(_) => {}
                    Verdict::Flood(_) => return self.close_for(&flood()),
                }
                Continue(())
            }
            Inbound::Pong => {
                self.sign_of_life();
                Continue(())
            }
            Inbound::Close(code) => {
                Break(Farewell::Reply(if is_sendable(code) { code } else { CLOSE_NORMAL }))
            }
            Inbound::Violation(code, reason) => {
                let drain = if code == CLOSE_UNSUPPORTED { Drain::Frames } else { Drain::Bytes };
                Break(Farewell::Close { code, reason: reason.to_owned(), drain })
            }
            Inbound::Gone => Break(Farewell::Gone),
        }
    }

    fn on_text(&mut self, text: &str) -> Flow {
        self.sign_of_life();
        counter!("signalbox_edge_messages_total", "dialect" => self.dialect.id().name()).increment(1);
        match self.allowance.count(signalbox_telemetry::now()) {
            Verdict::Flood(_) => return self.close_for(&flood()),
            _ if self.manners.ignores_messages => return Continue(()),
            Verdict::Refused(usage) => {
                let id = self.dialect.decode(text).map_or_else(|refusal| refusal.id, |incoming| incoming.id);
                self.teller.tell(&Notice::Usage { usage, refused: true, id: id.as_deref() });
                return Continue(());
            }
            Verdict::Warned(usage) => {
                self.teller.tell(&Notice::Usage { usage, refused: false, id: None });
            }
            Verdict::Taken => {}
        }
        self.sequence += 1;
        match self.dialect.decode(text) {
            Ok(incoming) => self.on_request(incoming),
            Err(refusal) => {
                self.refuse(refusal);
                Continue(())
            }
        }
    }

    /// Where the protocol has its own ping, only its own pong answers it.
    const fn sign_of_life(&mut self) {
        if !self.manners.pings_by_message {
            self.keep_alive.answered();
        }
    }

    pub(super) const fn answered_ping(&mut self) {
        self.keep_alive.answered();
    }

    pub(super) fn lived(&self) -> time::Duration {
        self.opened_at.elapsed().try_into().unwrap_or(time::Duration::MAX)
    }

    fn on_outcome(&mut self, outcome: Outcome) -> Flow {
        match outcome {
            Outcome::Checked(checked) => return self.on_checked(*checked),
            Outcome::Changed(changed) => self.on_changed(*changed),
            Outcome::RosterRead(timer) => self.report(timer),
            Outcome::Done => {}
        }
        Continue(())
    }

    fn on_time(&mut self) -> Flow {
        let now = Instant::now();
        while let Some(timer) = self.timers.take_due(now) {
            self.on_timer(timer)?;
        }
        Continue(())
    }

    fn on_timer(&mut self, timer: Timer) -> Flow {
        match timer {
            Timer::Authentication => return self.close_for(&credentials::missing(self.manners)),
            Timer::Expiry => return self.close_for(&credentials::expired()),
            Timer::ExpiryWarning => {
                let left =
                    self.admitted.as_ref().map(|a| a.user.principal.expires_at - signalbox_telemetry::now());
                let within = left.unwrap_or_default();
                self.teller.tell(&Notice::Leaving { reason: LeavingReason::Expiry, within });
            }
            Timer::KeepAlive => return self.on_keep_alive(),
            Timer::Metrics | Timer::Status => self.read_roster(timer),
            Timer::Leave => return Break(going_away("the server is stopping")),
        }
        Continue(())
    }

    fn on_keep_alive(&mut self) -> Flow {
        match self.keep_alive.tick() {
            Due::Close => return Break(going_away("two pings were not answered")),
            Due::Ping if self.manners.pings_by_message => self.teller.tell(&Notice::Ping),
            Due::Ping => self.teller.ping(),
        }
        self.timers.set(Timer::KeepAlive, Instant::now() + self.shared.timing.keep_alive);
        Continue(())
    }

    fn on_health(&mut self, health: Health) -> Flow {
        let degraded = matches!(health, Health::Degraded { .. });
        if self.admitted.is_some() && degraded != self.told_degraded {
            self.told_degraded = degraded;
            self.teller.tell(&Notice::Health { degraded });
        }
        Continue(())
    }

    pub(super) const fn is_degraded(&self) -> bool {
        self.told_degraded
    }

    /// Closes are spread over a window, so that clients do not all come back at once.
    fn on_drain(&mut self) -> Flow {
        self.leaving = true;
        let window = self.shared.timing.drain_window;
        let wait = window.mul_f64(rand::random());
        if self.admitted.is_some() {
            let within = wait.try_into().unwrap_or_default();
            self.teller.tell(&Notice::Leaving { reason: LeavingReason::Drain, within });
        }
        self.timers.set(Timer::Leave, Instant::now() + wait);
        Continue(())
    }

    /// Tells why, and closes in the dialect's way.
    fn close_for(&self, ending: &Ending) -> Flow {
        let dialect = self.dialect.id();
        counter!("signalbox_edge_refused_total", "dialect" => dialect.name(), "code" => ending.code.word(dialect))
            .increment(1);
        self.teller.tell(&Notice::Ending(ending));
        Break(Farewell::Close {
            code: ending.code.close_code(dialect),
            reason: ending.code.close_reason(dialect).to_owned(),
            drain: Drain::Frames,
        })
    }
}

/// Waits until the number of the user's connections has changed.
async fn pool_changed(admitted: &mut Option<Admitted>) {
    match admitted {
        Some(admitted) => admitted.permit.changed().await,
        None => std::future::pending().await,
    }
}

fn going_away(reason: &str) -> Farewell {
    Farewell::Close { code: CLOSE_GOING_AWAY, reason: reason.to_owned(), drain: Drain::Frames }
}

fn flood() -> Ending {
    let message = "Message rate limit exceeded for too long".to_owned();
    Ending { code: Code::RateLimited, message, retry_after_s: Some(60) }
}

fn too_many(refused: Refused) -> Ending {
    let (code, retry_after_s) = match refused {
        Refused::User { .. } | Refused::Address { .. } => (Code::TooManyConnections, None),
        Refused::Rate { retry_at, .. } => {
            let left: OffsetDateTime = signalbox_telemetry::now();
            (Code::RateLimited, Some((retry_at - left).whole_seconds().clamp(1, 60).unsigned_abs()))
        }
    };
    Ending { code, message: refused.to_string(), retry_after_s }
}

/// Whether the code may stand in a close frame (RFC 6455, section 7.4).
const fn is_sendable(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}
