//! One thing to do: a command or a configuration, with its deadline and its trace.

use std::time::Duration;

use serde_json::Value;
use signalbox_proto::{
    to_time,
    v1::{CommandDelivery, ConfigStatus, RemoteConfig as WireConfig, RemoteConfigState},
};
use signalbox_telemetry::{adopt, current_traceparent, is_traceparent, now};
use time::OffsetDateTime;
use tokio::{
    sync::oneshot,
    time::{Instant, sleep_until, timeout},
};
use tracing::Span;

use crate::commands::{Command, Handler, JsonObject, Outcome, Rejection, RemoteConfig};

/// Deadlines are wall times of the server's clock. The agent's may be off by this much, so a deadline counts as
/// passed this much later: short of the three seconds for which the server awaits the agent's word on it. From
/// then on the agent measures by its monotonic clock. With an agent's clock further ahead commands end early;
/// with one further behind they go on for longer, and the server says UNKNOWN until the agent settles it.
const CLOCK_SKEW: Duration = Duration::from_secs(1);
/// How long a configuration may take.
const CONFIG_TIMEOUT: Duration = Duration::from_secs(300);
/// Longest reason of a configuration's state, in bytes.
const REASON_LEN_MAX: usize = 256;

/// What waits in line.
pub(super) enum Job {
    Command(CommandJob),
    Config(ConfigJob),
}

impl Job {
    pub(super) fn command_id(&self) -> Option<&String> {
        match self {
            Self::Command(job) => Some(&job.command.command_id),
            Self::Config(_) => None,
        }
    }
}

/// A command, with the moment at which it is given up and the span in which it is carried out.
pub(super) struct CommandJob {
    pub(super) command: Command,
    pub(super) span: Span,
    /// What is wrong with its parameters.
    malformed: Option<Rejection>,
    gives_up_at: Option<Instant>,
}

impl CommandJob {
    pub(super) fn new(delivery: CommandDelivery) -> Self {
        let span = tracing::info_span!("command", command_id = delivery.command_id, name = delivery.name);
        adopt(&span, &delivery.traceparent);
        let given = if is_traceparent(&delivery.traceparent) { delivery.traceparent } else { String::new() };
        let (parameters, malformed) = match parse("parameters", &delivery.parameters) {
            Ok(parameters) => (parameters, None),
            Err(rejection) => (JsonObject::new(), Some(rejection)),
        };
        let command = Command {
            command_id: delivery.command_id,
            name: delivery.name,
            parameters,
            deadline: delivery.deadline.as_ref().and_then(to_time),
            issued_by: delivery.issued_by,
            traceparent: span.in_scope(current_traceparent).unwrap_or(given),
        };
        let gives_up_at = command.deadline.map(|deadline| Instant::now() + left(deadline, now()));
        Self { command, span, malformed, gives_up_at }
    }

    /// Whether it can be begun at all.
    pub(super) fn check(&self, now: OffsetDateTime) -> Result<(), Rejection> {
        if self.command.deadline.is_some_and(|deadline| left(deadline, now).is_zero()) {
            return Err(Rejection::because("the deadline passed before it could start"));
        }
        self.malformed.clone().map_or(Ok(()), Err)
    }

    /// Whether its deadline has passed while it waited.
    pub(super) fn is_late(&self) -> bool {
        self.gives_up_at.is_some_and(|at| at <= Instant::now())
    }

    /// Carries it out, up to its deadline or until it is taken back.
    pub(super) async fn carry_out(
        self,
        handler: &impl Handler,
        canceled: oneshot::Receiver<String>,
    ) -> Outcome {
        // Its beginning was to be told first, and that may have taken long.
        if self.is_late() {
            return Outcome::timed_out("the deadline passed before it could start");
        }
        let deadline = async {
            match self.gives_up_at {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            result = handler.execute(self.command) => Outcome::of(result),
            Ok(reason) = canceled => Outcome::canceled(&reason),
            () = deadline => Outcome::timed_out("the deadline passed while it was carried out"),
        }
    }
}

/// A configuration.
pub(super) struct ConfigJob {
    generation: u64,
    hash: String,
    content: Result<JsonObject, Rejection>,
}

impl ConfigJob {
    pub(super) fn new(config: &WireConfig) -> Self {
        let content = parse("content", &config.content);
        Self { generation: config.generation, hash: config.hash.clone(), content }
    }

    /// How far it got, to be reported.
    pub(super) fn state(&self, status: ConfigStatus, reason: &str) -> RemoteConfigState {
        RemoteConfigState {
            generation: self.generation,
            hash: self.hash.clone(),
            status: status.into(),
            reason: plain(reason),
        }
    }

