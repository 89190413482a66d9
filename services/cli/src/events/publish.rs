//! Publishes lines of events in batches, and tells which lines were refused. A batch whose fate is not known is
//! sent again under the same key, so that it has its effect once.

use serde::Serialize;
use signalbox_proto::v1::{EventInput, PublishRequest, PublishResult};
use tokio::sync::mpsc;
use tonic::Code;
use tonic_types::StatusExt as _;

use super::lines::{Line, Lines};
use crate::{
    client::{Client, idempotency_key},
    error::Error,
    output::{Output, note, plain},
};

/// The servers take at most this many events at once.
const BATCH_LEN_MAX: usize = 100;
/// Most bytes of text in a batch: well within what the servers take in one message.
const BATCH_BYTES_MAX: usize = 2 << 20;
const WHAT: &str = "publish events";

/// What became of a line, in JSON.
#[derive(Serialize)]
struct LineView<'a> {
    line: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<u64>,
    #[serde(skip_serializing_if = "str::is_empty")]
    error: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    code: &'a str,
}

/// Publishes the lines; those that are refused do not keep the others from being published.
pub(super) async fn publish(client: &Client, lines: Lines, output: &mut Output) -> Result<(), Error> {
    let (sender, mut receiver) = mpsc::channel(BATCH_LEN_MAX);
    // Lines are read while a batch is under way, and a batch leaves as soon as no more lines are waiting: what is
    // written to a pipe now and then is published at once.
    let reading = tokio::spawn(read(lines, sender));
    let mut publisher = Publisher { client, output, published: 0, refused: 0, revisions: None };
    let mut waiting = Vec::with_capacity(BATCH_LEN_MAX);
    while receiver.recv_many(&mut waiting, BATCH_LEN_MAX).await > 0 {
        while !waiting.is_empty() {
            let len = batch_len(&waiting);
            publisher.batch(waiting.drain(..len).collect()).await?;
        }
    }
    let read = reading.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
    publisher.summary();
    read?;
    match publisher.refused {
        0 => Ok(()),
        refused => Err(Error::LinesRefused { refused, total: refused + publisher.published }),
    }
}

async fn read(mut lines: Lines, sender: mpsc::Sender<Line>) -> Result<(), Error> {
    while let Some(line) = lines.next().await? {
        if sender.send(line).await.is_err() {
            // Publishing has stopped.
            break;
        }
    }
    Ok(())
}

/// How many of the lines fit into a batch, at least one.
fn batch_len(lines: &[Line]) -> usize {
    let mut bytes = 0;
    let fit = lines.iter().take_while(|line| {
        bytes += line.event.as_ref().map_or(0, text_len);
        bytes <= BATCH_BYTES_MAX
    });
    fit.count().max(1)
}

fn text_len(event: &EventInput) -> usize {
    event.data.len() + event.r#type.len() + event.subject.len() + event.agent_id.len()
}

struct Publisher<'a> {
    client: &'a Client,
    output: &'a mut Output,
    published: u64,
    refused: u64,
    /// The first and the last revision.
    revisions: Option<(u64, u64)>,
}

