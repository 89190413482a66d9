//! A file of settings: TOML whose keys are the names of flags. Tables are a way of writing: `[tls] cert` is `tls-cert`.
//!
//! Invariant: nothing of the file's text is shown but keys and values that are no secrets, for the rest may be one.

use std::{
    collections::BTreeMap,
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use crate::{
    Problem,
    schema::{Key, Kind, Schema},
};

/// Longest file of settings, in bytes.
const LEN_MAX: u64 = 1 << 20;
/// Most characters of a value that is shown.
const SHOWN_CHARS_MAX: usize = 64;

/// What a file sets.
#[derive(Debug, Default)]
pub(crate) struct Document {
    pub(crate) path: PathBuf,
    /// By the names of their keys.
    pub(crate) entries: BTreeMap<String, Entry>,
}

/// The values of one key.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// In which line, counted from 1.
    pub(crate) line: usize,
    /// As they would stand on the command line; `true` or `false` for a flag without a value.
    pub(crate) values: Vec<String>,
}

impl Document {
    /// Reads the file. What is wrong with single keys is told, and the others are kept.
    pub(crate) fn read(path: &Path, schema: &Schema, problems: &mut Vec<Problem>) -> Self {
        let mut text = String::new();
        let read = File::open(path).and_then(|file| file.take(LEN_MAX + 1).read_to_string(&mut text));
        if let Err(error) = read {
            problems.push(Problem::new("config", format!("cannot read {}: {error}", path.display())));
        } else if text.len() as u64 > LEN_MAX {
            let told = format!("{}: expected at most {LEN_MAX} bytes, got more", path.display());
            problems.push(Problem::new("config", told));
        } else {
            return Self::parse(path, &text, schema, problems);
        }
        Self { path: path.into(), entries: BTreeMap::new() }
    }

    pub(crate) fn parse(path: &Path, text: &str, schema: &Schema, problems: &mut Vec<Problem>) -> Self {
        let mut reader = Reader { path, text, schema, entries: BTreeMap::new(), problems };
        let (table, errors) = DeTable::parse_recoverable(text);
        for error in &errors {
            let line = error.span().map_or(1, |span| line_of(text, span.start));
            reader.tell("config", line, &format!("no TOML: {}", error.message()));
        }
        if errors.is_empty() {
            reader.table("", table.get_ref());
        }
        Self { path: path.into(), entries: reader.entries }
    }
}

struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
    schema: &'a Schema,
    entries: BTreeMap<String, Entry>,
    problems: &'a mut Vec<Problem>,
}

impl Reader<'_> {
    fn tell(&mut self, key: &str, line: usize, what: &str) {
        let place = format!("{}:{line}", self.path.display());
        self.problems.push(Problem::new(key, format!("{place}: {what}")));
    }

    fn table(&mut self, prefix: &str, table: &DeTable<'_>) {
        for (name, value) in table {
            let line = line_of(self.text, name.span().start);
            let name = format!("{prefix}{}", name.get_ref().replace('_', "-"));
            match (self.schema.find(&name), value.get_ref()) {
                (Some(key), DeValue::Table(table)) if !key.takes_pairs() && is_prefix(self.schema, &name) => {
                    self.table(&format!("{name}-"), table);
                }
                (None, DeValue::Table(table)) => self.table(&format!("{name}-"), table),
                (Some(key), value) => self.entry(key, line, value),
                (None, _) => {
                    let nearest = self.schema.nearest(&name);
                    let hint = nearest.map_or(String::new(), |key| format!("; is {key} meant?"));
                    self.tell(&name, line, &format!("there is no such key{hint}"));
                }
            }
        }
    }

    fn entry(&mut self, key: &Key, line: usize, value: &DeValue<'_>) {
        let values = match texts(key, value) {
            Ok(values) => values,
            Err(what) => return self.tell(&key.name, line, &what),
        };
        if let Some(first) = self.entries.get(&key.name) {
            let what = format!("it is set already in line {}", first.line);
            return self.tell(&key.name, line, &what);
        }
        self.entries.insert(key.name.clone(), Entry { line, values });
    }
}

/// Whether keys begin with this name, so that a table of that name can hold them.
fn is_prefix(schema: &Schema, name: &str) -> bool {
    let prefix = format!("{name}-");
    schema.keys().any(|key| key.name.starts_with(&prefix))
}

/// The values as they would stand on the command line; otherwise what is wrong.
fn texts(key: &Key, value: &DeValue<'_>) -> Result<Vec<String>, String> {
    match value {
        DeValue::Array(array) if key.is_many() => {
            array.iter().map(|value| text(key, value.get_ref())).collect()
        }
        DeValue::Table(table) if key.takes_pairs() => {
            let pair = |(name, value): (&Spanned<_>, &Spanned<_>)| -> Result<String, String> {
                let name: &std::borrow::Cow<'_, str> = name.get_ref();
                Ok(format!("{name}={}", text(key, value.get_ref())?))
            };
            table.iter().map(pair).collect()
        }
        value => Ok(vec![text(key, value)?]),
    }
}

