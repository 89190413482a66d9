//! A directory as an administrator prepares it, and the programs run with what is in it.

use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf};

use signalbox_testbed::{program_path, soon};
use tempfile::TempDir;
use tokio::process::Command;

use crate::tls::authority::Authority;

/// Random, as `openssl rand -hex 32` writes it.
pub(super) const GOOD: &str = "8f1b8d0c52c1a0c6f0e67a3d94b25e7719c4fa63d8027b5ee1a96cf034d7b258";
/// Where the files of the documentation are.
const DOCUMENTED: &str = "/etc/signalbox";

pub(super) struct Place {
    dir: TempDir,
    authority: Authority,
}

/// What a program said.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) code: i32,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

impl Ended {
    /// Value and source of a setting, as a check shows them.
    pub(super) fn setting(&self, name: &str) -> String {
        let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let found =
            self.stdout.lines().map(words).find(|words| words.first().is_some_and(|first| first == name));
        found.unwrap_or_else(|| panic!("{name} is not shown: {self:?}"))[1..].join(" ")
    }
}

impl Place {
    pub(super) fn new() -> Self {
        Self { dir: tempfile::tempdir().expect("there is room"), authority: Authority::new() }
    }

    pub(super) fn file(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().expect("its name is text").into()
    }

    pub(super) fn write(&self, name: &str, text: &str, mode: u32) {
        fs::write(self.file(name), text).expect("there is room");
        fs::set_permissions(self.file(name), fs::Permissions::from_mode(mode)).expect("it is ours");
    }

    /// Makes everything that the example of docs/operations.md has, in this directory. Says which files of settings
    /// there are.
    pub(super) fn documented(&self) -> Vec<String> {
        for (name, text) in [
            ("jwt-secret", format!("{GOOD}\n")),
            ("database-url", format!("postgres://signalbox:{GOOD}@db.internal/signalbox\n")),
            ("enrolment", format!("sbe_k7m2x9pqr4tw_{GOOD}\n")),
        ] {
            self.write(name, &text, 0o600);
        }
        fs::copy(self.authority.path(), self.file("ca.crt")).expect("it was made");
        let certificate = self.authority.server().tls_cert.expect("servers have one");
        for server in ["state", "edge"] {
            fs::copy(&certificate, self.file(&format!("{server}.crt"))).expect("it was made");
            self.copy_key_to(&self.file(&format!("{server}.key")));
        }
        let text = include_str!("../../../../../docs/operations.md");
        let blocks = text.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next());
        let mut names = Vec::new();
        for block in blocks {
            let title = block.lines().next().and_then(|line| line.strip_prefix(&format!("# {DOCUMENTED}/")));
            let Some(name) = title else { continue };
            self.write(
                name,
                &block.replace(DOCUMENTED, self.dir.path().to_str().expect("it is text")),
                0o600,
            );
            names.push(name.to_owned());
        }
        names
    }

    /// Puts the private key of this place's servers somewhere.
    pub(super) fn copy_key_to(&self, path: &str) {
        fs::copy(self.authority.server().tls_key.expect("servers have one"), path).expect("it was made");
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("it is ours");
    }

    /// Runs a program to its end, with nothing in its environment but this.
    pub(super) async fn run(&self, call: &[&str], flags: &[&str], variables: &[(&str, &str)]) -> Ended {
        let mut command = Command::new(program_path(call[0]));
        command.args(&call[1..]).args(flags).env_clear().envs(variables.iter().copied()).kill_on_drop(true);
        let output = soon("end of the program", command.output()).await.expect("the programs are built");
        Ended {
            code: output.status.code().expect("it ends by itself"),
            stdout: String::from_utf8(output.stdout).expect("it writes text"),
            stderr: String::from_utf8(output.stderr).expect("it writes text"),
        }
    }
}

/// The lines of a file of docs/config that set a default, as if nothing were in front of them.
pub(super) fn documented_defaults(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("../../docs/config/{name}.toml"));
    let text = fs::read_to_string(&path).expect("`cargo xtask docs` writes it");
    let entries = text.split("\n\n").skip(1);
    let with_default =
        entries.filter(|entry| !entry.contains("Not set by default.") && !entry.contains(" Needed"));
    with_default
        .filter_map(|entry| entry.trim_end().lines().last()?.strip_prefix('#'))
        .fold(String::new(), |all, line| all + line + "\n")
}
