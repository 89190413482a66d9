//! The resend buffer and its spool: what is to be written, and what may be sent since it was.
//!
//! It must not know how the spool writes.

use std::collections::HashMap;

use prost::Message as _;
use signalbox_proto::v1::{Report, report::Body};

use super::{Kept, ResendBuffer, spool::Batch};
use crate::config::BufferConfig;

/// A write to the spool ends with the report that brings it to this many bytes.
pub(super) const WRITE_BYTES: usize = 1024 * 1024;

/// What the spool is to have.
#[derive(Debug, PartialEq)]
pub(super) enum Write {
    /// These too.
    Append(Batch),
    /// These and no others.
    Replace(Batch),
}

impl ResendBuffer {
    /// Goes on with what the spool has, which may be more than there is room for.
    pub(super) fn of_spool(limits: BufferConfig, batch: Batch) -> Self {
        let mut buffer = Self::new(limits, batch.instance_uid);
        (buffer.acknowledged, buffer.known) = (batch.acknowledged, batch.last());
        buffer.spooled = Some(batch.reports.len());
        for report in batch.reports {
            let len = report.encoded_len();
            // Whoever reported these is gone.
            let _ = buffer.keep(report, len);
        }
        buffer
    }

    /// What the spool is to have next; nothing when it has everything.
    pub(super) fn unspooled(&self) -> Option<Write> {
        let from = self.spooled?;
        if self.is_renumbered {
            return Some(Write::Replace(self.all()));
        }
        let mut bytes = 0;
        let fits = |kept: &&Kept| {
            let fits = bytes < WRITE_BYTES;
            bytes += kept.len;
            fits
        };
        let reports: Vec<_> =
            self.kept.range(from..).take_while(fits).map(|kept| kept.report.clone()).collect();
        (!reports.is_empty()).then(|| Write::Append(self.batch(reports)))
    }

    /// All that is worth keeping.
    pub(super) fn all(&self) -> Batch {
        self.batch(self.kept.iter().map(|kept| kept.report.clone()).collect())
    }

    /// How many bytes of reports are worth keeping.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    fn batch(&self, reports: Vec<Report>) -> Batch {
        Batch { instance_uid: self.instance_uid, acknowledged: self.acknowledged, reports }
    }

    /// The spool has what it was to have.
    pub(super) fn has_spooled(&mut self, write: &Write) {
        let (Write::Append(batch) | Write::Replace(batch)) = write;
        if batch.instance_uid != self.instance_uid {
            // Numbered anew in the meantime.
            return;
        }
        if matches!(write, Write::Replace(_)) {
            self.is_renumbered = false;
        }
        let count = usize::try_from(batch.last().saturating_sub(self.acknowledged));
        let count = count.unwrap_or(usize::MAX).min(self.kept.len());
        self.spooled = self.spooled.map(|spooled| spooled.max(count));
    }

    /// Whether reports wait for a spool.
    pub(super) fn is_spooled(&self) -> bool {
        self.spooled.is_some()
    }

    /// How many, of all that were ever taken in, are safe: acknowledged, or in the spool where there is one.
    pub(super) fn safe(&self) -> u64 {
        self.settled + self.spooled.unwrap_or(self.kept.len()) as u64
    }

    /// Which commands ended according to what is kept, each with the place of the report that tells it.
    pub(super) fn ended_commands(&self) -> HashMap<String, u64> {
        let places = self.kept.iter().zip(self.settled + 1..);
        let ends = places.filter_map(|(kept, place)| match &kept.report.body {
            Some(Body::Command(update)) if update.state().is_final() => {
                Some((update.command_id.clone(), place))
            }
            _ => None,
        });
        ends.collect()
    }
}
