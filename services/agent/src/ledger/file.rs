//! The ledger's file: JSON lines, one for each step of a command, only ever appended to or replaced as a whole.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use super::{LedgerError, Record};

/// A file that has grown to this many bytes, and to twice what it was when it was replaced last, is replaced by one
/// that has a line for each command.
const REPLACED_LEN_MIN: u64 = 8 * 1024 * 1024;

#[derive(Debug)]
pub(super) struct LedgerFile {
    dir: PathBuf,
    path: PathBuf,
    file: File,
    /// Length in bytes of what was written whole.
    len: u64,
    /// The length from which it is worth replacing.
    long_len: u64,
    /// Half a line may stand at its end, which would spoil the lines after it.
    is_torn: bool,
    /// It was put in its place, and the disk may not know yet.
    is_unplaced: bool,
    /// Locked for as long as this lives. A file of its own, for the ledger's is replaced now and then.
    _lock: File,
}

impl LedgerFile {
    /// Opens or makes the file, and reads it.
    pub(super) fn open(dir: &Path, agent_id: &str) -> Result<(Self, Vec<Record>), LedgerError> {
        let path = dir.join(format!("{agent_id}.commands.jsonl"));
        let opened = |source| LedgerError::Io { path: path.clone(), tried: "opened", source };
        fs::create_dir_all(dir).map_err(opened)?;
        let lock = dir.join(format!("{agent_id}.lock"));
        let lock = OpenOptions::new().create(true).append(true).open(lock).map_err(opened)?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => LedgerError::InUse { path: path.clone() },
            TryLockError::Error(source) => opened(source),
        })?;
        let file = private(&path).map_err(opened)?;
        let text = fs::read(&path).map_err(|source| LedgerError::Io {
            path: path.clone(),
            tried: "read",
            source,
        })?;
        let records = read(&path, &text)?;
        let file = Self {
            dir: dir.to_owned(),
            path,
            file,
            len: text.len() as u64,
            long_len: REPLACED_LEN_MIN,
            is_torn: false,
            is_unplaced: false,
            _lock: lock,
        };
        Ok((file, records))
    }

    /// Writes one line, and waits for the disk to have it where it must last.
    pub(super) fn append(&mut self, record: &Record, must_last: bool) -> Result<(), LedgerError> {
        let line = line(record);
        self.write(&line, must_last).map_err(|source| {
            self.is_torn = true;
            // Where this fails too, the next line is not written before it succeeds.
            let _ = self.mend();
            self.unwritten(source)
        })?;
        self.len += line.len() as u64;
        Ok(())
    }

    /// Whether it is worth replacing.
    pub(super) fn is_long(&self) -> bool {
        self.len > self.long_len
    }

    /// Replaces the file in one step: after a crash there is either the old one or the new one. On failure the
    /// one before goes on, until it has grown to twice its length.
    pub(super) fn rewrite(&mut self, records: impl Iterator<Item = Record>) -> Result<(), LedgerError> {
        let text: Vec<u8> = records.flat_map(|record| line(&record)).collect();
        let replaced = self.replace(&text).map_err(|source| self.unwritten(source));
        self.long_len = (2 * self.len).max(REPLACED_LEN_MIN);
        replaced
    }

    fn write(&mut self, line: &[u8], must_last: bool) -> io::Result<()> {
        self.mend()?;
        self.file.write_all(line)?;
        if !must_last {
            return Ok(());
        }
        self.file.sync_data()?;
        self.place()
    }

    fn mend(&mut self) -> io::Result<()> {
        if self.is_torn {
            self.file.set_len(self.len)?;
            self.is_torn = false;
        }
        Ok(())
    }

    fn replace(&mut self, text: &[u8]) -> io::Result<()> {
        let beside = self.path.with_added_extension("new");
        let mut file = private(&beside)?;
        file.set_len(0)?;
        file.write_all(text)?;
        file.sync_all()?;
        fs::rename(&beside, &self.path)?;
        // Invariant: from the rename on lines go to the new file, whatever else fails; the old one has no name.
        (self.file, self.len) = (file, text.len() as u64);
        (self.is_torn, self.is_unplaced) = (false, true);
        self.place()
    }

    /// Has the disk know which file bears the name, or a crash would bring the replaced one back.
    fn place(&mut self) -> io::Result<()> {
        if self.is_unplaced {
            File::open(&self.dir)?.sync_all()?;
            self.is_unplaced = false;
        }
        Ok(())
    }

    fn unwritten(&self, source: io::Error) -> LedgerError {
        LedgerError::Io { path: self.path.clone(), tried: "written", source }
    }
}

/// Opens or makes a file to append to. Results of commands may hold secrets: it is for its owner alone.
fn private(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

fn line(record: &Record) -> Vec<u8> {
    let mut line = serde_json::to_vec(record).expect("a record of texts and JSON has a JSON form");
    line.push(b'\n');
    line
}

/// Reads the lines. The last one is dropped where the crash of an earlier run left half of it.
fn read(path: &Path, text: &[u8]) -> Result<Vec<Record>, LedgerError> {
    let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let mut records = Vec::new();
    for (at, line) in text[..whole].split_inclusive(|byte| *byte == b'\n').enumerate() {
        let record = serde_json::from_slice(line).map_err(|source| LedgerError::Malformed {
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
        self.file = File::open(&self.path).unwrap();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Stage;

    fn record(id: &str) -> Record {
        Record { id: id.into(), stage: Stage::Received }
    }

    fn ids(dir: &Path) -> Vec<String> {
        let text = fs::read(dir.join("a.commands.jsonl")).unwrap();
        read(dir, &text).unwrap().into_iter().map(|record| record.id).collect()
    }

    #[test]
    fn a_line_that_failed_half_way_does_not_spoil_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let (mut ledger, _) = LedgerFile::open(dir.path(), "a").unwrap();
        ledger.append(&record("1"), true).unwrap();
        let writable = std::mem::replace(&mut ledger.file, File::open(&ledger.path).unwrap());
        assert!(ledger.append(&record("2"), true).is_err());
        assert!(ledger.append(&record("3"), true).is_err());
        // What stood there of a line when the disk was full.
        (&writable).write_all(b"{\"id\":\"2\",").unwrap();
        ledger.file = writable;
        ledger.append(&record("4"), true).unwrap();
        assert_eq!(ids(dir.path()), ["1", "4"]);
    }

    #[test]
    fn once_it_is_replaced_lines_go_to_the_new_file_although_the_directory_cannot_be_synced() {
        let dir = tempfile::tempdir().unwrap();
        let (mut ledger, _) = LedgerFile::open(dir.path(), "a").unwrap();
        let elsewhere = std::mem::replace(&mut ledger.dir, dir.path().join("nowhere"));
        assert!(ledger.rewrite([record("1")].into_iter()).is_err());
        assert!(ledger.append(&record("2"), true).is_err(), "a crash could bring the old file back");
        ledger.dir = elsewhere;
        ledger.append(&record("3"), true).unwrap();
        assert_eq!(ids(dir.path()), ["1", "3"]);
    }

    #[test]
    fn it_is_long_when_it_has_doubled() {
        let dir = tempfile::tempdir().unwrap();
        let (mut ledger, _) = LedgerFile::open(dir.path(), "a").unwrap();
        ledger.len = REPLACED_LEN_MIN + 1;
        assert!(ledger.is_long());
        ledger.path = dir.path().join("nowhere/a");
        assert!(ledger.rewrite(std::iter::empty()).is_err());
        assert!(!ledger.is_long(), "a failed attempt is not repeated with each line");
        ledger.len *= 3;
        assert!(ledger.is_long());
    }
}
