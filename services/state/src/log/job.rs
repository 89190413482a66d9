//! A change in a queue, whatever its type.

use time::OffsetDateTime;
use tokio::sync::oneshot;

use super::{Committed, Idempotency, Pending, Submission, queue::Queued};
use crate::domain::{
    Change, Code, Draft, Error, Needs, View,
    kind::Kinds,
    tenant::{self, Class},
};

/// Whether a change begins the tenant that it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Beginning {
    /// It does not.
    None,
    /// By its use, where tenants begin so.
    Use,
    /// It is its creation.
    Creation,
}

/// A change that waits to be decided, and whoever waits for it.
pub(super) trait Job: Send + Sync {
    /// Whose log it changes.
    fn tenant_id(&self) -> &str;

    /// Under which key its repetition has no further effect.
    fn idempotency(&self) -> Option<&Idempotency>;

    /// Whether it begins its tenant.
    fn beginning(&self) -> Beginning;

    /// Names the rows it will look at.
    fn needs(&self, needs: &mut Needs);

    /// Names the rows it refers to.
    fn refine(&self, kinds: &Kinds, needs: &mut Needs);

    /// Decides it. Gives its answer in JSON where it has a key, so that the answer is stored with it.
    fn decide(&mut self, view: &mut View, now: OffsetDateTime) -> Option<String>;

    /// Refuses it: its tenant is not there.
    fn refuse_absent(&mut self);

    /// Takes the answer that an earlier call under the same key was given.
    fn repeat(&mut self, fingerprint: &[u8], response: &str);

    /// Tells whoever waits what was decided, now that it is durable.
    fn committed(self: Box<Self>);

    /// Tells whoever waits that the batch could not be written.
    fn failed(self: Box<Self>, error: Error);
}

impl Queued for Box<dyn Job> {
    fn tenant_id(&self) -> &str {
        (**self).tenant_id()
    }
}

/// A change of a certain type.
pub(super) struct Typed<C: Change> {
    submission: Submission<C>,
    outcome: Option<Result<(C::Reply, u64), Error>>,
    reply: oneshot::Sender<Result<Committed<C::Reply>, Error>>,
}

impl<C: Change> Typed<C> {
    pub(super) fn queued(submission: Submission<C>) -> (Box<dyn Job>, Pending<C::Reply>) {
        let (reply, pending) = oneshot::channel();
        (Box::new(Self { submission, outcome: None, reply }), pending)
    }
}

impl<C: Change> Job for Typed<C> {
    fn tenant_id(&self) -> &str {
        &self.submission.tenant_id
    }

    fn idempotency(&self) -> Option<&Idempotency> {
        self.submission.idempotency.as_ref()
    }

    fn beginning(&self) -> Beginning {
        match C::CLASS {
            Class::Birth => Beginning::Creation,
            Class::Life => Beginning::None,
            Class::Paced | Class::Counted if self.submission.origin.is_service() => Beginning::None,
            Class::Paced | Class::Counted => Beginning::Use,
        }
    }

    fn needs(&self, needs: &mut Needs) {
        self.submission.change.needs(needs);
    }

    fn refine(&self, kinds: &Kinds, needs: &mut Needs) {
        self.submission.change.refine(kinds, needs);
    }

    fn decide(&mut self, view: &mut View, now: OffsetDateTime) -> Option<String> {
        let Submission { origin, change, idempotency, .. } = &self.submission;
        let outcome = Draft::decide(view, origin, change, now);
        let response = match (&outcome, idempotency) {
            (Ok((reply, revision)), Some(_)) => serde_json::to_string(&(reply, revision)).ok(),
            _ => None,
        };
        self.outcome = Some(outcome);
        response
    }

    fn refuse_absent(&mut self) {
        let tenant_id = &self.submission.tenant_id;
        let is_life = C::CLASS == Class::Life;
        self.outcome = Some(Err(if is_life { tenant::not_found(tenant_id) } else { tenant::absent() }));
    }

    fn repeat(&mut self, fingerprint: &[u8], response: &str) {
        let same = self.idempotency().is_some_and(|idempotency| idempotency.fingerprint == fingerprint);
        self.outcome = Some(if same {
            serde_json::from_str(response).map_err(|error| {
                let message = format!("the answer stored under the idempotency key cannot be read: {error}");
                Error::new(Code::Internal, message)
            })
        } else {
            let message = "idempotency_key: expected a key that no other request has used";
            Err(Error { code: Code::AlreadyExists, ..Error::invalid("idempotency_key", message) })
        });
    }

    fn committed(self: Box<Self>) {
        let outcome =
            self.outcome.unwrap_or_else(|| Err(Error::new(Code::Internal, "the change was not decided")));
        // Whoever waited may have gone; the change is durable all the same.
        let _ = self.reply.send(outcome.map(|(reply, revision)| Committed { reply, revision }));
    }

    fn failed(self: Box<Self>, error: Error) {
        let _ = self.reply.send(Err(error));
    }
}
