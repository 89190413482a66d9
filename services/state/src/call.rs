//! What `signalbox-state` can be called for, and the settings of each.

use clap::{ArgMatches, Args as _, Command, CommandFactory as _, FromArgMatches};
use secrecy::SecretString;
use signalbox_settings::{Check, Problem, Program, production::Posture};
use signalbox_state::Config;

/// What is called after a restore, instead of serving.
const NEW_EPOCH: &str = "new-epoch";

/// Give every log a new epoch after a restore from a backup, so that cursors of before are refused.
#[derive(Debug, clap::Args)]
pub(crate) struct NewEpoch {
    /// Postgres, such as `postgres://user:password@host/database`.
    #[arg(long, env = "SIGNALBOX_DATABASE_URL", hide_env_values = true)]
    pub(crate) database_url: SecretString,
}

/// What the program is called for.
#[derive(Debug)]
pub(crate) enum Call {
    Serve(Box<Config>),
    NewEpoch(NewEpoch),
}

/// The program.
pub(crate) fn program() -> Program {
    let new_epoch = NewEpoch::augment_args(Command::new(NEW_EPOCH));
    // What serving needs is not asked for where nothing is served.
    Program::new(Config::command().subcommand_negates_reqs(true).subcommand(new_epoch))
}

impl FromArgMatches for Call {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        match matches.subcommand() {
            Some((_, given)) => NewEpoch::from_arg_matches(given).map(Self::NewEpoch),
            None => Config::from_arg_matches(matches).map(|config| Self::Serve(Box::new(config))),
        }
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Check for Call {
    fn problems(&self) -> Vec<Problem> {
        match self {
            Self::Serve(config) => config.problems(),
            Self::NewEpoch(_) => Vec::new(),
        }
    }

    fn posture(&self) -> Option<Posture> {
        match self {
            Self::Serve(config) => config.posture(),
            Self::NewEpoch(_) => None,
        }
    }
}
