//! The keys of a file of settings, as the command line has them: the name of a flag is a key, and the type of its
//! values is what the file must have.

use std::any::TypeId;

use clap::{Arg, ArgAction, Command};
use secrecy::SecretString;

/// What values of a key are in TOML.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Integer,
    Float,
    Boolean,
}

impl Kind {
    /// With its article.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Text => "a text",
            Self::Integer => "a whole number",
            Self::Float => "a number",
            Self::Boolean => "true or false",
        }
    }
}

/// One key, or the argument that it stands for.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    /// The name of the flag without its dashes.
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) arg: Arg,
}

impl Key {
    fn of(arg: &Arg) -> Self {
        let name = arg.get_long().map_or_else(|| arg.get_id().as_str().replace('_', "-"), str::to_owned);
        Self { name, kind: kind(arg), arg: arg.clone() }
    }

    /// Whether it takes several values.
    pub(crate) fn is_many(&self) -> bool {
        matches!(self.arg.get_action(), ArgAction::Append)
            || self.arg.get_num_args().is_some_and(|range| range.max_values() > 1)
    }

    /// Whether its values are pairs, which a table can give.
    pub(crate) fn takes_pairs(&self) -> bool {
        self.is_many() && self.value_name() == "KEY=VALUE"
    }

    /// Whether its value must not be shown.
    pub(crate) fn is_secret(&self) -> bool {
        self.arg.is_hide_env_values_set()
            || self.arg.get_value_parser().type_id() == TypeId::of::<SecretString>()
    }

    /// Whether it is a flag without a value.
    pub(crate) fn is_switch(&self) -> bool {
        matches!(self.arg.get_action(), ArgAction::SetTrue)
    }

    /// Whether it has no flag, and its values stand behind `--`.
    pub(crate) fn is_trailing(&self) -> bool {
        self.arg.is_positional()
    }

    /// The environment variable that sets it.
    pub(crate) fn variable(&self) -> Option<String> {
        self.arg.get_env().map(|name| name.to_string_lossy().into_owned())
    }

    /// What help calls its value.
    pub(crate) fn value_name(&self) -> String {
        match self.arg.get_value_names() {
            Some([name, ..]) => name.to_string(),
            _ => self.arg.get_id().as_str().to_uppercase(),
        }
    }

    /// What it is when nothing sets it.
    pub(crate) fn defaults(&self) -> Vec<String> {
        self.arg.get_default_values().iter().map(|value| value.to_string_lossy().into_owned()).collect()
    }
}

/// The keys of one command.
#[derive(Debug, Clone)]
pub(crate) struct Schema(Vec<Key>);

impl Schema {
    /// What the command takes, without what is there to ask for help.
    pub(crate) fn of(command: &Command) -> Self {
        let asks = |arg: &Arg| {
            matches!(
                arg.get_action(),
                ArgAction::Help | ArgAction::HelpShort | ArgAction::HelpLong | ArgAction::Version
            )
        };
        Self(command.get_arguments().filter(|arg| !asks(arg) && !arg.is_hide_set()).map(Key::of).collect())
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &Key> {
        self.0.iter()
    }

    pub(crate) fn find(&self, name: &str) -> Option<&Key> {
        self.0.iter().find(|key| key.name == name)
    }

    /// The known key that looks most like this one, if any does.
    pub(crate) fn nearest(&self, name: &str) -> Option<&str> {
        const ALIKE: f64 = 0.75;
        let likeness = |key: &Key| strsim::jaro_winkler(&key.name, name);
        let best = self.0.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
        (likeness(best) >= ALIKE).then_some(best.name.as_str())
    }
}

fn kind(arg: &Arg) -> Kind {
    if matches!(arg.get_action(), ArgAction::SetTrue) {
        return Kind::Boolean;
    }
    let holds = arg.get_value_parser().type_id();
    let is_one_of = |types: &[TypeId]| types.iter().any(|of| holds == *of);
    let integers = [
        TypeId::of::<u8>(),
        TypeId::of::<u16>(),
        TypeId::of::<u32>(),
        TypeId::of::<u64>(),
        TypeId::of::<usize>(),
        TypeId::of::<i32>(),
        TypeId::of::<i64>(),
    ];
    match () {
        () if is_one_of(&integers) => Kind::Integer,
        () if is_one_of(&[TypeId::of::<f32>(), TypeId::of::<f64>()]) => Kind::Float,
        () if holds == TypeId::of::<bool>() => Kind::Boolean,
        () => Kind::Text,
    }
}
