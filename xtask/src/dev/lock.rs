//! One `dev` at a time: a lock that the kernel gives back when its holder ends, however it ends.
//!
//! It must not know what the holder does.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{Read as _, Seek as _, Write as _},
    path::Path,
};

use anyhow::{Context as _, Result, bail};

/// The lock of a directory, held until it is dropped.
#[derive(Debug)]
pub(super) struct Lock(#[expect(dead_code, reason = "held for the sake of its lock")] File);

impl Lock {
    /// Takes the lock of a directory.
    ///
    /// # Errors
    ///
    /// When another process has it, naming that process.
    pub(super) fn take(dir: &Path) -> Result<Self> {
        let path = dir.join("lock");
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .with_context(|| format!("open {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                file.read_to_string(&mut holder).context("read who has the lock")?;
                bail!(
                    "process {} already runs on {}; end it with Ctrl-C there, or `kill {0}`",
                    holder.trim(),
                    dir.display()
                );
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("lock {}", path.display()));
            }
        }
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| write!(file, "{}", std::process::id()))
            .with_context(|| format!("write {}", path.display()))?;
        Ok(Self(file))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holder_is_told_who_the_first_is() {
        let dir = std::env::temp_dir().join(format!("xtask-lock-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("make a directory");
        let first = Lock::take(&dir).expect("nobody has it");
        let error = Lock::take(&dir).expect_err("somebody has it").to_string();
        assert!(error.contains(&format!("process {} already runs", std::process::id())), "{error}");
        drop(first);
        Lock::take(&dir).expect("it was given back");
        std::fs::remove_dir_all(&dir).expect("remove the directory");
    }
}
