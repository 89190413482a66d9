//! Patience with a database at the start: it is waited for, and what it was asked is asked again when it went away
//! meanwhile. Once the service serves, its own parts see to that.

use std::time::Duration;

use sqlx::{PgPool, migrate::MigrateError};
use tokio::time::Instant;

use super::Error;

/// How often a database that cannot be reached is tried.
const RETRY: Duration = Duration::from_secs(1);

/// What Postgres says when it ends connections or takes none: it stops, has crashed, comes up, or is full.
const AWAY: [&str; 4] = ["57P01", "57P02", "57P03", "53300"];
/// What the names of all errors of connections begin with.
const CONNECTION_EXCEPTION: &str = "08";

/// How long a database is waited for, from now on.
pub(super) struct Patience {
    since: Instant,
    limit: Duration,
}

impl Patience {
    pub(super) fn of_seconds(limit_s: u64) -> Self {
        Self { since: Instant::now(), limit: Duration::from_secs(limit_s) }
    }

    /// Waits until the database answers, and says that it waits.
    pub(super) async fn answered(&self, pool: &PgPool) -> Result<(), Error> {
        loop {
            let asked = tokio::time::timeout(RETRY, pool.acquire()).await;
            let source = match asked {
                Ok(Ok(_)) => return Ok(()),
                Ok(Err(error)) => error,
                Err(_) => sqlx::Error::PoolTimedOut,
            };
            self.pause(source).await?;
        }
    }

    /// Does what the database is needed for, again and again while it goes away.
    pub(super) async fn until_done<T, F>(&self, step: impl Fn() -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        loop {
            let source = match step().await {
                Err(
                    Error::Prepare(source)
                    | Error::Migrate(MigrateError::Execute(source) | MigrateError::ExecuteMigration(source, _)),
                ) if is_away(&source) => source,
                done => return done,
            };
            self.pause(source).await?;
        }
    }

    async fn pause(&self, source: sqlx::Error) -> Result<(), Error> {
        let (waited_s, wait_s) = (self.since.elapsed().as_secs(), self.limit.as_secs());
        if waited_s >= wait_s {
            return Err(Error::DatabaseAway { waited_s, source });
        }
        tracing::info!(waited_s, wait_s, error = %source, "waiting for Postgres");
        tokio::time::sleep(RETRY).await;
        Ok(())
    }
}

/// Whether an error says that the database was not there, rather than that it refused.
fn is_away(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut => true,
        sqlx::Error::Database(told) => told
            .code()
            .is_some_and(|code| code.starts_with(CONNECTION_EXCEPTION) || AWAY.contains(&code.as_ref())),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, io};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_a_database_cuts_short_is_done_again_until_the_time_is_over() {
        let tries = Cell::new(0);
        let cut_short = |enough: u32| {
            let tries = &tries;
            move || async move {
                tries.set(tries.get() + 1);
                if tries.get() >= enough {
                    return Ok(());
                }
                let cut = || sqlx::Error::Io(io::ErrorKind::ConnectionReset.into());
                Err(if tries.get().is_multiple_of(2) {
                    Error::Prepare(cut())
                } else {
                    Error::Migrate(MigrateError::Execute(cut()))
                })
            }
        };
        Patience::of_seconds(5).until_done(cut_short(4)).await.unwrap();
        assert_eq!(tries.replace(0), 4);

        let error = Patience::of_seconds(5).until_done(cut_short(u32::MAX)).await.unwrap_err();
        assert!(matches!(error, Error::DatabaseAway { waited_s: 5, .. }), "{error:?}");
        assert_eq!(tries.replace(0), 6);
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_database_refuses_is_not_asked_again() {
        let tries = Cell::new(0);
        let refused = || async {
            tries.set(tries.get() + 1);
            Err::<(), _>(Error::Prepare(sqlx::Error::RowNotFound))
        };
        let error = Patience::of_seconds(5).until_done(refused).await.unwrap_err();
        assert!(matches!(error, Error::Prepare(_)), "{error:?}");
        assert_eq!(tries.get(), 1);
    }
}
