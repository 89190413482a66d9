//! A file that is only ever appended to or replaced as a whole, and that a crash leaves as it was or with what was
//! appended, up to half of the last write.
//!
//! It must not know what is in it.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::StateError;

/// A file for its owner alone: results of commands and reports may hold secrets.
#[derive(Debug)]
pub(crate) struct AppendFile {
    dir: PathBuf,
    path: PathBuf,
    file: File,
    /// Length in bytes of what was written whole.
    len: u64,
    /// Part of a write may stand at its end, which would spoil what comes after it.
    is_torn: bool,
    /// It was put in its place, and the disk may not know yet.
    is_unplaced: bool,
    /// Locked for as long as this lives.
    _lock: Arc<File>,
}

impl AppendFile {
    /// Opens or makes the file, and reads it.
    pub(super) fn open(dir: &Path, name: &str, lock: Arc<File>) -> Result<(Self, Vec<u8>), StateError> {
        let path = dir.join(name);
        let failed = |tried| {
            let path = path.clone();
            move |source| StateError::Io { path, tried, source }
        };
        let file = private(&path).map_err(failed("opened"))?;
        let content = fs::read(&path).map_err(failed("read"))?;
        let len = content.len() as u64;
        let file = Self {
            dir: dir.to_owned(),
            path,
            file,
            len,
            is_torn: false,
            // It may have been made just now.
            is_unplaced: true,
            _lock: lock,
        };
        Ok((file, content))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Length in bytes.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Writes at the end, and waits for the disk to have it where it must last.
    ///
    /// # Errors
    ///
    /// [`StateError::Io`]; nothing was written then, or what was is taken back before the next write.
    pub(crate) fn append(&mut self, bytes: &[u8], must_last: bool) -> Result<(), StateError> {
        self.write(bytes, must_last).map_err(|source| {
            self.is_torn = true;
            // Where this fails too, nothing more is written before it succeeds.
            let _ = self.mend();
            self.unwritten(source)
        })?;
        self.len += bytes.len() as u64;
        Ok(())
    }

    /// Replaces the file in one step: after a crash there is either the old one or the new one.
    ///
    /// # Errors
    ///
    /// [`StateError::Io`]; the one before goes on, or the new one stands in its place and nothing more is written
    /// before the disk knows that.
    pub(crate) fn replace(&mut self, bytes: &[u8]) -> Result<(), StateError> {
        self.put_in_place(bytes).map_err(|source| self.unwritten(source))
    }

    fn write(&mut self, bytes: &[u8], must_last: bool) -> io::Result<()> {
        self.mend()?;
        self.file.write_all(bytes)?;
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

    fn put_in_place(&mut self, bytes: &[u8]) -> io::Result<()> {
        let beside = self.path.with_added_extension("new");
        let mut file = private(&beside)?;
        file.set_len(0)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&beside, &self.path)?;
        // Invariant: from the rename on writes go to the new file, whatever else fails; the old one has no name.
        (self.file, self.len) = (file, bytes.len() as u64);
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

    fn unwritten(&self, source: io::Error) -> StateError {
        StateError::Io { path: self.path.clone(), tried: "written", source }
    }
}

/// Opens or makes a file to append to.
fn private(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

#[cfg(test)]
impl AppendFile {
    /// As if the disk refused. Answers what [`AppendFile::heal`] needs.
    pub(crate) fn fail_from_now_on(&mut self) -> File {
        // What would be put in its place cannot be made either.
        fs::create_dir(self.path.with_added_extension("new")).unwrap();
        std::mem::replace(&mut self.file, File::open(&self.path).unwrap())
    }

    /// As if the disk had room again.
    pub(crate) fn heal(&mut self, file: File) {
        fs::remove_dir(self.path.with_added_extension("new")).unwrap();
        self.file = file;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state_dir::StateDir;

    fn open(dir: &Path) -> AppendFile {
        StateDir::open(dir, "a").unwrap().file("log").unwrap().0
    }

    fn content(dir: &Path) -> String {
        fs::read_to_string(dir.join("a.log")).unwrap()
    }

    #[test]
    fn a_write_that_failed_half_way_does_not_spoil_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = open(dir.path());
        log.append(b"1\n", true).unwrap();
        let mut file = log.fail_from_now_on();
        assert!(log.append(b"2\n", true).is_err());
        assert!(log.append(b"3\n", true).is_err());
        // What stood there of a write when the disk was full.
        file.write_all(b"2").unwrap();
        log.heal(file);
        log.append(b"4\n", true).unwrap();
        assert_eq!((content(dir.path()).as_str(), log.len()), ("1\n4\n", 4));
    }

    #[test]
    fn once_it_is_replaced_writes_go_to_the_new_file_although_the_directory_cannot_be_synced() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = open(dir.path());
        let elsewhere = std::mem::replace(&mut log.dir, dir.path().join("nowhere"));
        assert!(log.replace(b"1\n").is_err());
        assert!(log.append(b"2\n", true).is_err(), "a crash could bring the old file back");
        log.dir = elsewhere;
        log.append(b"3\n", true).unwrap();
        assert_eq!(content(dir.path()), "1\n3\n");
    }

    #[test]
    fn one_process_at_a_time_has_the_directory_for_an_agent() {
        let dir = tempfile::tempdir().unwrap();
        let log = open(dir.path());
        let error = StateDir::open(dir.path(), "a").unwrap_err();
        assert!(matches!(error, StateError::InUse { .. }), "{error}");
        assert!(error.to_string().ends_with("of agent 'a' is in use by another process"), "{error}");
        assert!(StateDir::open(dir.path(), "b").is_ok());
        drop(log);
        assert!(StateDir::open(dir.path(), "a").is_ok());
    }
}
