//! The end of reading settings: they are good and the program starts, or everything that is wrong is told at once.

use std::{
    fmt::Write as _,
    io::{self, Write as _},
    process::ExitCode,
};

use clap::FromArgMatches;

use crate::{Problem, Profile, Settings, production, production::Posture};

/// How a program ends whose settings are wrong, as for a command line that is wrong.
const EXIT_WRONG: u8 = 2;

/// What can be said of a program's settings without starting it.
pub trait Check {
    /// What is wrong with them: everything, not only the first.
    fn problems(&self) -> Vec<Problem>;

    /// What production looks at; `None` for programs that have no profile.
    fn posture(&self) -> Option<Posture> {
        None
    }
}

/// Settings with which a program can start.
#[derive(Debug)]
pub struct Loaded<C> {
    /// The settings.
    pub config: C,
    /// What is not well and does not keep it from starting.
    pub warnings: Warnings,
}

/// What is not well with settings that can be used.
#[derive(Debug, Default)]
#[must_use = "somebody is to be warned"]
pub struct Warnings(Vec<String>);

impl Warnings {
    /// Logs them, once logs are set up.
    pub fn log(&self) {
        self.0.iter().for_each(|warning| tracing::warn!("{warning}"));
    }
}

/// What was found, and is to be told instead of starting.
#[derive(Debug)]
pub struct Report {
    shown: String,
    problems: Vec<Problem>,
    code: u8,
}

impl Settings {
    /// The settings, if they are good and no check was asked for. Otherwise what is to be told.
    ///
    /// # Errors
    ///
    /// The report, which also says how the program is to end.
    pub fn finish<C: FromArgMatches + Check>(mut self) -> Result<Loaded<C>, Report> {
        let mut problems = std::mem::take(&mut self.problems);
        let mut warnings: Vec<String> = Vec::new();
        let config = match self.matches.as_ref().map(C::from_arg_matches) {
            Some(Ok(config)) => {
                let found = config.problems().into_iter().chain(self.refusals(&config, &mut warnings));
                problems.extend(found.filter(|problem| !self.unknown.iter().any(|key| key == problem.key())));
                Some(config)
            }
            Some(Err(error)) => {
                problems.push(Problem::of("command line", &error));
                None
            }
            None => None,
        };
        match config {
            Some(config) if problems.is_empty() && !self.is_check => {
                Ok(Loaded { config, warnings: Warnings(warnings) })
            }
            _ => Err(self.report(problems, &warnings)),
        }
    }

    /// As [`Settings::finish`], and ends the process where that is to be done.
    ///
    /// # Errors
    ///
    /// How the program is to end, once everything was told.
    pub fn finish_or_tell<C: FromArgMatches + Check>(self) -> Result<Loaded<C>, ExitCode> {
        self.finish().map_err(|report| report.tell())
    }

    /// What production refuses. Secrets that others can read are only warned of where it is not production.
    fn refusals(&self, config: &impl Check, warnings: &mut Vec<String>) -> Vec<Problem> {
        let mut posture = config.posture().unwrap_or_else(|| Posture::of(Profile::Development));
        posture.exposed.extend(self.exposed.iter().cloned());
        if posture.profile == Profile::Development {
            warnings.extend(posture.exposed.iter().map(|exposed| format!("{}: {exposed}", exposed.key())));
        }
        production::refusals(&posture)
    }

    fn report(&self, problems: Vec<Problem>, warnings: &[String]) -> Report {
        if !self.is_check {
            return Report { shown: String::new(), problems, code: EXIT_WRONG };
        }
        let mut shown = self.table();
        for warning in warnings {
            let _ = writeln!(shown, "warning: {warning}");
        }
        if problems.is_empty() {
            let _ = writeln!(shown, "{}: the configuration is good", self.name);
        }
        let code = u8::from(!problems.is_empty());
        Report { shown, problems, code }
    }

    fn table(&self) -> String {
        let width = |of: &dyn Fn(&crate::effective::Setting) -> String| {
            self.effective.iter().map(|setting| of(setting).chars().count()).max().unwrap_or_default()
        };
        let names = width(&|setting| setting.name().to_owned());
        // One long value is not to push all the others aside.
        let values = width(&|setting| setting.value()).min(48);
        let mut table = String::new();
        for setting in &self.effective {
            let (name, value, source) = (setting.name(), setting.value(), setting.source());
            let _ = writeln!(table, "{name:names$}  {value:values$}  {source}");
        }
        table
    }
}

impl Report {
    /// Every problem that was found.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// The settings as a check shows them; empty where none was asked for.
    #[must_use]
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// Writes it all, and says how the program is to end.
    #[must_use]
    pub fn tell(&self) -> ExitCode {
        // Whoever does not listen has nobody to be told that.
        let _ = io::stdout().write_all(self.shown.as_bytes());
        let _ = io::stdout().flush();
        let mut told = String::new();
        for problem in &self.problems {
            let _ = writeln!(told, "error: {problem}");
        }
        let _ = io::stderr().write_all(told.as_bytes());
        ExitCode::from(self.code)
    }
}
