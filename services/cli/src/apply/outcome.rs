//! What became of a line, for people and for programs.

use serde::Serialize;
use tonic_types::StatusExt as _;

use super::operation::Operation;
use crate::{
    error::{Error, code_name},
    events::without_place,
    output::plain,
};

/// What was done.
pub(super) struct Done {
    pub(super) outcome: Outcome,
    /// Its id or subject, as the server knows it.
    pub(super) id: String,
    /// The version of a resource; `None` when it has none any more, or was not asked for.
    pub(super) version: Option<u64>,
    /// Where the log has it; `None` when nothing was logged.
    pub(super) revision: Option<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Created,
    Updated,
    Deleted,
    Published,
    /// It had been done before.
    Unchanged,
    /// Its form is right; nothing was sent.
    Checked,
}

impl Outcome {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Deleted => "deleted",
            Self::Published => "published",
            Self::Unchanged => "unchanged",
            Self::Checked => "checked",
        }
    }
}

/// Why a line was refused.
pub(super) struct Refusal {
    pub(super) message: String,
    /// The canonical name of a gRPC code.
    pub(super) code: String,
    /// The fields at fault.
    pub(super) fields: Vec<String>,
}

impl Refusal {
    /// A line that was not sent, because of its form.
    pub(super) fn of_form(message: String) -> Self {
        let field = message.split_once(": ").map_or("", |(field, _)| field);
        let is_field = !field.is_empty() && field.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        let fields = if is_field { vec![field.to_owned()] } else { Vec::new() };
        Self { message, code: "INVALID_ARGUMENT".into(), fields }
    }

    /// What the server refused; the error itself where that is not what it says.
    pub(super) fn of_error(error: Error) -> Result<Self, Error> {
        let Error::Refused { status, .. } = error else { return Err(error) };
        let mut fields = Vec::new();
        let mut message = without_place(status.message()).to_owned();
        for violation in status.get_details_bad_request().into_iter().flat_map(|bad| bad.field_violations) {
            let (field, description) =
                (without_place(&violation.field), without_place(&violation.description));
            if !message.contains(description) {
                message.push_str(&format!("; {description}"));
            }
            if !message.contains(&format!("{field}: ")) {
                message.push_str(&format!(" (field {field})"));
            }
            fields.push(field.to_owned());
        }
        Ok(Self { message, code: code_name(status.code()).into(), fields })
    }
}

/// What became of a line, in JSON. Every line has every field.
#[derive(Serialize)]
pub(super) struct LineView<'a> {
    line: u64,
    op: Option<&'static str>,
    outcome: &'static str,
    kind: Option<&'a str>,
    r#type: Option<&'a str>,
    id: Option<&'a str>,
    version: Option<u64>,
    revision: Option<u64>,
    error: Option<&'a str>,
    code: Option<&'a str>,
    fields: &'a [String],
}

impl<'a> LineView<'a> {
    pub(super) fn done(line: u64, operation: &'a Operation, done: &'a Done) -> Self {
        let mut view = Self::about(line, Some(operation));
        view.outcome = done.outcome.word();
        view.id = Some(done.id.as_str()).filter(|id| !id.is_empty());
        (view.version, view.revision) = (done.version, done.revision);
        view
    }

    pub(super) fn refused(line: u64, operation: Option<&'a Operation>, refusal: &'a Refusal) -> Self {
        let mut view = Self::about(line, operation);
        view.error = Some(&refusal.message);
        view.code = Some(&refusal.code);
        view.fields = &refusal.fields;
        view
    }

    fn about(line: u64, operation: Option<&'a Operation>) -> Self {
        let given = |text: &'a str| Some(text).filter(|text| !text.is_empty());
        let (kind, id) = operation.map_or(("", ""), Operation::about);
        let is_publish = matches!(operation, Some(Operation::Publish(_)));
        Self {
            line,
            op: operation.map(Operation::word),
            outcome: "refused",
            kind: given(kind).filter(|_| !is_publish),
            r#type: given(kind).filter(|_| is_publish),
            id: given(id),
            version: None,
            revision: None,
            error: None,
            code: None,
            fields: &[],
        }
    }
}

/// What was done, in a line for people.
pub(super) fn done_line(line: u64, operation: &Operation, done: &Done) -> String {
    let (kind, _) = operation.about();
    let mut text = format!("line {line}: {} {}", done.outcome.word(), plain(kind));
    if !done.id.is_empty() {
        text.push_str(&format!(" {}", plain(&done.id)));
    }
    if let Some(version) = done.version {
        text.push_str(&format!(" version {version}"));
    }
    if let Some(revision) = done.revision {
        text.push_str(&format!(" at revision {revision}"));
    }
    text
}

/// Why a line was refused, in a line for people.
pub(super) fn refusal_line(line: u64, operation: Option<&Operation>, refusal: &Refusal) -> String {
    let what = operation.map(|operation| format!("cannot {}: ", operation.what())).unwrap_or_default();
    format!("line {line}: {}{} ({})", plain(&what), plain(&refusal.message), plain(&refusal.code))
}

#[cfg(test)]
mod tests {
    use tonic::{Code, Status};
    use tonic_types::ErrorDetails;

    use super::*;

    #[test]
    fn a_refusal_names_each_field_once() {
        let mut details = ErrorDetails::new();
        details.add_bad_request_violation("data.severity", "data.severity: expected HIGH or LOW");
        details.add_bad_request_violation("data.colour", "no such field");
        let message = "data.severity: expected HIGH or LOW";
        let status = Box::new(Status::with_error_details(Code::InvalidArgument, message, details));
        let error = Error::Refused { what: "create".into(), url: "u".into(), status };
        let refusal = Refusal::of_error(error).ok().unwrap();
        assert_eq!(
            refusal_line(3, None, &refusal),
            "line 3: data.severity: expected HIGH or LOW; no such field (field data.colour) (INVALID_ARGUMENT)"
        );
        assert_eq!(refusal.fields, ["data.severity", "data.colour"]);
    }

    #[test]
    fn a_form_that_is_wrong_names_its_field_where_there_is_one() {
        assert_eq!(Refusal::of_form("kind: expected a text".into()).fields, ["kind"]);
        assert!(Refusal::of_form("expected an operation: EOF".into()).fields.is_empty());
    }
}
