//! Brings what is reported to the spool, in as few writes as the disk allows: while it has one, the next gathers.
//!
//! A thread of its own, for a disk may take its time, and whoever reports before the agent runs waits for it too.

#[cfg(test)]
mod tests;

use std::{sync::Arc, thread, time::Duration};

use super::{keeping::Write, shared::Reports, spool::Spool};
use crate::{
    config::BufferConfig,
    state_dir::{StateDir, StateError},
};

/// How long it waits after a write that failed.
const RETRY: Duration = Duration::from_secs(1);

/// Keeps the spool of an agent up to date until it is dropped; then the agent has ended, and whoever still reports is
/// turned away.
#[derive(Debug)]
pub(crate) struct Spooler {
    reports: Arc<Reports>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Spooler {
    /// Opens the spool, and goes on with the run that it is of.
    ///
    /// # Errors
    ///
    /// [`StateError`].
    pub(crate) fn start(
        limits: BufferConfig,
        state_dir: &StateDir,
    ) -> Result<(Self, Arc<Reports>), StateError> {
        let (spool, batch) = Spool::open(state_dir)?;
        if !batch.reports.is_empty() {
            let reports = batch.reports.len();
            tracing::info!(reports, "an earlier process of the agent left reports, which are sent now");
        }
        let path = spool.path().to_owned();
        let reports = Arc::new(Reports::of_spool(limits, batch));
        let shared = Arc::clone(&reports);
        let thread = thread::Builder::new()
            .name("spool".into())
            .spawn(move || keep(spool, &shared))
            .map_err(|source| StateError::Io { path, tried: "opened", source })?;
        Ok((Self { reports: Arc::clone(&reports), thread: Some(thread) }, reports))
    }
}

impl Drop for Spooler {
    fn drop(&mut self) {
        self.reports.close();
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the spool's thread panicked");
        }
    }
}

/// Writes until the agent has ended and everything is written, or cannot be.
fn keep(mut spool: Spool, reports: &Reports) {
    let mut has_failed = false;
    while let Some(write) = reports.unspooled() {
        match put(&mut spool, &write) {
            Ok(()) => {
                if std::mem::take(&mut has_failed) {
                    tracing::info!(path = %spool.path().display(), "the spool can be written again");
                }
                reports.has_spooled(&write);
                shorten(&mut spool, reports);
            }
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                if !std::mem::replace(&mut has_failed, true) {
                    tracing::error!(error, "reports are held back until the spool can be written");
                }
                if reports.closed_within(RETRY) {
                    tracing::error!(error, "the last reports are not in the spool");
                    return;
                }
            }
        }
    }
}

fn put(spool: &mut Spool, write: &Write) -> Result<(), StateError> {
    match write {
        Write::Append(batch) => spool.append(batch),
        Write::Replace(batch) => spool.replace(batch),
    }
}

/// A file that cannot be replaced is as good as before, only longer.
fn shorten(spool: &mut Spool, reports: &Reports) {
    let Some(write) = reports.worth_keeping(|kept| spool.is_long(kept)) else { return };
    match put(spool, &write) {
        Ok(()) => reports.has_spooled(&write),
        Err(error) => tracing::warn!(error = &error as &dyn std::error::Error, "the spool grows"),
    }
}
