//! What a client is told for whom there is no room: when to come back, in the fewest bytes.
//!
//! It must know neither routes nor sessions.

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, HeaderValue, header};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::Semaphore,
};

use crate::session::retry_after;

/// When a client comes back that found no room, in seconds; up to half as much later.
const RETRY_AFTER_S: u64 = 2;
/// How many clients are told at once; further ones are cut off without a word.
const TOLD_MAX: usize = 256;
/// How long a client may take to read what it is told.
const TELL_TIMEOUT: Duration = Duration::from_secs(1);
/// Most bytes that are read of a request that is not answered otherwise.
const REQUEST_LEN_MAX: u64 = 16 * 1024;

/// Tells clients that there is no room. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Refusals(Arc<Semaphore>);

impl Default for Refusals {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(TOLD_MAX)))
    }
}

impl Refusals {
    /// What tells the client, unless too many are being told.
    pub(super) fn tell(&self, mut stream: TcpStream) -> Option<impl Future<Output = ()> + use<>> {
        let permit = Arc::clone(&self.0).try_acquire_owned().ok()?;
        Some(async move {
            let told = async {
                let text = format!(
                    "HTTP/1.1 503 Service Unavailable\r\nRetry-After: {}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
                    retry_after(RETRY_AFTER_S)
                );
                stream.write_all(text.as_bytes()).await?;
                stream.shutdown().await?;
                // With its request unread the connection would be reset, and the client might never see the answer.
                tokio::io::copy(&mut (&mut stream).take(REQUEST_LEN_MAX), &mut tokio::io::sink()).await
            };
            // Whoever does not read is cut off.
            let _ = tokio::time::timeout(TELL_TIMEOUT, told).await;
            drop(permit);
        })
    }
}

/// Says in an answer when to come back.
pub(super) fn put_retry_after(headers: &mut HeaderMap) {
    headers.insert(header::RETRY_AFTER, HeaderValue::from(retry_after(RETRY_AFTER_S)));
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
}
