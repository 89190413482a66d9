//! What the command line and the environment give, before anything else is known: their form is checked, and not yet
//! whether they make sense together.

use std::{ffi::OsString, path::PathBuf};

use clap::{Arg, ArgMatches, Command, builder::Resettable, error::ErrorKind, parser::ValueSource};

use crate::{
    Program,
    command::recursively,
    schema::{Key, Schema},
};

/// The command that is called, and what is given to each of those that lead to it.
#[derive(Debug)]
pub(crate) struct Survey {
    /// The program's own, and then each subcommand.
    pub(crate) levels: Vec<Level>,
}

/// One command of those that lead to what is called.
#[derive(Debug)]
pub(crate) struct Level {
    /// Its name; that of the program for the first.
    pub(crate) name: String,
    /// Of what the program itself defines.
    pub(crate) schema: Schema,
    matches: ArgMatches,
}

impl Survey {
    /// Reads a command line.
    ///
    /// # Errors
    ///
    /// What clap says of one that is malformed, or asks for help.
    pub(crate) fn of(
        program: &Program,
        arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>,
    ) -> Result<Self, clap::Error> {
        let arguments: Vec<OsString> = arguments.into_iter().map(Into::into).collect();
        let command = program.command();
        // What is checked together is left to the end.
        let surveyed = recursively(command.clone(), &leniently).try_get_matches_from(&arguments);
        let mut matches = surveyed.map_err(|error| match error.kind() {
            // Help is that of the true command.
            ErrorKind::DisplayHelp | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
                command.try_get_matches_from(&arguments).err().unwrap_or(error)
            }
            _ => error,
        })?;
        let (mut levels, mut own) = (Vec::new(), Some(&program.own));
        while let Some(command) = own {
            let below = matches.remove_subcommand();
            levels.push(Level { name: command.get_name().to_owned(), schema: Schema::of(command), matches });
            let Some((name, inner)) = below else { break };
            (own, matches) = (command.find_subcommand(name), inner);
        }
        Ok(Self { levels })
    }

    /// Whether a flag is given that every program has.
    pub(crate) fn is_set(&self, id: &str) -> bool {
        let given = |level: &Level| matches!(level.matches.try_get_one::<bool>(id), Ok(Some(true)));
        self.levels.iter().any(given)
    }

    /// The path that is given by a flag that every program has.
    pub(crate) fn path(&self, id: &str) -> Option<PathBuf> {
        self.levels.iter().find_map(|level| level.path(id))
    }
}

impl Level {
    /// Where a value comes from, when it is given. `id` is that of the argument.
    pub(crate) fn source(&self, id: &str) -> Option<ValueSource> {
        // An argument that is nowhere defined is not given.
        self.matches.try_contains_id(id).ok()?;
        let source = self.matches.value_source(id)?;
        matches!(source, ValueSource::CommandLine | ValueSource::EnvVariable).then_some(source)
    }

    /// The values as given.
    pub(crate) fn values(&self, key: &Key) -> Vec<OsString> {
        let id = key.arg.get_id().as_str();
        if key.is_switch() {
            return vec![self.matches.get_flag(id).to_string().into()];
        }
        self.matches.get_raw(id).map(|values| values.map(Into::into).collect()).unwrap_or_default()
    }

    /// The path that an argument is given.
    pub(crate) fn path(&self, id: &str) -> Option<PathBuf> {
        self.matches.try_get_one::<PathBuf>(id).ok()?.cloned()
    }
}

/// The command without what ties its arguments to each other.
fn leniently(command: Command) -> Command {
    command.mut_args(loosened)
}

/// An argument by itself.
pub(crate) fn loosened(arg: Arg) -> Arg {
    arg.required(false).requires(Resettable::Reset).conflicts_with(Resettable::Reset)
}
