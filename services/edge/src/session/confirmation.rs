//! The confirmation of a change of subscriptions, which is sent when the change is live.
//!
//! It must know no dialect by name.

use std::sync::Arc;

use super::{snapshot::Sent, subscriptions::Subscriptions, work};
use crate::{
    dialect::{Dialect, Notice, notice::SnapshotEnd},
    feed::Started,
};

/// What is sent when the subscriptions are live: the end of the snapshot, the confirmation, and whether something
/// was missed. A snapshot from which the stream cannot go on has no end.
///
/// Invariant: it holds nothing of the connection, which waits for it and could otherwise not end.
pub(super) fn confirm(
    dialect: Arc<dyn Dialect>,
    next: &Subscriptions,
    id: Option<String>,
    sent: Option<Sent>,
) -> impl FnOnce(&Started) -> Vec<String> + Send + 'static {
    let mut subscribed = next.confirmation(id.clone());
    move |started| {
        let cursor = started.cursor.to_string();
        let end = sent.filter(|_| started.gap.is_none()).map(|sent| SnapshotEnd {
            id,
            cursor: cursor.clone(),
            counts: sent.counts,
            truncated: sent.truncated,
        });
        subscribed.cursor = Some(cursor);
        let oldest = started.gap.as_ref().map(|gap| gap.oldest.to_string());
        let gap = oldest.as_deref().map(|oldest| Notice::Gap { oldest });
        [end.as_ref().map(Notice::SnapshotEnd), Some(Notice::Subscribed(&subscribed)), gap]
            .into_iter()
            .flatten()
            .filter_map(|notice| work::text(&*dialect, &notice))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{feed::Start, interest::Interest, session::rig::Rig};

    #[tokio::test]
    async fn a_connection_that_ends_while_its_subscription_waits_leaves_nothing_behind() {
        let (rig, teller) = Rig::start().await;
        let confirm = confirm(teller.dialect(), &Subscriptions::default(), None, None);
        let member = teller.member();
        let mut waits = Box::pin(member.subscribe(Interest::default(), Start::Keep, Box::new(confirm)));
        // Until it waits with the writer, for a log that is not followed.
        for _ in 0..100 {
            assert!(futures::poll!(&mut waits).is_pending());
            tokio::task::yield_now().await;
        }
        drop(waits);
        drop((member, teller));
        let gone = async {
            while rig.feeds.live_sockets() > 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), gone).await.expect("the socket is given back");
    }
}