    /// Applies it, and says what came of it.
    pub(super) async fn apply(self, handler: &impl Handler) -> RemoteConfigState {
        let applied = match &self.content {
            Ok(content) => {
                let (generation, hash) = (self.generation, self.hash.clone());
                let config = RemoteConfig { generation, hash, content: content.clone() };
                let applied = timeout(CONFIG_TIMEOUT, handler.apply_config(config)).await;
                applied.unwrap_or_else(|_| Err(format!("not applied within {} s", CONFIG_TIMEOUT.as_secs())))
            }
            Err(rejection) => Err(rejection.to_string()),
        };
        match applied {
            Ok(()) => self.state(ConfigStatus::Applied, ""),
            Err(reason) => self.state(ConfigStatus::Failed, &reason),
        }
    }
}

/// How far the newest configuration got.
pub(super) struct NewestConfig {
    pub(super) generation: u64,
    pub(super) hash: String,
    /// None while it waits or is being applied.
    pub(super) settled: Option<RemoteConfigState>,
}

impl NewestConfig {
    /// Whether it is this one.
    pub(super) fn is(&self, generation: u64, hash: &str) -> bool {
        self.generation == generation && self.hash == hash
    }
}

/// How long until the deadline counts as passed; zero when it has.
fn left(deadline: OffsetDateTime, now: OffsetDateTime) -> Duration {
    Duration::try_from(deadline - now + CLOCK_SKEW).unwrap_or_default()
}

fn parse(field: &str, json: &[u8]) -> Result<JsonObject, Rejection> {
    if json.is_empty() {
        return Ok(JsonObject::new());
    }
    match serde_json::from_slice(json) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(other) => Err(Rejection::bad_parameter(field, "a JSON object", &other)),
        Err(error) => Err(Rejection::because(format!("{field}: expected a JSON object: {error}"))),
    }
}

/// A reason as the server takes it: short, and without control characters.
fn plain(reason: &str) -> String {
    let reason: String = reason.chars().map(|char| if char.is_control() { ' ' } else { char }).collect();
    reason[..reason.floor_char_boundary(REASON_LEN_MAX)].to_owned()
}

#[cfg(test)]
mod tests {
    use signalbox_proto::timestamp;

    use super::*;
    use crate::commands::CommandError;

    const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

    #[test]
    fn a_deadline_has_passed_when_no_clock_could_disagree() {
        assert_eq!(left(NOW + Duration::from_secs(2), NOW), Duration::from_secs(3));
        assert_eq!(left(NOW - Duration::from_millis(999), NOW), Duration::from_millis(1));
        assert_eq!(left(NOW - Duration::from_secs(1), NOW), Duration::ZERO);
        assert_eq!(left(NOW - Duration::from_secs(100), NOW), Duration::ZERO);
    }

    #[test]
    fn what_is_late_or_malformed_is_refused_with_its_field() {
        let delivery = CommandDelivery { deadline: Some(timestamp(NOW)), ..CommandDelivery::default() };
        let job = CommandJob::new(delivery);
        assert!(job.check(NOW).is_ok());
        assert!(job.check(NOW + Duration::from_secs(1)).unwrap_err().to_string().contains("deadline"));
        assert!(job.is_late());
        let job = CommandJob::new(CommandDelivery {
            parameters: b"[1]".as_slice().into(),
            ..CommandDelivery::default()
        });
        assert_eq!(
            job.check(NOW).unwrap_err().to_string(),
            "parameters: expected a JSON object, got an array"
        );
    }

    struct Never;

    impl Handler for Never {
        fn check(&self, _: &Command) -> Result<(), Rejection> {
            Ok(())
        }

        async fn execute(&self, _: Command) -> Result<JsonObject, CommandError> {
            panic!("it may not begin")
        }
    }

    #[tokio::test]
    async fn a_command_whose_beginning_took_too_long_to_tell_is_not_begun() {
        let deadline = Some(timestamp(NOW));
        let job = CommandJob::new(CommandDelivery { deadline, ..CommandDelivery::default() });
        let (_cancel, canceled) = oneshot::channel();
        let outcome = job.carry_out(&Never, canceled).await;
        assert_eq!(outcome, Outcome::timed_out("the deadline passed before it could start"));
    }

    #[test]
    fn a_reason_is_short_and_plain() {
        assert_eq!(plain("a\nb"), "a b");
        assert!(plain(&"ä".repeat(200)).len() <= REASON_LEN_MAX);
    }
}