fn text(key: &Key, value: &DeValue<'_>) -> Result<String, String> {
    let given = match (key.kind, value) {
        (Kind::Text, DeValue::String(text)) => return Ok(text.to_string()),
        (Kind::Boolean, DeValue::Boolean(is_on)) => return Ok(is_on.to_string()),
        (Kind::Float, DeValue::Float(number)) => return Ok(number.as_str().into()),
        (Kind::Integer | Kind::Float, DeValue::Integer(number)) => {
            match i128::from_str_radix(number.as_str(), number.radix()) {
                Ok(number) => return Ok(number.to_string()),
                Err(_) => "a number that is too large".to_owned(),
            }
        }
        (_, DeValue::String(text)) if !key.is_secret() => format!("the text {:?}", shortened(text)),
        (_, DeValue::String(_)) => "a text".into(),
        (_, DeValue::Integer(number)) if !key.is_secret() => format!("the whole number {}", number.as_str()),
        (_, DeValue::Integer(_)) => "a whole number".into(),
        (_, DeValue::Float(_)) => "a number".into(),
        (_, DeValue::Boolean(is_on)) => is_on.to_string(),
        (_, DeValue::Datetime(_)) => "a moment".into(),
        (_, DeValue::Array(_)) => "an array".into(),
        (_, DeValue::Table(_)) => "a table".into(),
    };
    let several = if key.is_many() { ", or an array of such" } else { "" };
    Err(format!("expected {}{several}, got {given}", key.kind.name()))
}

/// As much of a value as is shown.
pub(crate) fn shortened(text: &str) -> String {
    text.chars().take(SHOWN_CHARS_MAX).collect()
}

fn line_of(text: &str, at: usize) -> usize {
    1 + text.as_bytes()[..at.min(text.len())].iter().filter(|byte| **byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use clap::{Arg, ArgAction, Command, value_parser};
    use secrecy::SecretString;

    use super::*;

    fn schema() -> Schema {
        let of = |name: &'static str| Arg::new(name).long(name);
        Schema::of(
            &Command::new("x")
                .arg(of("listen"))
                .arg(of("tls-cert"))
                .arg(of("shards").value_parser(value_parser!(u32)))
                .arg(of("jwt-secret").value_parser(value_parser!(SecretString)))
                .arg(of("log"))
                .arg(of("log-format"))
                .arg(of("allow-plaintext").action(ArgAction::SetTrue))
                .arg(of("origin").action(ArgAction::Append))
                .arg(of("label").action(ArgAction::Append).value_name("KEY=VALUE")),
        )
    }

    fn parse(text: &str) -> (Document, Vec<String>) {
        let mut problems = Vec::new();
        let document = Document::parse(Path::new("x.toml"), text, &schema(), &mut problems);
        (document, problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn tables_lists_and_either_spelling_are_the_same_keys() {
        let text = "listen = \"a\"\nallow_plaintext = false\nshards = 0x10\norigin = [\"b\", \"c\"]\n\
                    [tls]\ncert = \"d\"\n[log]\nformat = \"json\"\n[label]\nenv = \"prod\"\n";
        let (document, problems) = parse(text);
        assert_eq!(problems, Vec::<String>::new());
        let of = |key: &str| {
            let Entry { line, values } = &document.entries[key];
            (*line, values.join("|"))
        };
        assert_eq!(of("allow-plaintext"), (2, "false".into()));
        assert_eq!((of("shards").1, of("origin").1), ("16".into(), "b|c".into()));
        assert_eq!(of("tls-cert"), (6, "d".into()));
        assert_eq!((of("log-format"), of("label")), ((8, "json".into()), (9, "env=prod".into())));
    }

    #[test]
    fn everything_wrong_is_told_at_once_with_its_line() {
        let text = "lisen = \"a\"\nshards = \"many\"\nallow-plaintext = 1\norigin = 7\nlisten = [\"a\"]\n\
                    tls-cert = \"d\"\n[tls]\ncert = \"e\"\n[zzz]\nquux = 1\n";
        let (_, problems) = parse(text);
        for expected in [
            "lisen: x.toml:1: there is no such key; is listen meant?",
            "shards: x.toml:2: expected a whole number, got the text \"many\"",
            "allow-plaintext: x.toml:3: expected true or false, got the whole number 1",
            "origin: x.toml:4: expected a text, or an array of such, got the whole number 7",
            "listen: x.toml:5: expected a text, got an array",
            "zzz-quux: x.toml:10: there is no such key",
        ] {
            assert!(problems.iter().any(|problem| problem == expected), "{expected}: {problems:?}");
        }
        let twice = problems.iter().find(|problem| problem.starts_with("tls-cert: ")).unwrap();
        assert!(twice.contains("it is set already in line "), "{twice}");
        assert_eq!(problems.len(), 7, "{problems:?}");
    }

    #[test]
    fn no_secret_is_shown_where_its_line_is_wrong() {
        for text in
            ["jwt-secret = \"hush", "jwt-secret = hush", "jwt-secret = 4711", "jwt-secret = [\"hush\"]"]
        {
            let (_, problems) = parse(text);
            assert!(!problems.is_empty(), "{text}");
            assert!(
                !problems.concat().contains("hush") && !problems.concat().contains("4711"),
                "{problems:?}"
            );
        }
    }

    #[test]
    fn a_file_that_is_no_toml_is_told_with_the_line() {
        let (document, problems) = parse("listen = \"a\"\n= 5\n");
        assert!(document.entries.is_empty());
        assert!(problems[0].starts_with("config: x.toml:2: no TOML: "), "{problems:?}");
    }
}
