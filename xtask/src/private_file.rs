//! Files that only their owner may read, and that are never seen half-written.
//!
//! It must not know what they hold.

use std::{
    fs::{File, OpenOptions},
    io::{Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use anyhow::{Context as _, Result};

/// Bytes of a secret made here; twice as many characters when written in hexadecimal.
const SECRET_BYTES: usize = 32;

/// Replaces a file in one step by one that only its owner may read.
///
/// # Errors
///
/// When it cannot be written.
pub(crate) fn write(path: &Path, content: &str) -> Result<()> {
    let partial = path.with_extension(format!("partial-{}", std::process::id()));
    let write = || -> std::io::Result<()> {
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&partial)?;
        file.write_all(content.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&partial, path)
    };
    write().with_context(|| format!("write {}", path.display()))
}

/// Reads a secret, or makes a random one that begins like this and keeps it there.
///
/// # Errors
///
/// When the file cannot be read or written, or the machine gives no randomness.
pub(crate) fn secret(path: &Path, prefix: &str) -> Result<String> {
    match std::fs::read_to_string(path) {
        Ok(secret) if !secret.trim().is_empty() => return Ok(secret.trim().to_owned()),
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(|| format!("read {}", path.display())),
    }
    let secret = format!("{prefix}{}", random_secret()?);
    write(path, &secret)?;
    Ok(secret)
}

/// A random secret of 64 hexadecimal digits.
///
/// # Errors
///
/// When the machine gives no randomness.
pub(crate) fn random_secret() -> Result<String> {
    let mut bytes = [0_u8; SECRET_BYTES];
    File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut bytes))
        .context("read /dev/urandom")?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
