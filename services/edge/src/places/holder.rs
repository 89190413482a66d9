//! One holder's places at this edge: how many it has, who waits for another, and what the state service was told.
//!
//! Pure: what is to be told is a job, and what came of it is settled here.

use std::collections::VecDeque;

use signalbox_proto::v1;
use tokio::sync::watch;

use super::{Answer, Full, Place, Places};
use crate::limits::UserKey;

/// Whoever waits for a place.
pub(super) struct Waiter {
    pub(super) max: u32,
    pub(super) answer: Answer,
}

pub(super) struct Holder {
    /// Places that are taken here.
    pub(super) held: u32,
    pub(super) waiting: VecDeque<Waiter>,
    /// What the state service knows; `None` when that is not certain.
    pub(super) told: Option<u32>,
    /// A call is under way.
    pub(super) busy: bool,
    /// On the list of those of whom something is to be told.
    pub(super) is_due: bool,
    /// How often in a row the state service did not know this edge.
    pub(super) unknown: u8,
    elsewhere: watch::Sender<u32>,
}

impl Default for Holder {
    fn default() -> Self {
        Self {
            held: 0,
            waiting: VecDeque::new(),
            told: Some(0),
            busy: false,
            is_due: false,
            unknown: 0,
            elsewhere: watch::Sender::new(0),
        }
    }
}

/// Something to tell of a holder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Job {
    pub(super) key: UserKey,
    /// How many places it is to have here.
    pub(super) held: u32,
    /// How many it may have everywhere.
    pub(super) max: u32,
    /// Whether somebody waits for one of them.
    pub(super) takes: bool,
}

/// Answers to those who waited, to be sent without the lock: a place that nobody takes is given back.
pub(super) type Answers = Vec<(Answer, Result<Place, Full>)>;

impl Holder {
    /// Takes a place here.
    pub(super) fn admit(&mut self, places: &Places, key: &UserKey) -> Place {
        self.held += 1;
        Place { places: places.clone(), key: key.clone(), elsewhere: self.elsewhere.subscribe() }
    }

    /// What is to be told next, if anything; then a call is under way.
    pub(super) fn job(&mut self, key: &UserKey) -> Option<Job> {
        if self.busy {
            return None;
        }
        self.waiting.retain(|waiter| !waiter.answer.is_closed());
        let job = match self.waiting.front() {
            Some(waiter) => Job { key: key.clone(), held: self.held + 1, max: waiter.max, takes: true },
            None if self.told == Some(self.held) => return None,
            // These are there, whatever is allowed.
            None => Job { key: key.clone(), held: self.held, max: u32::MAX, takes: false },
        };
        self.busy = true;
        Some(job)
    }

    /// The state service has answered.
    pub(super) fn settle(&mut self, job: &Job, answer: v1::HoldPlacesResponse, places: &Places) -> Answers {
        self.busy = false;
        self.unknown = 0;
        let mut answers = Answers::new();
        if answer.granted {
            self.told = Some(job.held);
            self.hear(answer.total);
            // Only those who waited at the time of the call have been asked for.
            if job.takes
                && let Some(waiter) = self.waiting.pop_front()
            {
                answers.push((waiter.answer, Ok(self.admit(places, &job.key))));
            }
        } else {
            self.hear(answer.total);
            let full = match answer.tenant_max {
                0 => Full::Holder,
                max => Full::Tenant { max },
            };
            answers.extend(self.waiting.drain(..).map(|waiter| (waiter.answer, Err(full))));
        }
        answers
    }

    /// The state service cannot say: everybody who waits is let in, and it is told later.
    pub(super) fn settle_alone(&mut self, key: &UserKey, places: &Places) -> Answers {
        self.busy = false;
        self.told = None;
        let waiting = std::mem::take(&mut self.waiting);
        waiting.into_iter().map(|waiter| (waiter.answer, Ok(self.admit(places, key)))).collect()
    }

    /// How many there are at all edges together.
    pub(super) fn hear(&self, total: u32) {
        let elsewhere = total.saturating_sub(self.told.unwrap_or(self.held));
        self.elsewhere.send_if_modified(|held| std::mem::replace(held, elsewhere) != elsewhere);
    }

    pub(super) fn is_forgettable(&self) -> bool {
        self.held == 0 && self.told == Some(0) && self.waiting.is_empty() && !self.busy
    }
}
