//! A session's handle on the writing side of its connection.
//!
//! It must know no dialect: sessions hand it finished texts.

use std::{sync::Arc, time::Duration};

use tokio::{sync::oneshot, time::Instant};

use super::{
    Feeds,
    mailbox::{LatestSlot, Mailbox, Overflow},
    subscribe::{Confirm, Fate, MemberNotice, Start, Started, Subscribe, SubscribeError},
};
use crate::{frame::Frame, interest::Interest};

/// A connection's writing side. Owned by its session; dropping it drops the socket.
pub struct Member {
    pub(super) mailbox: Arc<Mailbox>,
    pub(super) feeds: Feeds,
    pub(super) subscribe_timeout: Duration,
}

/// What a session is told of its connection's writing side.
pub struct Notices(pub(super) Arc<Mailbox>);

impl Notices {
    /// Waits for the next one. Of each sort only the latest is kept; [`MemberNotice::Closed`] comes last and
    /// is given again at every further call. Cancel-safe.
    pub async fn next(&mut self) -> MemberNotice {
        self.0.notice().await
    }
}

impl Member {
    /// Fixes the tenant whose log is followed; only the first call counts. The upstream follows the tenant
    /// from this moment until the last member of it is dropped, and some time beyond.
    pub fn enter(&self, tenant_id: &str) {
        self.mailbox.enter(self.feeds.lease(tenant_id));
    }

    /// Sends a text before any event that waits.
    ///
    /// # Errors
    ///
    /// [`Overflow`] when the client does not read what it asks for; the connection is closed with it.
    pub fn send(&self, text: &str) -> Result<(), Overflow> {
        self.mailbox.push(Frame::text(text).into_bytes())
    }

    /// Like [`Self::send`], with a frame made before and perhaps shared with others.
    ///
    /// # Errors
    ///
    /// As for [`Self::send`].
    pub fn send_frame(&self, frame: Frame) -> Result<(), Overflow> {
        self.mailbox.push(frame.into_bytes())
    }

    /// Like [`Self::send`], at the client's pace: waits until it has read most of what was sent before. For what
    /// is long or has many parts.
    pub async fn send_paced(&self, text: &str) {
        self.mailbox.push_paced(Frame::text(text).into_bytes()).await;
    }

    /// Sends a frame after the answers that wait and before events; an unsent frame of the same slot is
    /// replaced. Sessions use few slots.
    pub fn send_latest(&self, slot: LatestSlot, frame: Frame) {
        self.mailbox.push_latest(slot, frame.into_bytes());
    }

    /// Sends a WebSocket ping.
    ///
    /// # Errors
    ///
    /// As for [`Self::send`].
    pub fn ping(&self, payload: &[u8]) -> Result<(), Overflow> {
        self.mailbox.push(Frame::ping(payload).into_bytes())
    }

    /// Answers a WebSocket ping.
    ///
    /// # Errors
    ///
    /// As for [`Self::send`].
    pub fn pong(&self, payload: &[u8]) -> Result<(), Overflow> {
        self.mailbox.push(Frame::pong(payload).into_bytes())
    }

    /// Sends a close frame after what the control lane holds; no event and no text follows. Once it is
    /// written the session is told [`super::CloseCause::Requested`]; the socket stays until the member is
    /// dropped. Further calls do nothing.
    pub fn close(&self, code: u16, reason: &str) {
        self.mailbox.close(Frame::close(code, reason).into_bytes());
    }

    /// From how many events of lag on the session is told; replaces the configured number.
    pub fn lag_notice_after(&self, events: u64) {
        self.mailbox.set_lag_notice_after(events);
    }

    /// Changes what the connection sees. The texts of `confirm` go out before the first event of the new
    /// interest and after the last of the old one. Waits until the tenant is followed, and for a client that
    /// lags until it has read what was on its way.
    ///
    /// # Errors
    ///
    /// [`SubscribeError`]; the interest is then as it was before.
    pub async fn subscribe(
        &self,
        interest: Interest,
        start: Start,
        confirm: Confirm,
    ) -> Result<Started, SubscribeError> {
        self.subscribe_by(Instant::now(), interest, start, confirm).await
    }

    /// Like [`Self::subscribe`], for a client that has much to read first: waits until this moment at least.
    ///
    /// # Errors
    ///
    /// As for [`Self::subscribe`].
    pub async fn subscribe_by(
        &self,
        until: Instant,
        interest: Interest,
        start: Start,
        confirm: Confirm,
    ) -> Result<Started, SubscribeError> {
        let until = until.max(Instant::now() + self.subscribe_timeout);
        if self.mailbox.lease().is_none() {
            return Err(SubscribeError::NoTenant);
        }
        let (answer, mut answered) = oneshot::channel();
        let fate = Fate::default();
        let subscribe =
            Subscribe { interest: Arc::new(interest), start, confirm, answer, fate: fate.clone() };
        if self.mailbox.subscribe(Box::new(subscribe)).is_err() {
            return Err(if self.mailbox.is_open() { SubscribeError::Busy } else { SubscribeError::Closed });
        }
        let answer = match tokio::time::timeout_at(until, &mut answered).await {
            Ok(answer) => answer,
            Err(_) if fate.decide() => return Err(SubscribeError::Unavailable),
            // The writer has begun at the last moment, and does not wait for anything on its way to the answer.
            Err(_) => answered.await,
        };
        answer.unwrap_or(Err(SubscribeError::Closed))
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.mailbox.detach();
    }
}
