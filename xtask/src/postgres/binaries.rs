//! Finds the programs of a PostgreSQL server on this machine.
//!
//! It must not start any of them, except to ask for its version.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use tokio::process::Command;

use super::MAJOR_MIN;

/// What a directory must hold to make and run a cluster.
const PROGRAMS: [&str; 3] = ["postgres", "initdb", "pg_ctl"];
/// Where Debian and its kin keep one directory per major version.
const VERSIONED_ROOT: &str = "/usr/lib/postgresql";
/// Where Homebrew keeps its formulas, on Apple silicon, Intel and Linux.
const HOMEBREW_ROOTS: [&str; 3] = ["/opt/homebrew/opt", "/usr/local/opt", "/home/linuxbrew/.linuxbrew/opt"];

/// A directory with the programs of one server version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Binaries {
    dir: PathBuf,
    major: u32,
}

impl Binaries {
    /// Looks at a directory.
    ///
    /// # Errors
    ///
    /// A sentence that says why this directory will not do.
    pub(super) async fn in_dir(dir: &Path) -> Result<Self, String> {
        if let Some(absent) = PROGRAMS.iter().find(|program| !dir.join(program).is_file()) {
            return Err(format!("{} has no {absent}", dir.display()));
        }
        let output = Command::new(dir.join("postgres"))
            .arg("--version")
            .output()
            .await
            .map_err(|error| format!("{}/postgres does not run: {error}", dir.display()))?;
        let said = String::from_utf8_lossy(&output.stdout);
        let major = major_of(&said)
            .ok_or_else(|| format!("{}/postgres says no version: {:?}", dir.display(), said.trim()))?;
        if major < MAJOR_MIN {
            return Err(format!("{} has version {major}, older than {MAJOR_MIN}", dir.display()));
        }
        Ok(Self { dir: dir.to_owned(), major })
    }

    /// Where they are.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The path of one of them.
    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
}

/// The first directory that will do: of the given major version where one is needed, since a cluster can
/// be read by the version that made it only.
///
/// # Errors
///
/// A sentence that says where was looked and why nothing would do.
pub(super) async fn find(major: Option<u32>) -> Result<Binaries, String> {
    let mut refused = Vec::new();
    for dir in candidates().await {
        match Binaries::in_dir(&dir).await {
            Ok(found) if major.is_none_or(|major| major == found.major) => return Ok(found),
            Ok(found) => refused.push(format!(
                "{} has version {}, but the data are of version {}",
                dir.display(),
                found.major,
                major.unwrap_or_default()
            )),
            Err(reason) => refused.push(reason),
        }
    }
    let looked = "none in PATH, pg_config --bindir, /usr/lib/postgresql/*/bin or Homebrew; install them \
                  (Debian: apt-get install postgresql, macOS: brew install postgresql)";
    Err(if refused.is_empty() { looked.to_owned() } else { format!("{} ({looked})", refused.join("; ")) })
}

async fn candidates() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let from_path = std::env::split_paths(&path)
        .filter_map(|dir| dir.join("postgres").canonicalize().ok())
        .filter_map(|program| program.parent().map(Path::to_owned));
    let from_pg_config = match Command::new("pg_config").arg("--bindir").output().await {
        Ok(output) => String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        Err(_) => String::new(),
    };
    let versioned = newest_first(subdirs(Path::new(VERSIONED_ROOT)));
    let homebrew = HOMEBREW_ROOTS.iter().flat_map(|root| {
        newest_first(subdirs(Path::new(root)).into_iter().filter(|dir| is_postgres_formula(dir)).collect())
    });
    in_order(
        from_path.collect(),
        Some(from_pg_config).filter(|dir| !dir.is_empty()).map(PathBuf::from),
        versioned,
        homebrew.collect(),
    )
}

/// The order of the search: PATH, `pg_config`, versioned directories, Homebrew; each directory once.
fn in_order(
    from_path: Vec<PathBuf>,
    from_pg_config: Option<PathBuf>,
    versioned: Vec<PathBuf>,
    homebrew: Vec<PathBuf>,
) -> Vec<PathBuf> {
    let bins = versioned.into_iter().chain(homebrew).map(|dir| dir.join("bin"));
    let mut seen = BTreeSet::new();
    from_path.into_iter().chain(from_pg_config).chain(bins).filter(|dir| seen.insert(dir.clone())).collect()
}

fn subdirs(root: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(root) else { return Vec::new() };
    entries.filter_map(Result::ok).map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}

fn is_postgres_formula(dir: &Path) -> bool {
    dir.file_name().is_some_and(|name| name.to_string_lossy().starts_with("postgresql"))
}

/// Sorts by the number in the last part of each path, highest first; those without one come last.
fn newest_first(mut dirs: Vec<PathBuf>) -> Vec<PathBuf> {
    let number = |dir: &PathBuf| {
        let name = dir.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        name.rsplit('@').next().and_then(|version| version.split('.').next()?.parse::<u32>().ok())
    };
    dirs.sort_by_key(|dir| std::cmp::Reverse(number(dir)));
    dirs
}

/// The major version in what `postgres --version` says, such as `postgres (PostgreSQL) 15.18 (Debian …)`.
fn major_of(said: &str) -> Option<u32> {
    let version = said.split_once("(PostgreSQL)")?.1.split_whitespace().next()?;
    let digits: String = version.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(names: &[&str]) -> Vec<PathBuf> {
        names.iter().map(PathBuf::from).collect()
    }

    #[test]
    fn the_version_is_read_from_every_packager_s_wording() {
        assert_eq!(major_of("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n"), Some(15));
        assert_eq!(major_of("postgres (PostgreSQL) 18beta2"), Some(18));
        assert_eq!(major_of("postgres (PostgreSQL) 17.0 (Homebrew)"), Some(17));
        assert_eq!(major_of("mysqld 9"), None);
    }

    #[test]
    fn versioned_directories_come_newest_first() {
        let dirs = paths(&["/usr/lib/postgresql/9.6", "/usr/lib/postgresql/16", "/usr/lib/postgresql/14"]);
        let sorted = newest_first(dirs);
        assert_eq!(
            sorted,
            paths(&["/usr/lib/postgresql/16", "/usr/lib/postgresql/14", "/usr/lib/postgresql/9.6"])
        );
        let brew = paths(&["/opt/homebrew/opt/postgresql@15", "/opt/homebrew/opt/postgresql@17"]);
        assert_eq!(newest_first(brew)[0], Path::new("/opt/homebrew/opt/postgresql@17"));
    }

    #[test]
    fn the_path_comes_before_pg_config_versioned_directories_and_homebrew() {
        let order = in_order(
            paths(&["/a/bin", "/usr/lib/postgresql/15/bin"]),
            Some("/b/bin".into()),
            paths(&["/usr/lib/postgresql/16", "/usr/lib/postgresql/15"]),
            paths(&["/opt/homebrew/opt/postgresql@17"]),
        );
        assert_eq!(
            order,
            paths(&[
                "/a/bin",
                "/usr/lib/postgresql/15/bin",
                "/b/bin",
                "/usr/lib/postgresql/16/bin",
                "/opt/homebrew/opt/postgresql@17/bin",
            ])
        );
    }

    #[tokio::test]
    async fn a_directory_that_lacks_a_program_is_refused_by_name() {
        let dir = std::env::temp_dir();
        let refused = Binaries::in_dir(&dir).await.expect_err("no server lies there");
        assert!(refused.ends_with("has no postgres"), "{refused}");
    }
}
