//! The spool: the reports that have not been acknowledged, on disk, so that they and their numbers survive the agent.
//! A file of frames, each with its checksum; one frame is one batch of reports, and the disk has it before the next
//! is written. So a crash can leave behind but one frame that is not whole, the last; a disk that spoils just that one
//! cannot be told from a crash.
//!
//! It must not know when reports are sent.

#[cfg(test)]
mod tests;

use std::path::Path;

use bytes::Bytes;
use prost::Message;
use signalbox_proto::v1::Report;
use uuid::Uuid;

use crate::state_dir::{AppendFile, StateDir, StateError};

/// Begins each frame, and tells the version of its form.
const MAGIC: &[u8] = b"SBspool1";
/// The magic, the length of the content, and the checksum of both.
const HEADER_LEN: usize = MAGIC.len() + 4 + 4;
/// Most reports of a frame when the file is replaced.
const FRAME_LEN_MAX: usize = 64;
/// A file that is longer than twice what is worth keeping, and this many bytes, is replaced.
const REPLACED_LEN_MIN: u64 = 1024 * 1024;

/// What one write brings to the disk: reports that follow on those before.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Batch {
    /// The run that the reports are numbered in.
    pub(super) instance_uid: Uuid,
    /// The last report of it that was acknowledged; up to there the file holds nothing worth keeping.
    pub(super) acknowledged: u64,
    /// The reports, their numbers without a hole.
    pub(super) reports: Vec<Report>,
}

impl Batch {
    /// Number of the last report that is on disk with this batch.
    pub(super) fn last(&self) -> u64 {
        self.reports.last().map_or(self.acknowledged, |report| report.sequence)
    }

    /// Of a run that has nothing left to report.
    fn without_reports(instance_uid: Uuid, acknowledged: u64) -> Self {
        Self { instance_uid, acknowledged, reports: Vec::new() }
    }

    /// Takes in what was written after it; says what is wrong where it does not follow.
    fn follow(&mut self, next: Self) -> Result<(), &'static str> {
        if next.instance_uid != self.instance_uid {
            return Err("it belongs to another run than what stands before it");
        }
        if next.acknowledged < self.acknowledged || next.acknowledged > self.last() {
            return Err("it acknowledges reports that do not stand before it");
        }
        let follows = next.reports.first().is_none_or(|report| report.sequence == self.last() + 1);
        if !follows {
            return Err("its reports do not follow on those before it");
        }
        self.reports.extend(next.reports);
        self.acknowledged = next.acknowledged;
        Ok(())
    }
}

/// A batch as the file has it.
#[derive(Clone, PartialEq, Message)]
struct Content {
    #[prost(bytes = "bytes", tag = "1")]
    instance_uid: Bytes,
    #[prost(uint64, tag = "2")]
    acknowledged: u64,
    #[prost(message, repeated, tag = "3")]
    reports: Vec<Report>,
}

/// The spool's file.
#[derive(Debug)]
pub(crate) struct Spool {
    file: AppendFile,
}

impl Spool {
    /// Opens or makes the file, and says what is in it: what an earlier process did not see acknowledged, in the
    /// run that is to go on. What the crash of that process left half written was never sent, and is dropped.
    ///
    /// # Errors
    ///
    /// [`StateError`], for a spool that cannot be trusted must not be used.
    pub(super) fn open(state_dir: &StateDir) -> Result<(Self, Batch), StateError> {
        let (file, bytes) = state_dir.file("reports.spool")?;
        let mut batch =
            read(file.path(), &bytes)?.unwrap_or_else(|| Batch::without_reports(Uuid::now_v7(), 0));
        let acknowledged = batch.acknowledged;
        batch.reports.retain(|report| report.sequence > acknowledged);
        let mut spool = Self { file };
        spool.replace(&batch)?;
        Ok((spool, batch))
    }

    /// Has the disk hold these reports too.
    ///
    /// # Errors
    ///
    /// [`StateError::Io`]; then none of them is there, and the same may be tried again.
    pub(super) fn append(&mut self, batch: &Batch) -> Result<(), StateError> {
        self.file.append(&frame(batch, &batch.reports), true)
    }

