//! The bus over LISTEN and NOTIFY. A NOTIFY holds a lock of the whole cluster until its commit is durable,
//! so it is sent from a connection of its own, after the commit it tells of, for many commits at once.

use std::{collections::HashMap, time::Duration};

use tokio_util::sync::CancellationToken;

use super::Bell;
use crate::{store::SystemPool, watch::Hub};

/// The channel's name in Postgres.
const CHANNEL: &str = "signalbox";
/// Postgres refuses a payload of 8000 bytes or more.
const PAYLOAD_LEN_MAX: usize = 7000;
/// How long the listener waits before it connects again.
const RECONNECT_AFTER: Duration = Duration::from_secs(1);

/// Sends this replica's hints and takes those of the others, until `shutdown`.
pub(crate) async fn run(pool: SystemPool, hub: Hub, bell: Bell, shutdown: CancellationToken) {
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = send(&pool, &bell) => {}
        () = receive(&pool, &hub, &bell) => {}
    }
}

async fn send(pool: &SystemPool, bell: &Bell) {
    loop {
        let heads = bell.take().await;
        for payload in payloads(&heads) {
            let sent = async {
                let mut connection = pool.tenants().of_all(&[]).await?;
                sqlx::query!("SELECT pg_notify($1, $2)", CHANNEL, payload).execute(&mut *connection).await
            };
            if let Err(error) = sent.await {
                // The others poll.
                tracing::debug!(%error, "a hint was not sent");
            }
        }
    }
}

async fn receive(pool: &SystemPool, hub: &Hub, bell: &Bell) {
    loop {
        if let Err(error) = listen(pool, hub, bell).await {
            bell.set_listening(false);
            tracing::warn!(%error, "the bus is lost; other replicas' events arrive by polling until it is back");
        }
        tokio::time::sleep(RECONNECT_AFTER).await;
    }
}

async fn listen(pool: &SystemPool, hub: &Hub, bell: &Bell) -> Result<(), sqlx::Error> {
    let mut listener = pool.listener().await?;
    listener.listen(CHANNEL).await?;
    bell.set_listening(true);
    loop {
        // `None` after the connection was lost and made anew: what came meanwhile is found by polling.
        let Some(notification) = listener.try_recv().await? else { continue };
        for (tenant_id, head) in parse(notification.payload()) {
            hub.hint(tenant_id, head);
        }
    }
}

/// `<head> <tenant>` lines, in payloads of bounded size.
fn payloads(heads: &HashMap<String, u64>) -> Vec<String> {
    let mut payloads = vec![String::new()];
    for (tenant_id, head) in heads {
        let line = format!("{head} {tenant_id}\n");
        if payloads.last().is_some_and(|payload| payload.len() + line.len() > PAYLOAD_LEN_MAX) {
            payloads.push(String::new());
        }
        if let Some(payload) = payloads.last_mut() {
            payload.push_str(&line);
        }
    }
    payloads.retain(|payload| !payload.is_empty());
    payloads
}

fn parse(payload: &str) -> impl Iterator<Item = (&str, u64)> {
    payload.lines().filter_map(|line| {
        let (head, tenant_id) = line.split_once(' ')?;
        Some((tenant_id, head.parse().ok()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_survive_the_bus_however_many_there_are() {
        let heads: HashMap<_, _> = (0..1000).map(|n| (format!("tenant {n}"), n)).collect();
        let payloads = payloads(&heads);
        assert!(payloads.len() > 1 && payloads.iter().all(|payload| payload.len() < 8000));
        let read: HashMap<_, _> = payloads
            .iter()
            .flat_map(|payload| parse(payload))
            .map(|(id, head)| (id.to_owned(), head))
            .collect();
        assert_eq!(read, heads);
    }
}
