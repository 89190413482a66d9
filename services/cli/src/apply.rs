//! Applies a file of operations, line by line and in order. It must not know kinds or types.

mod key;
mod operation;
mod outcome;
mod progress;
mod settled;

use signalbox_proto::v1::{CreateResourceRequest, PublishRequest, Resource, UpdateResourceRequest};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use self::{
    key::{Keyed, Keys},
    operation::Operation,
    outcome::{Done, LineView, Outcome, Refusal, done_line, refusal_line},
    progress::Progress,
};
use crate::{
    args::{GlobalArgs, apply::ApplyArgs},
    client::{Client, retry_after},
    error::{Error, code_of},
    exit::Exit,
    input::lines::{Line, Lines},
    output::{Output, command::json, note},
    resource::read,
};

/// Applies the lines of a file; those that fail do not keep the others from being applied.
pub(crate) async fn run(global: &GlobalArgs, args: ApplyArgs, output: &mut Output) -> Result<(), Error> {
    let mut lines = Lines::open(&args.file).await?;
    let client = if args.dry_run { None } else { Some(Client::connect(global).await?) };
    let mut apply = Apply {
        client,
        output,
        progress: Progress::over(lines.len()),
        keys: Keys::default(),
        done: 0,
        unchanged: 0,
        refused: 0,
    };
    let ended = apply.all(&mut lines, args.stop_on_error).await;
    let summary = apply.summary();
    drop(apply.progress);
    if !ended.as_ref().is_err_and(|error| error.exit() == Exit::ReaderGone) {
        note(summary);
    }
    ended?;
    match apply.refused {
        0 => Ok(()),
        refused => Err(Error::LinesRefused { refused, total: refused + apply.done + apply.unchanged }),
    }
}

struct Apply<'a> {
    /// None where the form of the lines is checked, and nothing is sent.
    client: Option<Client>,
    output: &'a mut Output,
    progress: Progress,
    keys: Keys,
    done: u64,
    unchanged: u64,
    refused: u64,
}

impl Apply<'_> {
    async fn all(&mut self, lines: &mut Lines, stop_on_error: bool) -> Result<(), Error> {
        while let Some(line) = lines.next().await? {
            self.line(line).await?;
            self.progress.at(lines.position(), self.summary());
            if stop_on_error && self.refused > 0 {
                break;
            }
        }
        Ok(())
    }

    async fn line(&mut self, line: Line) -> Result<(), Error> {
        let said = line.text.and_then(|text| operation::parse(&text));
        let keyed = match said.and_then(|said| self.keys.give(said)) {
            Ok(keyed) => keyed,
            Err(wrong) => return self.refuse(line.number, None, &Refusal::of_form(wrong)),
        };
        let outcome = match &self.client {
            None => Ok(Done { outcome: Outcome::Checked, id: String::new(), version: None, revision: None }),
            Some(client) => Carrier { client, progress: &self.progress }.carry_out(&keyed).await,
        };
        match outcome {
            Ok(done) => self.tell(line.number, &keyed.operation, &done),
            // Nothing that comes would fare better.
            Err(error) if is_hopeless(&error) => Err(Error::ApplyStopped {
                line: line.number,
                applied: self.done + self.unchanged,
                source: Box::new(error),
            }),
            Err(error) => {
                let refusal = Refusal::of_error(error)?;
                self.refuse(line.number, Some(&keyed.operation), &refusal)
            }
        }
    }

    fn tell(&mut self, line: u64, operation: &Operation, done: &Done) -> Result<(), Error> {
        match done.outcome {
            Outcome::Unchanged => self.unchanged += 1,
            _ => self.done += 1,
        }
        let output = &mut *self.output;
        self.progress.result(|| {
            if output.is_json() {
                return output.json_line(&LineView::done(line, operation, done));
            }
            output.text(done_line(line, operation, done))
        })
    }

    fn refuse(&mut self, line: u64, operation: Option<&Operation>, refusal: &Refusal) -> Result<(), Error> {
        self.refused += 1;
        let output = &mut *self.output;
        self.progress.aside(|| {
            note(refusal_line(line, operation, refusal));
            if output.is_json() {
                return output.json_line(&LineView::refused(line, operation, refusal));
            }
            Ok(())
        })
    }

    fn summary(&self) -> String {
        let done = if self.client.is_some() { "applied" } else { "checked" };
        format!("{done}: {}; unchanged: {}; refused: {}", self.done, self.unchanged, self.refused)
    }
}

/// Whether an error is of the connection or of the token, not of what was asked.
fn is_hopeless(error: &Error) -> bool {
    let Error::Refused { status, .. } = error else { return true };
    retry_after(error).is_some() || matches!(status.code(), Code::Unauthenticated | Code::Unimplemented)
}

/// Has the server carry out operations, and sees what had been done before.
struct Carrier<'a> {
    client: &'a Client,
    progress: &'a Progress,
}

