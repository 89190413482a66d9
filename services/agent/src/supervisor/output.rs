//! What the program writes, as log lines: split at line ends, and where a line does not end, at 16 KiB.

use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    task::JoinSet,
};

use super::program::Output;
use crate::{
    commands::JsonObject,
    handle::object,
    logs::{LogLine, LogWriter, MESSAGE_LEN_MAX},
};

/// Read from a pipe at once, in bytes.
const READ_LEN: usize = 8 * 1024;
/// Longest character, in bytes of UTF-8.
const CHARACTER_LEN_MAX: usize = 4;

/// Forwards what the program writes until it closes its pipes. Servers log normal lines to standard error, so
/// that is `monitor` and not `error`.
pub(super) fn forward(tasks: &mut JoinSet<()>, output: Output, pid: u32, writer: &LogWriter) {
    if let Some(stdout) = output.stdout {
        tasks.spawn(forward_stream(stdout, "agent", data("stdout", pid), writer.clone()));
    }
    if let Some(stderr) = output.stderr {
        tasks.spawn(forward_stream(stderr, "monitor", data("stderr", pid), writer.clone()));
    }
}

fn data(stream: &str, pid: u32) -> JsonObject {
    object(serde_json::json!({"stream": stream, "pid": pid}))
}

async fn forward_stream(
    mut stream: impl AsyncRead + Unpin,
    category: &'static str,
    data: JsonObject,
    writer: LogWriter,
) {
    let mut lines = Lines::default();
    let mut bytes = vec![0; READ_LEN];
    loop {
        let len = match stream.read(&mut bytes).await {
            Ok(0) => break,
            Ok(len) => len,
            Err(error) => {
                tracing::warn!(%error, category, "the program's output cannot be read");
                break;
            }
        };
        for message in lines.push(&bytes[..len]) {
            writer.write(LogLine { category, message, data: data.clone() }).await;
        }
    }
    if let Some(message) = lines.finish() {
        writer.write(LogLine { category, message, data }).await;
    }
}

/// Bytes that become lines.
#[derive(Debug, Default)]
struct Lines {
    /// Of the line that has not ended; shorter than [`MESSAGE_LEN_MAX`].
    begun: Vec<u8>,
}

impl Lines {
    /// Takes bytes, and answers the lines that they complete.
    fn push(&mut self, mut bytes: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        while !bytes.is_empty() {
            let room = MESSAGE_LEN_MAX - self.begun.len();
            let near = &bytes[..room.min(bytes.len())];
            if let Some(end) = near.iter().position(|byte| *byte == b'\n') {
                self.begun.extend_from_slice(&near[..end]);
                bytes = &bytes[end + 1..];
                let mut line = std::mem::take(&mut self.begun);
                line.pop_if(|last| *last == b'\r');
                lines.push(text(&line));
            } else {
                self.begun.extend_from_slice(near);
                bytes = &bytes[near.len()..];
                if self.begun.len() == MESSAGE_LEN_MAX {
                    // A character that the cut would break goes to the next line.
                    let rest = self.begun.split_off(whole_characters(&self.begun));
                    lines.push(text(&std::mem::replace(&mut self.begun, rest)));
                }
            }
        }
        lines
    }

    /// The line that never ended.
    fn finish(self) -> Option<String> {
        (!self.begun.is_empty()).then(|| text(&self.begun))
    }
}

/// The length without a character at the end that is not there as a whole.
fn whole_characters(bytes: &[u8]) -> usize {
    let tail = bytes.len().saturating_sub(CHARACTER_LEN_MAX - 1);
    let first = bytes[tail..].iter().rposition(|byte| byte & 0b1100_0000 == 0b1100_0000);
    match first.map(|at| tail + at) {
        Some(first) if std::str::from_utf8(&bytes[first..]).is_err() => first,
        _ => bytes.len(),
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(chunks: &[&[u8]]) -> Vec<String> {
        let mut lines = Lines::default();
        let mut all: Vec<_> = chunks.iter().flat_map(|chunk| lines.push(chunk)).collect();
        all.extend(lines.finish());
        all
    }

    #[test]
    fn lines_end_where_the_program_ends_them_however_they_arrive() {
        assert_eq!(lines(&[b"a\nb\r\n", b"\nc", b"d\n", b"e"]), ["a", "b", "", "cd", "e"]);
        assert_eq!(lines(&[b"a\r", b"\nb"]), ["a", "b"]);
        assert!(lines(&[]).is_empty());
    }

    #[test]
    fn what_is_no_utf_8_is_shown_as_such_and_control_characters_stay() {
        assert_eq!(lines(&[b"a\xffb\x1b[0m\x00\n"]), ["a\u{fffd}b\u{1b}[0m\u{0}"]);
    }

    #[test]
    fn a_line_without_end_is_cut_between_characters() {
        let long = format!("a{}\n", "ä".repeat(MESSAGE_LEN_MAX));
        let cut = lines(&[long.as_bytes()]);
        assert_eq!(cut.concat(), long.trim_end());
        assert!(cut.iter().all(|line| line.len() <= MESSAGE_LEN_MAX && !line.contains('\u{fffd}')));
        let exact = "x".repeat(MESSAGE_LEN_MAX);
        assert_eq!(lines(&[exact.as_bytes(), b"\n"]), [exact.as_str(), ""]);
    }
}
