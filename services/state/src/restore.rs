//! After a restore from a backup: every log becomes another incarnation of itself.
//!
//! Its revisions may stand for other events than those that readers have seen under the same numbers, so that
//! their cursors must be refused, and not misread. It must not touch the logs themselves.

use secrecy::{ExposeSecret as _, SecretString};
use sqlx::postgres::PgPoolOptions;

use crate::store;

/// Why the logs were given no new epochs. None of them was.
#[derive(Debug, thiserror::Error)]
pub enum NewEpochError {
    /// Replicas serve these logs, or did when the backup was made and their leases are not over.
    #[error(
        "replicas that hold leases on this database: {replicas}; stop them and wait until the leases are over, at most 10 s"
    )]
    Serving {
        /// How many.
        replicas: i64,
    },
    /// The database cannot be reached, or has no logs of this service.
    #[error("the logs cannot be given new epochs")]
    Database(#[from] sqlx::Error),
}

/// Gives every log of a database a new epoch, all at once, and says how many there are. From then on every cursor
/// of before is refused as `other_epoch`; the events stay.
///
/// # Errors
///
/// [`NewEpochError`]: above all where replicas serve the database, which would go on under the former epochs.
pub async fn new_epoch(database_url: &SecretString) -> Result<u64, NewEpochError> {
    let pool = PgPoolOptions::new().max_connections(1).connect(database_url.expose_secret()).await?;
    let mut transaction = pool.begin().await?;
    store::every_tenant(&mut transaction).await?;
    // A replica that starts meanwhile waits for its lease, and then reads the new epochs.
    store::replicas::lock(&mut *transaction).await?;
    let replicas = store::replicas::alive(&mut *transaction, signalbox_telemetry::now()).await?;
    if replicas > 0 {
        return Err(NewEpochError::Serving { replicas });
    }
    let logs = store::tenants::renew_epochs(&mut *transaction).await?;
    transaction.commit().await?;
    pool.close().await;
    Ok(logs)
}
