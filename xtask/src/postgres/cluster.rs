//! A private cluster: made by `initdb`, started and stopped by `pg_ctl`, reachable on 127.0.0.1 with a
//! password only.
//!
//! Its programs run as another account where the caller is root. It must not know what the databases hold.

mod home;
mod settings;

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Output, Stdio},
};

use anyhow::{Context as _, Result, bail};

use super::{Purpose, Server, binaries::Binaries, owner::Owner};
use crate::{console::Step, layout::Layout, private_file};
pub(super) use home::{home, place};
pub(super) use settings::Durability;

/// The superuser of every private cluster.
const SUPERUSER: &str = "signalbox";
/// How long a server may take to start or stop, in seconds, as `pg_ctl` wants it.
const CONTROL_TIMEOUT_S: &str = "60";
/// How often a start is tried again when somebody else took the port in between.
const STARTS_MAX: usize = 3;
/// Lines of the server's log shown when it does not start.
const LOG_TAIL_LINES: usize = 15;
/// What `pg_ctl status` answers for a cluster that does not run.
const EXIT_NOT_RUNNING: i32 = 3;

/// A cluster in its place. Dropped while its server is to be stopped, it stops it at once.
pub(super) struct Cluster {
    home: PathBuf,
    binaries: Binaries,
    owner: Owner,
    durability: Durability,
    scratch: bool,
    must_stop: bool,
}

/// The major version that made the data of this purpose; none where there are no data.
///
/// # Errors
///
/// When the place cannot be found.
pub(super) fn major_of_data(layout: &Layout, purpose: Purpose) -> Result<Option<u32>> {
    let version = home(layout, purpose)?.join("data/PG_VERSION");
    Ok(std::fs::read_to_string(version).ok().and_then(|major| major.trim().parse().ok()))
}

/// Whether a server may run there, to be told from the file that it keeps while it does.
///
/// # Errors
///
/// When the place cannot be found.
pub(super) fn may_run(layout: &Layout, purpose: Purpose) -> Result<bool> {
    Ok(home(layout, purpose)?.join("data/postmaster.pid").exists())
}

/// Removes a cluster that does not run.
///
/// # Errors
///
/// When its place cannot be found or removed.
pub(super) fn remove_home(layout: &Layout, purpose: Purpose) -> Result<()> {
    remove(&home(layout, purpose)?)
}

impl Cluster {
    /// Takes the cluster of this purpose in hand, without starting it.
    ///
    /// # Errors
    ///
    /// When its place cannot be made.
    pub(super) fn open(
        layout: &Layout,
        purpose: Purpose,
        binaries: Binaries,
        durability: Durability,
    ) -> Result<Self> {
        let owner = Owner::find()?;
        let home = home(layout, purpose)?;
        owner.make_dir(&home)?;
        let scratch = purpose != Purpose::Keep;
        if scratch {
            home::remove_abandoned(&home, &binaries, &owner)?;
        }
        Ok(Self { home, binaries, owner, durability, scratch, must_stop: false })
    }

    /// Starts the server, making the cluster first where there is none. A server that runs already is
    /// taken as it is, and will not be stopped by this program.
    ///
    /// # Errors
    ///
    /// When the cluster cannot be made or its server does not start, with the end of its log.
    pub(super) async fn start(&mut self, step: &Step) -> Result<Server> {
        let lock = std::fs::File::create(self.home.join("lock")).context("make the cluster's lock file")?;
        lock.lock().context("wait for the cluster's lock")?;
        let password = private_file::secret(&self.home.join("password"), "")?;
        self.owner.write_private(&self.home.join("password"), &password)?;
        if !self.data().join("PG_VERSION").exists() {
            step.detail("making a cluster");
            self.init().await?;
        }
        let port = match self.running_port().await? {
            Some(port) => port,
            None => {
                step.detail("starting the server");
                self.start_server().await?
            }
        };
        Server::new(&format!("postgres://{SUPERUSER}:{password}@127.0.0.1:{port}/postgres"))
    }

    /// Where it lies.
    pub(super) fn home(&self) -> &Path {
        &self.home
    }

    /// Where its server's programs are.
    pub(super) fn programs(&self) -> &Path {
        self.binaries.dir()
    }

    /// Lets the server run on after this program.
    pub(super) fn keep(&mut self) {
        self.must_stop = false;
    }

    /// Stops the server where this program started it, and removes a scratch cluster.
    ///
    /// # Errors
    ///
    /// When it does not stop.
    pub(super) async fn finish(mut self) -> Result<()> {
        if self.must_stop {
            self.stop().await?;
        }
        if self.scratch {
            remove(self.scratch_dir())?;
        }
        Ok(())
    }

    /// Stops the server if it runs, whoever started it. Returns whether it ran.
    ///
    /// # Errors
    ///
    /// When it does not stop.
    pub(super) async fn stop_if_running(mut self) -> Result<bool> {
        let runs = self.running_port().await?.is_some();
        if runs {
            self.stop().await?;
        }
        Ok(runs)
    }

