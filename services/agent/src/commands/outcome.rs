//! How a command ended, as the ledger keeps it and the server is told.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use signalbox_proto::v1::{CommandUpdate, ExecutionState};

use super::{CommandError, JsonObject, Rejection};
use crate::handle::{json_bytes, object};

/// Largest result, in bytes of JSON.
const RESULT_LEN_MAX: usize = 64 * 1024;
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

    pub(crate) fn timed_out() -> Self {
        Self::new(ExecutionState::TimedOut, JsonObject::new(), "the deadline passed while it was carried out")
    }

    pub(crate) fn canceled(reason: &str) -> Self {
        Self::new(ExecutionState::Canceled, JsonObject::new(), reason)
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

/// The server takes results up to a bound; a larger one is replaced by its size, for the command did succeed.
fn bounded(result: JsonObject) -> JsonObject {
    let len = json_bytes(&result).len();
    if len <= RESULT_LEN_MAX {
        return result;
    }
    object(
        serde_json::json!({"omitted": "the result is too large", "bytes": len, "bytes_max": RESULT_LEN_MAX}),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

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
}
