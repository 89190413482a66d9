//! The directory of what must survive the agent: the ledger of commands, the spool of reports and the agent's key, for
//! one process at a time.
//!
//! It must know neither what commands nor what reports are.

mod append_file;

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

pub(crate) use append_file::AppendFile;

/// Why what the agent keeps on disk cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The file system refused.
    #[error("{path} cannot be {tried}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried: `opened`, `read`, `written`.
        tried: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The ledger of commands holds something that is none.
    #[error("line {line} of the ledger {path} is malformed", path = path.display())]
    MalformedLedger {
        /// The file.
        path: PathBuf,
        /// The line at fault, from 1.
        line: usize,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// The file with the agent's key holds something else.
    #[error("the key in {path} is malformed; move the file away to enrol anew", path = path.display())]
    MalformedKey {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// The spool of reports holds something that no crash leaves behind.
    #[error(
        "the spool {path} is damaged at byte {at}: {what}; move the file away to go on without the reports in it",
        path = path.display()
    )]
    DamagedSpool {
        /// The file.
        path: PathBuf,
        /// Where, from 0.
        at: usize,
        /// What is wrong there.
        what: &'static str,
    },
    /// Another process has the directory: two would begin the same command twice, and number their reports alike.
    #[error("the state directory {dir} of agent '{agent_id}' is in use by another process", dir = dir.display())]
    InUse {
        /// The directory.
        dir: PathBuf,
        /// The agent.
        agent_id: String,
    },
}

/// The directory, locked for one agent for as long as this or a file that was opened through it lives.
#[derive(Debug, Clone)]
pub(crate) struct StateDir {
    dir: PathBuf,
    agent_id: String,
    /// A file of its own, for the others are replaced now and then.
    lock: Arc<File>,
}

impl StateDir {
    /// Makes the directory where there is none, and locks it for this agent.
    ///
    /// # Errors
    ///
    /// [`StateError::InUse`] and [`StateError::Io`].
    pub(crate) fn open(dir: &Path, agent_id: &str) -> Result<Self, StateError> {
        let path = dir.join(format!("{agent_id}.lock"));
        let opened = |source| StateError::Io { path: path.clone(), tried: "opened", source };
        fs::create_dir_all(dir).map_err(opened)?;
        let lock = OpenOptions::new().create(true).append(true).open(&path).map_err(opened)?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => {
                StateError::InUse { dir: dir.to_owned(), agent_id: agent_id.to_owned() }
            }
            TryLockError::Error(source) => opened(source),
        })?;
        Ok(Self { dir: dir.to_owned(), agent_id: agent_id.to_owned(), lock: Arc::new(lock) })
    }

    /// Opens or makes one of the agent's files, and reads it.
    ///
    /// # Errors
    ///
    /// [`StateError::Io`].
    pub(crate) fn file(&self, suffix: &str) -> Result<(AppendFile, Vec<u8>), StateError> {
        AppendFile::open(&self.dir, &format!("{}.{suffix}", self.agent_id), Arc::clone(&self.lock))
    }
}
