//! Puts together what flags, environment and file give, in this order of precedence, and has the program's own
//! command line judge the whole: every rule that holds for flags holds for the file too.

use std::{
    ffi::OsString,
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
};

use clap::{ArgMatches, Command, error::ContextKind, parser::ValueSource};

use crate::{
    Exposed, Problem, Program,
    command::{CONFIG, FILE_SUFFIX},
    document::{Document, shortened},
    effective::{Setting, Source},
    schema::Key,
    survey::{Level, Survey},
};

/// Longest secret in a file, in bytes.
const SECRET_LEN_MAX: u64 = 64 * 1024;
/// Stands for a value that is missing, so that the rest can be judged; nothing starts with it.
const STAND_IN: &str = "stand-in";

/// What a program was given, put together.
pub(crate) struct Assembled {
    /// `None` when the whole makes no sense; the problems say why.
    pub(crate) matches: Option<ArgMatches>,
    pub(crate) effective: Vec<Setting>,
    pub(crate) problems: Vec<Problem>,
    pub(crate) unknown: Vec<String>,
    pub(crate) exposed: Vec<Exposed>,
}

/// Puts together what is given.
pub(crate) fn assemble(program: &Program, survey: &Survey) -> Assembled {
    let mut problems = Vec::new();
    let document = match survey.path(CONFIG) {
        Some(path) => Document::read(&path, &program.schema(), &mut problems),
        None => Document::default(),
    };
    let mut assembly = Assembly { document, problems, ..Assembly::default() };
    let nothing = Document::default();
    for (depth, level) in survey.levels.iter().enumerate() {
        assembly.line.push(level.name.clone().into());
        let is_called = depth + 1 == survey.levels.len();
        // What is not called needs nothing, and a file is for one command.
        let has_file = is_called && program.scope.is_none_or(|scope| scope == level.name);
        let document = std::mem::take(&mut assembly.document);
        assembly.level(level, if has_file { &document } else { &nothing }, is_called);
        assembly.document = document;
    }
    assembly.judge(&program.own)
}

#[derive(Default)]
struct Assembly {
    document: Document,
    line: Vec<OsString>,
    /// What stands at the very end of the line.
    trailing: Vec<OsString>,
    effective: Vec<Setting>,
    problems: Vec<Problem>,
    unknown: Vec<String>,
    exposed: Vec<Exposed>,
}

/// What one source gives for a key.
struct Gift {
    values: Vec<OsString>,
    source: Source,
    /// The file that holds the value, where that was named.
    held_in: Option<PathBuf>,
}

impl Assembly {
    fn level(&mut self, level: &Level, document: &Document, is_called: bool) {
        for key in level.schema.keys() {
            let mut gift = self.value(level, document, key);
            if key.is_secret() && level.schema.find(&file_name(key)).is_none() {
                gift = self.stronger(key, gift, secret_file(level, document, key));
            }
            match gift {
                Some(gift) => self.take(key, gift),
                None => self.go_without(key, is_called),
            }
        }
    }

    /// What is given for a key itself. A value in the file that cannot be is told, and left out.
    fn value(&mut self, level: &Level, document: &Document, key: &Key) -> Option<Gift> {
        if let Some(source) = source(level, key.arg.get_id().as_str(), &key.name, key.variable()) {
            return Some(Gift { values: level.values(key), source, held_in: None });
        }
        let entry = document.entries.get(&key.name)?;
        let source = Source::File { path: document.path.clone(), line: entry.line };
        if let Some(fault) = fault(key, &entry.values) {
            let place = format!("{}:{}", document.path.display(), entry.line);
            self.problems.push(Problem::new(&key.name, format!("{place}: {fault}")));
            self.unknown.push(key.name.clone());
            return None;
        }
        if key.is_secret() {
            self.exposed.extend(Exposed::settings(&key.name, &document.path));
        }
        Some(Gift { values: entry.values.iter().map(Into::into).collect(), source, held_in: None })
    }

    /// Of a secret and a file that is named to hold it, the one that counts.
    fn stronger(
        &mut self,
        key: &Key,
        direct: Option<Gift>,
        named: Option<(PathBuf, Source)>,
    ) -> Option<Gift> {
        let Some((path, source)) = named else { return direct };
        let rank = direct.as_ref().map_or(0, |direct| direct.source.rank());
        if rank > source.rank() {
            return direct;
        }
        if let Some(direct) = direct.filter(|_| rank == source.rank()) {
            let told = format!("give it or {}, not both ({}, {source})", file_name(key), direct.source);
            self.problems.push(Problem::new(&key.name, told));
        }
        self.exposed.extend(Exposed::secret(file_name(key), &path));
        let value = match secret_in(&path) {
            Ok(value) => value,
            Err(fault) => {
                self.problems.push(Problem::new(file_name(key), fault));
                self.unknown.push(key.name.clone());
                STAND_IN.into()
            }
        };
        Some(Gift { values: vec![value.into()], source, held_in: Some(path) })
    }

    /// Takes a value into the line. What the environment gives is found there by the program's own command line.
    fn take(&mut self, key: &Key, gift: Gift) {
        let Gift { values, source, held_in } = gift;
        let is_inherited = matches!(source, Source::Environment(_)) && held_in.is_none();
        let shown: Vec<String> = values.iter().map(|value| value.to_string_lossy().into_owned()).collect();
        self.effective.push(Setting::of(key, &shown, source, held_in));
        if is_inherited {
            return;
        }
        if key.is_trailing() {
            self.trailing.extend(values);
        } else if key.is_switch() {
            self.line.extend(values.contains(&"true".into()).then(|| format!("--{}", key.name).into()));
        } else {
            let assigned = |value: OsString| {
                let mut word = OsString::from(format!("--{}=", key.name));
                word.push(value);
                word
            };
            self.line.extend(values.into_iter().map(assigned));
        }
    }

