//! Takes events, but for those of types that begin with `bad`. One of a type that begins with `worse` keeps its
//! whole batch from being taken.

use signalbox_proto::v1::{self, EventInput, PublishResult, event_service_server::EventService};
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::{Shared, State, may_change};

#[tonic::async_trait]
impl EventService for Shared {
    async fn publish(
        &self,
        request: Request<v1::PublishRequest>,
    ) -> Result<Response<v1::PublishResponse>, Status> {
        self.called(&request).await;
        may_change(&request)?;
        let asked = request.into_inner();
        if !(1..=100).contains(&asked.events.len()) {
            return Err(Status::invalid_argument(format!(
                "events: expected 1 to 100, got {}",
                asked.events.len()
            )));
        }
        if let Some(at) = asked.events.iter().position(|event| event.r#type.starts_with("worse")) {
            let field = format!("events[{at}].time");
            let message = format!("{field}: expected a moment");
            let mut details = ErrorDetails::new();
            details.add_bad_request_violation(field, &message);
            return Err(Status::with_error_details(Code::InvalidArgument, message, details));
        }
        self.change(|state| {
            let is_repeat = state.published.iter().any(|known| known == &asked);
            state.published.push(asked.clone());
            let failure = state.publish_failures.pop_front();
            let happens = !is_repeat && failure.as_ref().is_none_or(|(_, happens)| *happens);
            let results =
                asked.events.iter().enumerate().map(|(at, event)| log(state, at, event, happens)).collect();
            match failure {
                Some((status, _)) => Err(status),
                None => Ok(Response::new(v1::PublishResponse { results })),
            }
        })
    }

    async fn publish_stream(
        &self,
        _: Request<Streaming<v1::PublishRequest>>,
    ) -> Result<Response<v1::PublishResponse>, Status> {
        Err(Status::unimplemented("not in this house"))
    }
}

fn log(state: &mut State, at: usize, event: &EventInput, happens: bool) -> PublishResult {
    if event.r#type.starts_with("bad") {
        let error = format!("events[{at}].type: expected a type of the catalog, got {:?}", event.r#type);
        return PublishResult { revision: 0, error, code: "INVALID_ARGUMENT".into() };
    }
    if !happens {
        return PublishResult { revision: state.head(), ..PublishResult::default() };
    }
    let data = serde_json::from_slice(&event.data).expect("data is JSON");
    let revision = state.append(&event.r#type, &event.subject, &event.agent_id, &data);
    PublishResult { revision, ..PublishResult::default() }
}
