//! Who runs the server: PostgreSQL refuses to run as root, so root runs it as `postgres` or `nobody`.
//!
//! It must know nothing of clusters.

use std::{
    os::unix::fs::{PermissionsExt as _, chown},
    path::Path,
    process::Stdio,
};

use anyhow::{Context as _, Result, bail};
use nix::unistd::{Uid, User};
use tokio::process::Command;

/// Accounts that may run the server in root's place, best first.
const ACCOUNTS: [&str; 2] = ["postgres", "nobody"];

/// The account that runs the server and owns its data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Owner {
    /// Whoever runs this program.
    Caller,
    /// Another account, because the caller is root.
    Account {
        /// Its user.
        uid: u32,
        /// Its group.
        gid: u32,
    },
}

impl Owner {
    /// The account that fits whoever runs this program.
    ///
    /// # Errors
    ///
    /// When root calls on a machine without a suitable account.
    pub(super) fn find() -> Result<Self> {
        if !Uid::effective().is_root() {
            return Ok(Self::Caller);
        }
        for name in ACCOUNTS {
            if let Some(user) = User::from_name(name).with_context(|| format!("look up the user {name}"))? {
                return Ok(Self::Account { uid: user.uid.as_raw(), gid: user.gid.as_raw() });
            }
        }
        bail!("PostgreSQL does not run as root, and there is no user `postgres` or `nobody` to run it")
    }

    /// A program that will run as this account, without a terminal and without the caller's PostgreSQL
    /// settings.
    pub(super) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        // The caller's directory may be closed to the account.
        command.current_dir("/").stdin(Stdio::null());
        // Ctrl-C in a terminal must not end it in the middle: this program decides.
        command.process_group(0);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("PG") {
                command.env_remove(name);
            }
        }
        if let Self::Account { uid, gid } = self {
            command.uid(*uid).gid(*gid);
        }
        command
    }

    /// Makes a directory that only this account may enter.
    ///
    /// # Errors
    ///
    /// When it cannot be made or handed over.
    pub(super) fn make_dir(&self, dir: &Path) -> Result<()> {
        std::fs::create_dir_all(dir).with_context(|| format!("make {}", dir.display()))?;
        std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o700))
            .with_context(|| format!("close {} to others", dir.display()))?;
        self.hand_over(dir)
    }

    /// Writes a file that only this account may read.
    ///
    /// # Errors
    ///
    /// When it cannot be written or handed over.
    pub(super) fn write_private(&self, path: &Path, content: &str) -> Result<()> {
        crate::private_file::write(path, content)?;
        self.hand_over(path)
    }

    /// Whether the account can reach this directory, asked of the kernel by trying it.
    pub(super) fn reaches(&self, dir: &Path) -> bool {
        let Self::Account { uid, gid } = self else { return true };
        let mut probe = std::process::Command::new("true");
        {
            use std::os::unix::process::CommandExt as _;
            // The account is taken on before the directory is entered.
            probe.uid(*uid).gid(*gid).current_dir(dir);
        }
        probe.status().is_ok_and(|status| status.success())
    }

    fn hand_over(&self, path: &Path) -> Result<()> {
        let Self::Account { uid, gid } = self else { return Ok(()) };
        chown(path, Some(*uid), Some(*gid))
            .with_context(|| format!("hand {} over to the server's account", path.display()))
    }
}
