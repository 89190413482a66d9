//! What was seen of a run: one JSON line for each thing, written by whoever saw it. The lines of a whole run are
//! its history, from which alone the checker decides.

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io::{self, Write as _},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Something that was seen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "saw", rename_all = "snake_case")]
pub enum Record {
    /// How the run was made.
    Run {
        /// The seed of its schedule.
        seed: u64,
        /// How long the load lasted, in seconds.
        seconds: u64,
    },
    /// A fault began.
    Fault {
        /// What happened.
        kind: crate::Kind,
        /// To whom.
        target: String,
        /// For how long, in milliseconds.
        lasts_ms: u64,
    },
    /// A process ended that nobody had ended.
    Died {
        /// Which one.
        process: String,
        /// With what status.
        status: String,
        /// Whether it is a part that must never end by itself.
        server: bool,
    },
    /// A reader exists, and this is what it asks for.
    Reader {
        /// Its name.
        reader: String,
        /// Event types, or `<group>.*`.
        types: Vec<String>,
        /// What it had seen before: the events after this revision are its due.
        after: u64,
        /// Whether it is told of whole changes, as watchers over gRPC are.
        whole: bool,
    },
    /// A reader is connected, and goes on after a revision.
    Opened {
        /// Who.
        reader: String,
        /// After which revision.
        after: u64,
    },
    /// A reader received events, all in one message.
    Received {
        /// Who.
        reader: String,
        /// Their revisions, as they came.
        revisions: Vec<u64>,
    },
    /// A reader was told that it has been sent everything up to a revision.
    Bookmark {
        /// Who.
        reader: String,
        /// Up to which revision.
        revision: u64,
    },
    /// A reader was told that what it missed can no longer be had, and goes on where it can.
    Gap {
        /// Who.
        reader: String,
        /// In what words.
        message: String,
        /// Up to where it had been told everything.
        after: u64,
        /// The oldest cursor that it was told: it goes on after that.
        oldest: u64,
    },
    /// A reader's connection is over.
    Closed {
        /// Who.
        reader: String,
        /// Why.
        why: String,
    },
    /// An agent's run has a session.
    Session {
        /// The agent.
        agent: String,
        /// Which run of it.
        run: u32,
        /// The session's epoch.
        epoch: u64,
    },
    /// An agent's run hands numbered events to its SDK.
    Reported {
        /// The agent.
        agent: String,
        /// Which run of it.
        run: u32,
        /// The first number.
        first: u64,
        /// The last number.
        last: u64,
    },
    /// Everything that a run reported up to a number is in its spool: the next run sends what it could not.
    Kept {
        /// The agent.
        agent: String,
        /// Which run of it.
        run: u32,
        /// Up to which number.
        number: u64,
    },
    /// Everything that a run reported up to a number is acknowledged.
    Acknowledged {
        /// The agent.
        agent: String,
        /// Which run of it.
        run: u32,
        /// Up to which number.
        number: u64,
    },
    /// A call that publishes numbered events was answered.
    Published {
        /// Who published.
        publisher: String,
        /// The first number; the others follow.
        first: u64,
        /// The revision of each, as answered.
        revisions: Vec<u64>,
    },
    /// A call that issues a command was answered.
    Issued {
        /// The command's number, which its parameters carry.
        number: u64,
        /// Its id, as answered.
        command_id: String,
    },
    /// A program began to carry a command out.
    Began {
        /// At which agent.
        agent: String,
        /// In which run of it; 0 where the program cannot know.
        run: u32,
        /// The command's number.
        number: u64,
    },
    /// A program has carried a command out.
    Ended {
        /// At which agent.
        agent: String,
        /// In which run of it.
        run: u32,
        /// The command's number.
        number: u64,
    },
    /// The state service refused something that was sound.
    Refused {
        /// Whose.
        who: String,
        /// In what words.
        message: String,
    },
    /// The last event of the run was published: readers owe everything up to it.
    Curtain {
        /// Its revision.
        revision: u64,
    },
    /// An event of the log, read from the database after the run.
    Logged(Logged),
    /// The log was cut off, read from the database after the run.
    CutOff {
        /// The revision with which it began from then on.
        oldest: u64,
    },
    /// An execution's row, read from the database after the run.
    Execution {
        /// The command.
        command_id: String,
        /// The agent.
        agent: String,
        /// Its state, in capitals.
        state: String,
    },
    /// Somebody had not caught up when the time for it was over.
    Behind {
        /// Who.
        who: String,
        /// What is missing.
        what: String,
    },
}