    /// Nothing is given: its default counts, or it is missing.
    fn go_without(&mut self, key: &Key, is_called: bool) {
        let defaults = if key.is_switch() { vec!["false".into()] } else { key.defaults() };
        let source = if defaults.is_empty() { Source::Nowhere } else { Source::Default };
        self.effective.push(Setting::of(key, &defaults, source, None));
        if !(is_called && key.arg.is_required_set()) {
            return;
        }
        if !self.unknown.contains(&key.name) {
            self.problems.push(Problem::new(&key.name, format!("expected {}, got nothing", ways(key))));
            self.unknown.push(key.name.clone());
        }
        if key.is_trailing() {
            self.trailing.push(STAND_IN.into());
        } else {
            self.line.push(format!("--{}={STAND_IN}", key.name).into());
        }
    }

    /// Has the program's own command line judge the whole.
    fn judge(mut self, own: &Command) -> Assembled {
        if !self.trailing.is_empty() {
            self.line.push("--".into());
            self.line.append(&mut self.trailing);
        }
        let matches = match own.clone().try_get_matches_from(&self.line) {
            Ok(matches) => Some(matches),
            Err(error) => {
                // A stand-in need not be what is expected.
                if self.unknown.is_empty() || !is_of_one_value(&error) {
                    self.problems.push(rephrased(&error));
                }
                None
            }
        };
        let Self { effective, problems, unknown, exposed, .. } = self;
        Assembled { matches, effective, problems, unknown, exposed }
    }
}

fn source(level: &Level, id: &str, flag: &str, variable: Option<String>) -> Option<Source> {
    Some(match (level.source(id)?, variable) {
        (ValueSource::EnvVariable, Some(variable)) => Source::Environment(variable),
        _ => Source::Flag(flag.into()),
    })
}

fn file_name(key: &Key) -> String {
    format!("{}{FILE_SUFFIX}", key.name)
}

/// The file that is named to hold a secret.
fn secret_file(level: &Level, document: &Document, key: &Key) -> Option<(PathBuf, Source)> {
    let name = file_name(key);
    let variable = key.variable().map(|variable| format!("{variable}_FILE"));
    if let (Some(source), Some(path)) = (source(level, &name, &name, variable), level.path(&name)) {
        return Some((path, source));
    }
    let entry = document.entries.get(&name)?;
    let path = entry.values.first()?.into();
    Some((path, Source::File { path: document.path.clone(), line: entry.line }))
}

/// The secret in a file, without the line end that editors put behind the only line; otherwise what is wrong.
fn secret_in(path: &Path) -> Result<String, String> {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(SECRET_LEN_MAX + 1).read_to_string(&mut text));
    read.map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let secret = text.trim_end_matches(['\r', '\n']);
    let wrong = |got: &str| format!("{}: expected a secret in one line, got {got}", path.display());
    match secret {
        "" => Err(wrong("nothing")),
        _ if text.len() as u64 > SECRET_LEN_MAX => Err(wrong("too much")),
        _ if secret.contains('\n') => Err(wrong("several")),
        secret => Ok(secret.to_owned()),
    }
}

/// How a missing value can be given.
fn ways(key: &Key) -> String {
    if key.is_trailing() {
        return format!("the {} behind --, or the key {}", key.value_name(), key.name);
    }
    let (name, file) = (&key.name, if key.is_secret() { file_name(key) } else { String::new() });
    match (key.variable(), key.is_secret()) {
        (Some(variable), true) => format!("{variable}, {variable}_FILE, --{file} or the key {file}"),
        (None, true) => format!("--{file} or the key {file}"),
        (Some(variable), false) => format!("--{name}, {variable} or the key {name}"),
        (None, false) => format!("--{name} or the key {name}"),
    }
}

/// What is wrong with the values of a key by themselves.
fn fault(key: &Key, values: &[String]) -> Option<String> {
    if key.is_switch() {
        return None;
    }
    let arg = crate::survey::loosened(key.arg.clone()).env(clap::builder::Resettable::Reset);
    // Trailing words are taken as they are.
    if key.is_trailing() {
        return None;
    }
    let command = Command::new(STAND_IN).no_binary_name(true).disable_help_flag(true).arg(arg);
    let words = values.iter().map(|value| format!("--{}={value}", key.name));
    let error = command.try_get_matches_from(words).err()?;
    let given = match values {
        _ if key.is_secret() => "another".to_owned(),
        [value] => format!("{:?}", shortened(value)),
        _ => "others".to_owned(),
    };
    Some(match (error.get(ContextKind::ValidValue), std::error::Error::source(&error)) {
        (Some(valid), _) => format!("expected one of {valid}, got {given}"),
        (None, Some(cause)) if !key.is_secret() => {
            format!("expected a {}, got {given}: {cause}", key.value_name())
        }
        _ => format!("expected a {}, got {given}", key.value_name()),
    })
}

/// Whether an error is about a value by itself, and not about what is given together.
fn is_of_one_value(error: &clap::Error) -> bool {
    matches!(error.kind(), clap::error::ErrorKind::ValueValidation | clap::error::ErrorKind::InvalidValue)
}

/// What the command line says of the whole, in one line.
fn rephrased(error: &clap::Error) -> Problem {
    let text = error.render().to_string();
    let said = text.split("\n\n").next().unwrap_or_default().trim_start_matches("error: ");
    let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
    let about = error.get(ContextKind::InvalidArg).map(ToString::to_string).unwrap_or_default();
    let key = about.trim_start_matches('-').split([' ', ',']).next().unwrap_or_default();
    Problem::new(if key.is_empty() { "command line" } else { key }, said)
}
