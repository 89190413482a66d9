//! `cargo xtask sqlx`: what the SQL macros of services/state know of the database, kept in `.sqlx`, so that
//! everybody else builds without one.
//!
//! The macros write it themselves when they are compiled against a live database.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Stdio,
    time::SystemTime,
};

use anyhow::{Context as _, Result, bail};

use crate::{
    console::{Step, note},
    interrupt,
    layout::Layout,
    postgres::{self, Postgres, Purpose},
    programs::cargo,
};

/// The only crate with SQL macros.
const PACKAGE: &str = "signalbox-state";
/// Its files, any of which makes cargo compile it again when touched.
const SOURCES: &str = "services/state/src";

/// File names and contents of the metadata.
type Queries = BTreeMap<String, String>;

/// What became of `.sqlx`.
#[derive(Debug, PartialEq, Eq)]
struct Difference {
    added: Vec<String>,
    changed: Vec<String>,
    removed: Vec<String>,
}

/// Compiles the macros against a fresh database and replaces `.sqlx`, or, where `check` is asked, compares
/// only.
///
/// When the crate does not compile, what its valid queries say is still added, because without it they
/// could not compile off line either; nothing is removed then.
///
/// # Errors
///
/// When the crate does not compile, or, with `check`, when `.sqlx` is not what the macros say.
pub(crate) async fn run(layout: &Layout, check: bool) -> Result<()> {
    let postgres = Postgres::start(layout, Purpose::Scratch("sqlx")).await?;
    let prepared = prepare(layout, &postgres).await;
    postgres.stop().await?;
    let (queries, compiles) = prepared?;
    let dir = layout.sqlx_metadata();
    let difference = Difference::between(&read(&dir)?, &queries);
    if check {
        return difference.refuse();
    }
    if !compiles {
        write(&dir, &queries, &[])?;
        bail!(
            "{PACKAGE} does not compile against the migrated database (see above); {} queries that are \
             valid were written to .sqlx, none was removed",
            queries.len()
        );
    }
    write(&dir, &queries, &difference.removed)?;
    note(&format!(".sqlx holds {} queries: {difference}", queries.len()));
    Ok(())
}

async fn prepare(layout: &Layout, postgres: &Postgres) -> Result<(Queries, bool)> {
    let name = format!("signalbox_sqlx_{}", std::process::id());
    let url = postgres.server().create_database_if_absent(&name).await?;
    let out = layout.target().join("scratch").join(format!("sqlx-out-{}", std::process::id()));
    let prepared = interrupt::or(async {
        postgres::migrate(&url, &layout.migrations()).await?;
        std::fs::create_dir_all(&out).with_context(|| format!("make {}", out.display()))?;
        let compiles = compile(layout, &url, &out).await?;
        Ok((read(&out)?, compiles))
    })
    .await;
    if postgres.is_given() {
        postgres.server().drop_database(&name).await?;
    }
    if out.exists() {
        std::fs::remove_dir_all(&out).with_context(|| format!("remove {}", out.display()))?;
    }
    prepared
}

async fn compile(layout: &Layout, url: &str, out: &Path) -> Result<bool> {
    let step = Step::start(format!("compiling the SQL of {PACKAGE} against the database"));
    touch(&layout.root().join(SOURCES))?;
    let output = cargo(layout)
        .args(["check", "--quiet", "--package", PACKAGE, "--all-targets", "--color=always"])
        .env("DATABASE_URL", url)
        .env("SQLX_OFFLINE", "false")
        .env("SQLX_OFFLINE_DIR", out)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .context("run cargo check")?;
    if output.status.success() {
        step.done("");
        return Ok(true);
    }
    drop(step);
    anstream::eprintln!("{}", String::from_utf8_lossy(&output.stderr).trim_end());
    Ok(false)
}

/// Makes cargo compile the crate again: the macros are not run for a crate that is up to date, and cargo
/// does not know that they depend on a database.
fn touch(sources: &Path) -> Result<()> {
    let root = ["lib.rs", "main.rs"].map(|name| sources.join(name)).into_iter().find(|path| path.exists());
    let root = root.with_context(|| format!("{} has neither lib.rs nor main.rs", sources.display()))?;
    #[expect(clippy::disallowed_methods, reason = "cargo compares with the clock of the file system")]
    let now = SystemTime::now();
    std::fs::File::options()
        .append(true)
        .open(&root)
        .and_then(|file| file.set_modified(now))
        .with_context(|| format!("touch {}", root.display()))
}

fn read(dir: &Path) -> Result<Queries> {
    let mut queries = Queries::new();
    let Ok(entries) = std::fs::read_dir(dir) else { return Ok(queries) };
    for entry in entries {
        let path: PathBuf = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with("query-") && name.ends_with(".json") {
            let text = std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
            queries.insert(name, text);
        }
    }
    Ok(queries)
}

fn write(dir: &Path, queries: &Queries, removed: &[String]) -> Result<()> {
    std::fs::create_dir_all(dir).with_context(|| format!("make {}", dir.display()))?;
    for (name, text) in queries {
        std::fs::write(dir.join(name), text).with_context(|| format!("write {name}"))?;
    }
    for name in removed {
        std::fs::remove_file(dir.join(name)).with_context(|| format!("remove {name}"))?;
    }
    Ok(())
}

impl Difference {
    fn between(kept: &Queries, made: &Queries) -> Self {
        let named = |from: &Queries, keep: &dyn Fn(&str, &str) -> bool| {
            from.iter().filter(|(name, text)| keep(name, text)).map(|(name, _)| name.clone()).collect()
        };
        Self {
            added: named(made, &|name, _| !kept.contains_key(name)),
            changed: named(made, &|name, text| kept.get(name).is_some_and(|old| old != text)),
            removed: named(kept, &|name, _| !made.contains_key(name)),
        }
    }

    fn refuse(&self) -> Result<()> {
        if self.added.is_empty() && self.changed.is_empty() && self.removed.is_empty() {
            note(".sqlx is what the SQL macros say");
            return Ok(());
        }
        bail!(".sqlx is not what the SQL macros say ({self}); run `cargo xtask sqlx` and commit .sqlx")
    }
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [added, changed, removed] = [&self.added, &self.changed, &self.removed].map(Vec::len);
        write!(f, "{added} added, {changed} changed, {removed} removed")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queries(pairs: &[(&str, &str)]) -> Queries {
        pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
    }

    #[test]
    fn a_check_passes_only_when_nothing_differs() {
        let kept = queries(&[("query-a.json", "1"), ("query-b.json", "2")]);
        assert!(Difference::between(&kept, &kept.clone()).refuse().is_ok());
        let made = queries(&[("query-a.json", "1"), ("query-b.json", "3"), ("query-c.json", "4")]);
        let difference = Difference::between(&kept, &made);
        assert_eq!(difference.changed, ["query-b.json"]);
        assert_eq!(difference.added, ["query-c.json"]);
        let error = difference.refuse().expect_err("they differ").to_string();
        assert!(error.contains("1 added, 1 changed, 0 removed"), "{error}");
        let gone = Difference::between(&kept, &Queries::new());
        assert_eq!(gone.removed, ["query-a.json", "query-b.json"]);
    }
}
