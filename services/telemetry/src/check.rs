//! What can be said of telemetry before it is set up.

use signalbox_settings::{Check, Problem, without_credentials};
use tracing_subscriber::EnvFilter;

use crate::{Error, TelemetryConfig};

impl Check for TelemetryConfig {
    fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if let Err(source) = EnvFilter::try_new(&self.log) {
            problems.push(Problem::of("log", &Error::Filter { filter: self.log.clone(), source }));
        }
        let is_url = |url: &str| url.starts_with("http://") || url.starts_with("https://");
        if let Some(endpoint) = self.otlp_endpoint.as_deref().filter(|url| !url.is_empty() && !is_url(url)) {
            let given = without_credentials(endpoint);
            let told = format!("expected http://host:port or https://host:port, got {given:?}");
            problems.push(Problem::new("otlp-endpoint", told));
        }
        problems
    }
}
