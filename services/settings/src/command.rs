//! A program's command line with what every program has besides its own: a file of settings, a check of them, and for
//! each secret a way to give it in a file.

use std::{ffi::OsString, io::Write as _, path::PathBuf, process::exit};

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use crate::{
    Problem,
    assembly::{self, Assembled},
    effective::Setting,
    exposure::Exposed,
    reference,
    schema::{Key, Schema},
    survey::Survey,
};

pub(crate) const CONFIG: &str = "config";
pub(crate) const CHECK: &str = "check-config";
pub(crate) const REFERENCE: &str = "config-reference";
/// How the name of a flag ends that names a file with another flag's secret.
pub(crate) const FILE_SUFFIX: &str = "-file";

/// A program and the command line that it takes.
#[derive(Debug, Clone)]
pub struct Program {
    /// As the program defines it.
    pub(crate) own: Command,
    /// The subcommand whose arguments the file sets; the program itself when absent.
    pub(crate) scope: Option<&'static str>,
    variable: &'static str,
}

/// What a program was given, from everywhere.
#[derive(Debug)]
pub struct Settings {
    pub(crate) matches: Option<ArgMatches>,
    /// Each setting with its source.
    pub(crate) effective: Vec<Setting>,
    pub(crate) problems: Vec<Problem>,
    /// Settings of which it is not known what they would be: what follows from them is no news.
    pub(crate) unknown: Vec<String>,
    pub(crate) exposed: Vec<Exposed>,
    /// Only a check was asked for.
    pub(crate) is_check: bool,
    pub(crate) name: String,
}

impl Program {
    /// A program that takes this command line, and whose file of settings may be named by `SIGNALBOX_CONFIG`.
    #[must_use]
    pub fn new(command: Command) -> Self {
        Self { own: command, scope: None, variable: "SIGNALBOX_CONFIG" }
    }

    /// The file sets the arguments of this subcommand, and may be named by this variable.
    #[must_use]
    pub fn scope(self, subcommand: &'static str, variable: &'static str) -> Self {
        Self { scope: Some(subcommand), variable, ..self }
    }

    /// Reads flags, environment and file. Ends the process where the command line itself is wrong, or asks for help.
    #[must_use]
    pub fn read_or_exit(&self) -> Settings {
        self.read_from(std::env::args_os()).unwrap_or_else(|error| error.exit())
    }

    /// As [`Program::read_or_exit`], with this command line.
    ///
    /// # Errors
    ///
    /// What clap says of a command line that is wrong by itself, or that asks for help.
    pub fn read_from(
        &self,
        arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>,
    ) -> Result<Settings, clap::Error> {
        let survey = Survey::of(self, arguments)?;
        if survey.is_set(REFERENCE) {
            // Whoever asked and does not read the answer has nobody to be told that.
            let _ = std::io::stdout().write_all(self.reference().as_bytes());
            exit(0);
        }
        let Assembled { matches, effective, problems, unknown, exposed } = assembly::assemble(self, &survey);
        let (is_check, name) = (survey.is_set(CHECK), self.own.get_name().to_owned());
        Ok(Settings { matches, effective, problems, unknown, exposed, is_check, name })
    }

    /// The file of settings with every key, as documentation: nothing in it is set.
    #[must_use]
    pub fn reference(&self) -> String {
        reference::render(self)
    }

    /// Its keys: the arguments of the command that the file sets.
    pub(crate) fn schema(&self) -> Schema {
        Schema::of(&with_files(self.scoped().clone()))
    }

    /// The command line with what every program has.
    pub(crate) fn command(&self) -> Command {
        let command = recursively(self.own.clone(), &with_files);
        match self.scope {
            None => self.with_config(command),
            Some(name) => command.mut_subcommand(name, |command| self.with_config(command)),
        }
    }

    /// Which variable names the file.
    pub(crate) const fn variable(&self) -> &'static str {
        self.variable
    }

    /// The command that the file sets, as the program defines it.
    pub(crate) fn scoped(&self) -> &Command {
        let scoped = self.scope.and_then(|name| self.own.find_subcommand(name));
        scoped.unwrap_or(&self.own)
    }

    fn with_config(&self, command: Command) -> Command {
        let config = Arg::new(CONFIG)
            .long(CONFIG)
            .value_name("PATH")
            .env(self.variable)
            .value_parser(value_parser!(PathBuf))
            .global(true)
            .help(
                "TOML file of settings; a key is the name of a flag. The environment and flags go before it",
            );
        let check = Arg::new(CHECK).long(CHECK).action(ArgAction::SetTrue).help(
            "Check all settings as far as that is possible without starting, say where each comes from, and end",
        );
        let reference = Arg::new(REFERENCE).long(REFERENCE).action(ArgAction::SetTrue).hide(true);
        command.args([config, check, reference])
    }
}

/// A command and those below it, changed.
pub(crate) fn recursively(command: Command, change: &dyn Fn(Command) -> Command) -> Command {
    change(command).mut_subcommands(|below| recursively(below, change))
}

/// Adds, for each secret, the flag that names a file with it; unless the program has one of that name itself.
fn with_files(command: Command) -> Command {
    let secrets: Vec<Key> = Schema::of(&command).keys().filter(|key| key.is_secret()).cloned().collect();
    // One of the two is needed, which is seen when everything is read.
    let is_secret = |arg: &Arg| secrets.iter().any(|key| key.arg.get_id() == arg.get_id());
    let command = command.mut_args(|arg| if is_secret(&arg) { arg.required(false) } else { arg });
    secrets.iter().fold(command, |command, key| {
        let name = format!("{}{FILE_SUFFIX}", key.name);
        if command.get_arguments().any(|arg| arg.get_long() == Some(&name)) {
            return command;
        }
        let file = Arg::new(name.clone())
            .long(name)
            .value_name("PATH")
            .value_parser(value_parser!(PathBuf))
            .help(format!("File that holds what --{} is given otherwise, kept from others", key.name));
        match key.variable() {
            Some(variable) => command.arg(file.env(format!("{variable}_FILE"))),
            None => command.arg(file),
        }
    })
}
