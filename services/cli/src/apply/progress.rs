//! How far a file is applied, shown on a terminal and nowhere else.

use std::io::{self, IsTerminal as _};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A line on standard error, where that is a terminal.
pub(super) struct Progress {
    bar: ProgressBar,
    /// Whether results are written to a terminal too, where the line is in their way.
    is_shared: bool,
}

impl Progress {
    /// Of a file of so many bytes, or of what has no known end.
    pub(super) fn over(len: Option<u64>) -> Self {
        let target = ProgressDrawTarget::stderr();
        let (bar, template) = match len {
            Some(len) => {
                (ProgressBar::with_draw_target(Some(len), target), "[{bar:30}] {percent:>3}%  {msg}")
            }
            None => (ProgressBar::with_draw_target(None, target), "{spinner} {msg}"),
        };
        let style = ProgressStyle::with_template(template).expect("the templates are sound");
        Self { bar: bar.with_style(style.progress_chars("=> ")), is_shared: io::stdout().is_terminal() }
    }

    /// So many bytes were read, and so far it went.
    pub(super) fn at(&self, position: u64, told: String) {
        self.bar.set_position(position);
        self.bar.set_message(told);
    }

    /// Writes a note without the line in its way.
    pub(super) fn aside<T>(&self, write: impl FnOnce() -> T) -> T {
        self.bar.suspend(write)
    }

    /// Writes a result without the line in its way.
    pub(super) fn result<T>(&self, write: impl FnOnce() -> T) -> T {
        if self.is_shared { self.bar.suspend(write) } else { write() }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_can_be_shown() {
        for len in [Some(10), None] {
            let progress = Progress::over(len);
            progress.at(5, "1 applied".into());
            assert_eq!((progress.aside(|| 7), progress.result(|| 8)), (7, 8));
        }
    }
}
