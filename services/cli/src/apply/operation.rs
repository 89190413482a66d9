//! The form of a line: one operation. What a kind's data must be, the server knows.

use serde::Deserialize;
use serde_json::Value;
use signalbox_proto::v1::{
    CreateResourceRequest, DeleteResourceRequest, EventInput, PublishRequest, UpdateResourceRequest,
};

use crate::{input, resource::named};

/// One operation, as the server is asked for it. Objects are in one order and without spaces: what is the same is
/// written in the same way.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Operation {
    Create(CreateResourceRequest),
    Update(UpdateResourceRequest),
    Delete(DeleteResourceRequest),
    Publish(PublishRequest),
}

/// What a line says.
pub(super) struct Said {
    pub(super) operation: Operation,
    /// The idempotency key that it gives.
    pub(super) key: Option<String>,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Op {
    Create,
    Update,
    Delete,
    Publish,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    op: Op,
    kind: Option<String>,
    id: Option<String>,
    data: Option<Value>,
    patch: Option<Value>,
    expected_version: Option<u64>,
    r#type: Option<String>,
    subject: Option<String>,
    agent_id: Option<String>,
    time: Option<String>,
    key: Option<String>,
}

impl Operation {
    /// The word of a line for it.
    pub(super) const fn word(&self) -> &'static str {
        match self {
            Self::Create(_) => "create",
            Self::Update(_) => "update",
            Self::Delete(_) => "delete",
            Self::Publish(_) => "publish",
        }
    }

