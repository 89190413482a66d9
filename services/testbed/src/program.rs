//! A supervised program: `signalbox-agent` as a process, with a real child.

use std::path::PathBuf;

use signalbox_identity::Role;
use tokio::process::{Child, Command};

use crate::{State, TENANT, soon, token};

/// Where the built programs are; `cargo xtask test` builds them and sets it.
const DIR_VARIABLE: &str = "SIGNALBOX_BIN_DIR";

/// Where a built program is.
///
/// # Panics
///
/// When nobody says where the programs are.
#[must_use]
pub fn program_path(name: &str) -> PathBuf {
    let dir = std::env::var_os(DIR_VARIABLE)
        .unwrap_or_else(|| panic!("{DIR_VARIABLE} is not set: run the tests with `cargo xtask test`"));
    PathBuf::from(dir).join(name)
}

/// An agent's process, which is killed when dropped.
pub struct Program(Child);

impl Program {
    /// Runs an agent that supervises `sh -c script`.
    ///
    /// # Panics
    ///
    /// When the agent's program was not built.
    #[must_use]
    pub fn supervise(state: &State, agent_id: &str, script: &str) -> Self {
        let child = Command::new(program_path("signalbox-agent"))
            .args(["run", "--id", agent_id, "--metrics-interval", "1s", "--", "sh", "-c", script])
            .env("SIGNALBOX_GRPC_URL", state.url())
            .env("SIGNALBOX_TOKEN", token(TENANT, Role::Agent))
            .kill_on_drop(true)
            .spawn()
            .expect("the agent's program is built");
        Self(child)
    }

    /// Kills the agent itself, as `kill -9` would.
    ///
    /// # Panics
    ///
    /// When it cannot be killed.
    pub async fn kill(mut self) {
        soon("end of the agent", self.0.kill()).await.expect("the agent can be killed");
    }
}
