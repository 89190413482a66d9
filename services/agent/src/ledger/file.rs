//! The ledger's file: JSON lines, one for each step of a command, only ever appended to or replaced as a whole.

use std::path::Path;

use super::Record;
use crate::state_dir::{AppendFile, StateDir, StateError};

/// A file that has grown to this many bytes, and to twice what it was when it was replaced last, is replaced by one
/// that has a line for each command.
const REPLACED_LEN_MIN: u64 = 8 * 1024 * 1024;

#[derive(Debug)]
pub(super) struct LedgerFile {
    file: AppendFile,
    /// The length from which it is worth replacing.
    long_len: u64,
}

impl LedgerFile {
    /// Opens or makes the file, and reads it.
    pub(super) fn open(state_dir: &StateDir) -> Result<(Self, Vec<Record>), StateError> {
        let (file, text) = state_dir.file("commands.jsonl")?;
        let records = read(file.path(), &text)?;
        Ok((Self { file, long_len: REPLACED_LEN_MIN }, records))
    }

    /// Writes one line, and waits for the disk to have it where it must last.
    pub(super) fn append(&mut self, record: &Record, must_last: bool) -> Result<(), StateError> {
        self.file.append(&line(record), must_last)
    }

    /// Whether it is worth replacing.
    pub(super) fn is_long(&self) -> bool {
        self.file.len() > self.long_len
    }

    /// Replaces the file in one step. On failure the one before goes on, until it has grown to twice its length.
    pub(super) fn rewrite(&mut self, records: impl Iterator<Item = Record>) -> Result<(), StateError> {
        let text: Vec<u8> = records.flat_map(|record| line(&record)).collect();
        let replaced = self.file.replace(&text);
        self.long_len = (2 * self.file.len()).max(REPLACED_LEN_MIN);
        replaced
    }
}

fn line(record: &Record) -> Vec<u8> {
    let mut line = serde_json::to_vec(record).expect("a record of texts and JSON has a JSON form");
    line.push(b'\n');
    line
}

/// Reads the lines. The last one is dropped where the crash of an earlier run left half of it.
fn read(path: &Path, text: &[u8]) -> Result<Vec<Record>, StateError> {
    let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let mut records = Vec::new();
    for (at, line) in text[..whole].split_inclusive(|byte| *byte == b'\n').enumerate() {
        let record = serde_json::from_slice(line).map_err(|source| StateError::MalformedLedger {
            path: path.to_owned(),
            line: at + 1,
            source,
        })?;
        records.push(record);
    }
    Ok(records)
}

#[cfg(test)]
impl LedgerFile {
    /// As if the disk refused.
    pub(super) fn fail_from_now_on(&mut self) {
        self.file.fail_from_now_on();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_long_when_it_has_doubled() {
        let dir = tempfile::tempdir().unwrap();
        let (mut ledger, _) = LedgerFile::open(&StateDir::open(dir.path(), "a").unwrap()).unwrap();
        let lines = |len: u64| vec![b'\n'; usize::try_from(len).unwrap()];
        ledger.file.append(&lines(REPLACED_LEN_MIN + 1), false).unwrap();
        assert!(ledger.is_long());
        ledger.fail_from_now_on();
        assert!(ledger.rewrite(std::iter::empty()).is_err());
        assert!(!ledger.is_long(), "a failed attempt is not repeated with each line");
    }
}
