//! Calls that are made again where the first attempt may have failed for a passing reason. The calls carry
//! idempotency keys, so that what happens twice has its effect once.

use std::{error::Error as _, fmt, future::Future, time::Duration};

use backon::{BackoffBuilder as _, ExponentialBuilder};
use tonic::{Code, Response, Status};
use tonic_types::StatusExt as _;

use super::Client;
use crate::error::{Error, headline};

/// How often a call is made again.
const RETRIES_MAX: usize = 5;
const BACKOFF_MIN: Duration = Duration::from_millis(200);
const BACKOFF_MAX: Duration = Duration::from_secs(5);

impl Client {
    /// Makes a call, again and again as long as that may help, and tells of each attempt that failed.
    pub(crate) async fn call_again<T, F>(
        &self,
        what: &str,
        tell: impl Fn(fmt::Arguments<'_>),
        call: impl Fn() -> F,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let mut waits = ExponentialBuilder::default()
            .with_min_delay(BACKOFF_MIN)
            .with_max_delay(BACKOFF_MAX)
            .with_max_times(RETRIES_MAX)
            .with_jitter()
            .build();
        loop {
            let error = match self.call(what, call()).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let (Some(asked), Some(wait)) = (retry_after(&error), waits.next()) else { return Err(error) };
            let wait = wait.max(asked.min(BACKOFF_MAX));
            tell(format_args!("{}; trying again in {:.1}s", headline(&error), wait.as_secs_f64()));
            tokio::time::sleep(wait).await;
        }
    }
}

/// How long the server asks to wait before another attempt; `None` when another would not help.
pub(crate) fn retry_after(error: &Error) -> Option<Duration> {
    match error {
        Error::NoAnswer { .. } => Some(Duration::ZERO),
        Error::Refused { status, .. } => {
            // A connection that breaks during a call has one of several codes, and a source.
            let is_broken = status.source().is_some();
            let may_help = matches!(
                status.code(),
                Code::Unavailable | Code::ResourceExhausted | Code::Cancelled | Code::Unknown
            );
            (may_help || is_broken).then(|| {
                status.get_details_retry_info().and_then(|info| info.retry_delay).unwrap_or_default()
            })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: Status) -> Error {
        Error::Refused { what: "x".into(), url: "http://h:1".into(), status: Box::new(status) }
    }

    #[test]
    fn what_the_server_decided_is_not_asked_again() {
        for decided in [
            Status::invalid_argument(""),
            Status::permission_denied(""),
            Status::aborted(""),
            Status::internal("a defect"),
        ] {
            assert_eq!(retry_after(&refused(decided.clone())), None, "{decided:?}");
        }
        let mut broken = Status::internal("h2 protocol error");
        broken.set_source(std::sync::Arc::new(std::io::Error::from(std::io::ErrorKind::ConnectionReset)));
        for passing in [Status::unavailable(""), Status::resource_exhausted(""), broken] {
            assert_eq!(retry_after(&refused(passing.clone())), Some(Duration::ZERO), "{passing:?}");
        }
    }
}
