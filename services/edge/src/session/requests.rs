//! What becomes of a message that was understood.

use std::{
    ops::ControlFlow::{Break, Continue},
    sync::Arc,
};

use secrecy::SecretString;
use tokio::time::Instant;

use super::{
    Farewell,
    changes::Change,
    inbound::Drain,
    machine::{Flow, Machine},
    timers::Timer,
    work::Task,
};
use crate::{
    calls::Caller,
    dialect::{
        About, Code, Incoming, METRICS, Notice, Refusal, Request,
        code::CLOSE_NORMAL,
        request::{Act, Command, Configure, Query},
    },
};

/// Most calls that one connection has under way.
const UNDER_WAY_MAX: usize = 64;
/// Most commands of one connection that are on their way to agents, who may be away, while it waits to hear of
/// their ends.
const FOLLOWED_MAX: usize = 256;

impl Machine {
    pub(super) fn on_request(&mut self, incoming: Incoming) -> Flow {
        let Incoming { id, request } = incoming;
        match request {
            Request::Ping => self.teller.tell(&Notice::Pong(self.lived())),
            Request::Pong => self.answered_ping(),
            Request::Ignored => {}
            Request::Authenticate(credential) => self.on_credential(credential),
            Request::Disconnect => {
                let (code, reason) = (CLOSE_NORMAL, String::new());
                return Break(Farewell::Close { code, reason, drain: Drain::Frames });
            }
            _ if self.admitted().is_none() => {
                let message = "authenticate first: send {\"type\": \"auth\", \"token\": …}";
                let refusal = Refusal::new(Code::Unauthenticated, message);
                self.refuse(refusal.answering(id.as_deref(), About::Message));
            }
            Request::Subscribe(subscribe) => self.change(Change::Add(id, subscribe)),
            Request::Unsubscribe(removals) => self.change(Change::Remove(id, removals)),
            Request::Query(query) => self.on_query(id, query),
            Request::Command(command) => self.on_command(id, command),
            Request::Configure(configure) => self.on_configure(configure),
        }
        Continue(())
    }

    fn on_credential(&mut self, credential: SecretString) {
        self.check(credential);
    }

    fn on_query(&mut self, id: Option<String>, query: Query) {
        let degraded = self.is_degraded();
        if let Some(task) = self.task(id, About::Message, None) {
            self.work.push(Box::pin(task.query(query, degraded)));
        }
    }

    fn on_command(&mut self, id: Option<String>, command: Command) {
        let id = id.or_else(|| self.made_id());
        let about = match &command.act {
            Act::Agent { agent_id, .. } => {
                About::Command { command: Some(command.action.clone()), agent_id: Some(agent_id.clone()) }
            }
            Act::Change(_) => About::Message,
        };
        let role = self.admitted().map(|admitted| admitted.user.principal.role);
        if let Some(role) = role.filter(|role| !role.may_operate()) {
            let message = format!("the role {role} may not issue commands; operator is needed");
            self.refuse(Refusal::new(Code::Forbidden, message).answering(id.as_deref(), about));
            return;
        }
        let follow = self.manners.follows_commands && matches!(command.act, Act::Agent { .. });
        if follow && self.followed.len() >= FOLLOWED_MAX {
            let message = format!("{FOLLOWED_MAX} commands of this connection are on their way already");
            self.refuse(Refusal::new(Code::RateLimited, message).answering(id.as_deref(), about));
            return;
        }
        if let Some(task) = self.task(id, about, command.traceparent.as_deref()) {
            self.work.push(Box::pin(task.command(command, follow)));
        }
    }

    fn on_configure(&mut self, configure: Configure) {
        if let Some(interval_ms) = configure.metrics_interval_ms {
            self.configured.metrics_interval_ms = interval_ms;
            if self.subscriptions.scope_of(METRICS).is_some() {
                self.timers.set(Timer::Metrics, Instant::now() + self.metrics_interval());
            }
        }
        if let Some(buffer_size) = configure.buffer_size {
            self.configured.buffer_size = buffer_size;
            self.teller.lag_notice_after(buffer_size);
        }
        // Frames are shared by all connections and never compressed, so a wish for that is not granted.
        self.teller.tell(&Notice::Configured(self.configured));
    }

    /// Tells that a message was not obeyed.
    pub(super) fn refuse(&self, mut refusal: Box<Refusal>) {
        // Before a connection is authenticated, all but its credential is refused for the same reason.
        let of_credential = refusal.field.as_deref() == Some("token");
        if self.admitted().is_none() && refusal.about == About::Message && !of_credential {
            refusal.code = Code::Unauthenticated;
        }
        if refusal.id.is_none() && matches!(refusal.about, About::Command { .. }) {
            refusal.id = self.made_id();
        }
        self.teller.tell(&Notice::Refused(&refusal));
    }

    /// An id for a message that has none, where the dialect's answers need one.
    fn made_id(&self) -> Option<String> {
        self.manners.makes_request_ids.then(|| format!("req_{}_{}", self.connection_id, self.sequence))
    }

    /// Prepares a call; refuses when too many are under way.
    fn task(&self, id: Option<String>, about: About, traceparent: Option<&str>) -> Option<Task> {
        let user = &self.admitted()?.user;
        if self.work.len() >= UNDER_WAY_MAX {
            let refusal = Refusal::new(Code::RateLimited, "too many requests are under way already");
            self.refuse(refusal.answering(id.as_deref(), about));
            return None;
        }
        // An id of the client and a number of the server are never taken for each other.
        let idempotency_key = match &id {
            Some(id) if !self.is_made(id) => format!("{}:m:{id}", self.connection_id),
            _ => format!("{}:n:{}", self.connection_id, self.sequence),
        };
        Some(Task {
            shared: Arc::clone(&self.shared),
            teller: self.teller.clone(),
            caller: Caller {
                credential: user.credential.clone(),
                traceparent: self.traceparent(traceparent),
                client: self.client(),
            },
            tenant_id: user.principal.tenant_id.clone(),
            id,
            idempotency_key,
        })
    }

    fn is_made(&self, id: &str) -> bool {
        self.manners.makes_request_ids && id.starts_with(&format!("req_{}_", self.connection_id))
    }

    /// The trace that the work belongs to: the message's, the connection's, or a new one.
    fn traceparent(&self, given: Option<&str>) -> String {
        given
            .or(self.arrival.traceparent.as_deref())
            .filter(|traceparent| signalbox_telemetry::is_traceparent(traceparent))
            .map_or_else(signalbox_telemetry::new_traceparent, str::to_owned)
    }
}
