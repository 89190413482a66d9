//! Writes results to standard output, for people or for programs, and notes to standard error. Colours vanish
//! where the stream is no terminal. It must not know where the results came from.

pub(crate) mod agent;
pub(crate) mod audit;
pub(crate) mod command;
pub(crate) mod enrolment;
pub(crate) mod event;
pub(crate) mod key;
pub(crate) mod kind;
pub(crate) mod profile;
pub(crate) mod resource;
pub(crate) mod tenant;
pub(crate) mod time;

use std::{
    borrow::Cow,
    fmt::Display,
    io::{self, Write as _},
    os::fd::AsFd as _,
};

use anstream::AutoStream;
use comfy_table::{Table, presets};
use serde::Serialize;
use tokio::{io::Interest, net::unix::pipe};

use crate::{args::Format, error::Error};

/// Standard output.
pub(crate) struct Output {
    format: Format,
    stdout: AutoStream<io::Stdout>,
}

impl Output {
    /// Standard output, in this format.
    pub(crate) fn new(format: Format) -> Self {
        Self { format, stdout: anstream::stdout() }
    }

    /// Whether programs read it.
    pub(crate) fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// Writes lines for people.
    pub(crate) fn text(&mut self, text: impl Display) -> Result<(), Error> {
        writeln!(self.stdout, "{text}").and_then(|()| self.stdout.flush()).map_err(Error::Write)
    }

    /// Writes a table for people. Its lines are as long as they are: a terminal folds them better than a table
    /// folds its cells, and what is found in a line stays in it.
    pub(crate) fn table(&mut self, table: Table) -> Result<(), Error> {
        self.text(rendered(table))
    }

    /// Writes one JSON document.
    pub(crate) fn document(&mut self, value: &impl Serialize) -> Result<(), Error> {
        verbatim(&serde_json::to_string_pretty(value).map_err(|error| Error::Write(error.into()))?)
    }

    /// Writes one JSON object in a line, of a stream of them.
    pub(crate) fn json_line(&mut self, value: &impl Serialize) -> Result<(), Error> {
        verbatim(&serde_json::to_string(value).map_err(|error| Error::Write(error.into()))?)
    }
}

/// The text of a table: two spaces between its columns, and none around it.
fn rendered(mut table: Table) -> String {
    table.column_iter_mut().for_each(|column| {
        column.set_padding((0, 2));
    });
    table.trim_fmt()
}

/// Waits until nobody reads standard output any more, and says so as a failed write would. A stream that has
/// nothing to write for a while would not notice.
pub(crate) async fn reader_gone() -> Error {
    let stdout = io::stdout().as_fd().try_clone_to_owned();
    // It is only watched, never written to: the descriptor stays in the mode in which it was handed down. What is
    // neither pipe nor terminal, such as a file, cannot be watched, and has no reader that could go.
    if let Ok(stdout) = stdout.and_then(pipe::Sender::from_owned_fd_unchecked)
        && stdout.ready(Interest::ERROR).await.is_ok_and(|ready| ready.is_error())
    {
        return Error::Write(io::ErrorKind::BrokenPipe.into());
    }
    std::future::pending().await
}

/// Writes JSON to standard output past the filter for colours, which would take certain characters for theirs.
fn verbatim(text: &str) -> Result<(), Error> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{}", escaped(text)).and_then(|()| stdout.flush()).map_err(Error::Write)
}

/// The same JSON, with what would steer a terminal escaped: JSON itself asks that only of the first 32 characters.
/// Those meant here stand in strings, where an escape is the same character.
fn escaped(json: &str) -> Cow<'_, str> {
    let hidden = |c: char| steers(c) && c != '\n';
    if !json.chars().any(hidden) {
        return Cow::Borrowed(json);
    }
    let mut text = String::with_capacity(json.len() + 8);
    for c in json.chars() {
        if hidden(c) {
            text.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            text.push(c);
        }
    }
    Cow::Owned(text)
}

/// Besides control characters: what turns the direction of the text around, and what ends a line. All are in the
/// basic plane.
fn steers(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Tells something to people who may be looking on: on standard error, which is no part of the result.
pub(crate) fn note(text: impl Display) {
    // Where nobody listens, there is nobody to tell.
    let _ = writeln!(anstream::stderr(), "{text}");
}

/// A text that comes from elsewhere, with its control characters made visible: it cannot steer the terminal, nor
/// pretend to be several lines.
pub(crate) fn plain(text: &str) -> Cow<'_, str> {
    if !text.chars().any(steers) {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '\t' => plain.push(' '),
            '\n' => plain.push_str("\\n"),
            '\r' => plain.push_str("\\r"),
            c if steers(c) => plain.extend(c.escape_unicode()),
            c => plain.push(c),
        }
    }
    Cow::Owned(plain)
}

/// At most so many characters of a text; the last of them says when there were more.
pub(crate) fn shortened(text: &str, chars_max: usize) -> Cow<'_, str> {
    match text.char_indices().nth(chars_max) {
        None => Cow::Borrowed(text),
        Some(_) => Cow::Owned(text.chars().take(chars_max - 1).chain(['…']).collect()),
    }
}

/// A table without lines, the form that both people and line-wise tools read.
pub(crate) fn table<'a>(header: impl IntoIterator<Item = &'a str>) -> Table {
    let mut table = bare_table();
    table.set_header(header);
    table
}

/// A table of fields and their values.
pub(crate) fn bare_table() -> Table {
    let mut table = Table::new();
    // Colours are always there; the stream takes them away where they are not wanted.
    table.load_style(presets::NOTHING).enforce_styling();
    table.style_text_only();
    table
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn control_characters_become_visible() {
        assert_eq!(plain("\u{1b}[31mred\nnext\u{202e}"), "\\u{1b}[31mred\\nnext\\u{202e}");
        assert!(matches!(plain("plain, ä and 語"), Cow::Borrowed(_)));
    }

    #[test]
    fn a_long_text_is_cut_at_a_character() {
        assert_eq!(shortened("äöü", 3), "äöü");
        assert_eq!(shortened("äöüß", 3), "äö…");
    }

    #[test]
    fn json_keeps_its_lines_and_hides_what_steers_a_terminal() {
        assert_eq!(
            escaped("{\n  \"a\": \"ä\u{9b}2J\u{7f}\u{202e}\"\n}"),
            "{\n  \"a\": \"ä\\u009b2J\\u007f\\u202e\"\n}"
        );
    }

    proptest! {
        #[test]
        fn json_means_the_same_when_escaped(text in any::<String>()) {
            let json = serde_json::to_string(&text).unwrap();
            let escaped = escaped(&json);
            prop_assert!(!escaped.chars().any(steers));
            prop_assert_eq!(serde_json::from_str::<String>(&escaped).unwrap(), text);
        }

        #[test]
        fn no_text_keeps_a_control_character(text in any::<String>()) {
            prop_assert!(!plain(&text).chars().any(char::is_control));
        }
    }
}
