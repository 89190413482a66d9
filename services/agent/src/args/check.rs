//! What can be said of the arguments before anything is started.

use signalbox_agent::Config;
use signalbox_settings::{Check, Problem};

use super::{Action, Args, RunArgs};

impl Check for Args {
    fn problems(&self) -> Vec<Problem> {
        match &self.action {
            Action::Run(args) => args.problems(),
            Action::Simulate(args) => args.problems(),
            Action::Guard => Vec::new(),
        }
    }
}

impl Check for RunArgs {
    fn problems(&self) -> Vec<Problem> {
        let mut problems = self.telemetry.problems();
        match self.clone().into_configs() {
            Ok((config, _)) => problems.extend(unreachable(&config)),
            Err(error) => problems.push(Problem::named("id", &error)),
        }
        if let Some(dir) = self.cwd.as_ref().filter(|dir| !dir.is_dir()) {
            problems.push(Problem::new("cwd", format!("expected a directory, got {}", dir.display())));
        }
        problems
    }
}

/// What keeps an agent from connecting to its servers.
pub(super) fn unreachable(config: &Config) -> Vec<Problem> {
    let mut problems: Vec<_> = config.grpc_urls.iter().flat_map(|url| config.tls.problems_of(url)).collect();
    problems.dedup();
    problems
}
