//! What became of a report, for whoever asks.
//!
//! It must know neither numbers nor sessions: a verdict comes from [`super::ResendBuffer`].

use tokio::sync::oneshot;

use super::Refusal;

/// Proof that something is on its way to the server. It may be dropped: what was reported is delivered all the same.
#[derive(Debug, Default)]
pub struct Receipt {
    /// The reports that it became, each with the place of its first item.
    parts: Vec<(u32, oneshot::Receiver<Verdict>)>,
}

/// The server's word on one report.
#[derive(Debug)]
pub(crate) enum Verdict {
    Accepted,
    Refused(Vec<Refusal>),
    /// It has the report, and the session ended before it said whether it was refused.
    Unsure,
}

/// Why something that was reported is not, or not surely, in the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAccepted {
    /// The server refused all of it, or the items named; the others were taken.
    #[error("the server refused what was reported: {}", shown(.0))]
    Refused(Vec<Refusal>),
    /// The server has it and will not be sent it again, but the session ended before it said whether it was refused.
    #[error("the session ended before the server said what became of what was reported")]
    Unsure,
    /// The agent ended before the server was known to have it. With a state directory its next run sends it.
    #[error("the agent ended before the server was known to have what was reported")]
    Ended,
}

impl Receipt {
    /// Adds a report whose first item has this place among all.
    pub(crate) fn add(&mut self, first: u32, verdict: oneshot::Receiver<Verdict>) {
        self.parts.push((first, verdict));
    }

    /// Waits until the server has said what became of it, for as long as that is away and the agent lives.
    ///
    /// # Errors
    ///
    /// [`NotAccepted`]. The `item` of a refusal is its place among all items that were given at once.
    pub async fn accepted(self) -> Result<(), NotAccepted> {
        let (mut refusals, mut unsure, mut ended) = (Vec::new(), false, false);
        for (first, verdict) in self.parts {
            match verdict.await {
                Ok(Verdict::Accepted) => {}
                Ok(Verdict::Refused(refused)) => refusals.extend(refused.into_iter().map(|refusal| {
                    Refusal { item: refusal.item.map(|item| item.saturating_add(first)), ..refusal }
                })),
                Ok(Verdict::Unsure) => unsure = true,
                Err(_) => ended = true,
            }
        }
        match (refusals.is_empty(), ended, unsure) {
            (false, ..) => Err(NotAccepted::Refused(refusals)),
            (true, true, _) => Err(NotAccepted::Ended),
            (true, false, true) => Err(NotAccepted::Unsure),
            (true, false, false) => Ok(()),
        }
    }
}

/// The first refusal, and how many more there are.
fn shown(refusals: &[Refusal]) -> String {
    let first = refusals.first().map(|refusal| format!("{}: {}", refusal.code, refusal.message));
    let more = refusals.len().saturating_sub(1);
    let more = if more == 0 { String::new() } else { format!(" (and {more} more)") };
    first.unwrap_or_default() + &more
}
