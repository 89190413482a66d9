//! How a command ended, as the ledger keeps it and the server is told.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use signalbox_proto::v1::{CommandUpdate, ExecutionState};

use super::{CommandError, JsonObject, Rejection};
use crate::handle::{json_bytes, object};

/// Largest result, in bytes of JSON.
const RESULT_LEN_MAX: usize = 64 * 1024;
/// Deepest nesting of a result, the object itself included.
const RESULT_DEPTH_MAX: usize = 32;
/// Largest result that is remembered once the server has it.
const RESULT_KEPT_LEN_MAX: usize = 1024;
/// Longest error, in bytes.
const ERROR_LEN_MAX: usize = 4096;

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Outcome {
    /// The state's word, such as `SUCCEEDED`.
    state: String,
    #[serde(default, skip_serializing_if = "JsonObject::is_empty")]
    result: JsonObject,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    error: String,
}

impl Outcome {
    pub(crate) fn of(result: Result<JsonObject, CommandError>) -> Self {
        match result {
            Ok(result) => Self::new(ExecutionState::Succeeded, bounded(result), ""),
            Err(CommandError(error)) => Self::failed(&error),
        }
    }

    pub(crate) fn failed(error: &str) -> Self {
        Self::new(ExecutionState::Failed, JsonObject::new(), error)
    }

    pub(crate) fn rejected(rejection: &Rejection) -> Self {
        Self::new(ExecutionState::Rejected, JsonObject::new(), &rejection.to_string())
    }

    pub(crate) fn timed_out(error: &str) -> Self {
        Self::new(ExecutionState::TimedOut, JsonObject::new(), error)
    }

    pub(crate) fn canceled(reason: &str) -> Self {
        Self::new(ExecutionState::Canceled, JsonObject::new(), reason)
    }

    /// As it is remembered once the server knows: it is hardly ever told again.
    pub(crate) fn shortened(self) -> Self {
        let len = json_bytes(&self.result).len();
        if len <= RESULT_KEPT_LEN_MAX {
            return self;
        }
        Self { result: omitted("the result was reported before", len), ..self }
    }

    /// The report that tells the server.
    pub(crate) fn update(&self, command_id: &str) -> CommandUpdate {
        // A word that the ledger's file does not have right is a failure whose cause is not known.
        let state = ExecutionState::from_word(&self.state).filter(|state| state.is_final());
        CommandUpdate {
            command_id: command_id.into(),
            state: state.unwrap_or(ExecutionState::Failed).into(),
            result: if self.result.is_empty() { Bytes::new() } else { json_bytes(&self.result) },
            error: self.error.clone(),
        }
    }

    fn new(state: ExecutionState, result: JsonObject, error: &str) -> Self {
        let end = error.floor_char_boundary(ERROR_LEN_MAX);
        Self { state: state.word().into(), result, error: error[..end].into() }
    }
}

/// A result that the server takes; one that it would refuse is replaced by a word on why, for the command did succeed.
fn bounded(result: JsonObject) -> JsonObject {
    let len = json_bytes(&result).len();
    if len > RESULT_LEN_MAX {
        return omitted("the result is too large", len);
    }
    let result = Value::Object(result);
    if !fits(&result, RESULT_DEPTH_MAX) {
        return omitted("the result is nested too deeply, or has a text with the character U+0000", len);
    }
    object(result)
}

fn omitted(why: &str, len: usize) -> JsonObject {
    object(json!({"omitted": why, "bytes": len, "bytes_max": RESULT_LEN_MAX}))
}

/// Whether a value has at most so many levels, and no text that Postgres cannot keep.
fn fits(value: &Value, depth_max: usize) -> bool {
    match value {
        Value::String(text) => !text.contains('\0'),
        Value::Array(items) => depth_max > 0 && items.iter().all(|item| fits(item, depth_max - 1)),
        Value::Object(fields) => {
            depth_max > 0 && fields.iter().all(|(key, item)| !key.contains('\0') && fits(item, depth_max - 1))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_survives_its_text_form() {
        let outcome = Outcome::of(Ok(object(json!({"pid": 1}))));
        let text = serde_json::to_string(&outcome).unwrap();
        assert_eq!(text, r#"{"state":"SUCCEEDED","result":{"pid":1}}"#);
        assert_eq!(serde_json::from_str::<Outcome>(&text).unwrap(), outcome);
    }

    #[test]
    fn what_is_too_large_is_cut_and_says_so() {
        let large = object(json!({"text": "x".repeat(RESULT_LEN_MAX)}));
        let update = Outcome::of(Ok(large)).update("1");
        assert_eq!(update.state(), ExecutionState::Succeeded);
        let result: Value = serde_json::from_slice(&update.result).unwrap();
        assert_eq!(result["bytes"], RESULT_LEN_MAX + 11);
        assert!(Outcome::failed(&"ä".repeat(ERROR_LEN_MAX)).update("1").error.len() <= ERROR_LEN_MAX);
    }

    #[test]
    fn a_result_that_no_server_would_take_is_left_out_and_the_command_succeeds_all_the_same() {
        let mut deep = json!(1);
        for _ in 1..RESULT_DEPTH_MAX {
            deep = json!([deep]);
        }
        let fine = object(json!({ "a": deep }));
        assert_eq!(bounded(fine.clone()), fine);
        for bad in [json!({"a": [fine]}), json!({"a": "\0"}), json!({"a\0": 1})] {
            let update = Outcome::of(Ok(object(bad))).update("1");
            assert_eq!(update.state(), ExecutionState::Succeeded);
            let result: Value = serde_json::from_slice(&update.result).unwrap();
            assert!(result["omitted"].as_str().is_some_and(|why| why.contains("U+0000")), "{result}");
        }
    }
}