    async fn stop(&mut self) -> Result<()> {
        let mode = if self.scratch { "immediate" } else { "fast" };
        let output = self.control(&["stop", "-m", mode, "-w", "-t", CONTROL_TIMEOUT_S]).await?;
        if !output.status.success() {
            bail!("the PostgreSQL in {} does not stop: {}", self.home.display(), words(&output));
        }
        self.must_stop = false;
        Ok(())
    }

    async fn init(&self) -> Result<()> {
        let data = self.data();
        remove(&data)?;
        let mut command = self.owner.command(&self.binaries.program("initdb"));
        command.env("LC_ALL", "C").arg("-D").arg(&data);
        command.arg("--pwfile").arg(self.home.join("password"));
        command.args([
            "-U",
            SUPERUSER,
            "-A",
            "scram-sha-256",
            "-E",
            "UTF8",
            "--locale=C",
            "--no-instructions",
        ]);
        if self.durability == Durability::Fast {
            command.arg("--no-sync");
        }
        let output = command.output().await.context("run initdb")?;
        if !output.status.success() {
            bail!("initdb could not make a cluster in {}: {}", data.display(), words(&output));
        }
        let settings = data.join("postgresql.conf");
        let mut text = std::fs::read_to_string(&settings).context("read postgresql.conf")?;
        text.push_str("include 'signalbox.conf'\n");
        self.owner.write_private(&settings, &text)
    }

    async fn start_server(&mut self) -> Result<u16> {
        let log = self.home.join("server.log");
        for attempt in 1..=STARTS_MAX {
            let port = self.choose_port()?;
            self.owner.write_private(&self.conf(), &settings::render(port, self.durability))?;
            // The server is ours from here on, even if waiting for it fails.
            self.must_stop = true;
            let mut command = self.owner.command(&self.binaries.program("pg_ctl"));
            command.env("LC_ALL", "C").arg("-D").arg(self.data()).arg("-l").arg(&log);
            command.args(["-w", "-t", CONTROL_TIMEOUT_S, "start"]);
            // The server inherits these: a pipe would stay open for as long as it runs.
            command.stdout(Stdio::null()).stderr(Stdio::null());
            if command.status().await.context("run pg_ctl")?.success() {
                return Ok(port);
            }
            // It may have come up after the wait was over.
            home::stop_at_once(&self.home, &self.binaries, &self.owner);
            self.must_stop = false;
            if attempt < STARTS_MAX && TcpListener::bind(("127.0.0.1", port)).is_err() {
                continue;
            }
            break;
        }
        bail!("the PostgreSQL in {} does not start:\n{}", self.home.display(), tail(&log));
    }

    /// The port of the last start while it is free, so that a URL stays good; else any free one.
    fn choose_port(&self) -> Result<u16> {
        let last = std::fs::read_to_string(self.conf()).ok().and_then(|text| settings::port_of(&text));
        let free = |port: u16| TcpListener::bind(("127.0.0.1", port)).and_then(|socket| socket.local_addr());
        let address = match last.map(free) {
            Some(Ok(address)) => address,
            _ => free(0).context("find a free port on 127.0.0.1")?,
        };
        Ok(address.port())
    }

    async fn running_port(&self) -> Result<Option<u16>> {
        let output = self.control(&["status"]).await?;
        if !output.status.success() {
            return match output.status.code() {
                Some(EXIT_NOT_RUNNING) => Ok(None),
                _ if !self.data().exists() => Ok(None),
                _ => bail!(
                    "pg_ctl cannot tell whether a server runs in {}: {}",
                    self.home.display(),
                    words(&output)
                ),
            };
        }
        // Its fourth line is the port (PostgreSQL's documentation of `postmaster.pid`).
        let pid_file = self.data().join("postmaster.pid");
        let text = std::fs::read_to_string(&pid_file).context("read postmaster.pid")?;
        let port = text.lines().nth(3).and_then(|line| line.trim().parse().ok());
        Ok(Some(port.with_context(|| format!("{} names no port", pid_file.display()))?))
    }

    async fn control(&self, arguments: &[&str]) -> Result<Output> {
        let mut command = self.owner.command(&self.binaries.program("pg_ctl"));
        command.env("LC_ALL", "C").arg("-D").arg(self.data()).args(arguments);
        command.output().await.context("run pg_ctl")
    }

    /// The directory that [`home::place`] made for a scratch cluster.
    fn scratch_dir(&self) -> &Path {
        self.home.parent().unwrap_or(&self.home)
    }

    fn data(&self) -> PathBuf {
        self.home.join("data")
    }

    fn conf(&self) -> PathBuf {
        self.data().join("signalbox.conf")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.must_stop {
            home::stop_at_once(&self.home, &self.binaries, &self.owner);
            if self.scratch && remove(self.scratch_dir()).is_err() {
                crate::console::note(&format!("{} could not be removed", self.home.display()));
            }
        }
    }
}

fn remove(dir: &Path) -> Result<()> {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove {}", dir.display()))
        }
        _ => Ok(()),
    }
}

fn words(output: &Output) -> String {
    let text = [output.stderr.as_slice(), output.stdout.as_slice()].concat();
    String::from_utf8_lossy(&text).trim().to_owned()
}

fn tail(log: &Path) -> String {
    crate::log_tail::read(log, LOG_TAIL_LINES)
}
