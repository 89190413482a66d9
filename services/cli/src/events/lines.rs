//! Lines of events to publish, checked for their shape. What a type's data must be, the server knows.

use serde::Deserialize;
use serde_json::{Value, value::RawValue};
use signalbox_proto::v1::EventInput;

use crate::{
    error::Error,
    input::{self, lines},
};

/// The events in the lines of a file or of standard input.
pub(super) struct Lines(lines::Lines);

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
    pub(super) async fn open(path: &std::path::Path) -> Result<Self, Error> {
        Ok(Self(lines::Lines::open(path).await?))
    }

    /// The next line that is not empty; `None` after the last.
    pub(super) async fn next(&mut self) -> Result<Option<Line>, Error> {
        let line = self.0.next().await?;
        Ok(line.map(|line| Line { number: line.number, event: line.text.and_then(|text| event(&text)) }))
    }
}

fn event(text: &[u8]) -> Result<EventInput, String> {
    let form: Form<'_> = serde_json::from_slice(text).map_err(|error| {
        let fault = input::fault(&error);
        format!("expected {{\"type\", \"data\", \"subject\"?, \"agent_id\"?, \"time\"?}}: {fault}")
    })?;
    if !form.data.get().starts_with('{') {
        let value: Value = serde_json::from_str(form.data.get()).unwrap_or_default();
        return Err(format!("data: expected a JSON object, got {}", input::sort(&value)));
    }
    let time = form.time.as_deref().map(|text| input::moment("time", text)).transpose()?;
    Ok(EventInput {
        r#type: form.r#type,
        subject: form.subject,
        time,
        data: form.data.get().to_owned().into(),
        agent_id: form.agent_id,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

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
