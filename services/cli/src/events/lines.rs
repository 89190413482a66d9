//! Lines of events to publish: read one by one, bounded in length, and checked for their shape. What a type's
//! data must be, the server knows.

use std::{io, path::Path};

use serde::Deserialize;
use serde_json::{Value, value::RawValue};
use signalbox_proto::{timestamp, v1::EventInput};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, BufReader};

use crate::{error::Error, input};

/// Longest line, in bytes: data of 64 KiB, and room for the rest.
const LINE_LEN_MAX: usize = 96 * 1024;

/// The lines of a file or of standard input.
pub(super) struct Lines {
    source: Box<dyn AsyncBufRead + Send + Unpin>,
    /// Number of the line that was read last.
    number: u64,
    path: std::path::PathBuf,
}

/// A line that is not empty.
pub(super) struct Line {
    /// Its number, from 1.
    pub(super) number: u64,
    /// The event, or what is wrong with the line.
    pub(super) event: Result<EventInput, String>,
}

/// The form of a line.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Form<'a> {
    r#type: String,
    #[serde(default)]
    subject: String,
    #[serde(default)]
    agent_id: String,
    time: Option<String>,
    #[serde(borrow)]
    data: &'a RawValue,
}

impl Lines {
    /// Opens the file, or standard input where the path is `-`.
    pub(super) async fn open(path: &Path) -> Result<Self, Error> {
        let source: Box<dyn AsyncBufRead + Send + Unpin> = if path == Path::new("-") {
            Box::new(BufReader::new(tokio::io::stdin()))
        } else {
            let failed = |source| Error::Read { path: path.into(), source };
            Box::new(BufReader::new(tokio::fs::File::open(path).await.map_err(failed)?))
        };
        Ok(Self { source, number: 0, path: path.into() })
    }

    /// The next line that is not empty; `None` after the last.
    pub(super) async fn next(&mut self) -> Result<Option<Line>, Error> {
        loop {
            let read = self.read().await.map_err(|source| Error::Read { path: self.path.clone(), source })?;
            let Some(read) = read else { return Ok(None) };
            self.number += 1;
            let event = match &read {
                Ok(text) if text.trim_ascii().is_empty() => continue,
                Ok(text) => event(text),
                Err(TooLong) => Err(format!("expected at most {LINE_LEN_MAX} bytes, got more")),
            };
            return Ok(Some(Line { number: self.number, event }));
        }
    }

    /// One line, of which no more is held than a line may have.
    async fn read(&mut self) -> io::Result<Option<Result<Vec<u8>, TooLong>>> {
        let mut text = Vec::new();
        (&mut self.source).take(LINE_LEN_MAX as u64 + 1).read_until(b'\n', &mut text).await?;
        if text.last() == Some(&b'\n') || text.len() <= LINE_LEN_MAX {
            return Ok((!text.is_empty()).then_some(Ok(text)));
        }
        loop {
            let rest = self.source.fill_buf().await?;
            let (len, is_end) = match rest.iter().position(|byte| *byte == b'\n') {
                Some(at) => (at + 1, true),
                None => (rest.len(), rest.is_empty()),
            };
            self.source.consume(len);
            if is_end {
                return Ok(Some(Err(TooLong)));
            }
        }
    }
}

struct TooLong;

fn event(text: &[u8]) -> Result<EventInput, String> {
    let form: Form<'_> = serde_json::from_slice(text).map_err(|error| {
        format!("expected {{\"type\", \"data\", \"subject\"?, \"agent_id\"?, \"time\"?}}: {error}")
    })?;
    if !form.data.get().starts_with('{') {
        let value: Value = serde_json::from_str(form.data.get()).unwrap_or_default();
        return Err(format!("data: expected a JSON object, got {}", input::sort(&value)));
    }
    let time = form.time.as_deref().map(|text| {
        let moment = OffsetDateTime::parse(text, &Rfc3339);
        moment
            .map(timestamp)
            .map_err(|_| format!("time: expected a moment such as 2030-01-31T12:00:00Z, got {text:?}"))
    });
    Ok(EventInput {
        r#type: form.r#type,
        subject: form.subject,
        time: time.transpose()?,
        data: form.data.get().to_owned().into(),
        agent_id: form.agent_id,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(text: &[u8]) -> Vec<Line> {
        let source = Box::new(io::Cursor::new(text.to_owned()));
        let mut lines = Lines { source, number: 0, path: "-".into() };
        let mut all = Vec::new();
        while let Some(line) = lines.next().await.unwrap() {
            all.push(line);
        }
        all
    }

    #[tokio::test]
    async fn lines_keep_their_numbers_past_empty_and_bad_ones() {
        let long = "x".repeat(3 * LINE_LEN_MAX);
        let text = format!(
            "\n{{\"type\":\"a.b\",\"data\":{{}}}}\n  \r\n{long}\n[1]\n{{\"type\":\"a.b\",\"data\":{{}}}}"
        );
        let lines = read(text.as_bytes()).await;
        let told: Vec<_> = lines.iter().map(|line| (line.number, line.event.is_ok())).collect();
        assert_eq!(told, [(2, true), (4, false), (5, false), (6, true)]);
        assert!(lines[1].event.as_ref().unwrap_err().contains("at most 98304 bytes"));
    }

    #[tokio::test]
    async fn a_line_of_exactly_the_length_is_taken_with_or_without_its_end() {
        let head = r#"{"type":"a.b","data":{"x":""#;
        let line = format!("{head}{}\"}}}}", "y".repeat(LINE_LEN_MAX - head.len() - 3));
        assert_eq!(line.len(), LINE_LEN_MAX);
        for text in [line.clone(), format!("{line}\n"), format!("{line}\n{line}")] {
            assert!(read(text.as_bytes()).await.iter().all(|line| line.event.is_ok()));
        }
        assert!(read(format!("{line} \n{line}").as_bytes()).await[0].event.is_err());
    }

    #[test]
    fn a_line_is_checked_for_its_shape() {
        let good = event(br#"{"type":"a.b","data":{"n":1.50},"time":"1970-01-01T00:00:01Z","agent_id":"w"}"#)
            .unwrap();
        assert_eq!(&good.data[..], br#"{"n":1.50}"#, "data is passed on as it was written");
        assert_eq!(good.time.unwrap().seconds, 1);
        for (bad, said) in [
            (r#"{"type":"a.b"}"#, "missing field `data`"),
            (r#"{"type":"a.b","data":[1]}"#, "data: expected a JSON object, got an array"),
            (r#"{"type":"a.b","data":{},"time":"yesterday"}"#, "time: expected a moment"),
            (r#"{"type":"a.b","data":{},"tiem":"x"}"#, "unknown field `tiem`"),
            ("{", "EOF"),
        ] {
            let error = event(bad.as_bytes()).unwrap_err();
            assert!(error.contains(said), "{bad}: {error}");
        }
    }
}
