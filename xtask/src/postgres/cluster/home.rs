//! The place of a private cluster, and the clearing of places whose program was killed.
//!
//! It must not start a server.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context as _, Result, bail};
use nix::{errno::Errno, sys::signal::kill, unistd::Pid};

use super::{Owner, Purpose, remove};
use crate::{layout::Layout, postgres::binaries::Binaries};

/// The directory of this purpose: under cargo's build directory, or, where the server's account cannot
/// reach that, under the system's directory for temporary files.
///
/// # Errors
///
/// When it cannot be made, or somebody else has laid something in its place.
pub(in crate::postgres) fn home(layout: &Layout, purpose: Purpose) -> Result<PathBuf> {
    let parent = match purpose {
        Purpose::Keep => "dev".to_owned(),
        Purpose::Scratch(name) | Purpose::Measured(name) => format!("scratch/{name}-{}", std::process::id()),
    };
    Ok(place(layout, &Owner::find()?, &parent)?.join("postgres"))
}

/// A directory of this name that the server's account can reach.
///
/// # Errors
///
/// As [`home`].
pub(in crate::postgres) fn place(layout: &Layout, owner: &Owner, name: &str) -> Result<PathBuf> {
    let near = layout.target().join(name);
    std::fs::create_dir_all(&near).with_context(|| format!("make {}", near.display()))?;
    if owner.reaches(&near) {
        return Ok(near);
    }
    let far = std::env::temp_dir().join(far_name(layout.target()));
    if far.is_symlink() {
        bail!("{} is a symbolic link; remove it", far.display());
    }
    let far = far.join(name);
    std::fs::create_dir_all(&far).with_context(|| format!("make {}", far.display()))?;
    if owner.reaches(&far) {
        return Ok(far);
    }
    bail!("the account that runs PostgreSQL can reach neither {} nor {}", near.display(), far.display())
}

fn far_name(target: &Path) -> String {
    let path = target.to_string_lossy();
    format!("signalbox{}", path.replace(['/', '\\'], "-"))
}

/// Stops and removes scratch clusters whose program is gone, such as one that was killed.
///
/// # Errors
///
/// When one cannot be removed.
pub(super) fn remove_abandoned(home: &Path, binaries: &Binaries, owner: &Owner) -> Result<()> {
    let Some(scratch) = home.parent().and_then(Path::parent) else { return Ok(()) };
    for entry in std::fs::read_dir(scratch).with_context(|| format!("read {}", scratch.display()))? {
        let dir = entry?.path();
        let pid = dir.file_name().and_then(|name| pid_of(&name.to_string_lossy()));
        if pid.is_some_and(|pid| kill(Pid::from_raw(pid), None) == Err(Errno::ESRCH)) {
            stop_at_once(&dir.join("postgres"), binaries, owner);
            remove(&dir)?;
        }
    }
    Ok(())
}

/// Stops a server without waiting for its clients. Says nothing when there is none.
pub(super) fn stop_at_once(home: &Path, binaries: &Binaries, owner: &Owner) {
    let mut command = owner.command(&binaries.program("pg_ctl")).into_std();
    command.arg("-D").arg(home.join("data")).args(["stop", "-m", "immediate", "-w"]);
    // Whether there was one to stop is of no interest here.
    let _ = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
}

fn pid_of(name: &str) -> Option<i32> {
    name.rsplit_once('-')?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scratch_place_names_the_program_that_owns_it() {
        assert_eq!(pid_of("test-4711"), Some(4711));
        assert_eq!(pid_of("dev-check-12"), Some(12));
        assert_eq!(pid_of("other"), None);
    }

    #[test]
    fn each_build_directory_has_its_own_place_among_the_temporary_files() {
        assert_eq!(far_name(Path::new("/root/a/target")), "signalbox-root-a-target");
        assert_ne!(far_name(Path::new("/root/a/target")), far_name(Path::new("/root/b/target")));
    }
}
