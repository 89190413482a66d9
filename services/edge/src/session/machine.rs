//! The conversation: what happens when something arrives, is told by the feeds, or is due.

use std::{
    collections::VecDeque,
    net::IpAddr,
    ops::ControlFlow::{self, Break, Continue},
    sync::Arc,
};

use bytes::Bytes;
use futures::{StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use metrics::{counter, gauge};
use signalbox_proto::v1::Cursor;
use tokio::time::Instant;
use uuid::Uuid;

use super::{
    Farewell, Shared,
    admission::{self, Admitted},
    changes::Change,
    credentials::Arrival,
    inbound::{Drain, Inbound, Reader},
    keep_alive::KeepAlive,
    retry,
    subscriptions::Subscriptions,
    timers::{Timers, sleep_until},
    work::{Outcome, Teller},
};
use crate::{
    dialect::{
        Code, Dialect, DialectId, Manners, Notice,
        code::{CLOSE_NORMAL, CLOSE_UNSUPPORTED},
        notice::{Configured, Ending},
    },
    feed::{Member, MemberNotice, Notices},
    limits::{AddressPermit, Allowance, Verdict},
};

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
    pub(super) address: IpAddr,
    pub(super) opened_at: Instant,
    pub(super) allowance: Allowance,
    pub(super) keep_alive: KeepAlive,
    pub(super) timers: Timers,
    /// A credential is being checked; nothing is read meanwhile.
    pub(super) checking: bool,
    pub(super) place: Option<AddressPermit>,
    pub(super) admitted: Option<Admitted>,
    pub(super) told_degraded: bool,
    pub(super) leaving: bool,
    pub(super) subscriptions: Subscriptions,
    pub(super) changes: VecDeque<Change>,
    pub(super) changing: bool,
    /// Whether the connection has a position in its log.
    pub(super) following: bool,
    /// Where the first subscription resumes from.
    pub(super) resume_from: Option<Cursor>,
    pub(super) work: FuturesUnordered<BoxFuture<'static, Outcome>>,
    /// Commands on their way to their agents.
    pub(super) followed: FuturesUnordered<BoxFuture<'static, ()>>,
    pub(super) configured: Configured,
    pub(super) sequence: u64,
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
            followed: FuturesUnordered::new(),
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
                Some(()) = self.followed.next() => Continue(()),
                () = sleep_until(next_due) => self.on_time(),
                Ok(()) = health.changed() => self.on_health(*health.borrow_and_update()),
                changed = user_changed(&mut self.admitted) => self.on_user(&changed),
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
            Farewell::Close { code, .. } => code.to_string(),
            // Whatever code clients choose must not make a metric of its own.
            Farewell::Reply(_) => "client".to_owned(),
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

    pub(super) const fn admitted(&self) -> Option<&Admitted> {
        self.admitted.as_ref()
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
                self.on_control(Some(&payload))
            }
            // The answer to a ping is free, as many times as there were pings.
            Inbound::Pong if self.sign_of_life() => Continue(()),
            Inbound::Pong => self.on_control(None),
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

    /// Counts a frame of the transport like a message, and answers it within the allowance.
    fn on_control(&mut self, ping: Option<&Bytes>) -> Flow {
        match self.allowance.count(signalbox_telemetry::now()) {
            Verdict::Flood(_) => return self.close_for(&flood()),
            Verdict::Refused(_) => return Continue(()),
            Verdict::Warned(usage) => self.teller.tell(&Notice::Usage { usage, refused: false, id: None }),
            Verdict::Taken => {}
        }
        if let Some(payload) = ping {
            self.teller.pong(payload);
        }
        Continue(())
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

    /// Where the protocol has its own ping, only its own pong answers it. Says whether one was waited for.
    const fn sign_of_life(&mut self) -> bool {
        !self.manners.pings_by_message && self.keep_alive.answered()
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
            Outcome::Placed(placed) => return self.on_placed(*placed),
            Outcome::LookedUp(looked_up) => self.on_looked_up(*looked_up),
            Outcome::Changed(changed) => self.on_changed(*changed),
            Outcome::Issued(following) => self.followed.push(Box::pin(following.run())),
            Outcome::RosterRead(timer) => self.report(timer),
            Outcome::Done => {}
        }
        Continue(())
    }

    /// Tells why, and closes in the dialect's way.
    pub(super) fn close_for(&self, ending: &Ending) -> Flow {
        let dialect = self.dialect.id();
        counter!("signalbox_edge_refused_total", "dialect" => dialect.name(), "code" => ending.code.word(dialect))
            .increment(1);
        let retry_after_s = ending.retry_after_s.map(retry::after);
        self.teller.tell(&Notice::Ending(&Ending { retry_after_s, ..ending.clone() }));
        Break(Farewell::Close {
            code: ending.code.close_code(dialect),
            reason: ending.code.close_reason(dialect).to_owned(),
            drain: Drain::Frames,
        })
    }
}

/// Waits until something has become of the user.
async fn user_changed(admitted: &mut Option<Admitted>) -> admission::Changed {
    match admitted {
        Some(admitted) => admitted.changed().await,
        None => std::future::pending().await,
    }
}

fn flood() -> Ending {
    let message = "Message rate limit exceeded for too long".to_owned();
    Ending { code: Code::RateLimited, message, retry_after_s: Some(60) }
}

/// Whether the code may stand in a close frame (RFC 6455, section 7.4).
const fn is_sendable(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}
