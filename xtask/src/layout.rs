//! Where things lie: the workspace, its build directory, and what local life keeps under it.
//!
//! It must not know what is in these places.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// The places of this workspace.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    root: PathBuf,
    target: PathBuf,
}

impl Layout {
    /// The workspace in which this program was built, with cargo's build directory.
    ///
    /// # Errors
    ///
    /// When the workspace has been moved or removed since.
    pub(crate) fn find() -> Result<Self> {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = manifest
            .parent()
            .and_then(|root| root.canonicalize().ok())
            .with_context(|| format!("the workspace above {} is gone", manifest.display()))?;
        let target = match std::env::var_os("CARGO_TARGET_DIR") {
            // Cargo reads a relative path from where it was called, which is where we were called too.
            Some(dir) => std::path::absolute(dir).context("CARGO_TARGET_DIR is no path")?,
            None => root.join("target"),
        };
        Ok(Self { root, target })
    }

    /// The directory of the workspace's `Cargo.toml`.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Cargo's build directory.
    pub(crate) fn target(&self) -> &Path {
        &self.target
    }

    /// Where cargo puts the programs it builds.
    pub(crate) fn bin_dir(&self, release: bool) -> PathBuf {
        self.target.join(if release { "release" } else { "debug" })
    }

    /// What `dev` keeps from one run to the next.
    pub(crate) fn dev(&self) -> PathBuf {
        self.target.join("dev")
    }

    /// The forward-only migrations of the database.
    pub(crate) fn migrations(&self) -> PathBuf {
        self.root.join("migrations")
    }

    /// What the SQL macros read when they build without a database.
    pub(crate) fn sqlx_metadata(&self) -> PathBuf {
        self.root.join(".sqlx")
    }
}