    /// Has the disk hold these reports and no others.
    ///
    /// # Errors
    ///
    /// [`StateError::Io`]; then what was there is still there.
    pub(super) fn replace(&mut self, batch: &Batch) -> Result<(), StateError> {
        let mut bytes = Vec::new();
        // One frame at least, which has the number to go on from.
        let chunks = batch.reports.chunks(FRAME_LEN_MAX).chain(batch.reports.is_empty().then_some(&[][..]));
        chunks.for_each(|reports| bytes.extend(frame(batch, reports)));
        self.file.replace(&bytes)
    }

    pub(super) fn path(&self) -> &Path {
        self.file.path()
    }

    /// Whether it is worth replacing, when only so many bytes are worth keeping.
    pub(super) fn is_long(&self, kept: usize) -> bool {
        self.file.len() > 2 * kept as u64 + REPLACED_LEN_MIN
    }
}

fn frame(batch: &Batch, reports: &[Report]) -> Vec<u8> {
    let content = Content {
        instance_uid: Bytes::copy_from_slice(batch.instance_uid.as_bytes()),
        acknowledged: batch.acknowledged,
        reports: reports.to_vec(),
    };
    let content = content.encode_to_vec();
    let len =
        u32::try_from(content.len()).expect("a frame has few reports, each of 1 MiB at most").to_le_bytes();
    [MAGIC, &len, &checksum(len, &content), &content].concat()
}

fn checksum(len: [u8; 4], content: &[u8]) -> [u8; 4] {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&len);
    hasher.update(content);
    hasher.finalize().to_le_bytes()
}

/// Reads the frames as one batch; none where there is no whole frame.
fn read(path: &Path, bytes: &[u8]) -> Result<Option<Batch>, StateError> {
    let (mut at, mut all) = (0, None::<Batch>);
    let damaged = |at, what| StateError::DamagedSpool { path: path.to_owned(), at, what };
    while at < bytes.len() {
        let Some(content) = whole_frame(&bytes[at..]) else {
            // Invariant: nothing is written behind a frame that the disk does not have, so this was no crash.
            if has_whole_frame(&bytes[at + 1..]) {
                return Err(damaged(at, "an entry does not have its checksum, and whole ones follow"));
            }
            tracing::info!(path = %path.display(), at, "the spool ends with an entry that was never finished");
            break;
        };
        let next = batch_of(content).map_err(|what| damaged(at, what))?;
        let before = all.get_or_insert_with(|| Batch::without_reports(next.instance_uid, next.acknowledged));
        before.follow(next).map_err(|what| damaged(at, what))?;
        at += HEADER_LEN + content.len();
    }
    Ok(all)
}

/// The content of the frame that begins here, when it is whole.
fn whole_frame(bytes: &[u8]) -> Option<&[u8]> {
    let rest = bytes.strip_prefix(MAGIC)?;
    let (len, rest) = rest.split_first_chunk::<4>()?;
    let (sum, rest) = rest.split_first_chunk::<4>()?;
    let content = rest.get(..usize::try_from(u32::from_le_bytes(*len)).ok()?)?;
    (checksum(*len, content) == *sum).then_some(content)
}

fn has_whole_frame(bytes: &[u8]) -> bool {
    (0..bytes.len()).any(|at| whole_frame(&bytes[at..]).is_some())
}

fn batch_of(content: &[u8]) -> Result<Batch, &'static str> {
    let content = Content::decode(content).map_err(|_| "an entry has another form than it should")?;
    let instance_uid = Uuid::from_slice(&content.instance_uid).map_err(|_| "an entry names no run")?;
    let mut numbers = content.reports.windows(2);
    if !numbers.all(|pair| pair[1].sequence == pair[0].sequence + 1) {
        return Err("the reports of an entry do not follow on each other");
    }
    Ok(Batch { instance_uid, acknowledged: content.acknowledged, reports: content.reports })
}

#[cfg(test)]
impl Spool {
    pub(super) fn file(&mut self) -> &mut AppendFile {
        &mut self.file
    }
}
