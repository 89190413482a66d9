//! A PostgreSQL for local life, from the first of four places that has one: `DATABASE_URL`, server
//! programs on the machine, a download, Docker Compose.
//!
//! It must not know what is kept in the databases, except that `migrations/` makes their tables.

mod binaries;
mod cluster;
mod compose;
mod database;
mod download;
mod owner;

use anyhow::{Context as _, Result, bail};

use crate::{console::Step, layout::Layout};
use binaries::Binaries;
use cluster::{Cluster, Durability};
use compose::Compose;
pub(crate) use database::{Server, migrate};
pub(crate) use download::run as download;

/// Oldest major version that has what the migrations use.
pub(crate) const MAJOR_MIN: u32 = 14;

/// What a server is wanted for, which decides where its data lie and how safe they must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Data that stay: `dev` and `db`.
    Keep,
    /// Data that nobody misses, in a place of their own under this name.
    Scratch(&'static str),
    /// Data that nobody misses, written as safely as data that stay, so that their cost can be measured.
    Measured(&'static str),
}

/// A running server, and the duty to stop it where this program started it.
pub(crate) struct Postgres {
    server: Server,
    origin: Origin,
}

enum Origin {
    /// Given as `DATABASE_URL`: not ours to stop, and its database is the one to use.
    Given,
    /// A private cluster, which knows whether this program started it.
    Cluster(Cluster),
    /// A container of `docker-compose.yml`; `true` where this program started it.
    Compose(Compose, bool),
}

impl Postgres {
    /// Finds or makes a server, and waits until it answers.
    ///
    /// # Errors
    ///
    /// When none of the four places has one, saying what each would need; when a server is too old or
    /// does not start, with the end of its log.
    pub(crate) async fn start(layout: &Layout, purpose: Purpose) -> Result<Self> {
        let step = Step::start("PostgreSQL");
        let (postgres, from) = Self::start_from_first(layout, purpose, &step).await?;
        let version = postgres.server.check_version().await?;
        step.done(&format!("{version}, {from}"));
        Ok(postgres)
    }

    async fn start_from_first(layout: &Layout, purpose: Purpose, step: &Step) -> Result<(Self, String)> {
        if let Some(server) = Server::from_environment()? {
            let from = format!("{}, from DATABASE_URL", server.address());
            return Ok((Self { server, origin: Origin::Given }, from));
        }
        let mut missing =
            vec!["DATABASE_URL: not set; a superuser's URL of a running server would do".to_owned()];
        let major = cluster::major_of_data(layout, purpose)?;
        let binaries = match binaries::find(major).await {
            Ok(found) => Some(found),
            Err(reason) => {
                missing.push(format!("server programs on this machine: {reason}"));
                step.detail("no server programs here, trying to download some");
                match download::fetch(layout, major).await {
                    Ok(found) => Some(found),
                    Err(error) => {
                        missing.push(format!("a download by postgresql_embedded: {error:#}"));
                        None
                    }
                }
            }
        };
        if let Some(binaries) = binaries {
            return Self::start_cluster(layout, purpose, binaries, step).await;
        }
        match Compose::start(layout).await {
            Ok((compose, server, started)) => {
                let from = format!("{}, in a container", server.address());
                Ok((Self { server, origin: Origin::Compose(compose, started) }, from))
            }
            Err(error) => {
                missing.push(format!("Docker Compose: {error:#}"));
                bail!(
                    "there is no PostgreSQL (version {MAJOR_MIN} or newer) to work with. Any one of these \
                     would do:\n  1. {}\n  2. {}\n  3. {}\n  4. {}",
                    missing[0],
                    missing[1],
                    missing[2],
                    missing[3]
                );
            }
        }
    }

    async fn start_cluster(
        layout: &Layout,
        purpose: Purpose,
        binaries: Binaries,
        step: &Step,
    ) -> Result<(Self, String)> {
        let durability = match purpose {
            Purpose::Keep | Purpose::Measured(_) => Durability::Safe,
            Purpose::Scratch(_) => Durability::Fast,
        };
        let shown = binaries.dir().display().to_string();
        let mut cluster = Cluster::open(layout, purpose, binaries, durability)?;
        let server = cluster.start(step).await?;
        let home = cluster.home().display();
        let from = format!("{}, a private cluster in {home} run by {shown}", server.address());
        Ok((Self { server, origin: Origin::Cluster(cluster) }, from))
    }

    /// The server, on which databases can be made and dropped.
    pub(crate) fn server(&self) -> &Server {
        &self.server
    }

    /// What tests are told of it by their environment: where the server is, and where its programs are, for
    /// those that want one of their own to kill.
    pub(crate) fn variables(&self) -> Vec<(&'static str, std::ffi::OsString)> {
        let mut variables = vec![("SIGNALBOX_TEST_DATABASE_URL", self.server.url().into())];
        if let Origin::Cluster(cluster) = &self.origin {
            variables.push(("SIGNALBOX_POSTGRES_BIN_DIR", cluster.programs().into()));
        }
        variables
    }

    /// Whether the server was given, so that nothing on it may be thrown away.
    pub(crate) fn is_given(&self) -> bool {
        matches!(self.origin, Origin::Given)
    }

    /// The URL of the database that holds the data of `dev`: the given one, or `signalbox`, made if absent.
    ///
    /// # Errors
    ///
    /// When the database cannot be made.
    pub(crate) async fn kept_database(&self) -> Result<String> {
        if self.is_given() {
            return Ok(self.server.url().to_owned());
        }
        self.server.create_database_if_absent(KEPT_DATABASE).await
    }

    /// Throws the data of `dev` away and makes an empty database again.
    ///
    /// # Errors
    ///
    /// When the server was given: its data are not ours to drop.
    pub(crate) async fn reset_kept_database(&self) -> Result<String> {
        if self.is_given() {
            bail!(GIVEN_IS_YOURS);
        }
        self.server.drop_database(KEPT_DATABASE).await?;
        self.server.create_database_if_absent(KEPT_DATABASE).await
    }

    /// Lets the server run on after this program has ended.
    pub(crate) fn leave_running(mut self) {
        match &mut self.origin {
            Origin::Given => {}
            Origin::Cluster(cluster) => cluster.keep(),
            Origin::Compose(_, started) => *started = false,
        }
    }

    /// Stops the server if this program started it, and removes it where nobody misses its data.
    ///
    /// # Errors
    ///
    /// When it does not stop.
    pub(crate) async fn stop(self) -> Result<()> {
        match self.origin {
            Origin::Given => Ok(()),
            Origin::Cluster(cluster) => cluster.finish().await,
            Origin::Compose(compose, true) => compose.stop().await,
            Origin::Compose(_, false) => Ok(()),
        }
    }
}

/// Why nothing on a given server is thrown away.
const GIVEN_IS_YOURS: &str = "the database of DATABASE_URL is yours: empty it yourself, or unset \
    DATABASE_URL to work with a private cluster";
/// Name of the database in which `dev` keeps its data.
const KEPT_DATABASE: &str = "signalbox";

/// Stops the private cluster of `dev` if it runs. Returns whether it did.
///
/// # Errors
///
/// When it does not stop.
pub(crate) async fn stop_kept(layout: &Layout) -> Result<bool> {
    if !cluster::may_run(layout, Purpose::Keep)? {
        return Ok(false);
    }
    let binaries = match binaries::find(cluster::major_of_data(layout, Purpose::Keep)?).await {
        Ok(found) => found,
        Err(reason) => download::installed(layout)
            .await
            .with_context(|| format!("no server programs that could stop it: {reason}"))?,
    };
    Cluster::open(layout, Purpose::Keep, binaries, Durability::Safe)?.stop_if_running().await
}

/// Stops the private cluster of `dev` and removes it with all its data.
///
/// # Errors
///
/// When it does not stop or cannot be removed, and with `DATABASE_URL`: that server's data are not ours.
pub(crate) async fn remove_kept(layout: &Layout) -> Result<()> {
    if Server::from_environment()?.is_some() {
        bail!(GIVEN_IS_YOURS);
    }
    stop_kept(layout).await?;
    cluster::remove_home(layout, Purpose::Keep)
}
