//! The ledger's file: JSON lines, one for each step of a command, only ever appended to or replaced as a whole.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use super::{LedgerError, Record};

/// A file of more lines is replaced by one that has a line for each command.
const LINES_MAX: usize = 50_000;

#[derive(Debug)]
pub(super) struct LedgerFile {
    dir: PathBuf,
    path: PathBuf,
    file: File,
    /// Length in bytes of what was written whole.
    len: u64,
    lines: usize,
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
        let file = OpenOptions::new().create(true).append(true).open(&path).map_err(opened)?;
        let text = fs::read(&path).map_err(|source| LedgerError::Io {
            path: path.clone(),
            tried: "read",
            source,
        })?;
        let records = read(&path, &text)?;
        let (len, lines) = (text.len() as u64, records.len());
        Ok((Self { dir: dir.to_owned(), path, file, len, lines, _lock: lock }, records))
    }

    /// Writes one line, and waits for the disk to have it where it must last.
    pub(super) fn append(&mut self, record: &Record, must_last: bool) -> Result<(), LedgerError> {
        let line = line(record);
        let mut written = self.file.write_all(&line);
        if must_last && written.is_ok() {
            written = self.file.sync_data();
        }
        if let Err(source) = written {
            // Half a line would spoil the lines after it.
            if let Err(error) = self.file.set_len(self.len) {
                tracing::error!(%error, path = %self.path.display(), "half a line stays in the ledger");
            }
            return Err(self.unwritten(source));
        }
        self.len += line.len() as u64;
        self.lines += 1;
        Ok(())
    }

    /// Whether it is worth replacing.
    pub(super) fn is_long(&self) -> bool {
        self.lines > LINES_MAX
    }

    /// Replaces the file in one step: after a crash there is either the old one or the new one.
    pub(super) fn rewrite(&mut self, records: impl Iterator<Item = Record>) -> Result<(), LedgerError> {
        let (mut text, mut lines) = (Vec::new(), 0);
        for record in records {
            text.extend(line(&record));
            lines += 1;
        }
        self.file = self.replace(&text).map_err(|source| self.unwritten(source))?;
        (self.len, self.lines) = (text.len() as u64, lines);
        Ok(())
    }

    fn replace(&self, text: &[u8]) -> io::Result<File> {
        let beside = self.path.with_added_extension("new");
        let mut file = File::create(&beside)?;
        file.write_all(text)?;
        file.sync_all()?;
        fs::rename(&beside, &self.path)?;
        File::open(&self.dir)?.sync_all()?;
        OpenOptions::new().append(true).open(&self.path)
    }

    fn unwritten(&self, source: io::Error) -> LedgerError {
        LedgerError::Io { path: self.path.clone(), tried: "written", source }
    }
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