    /// What it is about: the kind or the type, and the id or the subject.
    pub(super) fn about(&self) -> (&str, &str) {
        match self {
            Self::Create(request) => (&request.kind, &request.id),
            Self::Update(request) => (&request.kind, &request.id),
            Self::Delete(request) => (&request.kind, &request.id),
            Self::Publish(request) => {
                request.events.first().map_or(("", ""), |event| (&event.r#type, &event.subject))
            }
        }
    }

    /// What completes "cannot …".
    pub(super) fn what(&self) -> String {
        let (kind, id) = self.about();
        format!("{} {}", self.word(), named(kind, id))
    }
}

/// Reads a line; otherwise what is wrong with it.
pub(super) fn parse(text: &[u8]) -> Result<Said, String> {
    let form: Form = serde_json::from_slice(text)
        .map_err(|error| format!("expected an operation: {}", input::fault(&error)))?;
    if form.key.as_ref().is_some_and(String::is_empty) {
        return Err("key: expected a text that is not empty".into());
    }
    let key = form.key.clone();
    Ok(Said { operation: form.operation()?, key })
}

impl Form {
    fn operation(mut self) -> Result<Operation, String> {
        let operation = match self.op {
            Op::Create => Operation::Create(CreateResourceRequest {
                kind: required("kind", self.kind.take())?,
                id: self.id.take().unwrap_or_default(),
                data: object("data", self.data.take())?,
                idempotency_key: String::new(),
            }),
            Op::Update => Operation::Update(UpdateResourceRequest {
                kind: required("kind", self.kind.take())?,
                id: required("id", self.id.take())?,
                merge_patch: object("patch", self.patch.take())?,
                expected_version: self.expected_version.take().unwrap_or_default(),
                idempotency_key: String::new(),
            }),
            Op::Delete => Operation::Delete(DeleteResourceRequest {
                kind: required("kind", self.kind.take())?,
                id: required("id", self.id.take())?,
                expected_version: self.expected_version.take().unwrap_or_default(),
                idempotency_key: String::new(),
            }),
            Op::Publish => Operation::Publish(PublishRequest {
                events: vec![EventInput {
                    r#type: required("type", self.r#type.take())?,
                    subject: self.subject.take().unwrap_or_default(),
                    time: self.time.take().map(|text| input::moment("time", &text)).transpose()?,
                    data: object("data", self.data.take())?,
                    agent_id: self.agent_id.take().unwrap_or_default(),
                }],
                idempotency_key: String::new(),
            }),
        };
        match self.left() {
            Some(field) => Err(format!("{field}: not expected where op is {}", operation.word())),
            None => Ok(operation),
        }
    }

    /// A field that the operation has no use for.
    fn left(&self) -> Option<&'static str> {
        [
            ("kind", self.kind.is_some()),
            ("id", self.id.is_some()),
            ("data", self.data.is_some()),
            ("patch", self.patch.is_some()),
            ("expected_version", self.expected_version.is_some()),
            ("type", self.r#type.is_some()),
            ("subject", self.subject.is_some()),
            ("agent_id", self.agent_id.is_some()),
            ("time", self.time.is_some()),
        ]
        .into_iter()
        .find_map(|(field, is_there)| is_there.then_some(field))
    }
}

fn required(field: &str, text: Option<String>) -> Result<String, String> {
    match text {
        Some(text) if !text.is_empty() => Ok(text),
        Some(_) => Err(format!("{field}: expected a text that is not empty")),
        None => Err(format!("{field}: expected a text, got nothing")),
    }
}

fn object<T: From<String>>(field: &str, value: Option<Value>) -> Result<T, String> {
    match value {
        Some(mut value @ Value::Object(_)) => {
            value.sort_all_objects();
            Ok(value.to_string().into())
        }
        Some(other) => Err(format!("{field}: expected a JSON object, got {}", input::sort(&other))),
        None => Err(format!("{field}: expected a JSON object, got nothing")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(line: &str) -> String {
        parse(line.as_bytes()).err().unwrap_or_else(|| panic!("taken: {line}"))
    }

    #[test]
    fn each_operation_has_its_fields() {
        let taken = |line: &str| parse(line.as_bytes()).unwrap().operation;
        let Operation::Create(create) =
            taken(r#"{"op":"create","kind":"rule","data":{"b":{"d":1,"c":2},"a":[ 1 ]}}"#)
        else {
            panic!("no create")
        };
        assert_eq!(&create.data[..], br#"{"a":[1],"b":{"c":2,"d":1}}"#);
        let Operation::Publish(publish) =
            taken(r#"{"op":"publish","type":"a.b","data":{},"time":"1970-01-01T00:00:01Z","key":"k"}"#)
        else {
            panic!("no publish")
        };
        assert_eq!(publish.events[0].time.unwrap().seconds, 1);
        let update = taken(r#"{"op":"update","kind":"rule","id":"r","patch":{},"expected_version":2}"#);
        assert_eq!(update.what(), "update rule r");
    }

    #[test]
    fn what_is_no_operation_is_told_with_the_field() {
        for (line, said) in [
            ("[", "expected an operation: "),
            (r#"{"op":"drop"}"#, "unknown variant `drop`, expected one of `create`"),
            (r#"{"kind":"rule"}"#, "missing field `op`"),
            (r#"{"op":"create","data":{}}"#, "kind: expected a text, got nothing"),
            (r#"{"op":"create","kind":"","data":{}}"#, "kind: expected a text that is not empty"),
            (r#"{"op":"create","kind":"rule"}"#, "data: expected a JSON object, got nothing"),
            (r#"{"op":"create","kind":"rule","data":[1]}"#, "data: expected a JSON object, got an array"),
            (
                r#"{"op":"create","kind":"rule","data":{},"patch":{}}"#,
                "patch: not expected where op is create",
            ),
            (r#"{"op":"delete","kind":"rule","id":"r","data":{}}"#, "data: not expected where op is delete"),
            (r#"{"op":"update","kind":"rule","patch":{}}"#, "id: expected"),
            (r#"{"op":"publish","type":"a.b","data":{},"time":"noon"}"#, "time: expected a moment"),
            (r#"{"op":"publish","type":"a.b","data":{},"id":"x"}"#, "id: not expected where op is publish"),
            (r#"{"op":"create","kind":"rule","data":{},"ke":"x"}"#, "unknown field `ke`"),
            (r#"{"op":"create","kind":"rule","data":{},"key":""}"#, "key: expected"),
        ] {
            assert!(refused(line).contains(said), "{line}: {}", refused(line));
        }
    }
}
