//! The tests of the dashboard's pure parts, which run without a browser.
//!
//! They need Node.js, which nothing else here does: where it is missing, they are left out, and that is said.

use anyhow::Result;
use tokio::process::Command;

use crate::{console::note, foreground, layout::Layout};

/// The first version of Node.js whose test runner finds the tests by itself and reads modules as they are.
const NODE_MAJOR_MIN: u32 = 20;

/// Runs the tests where there is a Node.js that can.
///
/// # Errors
///
/// When a test fails.
pub(crate) async fn test(layout: &Layout) -> Result<()> {
    let asked = Command::new("node").arg("--version").output().await;
    let version = asked.ok().filter(|output| output.status.success()).map(|output| output.stdout);
    let Some(version) = version.as_deref().and_then(major) else {
        note("node is missing, so the tests of services/dashboard are left out");
        return Ok(());
    };
    if version < NODE_MAJOR_MIN {
        note(&format!(
            "node {version} is older than {NODE_MAJOR_MIN}, so the tests of services/dashboard are left out"
        ));
        return Ok(());
    }
    let mut command = Command::new("node");
    command.args(["--test", "--test-reporter=dot"]).current_dir(layout.root().join("services/dashboard"));
    foreground::run(command).await
}

/// The first number of what `node --version` says.
fn major(version: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(version).ok()?;
    text.trim().strip_prefix('v')?.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_as_node_says_it() {
        assert_eq!(major(b"v20.20.2\n"), Some(20));
        assert_eq!(major(b"v9.1.0"), Some(9));
        assert_eq!(major(b"node"), None);
        assert_eq!(major(b"\xff"), None);
    }
}
