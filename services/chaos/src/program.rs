//! A program to be supervised: it takes its configuration, writes down which, and runs until it is stopped.
//!
//! It takes the configuration away, so that what it writes down it has been configured with once, however
//! often it is started.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::Deserialize;
use tokio::signal::unix::{SignalKind, signal};

use crate::record::{Record, Recorder};

/// What the program is told.
#[derive(Debug, Clone, clap::Args)]
pub struct ProgramArgs {
    /// Agent that supervises it.
    #[arg(long)]
    agent: String,
    /// File to which it appends what it carries out.
    #[arg(long)]
    journal: PathBuf,
    /// Where its configuration appears.
    #[arg(long)]
    config: PathBuf,
}

#[derive(Deserialize)]
struct Config {
    number: u64,
}

/// Takes the configuration and waits for SIGTERM.
///
/// # Errors
///
/// When the journal cannot be opened or the configuration is no such thing.
pub async fn run(args: ProgramArgs) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    let recorder = Recorder::open(&args.journal).context("open the journal")?;
    let number = take(&args.config)?;
    if let Some(number) = number {
        recorder.put(Record::Began { agent: args.agent.clone(), run: 0, number });
    }
    terminate.recv().await;
    if let Some(number) = number {
        recorder.put(Record::Ended { agent: args.agent, run: 0, number });
    }
    Ok(())
}

/// The number of the configuration, which nobody finds again; none where there is no configuration.
fn take(path: &Path) -> Result<Option<u64>> {
    let taken = path.with_added_extension(std::process::id().to_string());
    match std::fs::rename(path, &taken) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        renamed => renamed.context("take the configuration")?,
    }
    let text = std::fs::read(&taken).context("read the configuration")?;
    std::fs::remove_file(&taken).context("remove the configuration")?;
    let config: Config = serde_json::from_slice(&text).context("the configuration has no number")?;
    Ok(Some(config.number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_is_taken_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.json");
        assert_eq!(take(&path).unwrap(), None);
        std::fs::write(&path, r#"{"number": 7}"#).unwrap();
        assert_eq!((take(&path).unwrap(), take(&path).unwrap()), (Some(7), None));
        std::fs::write(&path, "{}").unwrap();
        assert!(take(&path).is_err());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