/// An event of the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Logged {
    /// Its revision.
    pub revision: u64,
    /// The last revision of its change.
    pub change_end: u64,
    /// Its type.
    pub event_type: String,
    /// What it is about.
    pub subject: String,
    /// The agent that it concerns.
    pub agent: String,
    /// Its data.
    pub data: Value,
}

/// A record and when it was made, in milliseconds since 1970.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// When.
    pub at_ms: i64,
    /// What.
    #[serde(flatten)]
    pub record: Record,
}

impl Entry {
    /// The entry as one line of a history.
    #[must_use]
    pub fn line(&self) -> String {
        serde_json::to_string(self).expect("records have string keys")
    }
}

/// Appends records to a file, each in one write, so that several processes may share it and a kill leaves at
/// most one line torn.
#[derive(Debug, Clone)]
pub struct Recorder {
    file: Arc<Mutex<File>>,
}

impl Recorder {
    /// Appends to a file, which is made where there is none.
    ///
    /// # Errors
    ///
    /// When it cannot be opened.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Self { file: Arc::new(Mutex::new(file)) })
    }

    /// Appends a record.
    ///
    /// # Panics
    ///
    /// When it cannot be written: a history with a hole would accuse the innocent.
    pub fn put(&self, record: Record) {
        let at_ms = i64::try_from(signalbox_telemetry::now().unix_timestamp_nanos() / 1_000_000)
            .expect("milliseconds since 1970 fit for a long time");
        let line = Entry { at_ms, record }.line() + "\n";
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(line.as_bytes()).expect("the history can be written");
    }
}

/// Reads a file of records; a torn last line is the mark of a process that was killed, and is left out.
///
/// # Errors
///
/// When it cannot be read, or another line is no record.
pub fn read(path: &Path) -> io::Result<Vec<Entry>> {
    let text = std::fs::read_to_string(path)?;
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let mut entries = Vec::new();
    for (at, line) in whole.lines().enumerate() {
        match serde_json::from_str(line) {
            Ok(entry) => entries.push(entry),
            Err(error) => {
                let message = format!("line {} of {} is no record: {error}", at + 1, path.display());
                return Err(io::Error::new(io::ErrorKind::InvalidData, message));
            }
        }
    }
    Ok(entries)
}

/// How often each kind of fault happened.
#[must_use]
pub fn faults(entries: &[Entry]) -> BTreeMap<crate::Kind, usize> {
    let mut faults = BTreeMap::new();
    for entry in entries {
        if let Record::Fault { kind, .. } = entry.record {
            *faults.entry(kind).or_default() += 1;
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again_but_for_a_torn_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("history.jsonl");
        let recorder = Recorder::open(&path).unwrap();
        let began = Record::Began { agent: "worker-1".into(), run: 2, number: 7 };
        let logged = Record::Logged(Logged {
            revision: 1,
            change_end: 1,
            event_type: "log.line".into(),
            subject: "s".into(),
            agent: String::new(),
            data: serde_json::json!({"message": "m"}),
        });
        recorder.put(began.clone());
        recorder.put(logged.clone());
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"at_ms\":1,\"wh").unwrap();
        let records: Vec<_> = read(&path).unwrap().into_iter().map(|entry| entry.record).collect();
        assert_eq!(records, [began, logged]);
        std::fs::write(&path, "{}\n{}\n").unwrap();
        assert!(read(&path).unwrap_err().to_string().starts_with("line 1 of"));
    }
}
