//! What a failed call means to the user on whose behalf it was made.

use tonic::{Code as GrpcCode, Status};
use tonic_types::StatusExt as _;

use crate::dialect::{Code, Refusal};

/// When a call may be tried again where the state service does not say, in seconds.
const RETRY_AFTER_S: u64 = 5;

/// A call that failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CallError {
    /// What it means.
    pub code: Code,
    /// For people.
    pub message: String,
    /// The field at fault.
    pub field: Option<String>,
    /// When it may be tried again, in seconds.
    pub retry_after_s: Option<u64>,
}

impl CallError {
    /// A defect, of which the user is told no more.
    #[must_use]
    pub fn internal() -> Self {
        Self::new(Code::Internal, "the server failed to carry it out")
    }

    /// The state service is out of reach.
    #[must_use]
    pub fn unavailable() -> Self {
        let mut error = Self::new(Code::Unavailable, "the state service cannot be reached; try again");
        error.retry_after_s = Some(RETRY_AFTER_S);
        error
    }

    /// A credential that cannot be sent on.
    #[must_use]
    pub fn bad_credential() -> Self {
        Self::new(Code::Unauthenticated, "the credential is no token and no API key")
    }

    fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), field: None, retry_after_s: None }
    }

    /// The same, where the message should say of what kind of resource it speaks.
    #[must_use]
    pub fn about(mut self, kind: &str) -> Self {
        if self.code == Code::NotServed {
            self.message = format!("this deployment does not serve resources of the kind {kind}");
        }
        self
    }

    /// The same, where the message should say which resource was not found.
    #[must_use]
    pub fn at(mut self, kind: &str, id: &str) -> Self {
        if self.code == Code::NotFound {
            self.message = format!("no {kind} has the id {id:?}");
        }
        self
    }

    /// The same, where the message that asked calls the id of the resource by its kind.
    #[must_use]
    pub fn of_kind(mut self, kind: &str) -> Self {
        if self.field.as_deref() == Some("id") {
            let own = format!("{kind}_id");
            if let Some(rest) = self.message.strip_prefix("id:") {
                self.message = format!("{own}:{rest}");
            }
            self.field = Some(own);
        }
        self
    }

    /// As the refusal of a message, whose own field it names.
    #[must_use]
    pub fn refusal(&self) -> Box<Refusal> {
        let mut refusal = Refusal::new(self.code, self.message.clone());
        if let Some(field) = &self.field {
            let own = field_of_message(field);
            if let Some(rest) =
                refusal.message.strip_prefix(field.as_str()).filter(|rest| rest.starts_with(':'))
            {
                refusal.message = format!("{own}{rest}");
            }
            refusal.field = Some(own);
        }
        refusal.retry_after_s = self.retry_after_s;
        refusal
    }
}

impl From<&Status> for CallError {
    fn from(status: &Status) -> Self {
        let code = match status.code() {
            GrpcCode::InvalidArgument | GrpcCode::OutOfRange => Code::Invalid,
            GrpcCode::NotFound => Code::NotFound,
            GrpcCode::PermissionDenied => Code::Forbidden,
            GrpcCode::Unauthenticated => Code::Unauthenticated,
            GrpcCode::AlreadyExists | GrpcCode::FailedPrecondition | GrpcCode::Aborted => Code::Conflict,
            GrpcCode::Unimplemented => Code::NotServed,
            GrpcCode::Unavailable | GrpcCode::DeadlineExceeded | GrpcCode::Cancelled => {
                return Self {
                    retry_after_s: retry_after_s(status).or(Some(RETRY_AFTER_S)),
                    ..Self::unavailable()
                };
            }
            GrpcCode::ResourceExhausted => {
                let mut error = Self::new(Code::Unavailable, status.message());
                error.retry_after_s = retry_after_s(status).or(Some(RETRY_AFTER_S));
                return error;
            }
            GrpcCode::Ok | GrpcCode::Unknown | GrpcCode::Internal | GrpcCode::DataLoss => {
                tracing::warn!(code = ?status.code(), message = status.message(), "a call to the state service failed");
                return Self::internal();
            }
        };
        let violation =
            status.get_details_bad_request().and_then(|details| details.field_violations.into_iter().next());
        let mut error = Self::new(code, status.message());
        if let Some(violation) = violation {
            if !error.message.contains(&violation.description) {
                error.message = format!("{}: {}", violation.field, violation.description);
            }
            error.field = Some(violation.field);
        }
        error
    }
}