impl Carrier<'_> {
    async fn carry_out(&self, keyed: &Keyed) -> Result<Done, Error> {
        let what = keyed.operation.what();
        match &keyed.operation {
            Operation::Create(request) => self.create(&what, request, keyed.id_is_of_line).await,
            Operation::Update(request) => self.update(&what, request).await,
            Operation::Publish(request) => self.publish(&what, request).await,
            Operation::Delete(request) => {
                let call = || {
                    let (mut resources, request) = (self.client.resources(), request.clone());
                    async move { resources.delete_resource(request).await }
                };
                let (outcome, revision) = match self.client.call_again(&what, self.tell(), call).await {
                    Ok(deleted) => (Outcome::Deleted, Some(deleted.revision)),
                    Err(Error::Refused { status, .. }) if is_absent(&status) => (Outcome::Unchanged, None),
                    Err(error) => return Err(error),
                };
                Ok(Done { outcome, id: request.id.clone(), version: None, revision })
            }
        }
    }

    async fn create(
        &self,
        what: &str,
        request: &CreateResourceRequest,
        id_is_of_line: bool,
    ) -> Result<Done, Error> {
        let call = || {
            let (mut resources, request) = (self.client.resources(), request.clone());
            async move { resources.create_resource(request).await }
        };
        let error = match self.client.call_again(what, self.tell(), call).await {
            Ok(created) => {
                return Ok(done(Outcome::Created, &request.id, created.resource, created.revision));
            }
            Err(error) => error,
        };
        let Error::Refused { status, .. } = &error else { return Err(error) };
        if status.code() != Code::AlreadyExists {
            return Err(error);
        }
        let (there, _) = read(self.client, request.kind.clone(), request.id.clone()).await?;
        let asked = json(&request.data);
        match settled::differing(&asked, &json(&there.data)) {
            Some(field) if !id_is_of_line => {
                let field = format!("data.{field}");
                let message = format!("{field}: it exists already, with another value");
                Err(self.client.refused(what, refusal(Code::AlreadyExists, &field, &message)))
            }
            _ => Ok(unchanged(there.id, there.version)),
        }
    }

    async fn update(&self, what: &str, request: &UpdateResourceRequest) -> Result<Done, Error> {
        let call = || {
            let (mut resources, request) = (self.client.resources(), request.clone());
            async move { resources.update_resource(request).await }
        };
        let error = match self.client.call_again(what, self.tell(), call).await {
            Ok(updated) => {
                return Ok(done(Outcome::Updated, &request.id, updated.resource, updated.revision));
            }
            Err(error) => error,
        };
        let Error::Refused { status, .. } = &error else { return Err(error) };
        if status.code() != Code::Aborted {
            return Err(error);
        }
        // It has another version than expected: perhaps because this very change was made before.
        let (there, _) = read(self.client, request.kind.clone(), request.id.clone()).await?;
        if settled::changes_nothing(&json(&request.merge_patch), &json(&there.data)) {
            return Ok(unchanged(there.id, there.version));
        }
        Err(error)
    }

    async fn publish(&self, what: &str, request: &PublishRequest) -> Result<Done, Error> {
        let call = || {
            let (mut events, request) = (self.client.events(), request.clone());
            async move { events.publish(request).await }
        };
        let mut results = self.client.call_again(what, self.tell(), call).await?.results;
        let result = match (results.pop(), results.is_empty()) {
            (Some(result), true) => result,
            _ => return Err(Error::Answer { what: what.into(), problem: "has no result for the event" }),
        };
        if !result.error.is_empty() || !result.code.is_empty() {
            let field = result.error.split_once(": ").map_or("", |(field, _)| field);
            return Err(self.client.refused(what, refusal(code_of(&result.code), field, &result.error)));
        }
        let id = request.events.first().map(|event| event.subject.clone()).unwrap_or_default();
        Ok(Done { outcome: Outcome::Published, id, version: None, revision: Some(result.revision) })
    }

    /// Tells of an attempt that failed.
    fn tell(&self) -> impl Fn(std::fmt::Arguments<'_>) {
        |text| self.progress.aside(|| note(text))
    }
}

/// A change that was made, now or before: where it was made before, the resource may be gone since.
fn done(outcome: Outcome, id: &str, resource: Option<Resource>, revision: u64) -> Done {
    let version = resource.map(|resource| resource.version);
    Done { outcome, id: id.into(), version, revision: Some(revision) }
}

fn unchanged(id: String, version: u64) -> Done {
    Done { outcome: Outcome::Unchanged, id, version: Some(version), revision: None }
}

/// Whether the resource is what was not found, not its kind.
fn is_absent(status: &Status) -> bool {
    let violations = status.get_details_bad_request().map(|bad| bad.field_violations).unwrap_or_default();
    status.code() == Code::NotFound && violations.iter().all(|violation| violation.field != "kind")
}

/// A refusal of one field, as the server words those of whole calls.
fn refusal(code: Code, field: &str, message: &str) -> Status {
    let mut details = ErrorDetails::new();
    if !field.is_empty() {
        details.add_bad_request_violation(field, message);
    }
    Status::with_error_details(code, message, details)
}
