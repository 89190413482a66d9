//! The program under test, and files for it.

use std::{
    fs::Permissions,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use clap::{CommandFactory as _, Parser};
use secrecy::SecretString;
use signalbox_settings::{Check, Loaded, Problem, Profile, Program, Report, production::Posture};

/// A program of every sort of setting. Its variables exist nowhere but in the process of one test.
#[derive(Debug, Parser)]
#[command(name = "tested")]
pub(crate) struct Tested {
    /// Where it listens.
    #[arg(long, env = "SETTINGS_TEST_LISTEN", default_value = "127.0.0.1:80")]
    pub(crate) listen: std::net::SocketAddr,
    /// How many there are.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=9))]
    pub(crate) shards: u32,
    /// Signs.
    #[arg(long = "jwt-secret", env = "SETTINGS_TEST_JWT_SECRET", hide_env_values = true)]
    pub(crate) secret: SecretString,
    /// A certificate.
    #[arg(long, requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// Its key.
    #[arg(long, requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Pages.
    #[arg(long = "origin", value_delimiter = ',')]
    pub(crate) origins: Vec<String>,
    /// In clear.
    #[arg(long)]
    pub(crate) allow_plaintext: bool,
    /// How strict.
    #[arg(long, value_enum, default_value_t = Profile::Development)]
    pub(crate) profile: Profile,
    /// Labels.
    #[arg(long = "label", value_name = "KEY=VALUE")]
    pub(crate) labels: Vec<String>,
    /// What to run.
    #[arg(last = true)]
    pub(crate) words: Vec<String>,
}

impl Check for Tested {
    fn problems(&self) -> Vec<Problem> {
        let is_there = |path: &&PathBuf| !path.exists();
        self.tls_cert.iter().filter(is_there).map(|_| Problem::new("tls-cert", "it is not there")).collect()
    }

    fn posture(&self) -> Option<Posture> {
        Some(Posture { signing_secret: Some(self.secret.clone()), ..Posture::of(self.profile) })
    }
}

/// A directory with a file of settings.
pub(crate) struct Place(tempfile::TempDir);

impl Place {
    pub(crate) fn with(settings: &str) -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        place.write("x.toml", settings, 0o600);
        place
    }

    pub(crate) fn write(&self, name: &str, text: &str, mode: u32) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        path
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// What the program makes of its file and these flags.
    pub(crate) fn load(&self, flags: &[&str]) -> Result<Loaded<Tested>, Report> {
        load(&self.path("x.toml"), flags)
    }

    /// Everything that is wrong.
    pub(crate) fn problems(&self, flags: &[&str]) -> Vec<String> {
        let report = self.load(flags).expect_err("something is wrong");
        report.problems().iter().map(ToString::to_string).collect()
    }

    /// What a check shows.
    pub(crate) fn shown(&self, flags: &[&str]) -> String {
        let report = self.load(&[&["--check-config"], flags].concat()).expect_err("a check starts nothing");
        report.shown().to_owned()
    }
}

pub(crate) fn program() -> Program {
    Program::new(Tested::command())
}

fn load(file: &Path, flags: &[&str]) -> Result<Loaded<Tested>, Report> {
    let line = ["tested", "--config", file.to_str().unwrap()];
    program().read_from(line.iter().chain(flags)).unwrap().finish()
}
