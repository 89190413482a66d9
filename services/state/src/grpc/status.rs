//! Refusals as gRPC statuses with `google.rpc` details: the one table from the rules' codes to the wire's.

use tonic::{Code as Grpc, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::domain::{Code, Error};

/// The domain under which error reasons are named.
const DOMAIN: &str = "signalbox";

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let mut details = ErrorDetails::new();
        if !error.field.is_empty() {
            details.add_bad_request_violation(&error.field, &error.message);
        }
        if error.retry_after.is_some() {
            details.set_retry_info(error.retry_after);
        }
        details.set_error_info(error.code.name(), DOMAIN, std::collections::HashMap::new());
        Self::with_error_details(grpc(error.code), error.message, details)
    }
}

/// A cursor that cannot be served, with the oldest that can.
pub(super) fn out_of_range(reason: &str, oldest: &str) -> Status {
    let mut details = ErrorDetails::new();
    let metadata =
        [("reason".to_owned(), reason.to_owned()), ("oldest_cursor".to_owned(), oldest.to_owned())];
    details.set_error_info("CURSOR_EXPIRED", DOMAIN, metadata);
    let message = format!("the cursor cannot be served ({reason}); the oldest is {oldest}");
    Status::with_error_details(Grpc::OutOfRange, message, details)
}

const fn grpc(code: Code) -> Grpc {
    match code {
        Code::InvalidArgument => Grpc::InvalidArgument,
        Code::NotFound => Grpc::NotFound,
        Code::AlreadyExists => Grpc::AlreadyExists,
        Code::FailedPrecondition => Grpc::FailedPrecondition,
        Code::Aborted => Grpc::Aborted,
        Code::PermissionDenied => Grpc::PermissionDenied,
        Code::Unauthenticated => Grpc::Unauthenticated,
        Code::ResourceExhausted => Grpc::ResourceExhausted,
        Code::Unavailable => Grpc::Unavailable,
        Code::Internal => Grpc::Internal,
    }
}
