//! What can be said of the arguments before anything is started.

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
        let mut problems = self.tls.problems();
        problems.extend(self.telemetry.problems());
        problems.extend(self.clone().into_configs().err().map(|error| Problem::named("id", &error)));
        if let Some(dir) = self.cwd.as_ref().filter(|dir| !dir.is_dir()) {
            problems.push(Problem::new("cwd", format!("expected a directory, got {}", dir.display())));
        }
        problems
    }
}
