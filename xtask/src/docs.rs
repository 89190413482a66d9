//! `cargo xtask docs`: references that are generated from the code and committed with it, so that they can be read
//! where the code is not built, and a change of what is promised shows in its diff.
//!
//! It must not know what is in them: each generator is a module that maps paths to texts.

mod asyncapi;
mod catalog;
mod config;
mod schemas;
mod security;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};

use crate::{console::note, layout::Layout, programs::Programs};

/// Generated files: the path from the workspace's root, and the text.
pub(crate) type Files = BTreeMap<PathBuf, String>;

/// What generates files by itself. Another reference is another module here.
const GENERATORS: [fn() -> Result<Files>; 4] =
    [asyncapi::files, catalog::files, schemas::files, security::files];
/// Directories in which every file is generated: one that nothing generates any more is removed.
const DIRECTORIES: [&str; 3] = ["docs/asyncapi", "docs/config", "docs/schemas"];

/// How the committed files differ from the generated ones.
#[derive(Debug, Default, PartialEq, Eq)]
struct Difference {
    /// Generated, and not there or with another text.
    stale: BTreeSet<PathBuf>,
    /// There, and no longer generated.
    left_over: BTreeSet<PathBuf>,
}

/// Writes the generated files, or, where `check` is asked, compares only.
///
/// # Errors
///
/// When the programs cannot be built, a file cannot be read or written, or, with `check`, when one is not what would be generated.
pub(crate) async fn run(layout: &Layout, check: bool) -> Result<()> {
    // These are asked of the programs, which alone know their command lines.
    let mut files = config::files(&Programs::build(layout, false).await?).await?;
    for generate in GENERATORS {
        for (path, text) in generate()? {
            if let Some(twice) = files.insert(path.clone(), text) {
                bail!("{} is generated twice ({} bytes the first time)", path.display(), twice.len());
            }
        }
    }
    let difference = compare(layout.root(), &files)?;
    if check {
        return difference.refuse();
    }
    difference.settle(layout.root(), &files)?;
    note(&format!("{} files are generated: {difference}", files.len()));
    Ok(())
}

fn compare(root: &Path, files: &Files) -> Result<Difference> {
    let mut difference = Difference::default();
    for (path, text) in files {
        if std::fs::read_to_string(root.join(path)).ok().as_deref() != Some(text) {
            difference.stale.insert(path.clone());
        }
    }
    for directory in DIRECTORIES {
        let mut found = Vec::new();
        list(root, Path::new(directory), &mut found)?;
        difference.left_over.extend(found.into_iter().filter(|path| !files.contains_key(path)));
    }
    Ok(difference)
}

/// Every file below a directory, by its path from the root.
fn list(root: &Path, directory: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    let Ok(entries) = std::fs::read_dir(root.join(directory)) else { return Ok(()) };
    for entry in entries {
        let entry = entry.with_context(|| format!("read {}", directory.display()))?;
        let path = directory.join(entry.file_name());
        if entry.file_type().with_context(|| format!("read {}", path.display()))?.is_dir() {
            list(root, &path, found)?;
        } else {
            found.push(path);
        }
    }
    Ok(())
}

impl Difference {
    fn refuse(&self) -> Result<()> {
        if *self == Self::default() {
            return Ok(());
        }
        let stale = self.stale.iter().map(|path| format!("  {} is not what the code says", path.display()));
        let left = self.left_over.iter().map(|path| format!("  {} is no longer generated", path.display()));
        let lines: Vec<_> = stale.chain(left).collect();
        bail!(
            "generated files are out of date; run `cargo xtask docs` and commit them\n{}",
            lines.join("\n")
        );
    }

    fn settle(&self, root: &Path, files: &Files) -> Result<()> {
        for path in &self.stale {
            let place = root.join(path);
            let directory = place.parent().context("a generated file is in a directory")?;
            std::fs::create_dir_all(directory).with_context(|| format!("make {}", directory.display()))?;
            std::fs::write(&place, &files[path]).with_context(|| format!("write {}", path.display()))?;
        }
        for path in &self.left_over {
            std::fs::remove_file(root.join(path)).with_context(|| format!("remove {}", path.display()))?;
        }
        Ok(())
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} written, {} removed", self.stale.len(), self.left_over.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stale_or_left_over_is_named_and_settled() {
        let root = std::env::temp_dir().join(format!("signalbox-docs-{}", std::process::id()));
        let schemas = root.join("docs/schemas/events");
        std::fs::create_dir_all(&schemas).unwrap();
        std::fs::write(schemas.join("gone.json"), "{}").unwrap();
        std::fs::write(schemas.join("old.json"), "{}").unwrap();
        let text = |path: &str, text: &str| (PathBuf::from(path), text.to_owned());
        let files = Files::from([
            text("docs/schemas/events/old.json", "{\"new\": 1}"),
            text("docs/catalog.md", "# The catalog"),
        ]);
        let difference = compare(&root, &files).unwrap();
        let refusal = difference.refuse().unwrap_err().to_string();
        assert!(refusal.contains("docs/schemas/events/old.json is not what the code says"), "{refusal}");
        assert!(refusal.contains("docs/catalog.md is not what the code says"), "{refusal}");
        assert!(refusal.contains("docs/schemas/events/gone.json is no longer generated"), "{refusal}");
        difference.settle(&root, &files).unwrap();
        assert_eq!(compare(&root, &files).unwrap(), Difference::default());
        std::fs::remove_dir_all(&root).unwrap();
    }
}
