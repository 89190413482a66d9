//! The house's Postgres: a private cluster whose server is a process like the others, to be killed like them.
//!
//! Nothing is synced to disk, which a crash of a process does not need and only a crash of the machine would.

use std::{
    net::SocketAddr,
    os::unix::fs::{PermissionsExt as _, chown},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use nix::unistd::{Uid, User};
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, postgres::PgConnectOptions};
use tempfile::TempDir;
use tokio::{process::Command, time::Instant};
use uuid::Uuid;

use super::process::{Death, Process, Recipe};
use crate::record::Recorder;

/// Accounts that may run the server where the caller is root, best first.
const ACCOUNTS: [&str; 2] = ["postgres", "nobody"];
/// How long the server may take to answer for the first time.
const READY_MAX: Duration = Duration::from_secs(60);
/// The superuser, and the database that is used.
const NAME: &str = "postgres";

/// Where a database comes from.
#[derive(Debug, Clone)]
pub enum Source {
    /// Server programs in this directory, for a cluster of the run's own, which can be killed.
    Programs(PathBuf),
    /// A running server, given by a superuser's URL; the run makes a database on it, and never kills it.
    Server(SecretString),
}

/// The house's database.
pub(crate) struct Postgres {
    /// The server, where it is the house's own.
    pub(crate) process: Option<Process>,
    /// Where the server is.
    pub(crate) address: SocketAddr,
    url: String,
    _dir: Option<TempDir>,
}

impl Postgres {
    /// Makes a database that answers.
    pub(crate) async fn start(source: &Source, port: u16, log: PathBuf, recorder: Recorder) -> Result<Self> {
        match source {
            Source::Programs(bin) => Self::own(bin, port, log, recorder).await,
            Source::Server(url) => Self::on(url.expose_secret()).await,
        }
    }

    /// The database, as reached through another address.
    pub(crate) fn url(&self, address: SocketAddr) -> String {
        self.url.replacen(&self.address.to_string(), &address.to_string(), 1)
    }

    /// The database, as reached without any link in between.
    pub(crate) fn direct_url(&self) -> &str {
        &self.url
    }

    async fn on(server: &str) -> Result<Self> {
        let options: PgConnectOptions = server.parse().context("the server's URL is malformed")?;
        let host = format!("{}:{}", options.get_host(), options.get_port());
        let address = tokio::net::lookup_host(&host).await.context("look the server up")?.next();
        let address = address.context("the server's host has no address")?;
        let name = format!("chaos_{}", Uuid::new_v4().simple());
        let mut connection = PgConnection::connect_with(&options).await.context("connect to the server")?;
        let make = AssertSqlSafe(format!("CREATE DATABASE {name}"));
        sqlx::raw_sql(make).execute(&mut connection).await.context("make a database")?;
        connection.close().await.context("close a connection to Postgres")?;
        let (base, query) = server.split_once('?').unwrap_or((server, ""));
        let (base, _) = base.rsplit_once('/').context("the server's URL names no database")?;
        let query = if query.is_empty() { String::new() } else { format!("?{query}") };
        let url = format!("{base}/{name}{query}").replacen(&host, &address.to_string(), 1);
        Ok(Self { process: None, address, url, _dir: None })
    }

    async fn own(bin: &Path, port: u16, log: PathBuf, recorder: Recorder) -> Result<Self> {
        let account = account()?;
        // Not under the build directory, which the server's account may not reach.
        let dir =
            tempfile::Builder::new().prefix("signalbox-chaos-").tempdir().context("make a directory")?;
        let password = Uuid::new_v4().simple().to_string();
        let password_file = dir.path().join("password");
        std::fs::write(&password_file, &password).context("write the superuser's password")?;
        for path in [dir.path(), &password_file] {
            let mode = if path.is_dir() { 0o700 } else { 0o600 };
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
            if let Some((uid, gid)) = account {
                chown(path, Some(uid), Some(gid)).context("hand the cluster over to the server's account")?;
            }
        }
        let data = dir.path().join("data");
        let mut initdb = command(&bin.join("initdb"), account);
        initdb.arg("-D").arg(&data).arg("--pwfile").arg(&password_file);
        initdb.args(["-U", NAME, "-A", "scram-sha-256", "-E", "UTF8", "--locale=C", "--no-sync"]);
        let output = initdb.output().await.context("run initdb")?;
        if !output.status.success() {
            bail!("initdb failed: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        let program = bin.join("postgres");
        let recipe = Recipe {
            name: "postgres".into(),
            command: Box::new(move |_| {
                let mut server = command(&program, account);
                server.arg("-D").arg(&data).arg("-p").arg(port.to_string());
                for setting in [
                    "listen_addresses=127.0.0.1",
                    "unix_socket_directories=",
                    "max_connections=200",
                    "fsync=off",
                    "timezone=UTC",
                ] {
                    server.args(["-c", setting]);
                }
                server
            }),
            log,
            // Killed, it leaves processes behind for a moment, during which it cannot start.
            death: Death::Nothing,
        };
        let process = Process::start(recipe, recorder).context("run postgres")?;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let url = format!("postgres://{NAME}:{password}@{address}/{NAME}");
        ready(&url).await?;
        Ok(Self { process: Some(process), address, url, _dir: Some(dir) })
    }
}

async fn ready(url: &str) -> Result<()> {
    let begun = Instant::now();
    loop {
        match PgConnection::connect(url).await {
            Ok(connection) => return connection.close().await.context("close a connection to Postgres"),
            Err(error) if begun.elapsed() > READY_MAX => return Err(error).context("wait for Postgres"),
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// Who runs the server in root's place.
fn account() -> Result<Option<(u32, u32)>> {
    if !Uid::effective().is_root() {
        return Ok(None);
    }
    for name in ACCOUNTS {
        if let Some(user) = User::from_name(name).with_context(|| format!("look up the user {name}"))? {
            return Ok(Some((user.uid.as_raw(), user.gid.as_raw())));
        }
    }
    bail!("PostgreSQL does not run as root, and there is no user `postgres` or `nobody` to run it")
}

fn command(program: &Path, account: Option<(u32, u32)>) -> Command {
    let mut command = Command::new(program);
    // The caller's directory may be closed to the account.
    command.current_dir("/").env("LC_ALL", "C");
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("PG") {
            command.env_remove(name);
        }
    }
    if let Some((uid, gid)) = account {
        command.uid(uid).gid(gid);
    }
    command
}
