//! What people see while they wait: a spinner on a terminal, plain lines elsewhere, both on standard error.
//!
//! It must not know what is being waited for.

use std::{
    io::IsTerminal as _,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};
use owo_colors::OwoColorize as _;

/// How often a spinner moves.
const SPINNER_TICK: Duration = Duration::from_millis(100);

/// One thing that is being done, with its time.
///
/// Dropped without [`Step::done`] it leaves no line: whoever fails says so itself.
pub(crate) struct Step {
    bar: Option<ProgressBar>,
    started: Instant,
    label: String,
}

impl Step {
    /// Tells that something has begun.
    pub(crate) fn start(label: impl Into<String>) -> Self {
        let label = label.into();
        let bar = std::io::stderr().is_terminal().then(|| {
            let style =
                ProgressStyle::with_template("{spinner:.cyan} {prefix} {wide_msg:.dim} {elapsed:.dim}")
                    .expect("the template is well-formed");
            let bar = ProgressBar::new_spinner().with_style(style).with_prefix(label.clone());
            bar.enable_steady_tick(SPINNER_TICK);
            bar
        });
        if bar.is_none() {
            anstream::eprintln!("   {label} …");
        }
        Self { bar, started: Instant::now(), label }
    }

    /// Tells how far it is. Shown on a terminal only, where it costs no line.
    pub(crate) fn detail(&self, detail: impl Into<String>) {
        if let Some(bar) = &self.bar {
            bar.set_message(detail.into());
        }
    }

    /// Tells that it is done, and what came out of it.
    pub(crate) fn done(self, outcome: &str) {
        let time = seconds(self.started.elapsed());
        let line = format!("{} {} {} {}", "ok".green().bold(), self.label, outcome.dimmed(), time.dimmed());
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        anstream::eprintln!("{line}");
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Tells something worth knowing.
pub(crate) fn note(text: &str) {
    anstream::eprintln!("{} {text}", "--".cyan());
}

/// A time as people read it.
pub(crate) fn seconds(time: Duration) -> String {
    if time < Duration::from_secs(1) {
        format!("{} ms", time.as_millis())
    } else if time < Duration::from_secs(100) {
        format!("{:.1} s", time.as_secs_f64())
    } else {
        format!("{} min {:02} s", time.as_secs() / 60, time.as_secs() % 60)
    }
}