impl Publisher<'_> {
    async fn batch(&mut self, lines: Vec<Line>) -> Result<(), Error> {
        let (mut numbers, mut events) = (Vec::with_capacity(lines.len()), Vec::with_capacity(lines.len()));
        for line in lines {
            match line.event {
                Ok(event) => {
                    numbers.push(line.number);
                    events.push(event);
                }
                Err(error) => self.refuse(line.number, &error, "INVALID_ARGUMENT")?,
            }
        }
        let results = loop {
            let (Some(&first), Some(&last)) = (numbers.first(), numbers.last()) else { return Ok(()) };
            let source = match self.send(events.clone()).await {
                Ok(results) if results.len() == numbers.len() => break results,
                Ok(_) => Error::Answer { what: WHAT.into(), problem: "has no result for each event" },
                Err(error) => match culprit(&error, numbers.len()) {
                    // Nothing of the batch was logged because of this one: the others go without it.
                    Some((at, why)) => {
                        events.remove(at);
                        self.refuse(numbers.remove(at), without_place(&why), "INVALID_ARGUMENT")?;
                        continue;
                    }
                    None => error,
                },
            };
            return Err(Error::PublishStopped {
                line: first,
                published: self.published,
                unconfirmed: format!("{first} to {last}"),
                source: Box::new(source),
            });
        };
        for (number, result) in numbers.into_iter().zip(results) {
            if result.error.is_empty() && result.code.is_empty() {
                self.accept(number, result.revision)?;
            } else {
                self.refuse(number, without_place(&result.error), &result.code)?;
            }
        }
        Ok(())
    }

    async fn send(&self, events: Vec<EventInput>) -> Result<Vec<PublishResult>, Error> {
        let request = PublishRequest { events, idempotency_key: idempotency_key() };
        let call = || {
            let (mut events, request) = (self.client.events(), request.clone());
            async move { events.publish(request).await }
        };
        Ok(self.client.call_again(WHAT, |text| note(text), call).await?.results)
    }

    fn accept(&mut self, line: u64, revision: u64) -> Result<(), Error> {
        self.published += 1;
        let (first, _) = *self.revisions.get_or_insert((revision, revision));
        self.revisions = Some((first, revision));
        if self.output.is_json() {
            self.output.json_line(&LineView { line, revision: Some(revision), error: "", code: "" })?;
        }
        Ok(())
    }

    fn refuse(&mut self, line: u64, error: &str, code: &str) -> Result<(), Error> {
        self.refused += 1;
        note(format_args!("line {line}: {} ({})", plain(error), plain(code)));
        if self.output.is_json() {
            self.output.json_line(&LineView { line, revision: None, error, code })?;
        }
        Ok(())
    }

    fn summary(&self) {
        match self.revisions {
            Some((first, last)) => note(format_args!(
                "published: {}, at revisions {first} to {last}; refused: {}",
                self.published, self.refused
            )),
            None => note(format_args!("published: 0; refused: {}", self.refused)),
        }
    }
}

/// Without the place in the batch, `events[1].`: it is the line that people know.
pub(crate) fn without_place(error: &str) -> &str {
    place(error).map_or(error, |(_, rest)| rest)
}

/// The place in the batch that a text begins with, and what follows it.
fn place(text: &str) -> Option<(usize, &str)> {
    let (place, rest) = text.strip_prefix("events[")?.split_once("].")?;
    Some((place.parse().ok()?, rest))
}

/// The event for whose sake a batch was refused as a whole, where the refusal names it, and why.
fn culprit(error: &Error, len: usize) -> Option<(usize, String)> {
    let Error::Refused { status, .. } = error else { return None };
    if status.code() != Code::InvalidArgument {
        return None;
    }
    let violations = status.get_details_bad_request()?.field_violations;
    let at = violations.iter().find_map(|violation| place(&violation.field).map(|(at, _)| at))?;
    (at < len).then(|| (at, status.message().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(data_len: usize) -> Line {
        let event = EventInput { data: vec![b' '; data_len].into(), ..EventInput::default() };
        Line { number: 1, event: Ok(event) }
    }

    #[test]
    fn a_refusal_names_the_field_without_its_place_in_the_batch() {
        assert_eq!(without_place("events[12].type: unknown"), "type: unknown");
        for whole in ["type: unknown", "events[x].type", "events[+].type", "events[1]", ""] {
            assert_eq!(without_place(whole), whole);
        }
    }

    #[test]
    fn a_batch_is_bounded_in_bytes_and_never_empty() {
        assert_eq!(batch_len(&[line(BATCH_BYTES_MAX / 2), line(BATCH_BYTES_MAX / 2), line(1)]), 2);
        assert_eq!(batch_len(&[line(BATCH_BYTES_MAX + 1), line(1)]), 1);
        let subject = EventInput { subject: "s".repeat(BATCH_BYTES_MAX / 2 + 1), ..EventInput::default() };
        let wordy = || Line { number: 1, event: Ok(subject.clone()) };
        assert_eq!(batch_len(&[wordy(), wordy()]), 1, "what is no data counts too");
        assert_eq!(batch_len(&[line(1), Line { number: 2, event: Err("bad".into()) }]), 2);
    }
}