/// The field of a client's message that became this field of a call.
fn field_of_message(field: &str) -> String {
    let field = field.strip_prefix("merge_patch.").unwrap_or(field);
    let field = field.strip_prefix("attributes.").unwrap_or(field);
    match field {
        // The key is made of the message's own id.
        "idempotency_key" => "id".into(),
        "page_size" => "data.limit".into(),
        "states" => "data.status".into(),
        // A new status is what an action means.
        "status" | "name" => "data.action".into(),
        "merged_into" => "data.incident_id".into(),
        field if field.starts_with("data.") => field.into(),
        field => format!("data.{field}"),
    }
}

fn retry_after_s(status: &Status) -> Option<u64> {
    let delay = status.get_details_retry_info()?.retry_delay?;
    Some(delay.as_secs() + u64::from(delay.subsec_nanos() > 0))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tonic_types::ErrorDetails;

    use super::*;

    #[test]
    fn details_reach_the_user() {
        let details =
            ErrorDetails::with_bad_request_violation("parameters.timeout_ms", "expected 1 to 600000, got 0");
        let status = Status::with_error_details(GrpcCode::InvalidArgument, "invalid command", details);
        let error = CallError::from(&status);
        assert_eq!(error.message, "parameters.timeout_ms: expected 1 to 600000, got 0");
        assert_eq!((error.code, error.field.as_deref()), (Code::Invalid, Some("parameters.timeout_ms")));
        let details = ErrorDetails::with_retry_info(Some(Duration::from_millis(1500)));
        let status = Status::with_error_details(GrpcCode::ResourceExhausted, "the queue is full", details);
        assert_eq!(CallError::from(&status).retry_after_s, Some(2));
    }

    #[test]
    fn the_field_at_fault_is_named_as_the_message_has_it() {
        for (field, own) in [
            ("merge_patch.assigned_to", "data.assigned_to"),
            ("merge_patch.status", "data.action"),
            ("parameters.timeout_ms", "data.parameters.timeout_ms"),
            ("page_size", "data.limit"),
            ("kind", "data.kind"),
            ("idempotency_key", "id"),
        ] {
            let details = ErrorDetails::with_bad_request_violation(field, "expected another");
            let status = Status::with_error_details(GrpcCode::InvalidArgument, "invalid", details);
            let refusal = CallError::from(&status).refusal();
            assert_eq!(refusal.message, format!("{own}: expected another"));
            assert_eq!(refusal.field.as_deref(), Some(own));
        }
    }

    #[test]
    fn an_id_is_named_as_the_message_has_it() {
        let details = ErrorDetails::with_bad_request_violation("id", "expected one that exists");
        let status = Status::with_error_details(GrpcCode::NotFound, "not found", details);
        let refusal = CallError::from(&status).of_kind("incident").refusal();
        assert_eq!(refusal.field.as_deref(), Some("data.incident_id"));
        assert_eq!(refusal.message, "data.incident_id: expected one that exists");
        assert_eq!(CallError::from(&status).refusal().field.as_deref(), Some("data.id"));
    }

    #[test]
    fn a_defect_is_not_told() {
        let error = CallError::from(&Status::internal("relation \"agents\" does not exist"));
        assert_eq!((error.code, error.message.contains("relation")), (Code::Internal, false));
    }
}
