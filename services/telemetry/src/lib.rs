//! Logs, traces and metrics of every Signalbox program, set up in one place; the clock
//! that they read, and the signal that ends them.
//!
//! Logs go to standard error, metrics are served in Prometheus text form by whoever calls
//! [`metrics_text`], spans go to an OTLP collector where one is configured. W3C trace context crosses
//! every service as the text of its `traceparent` header, exported or not.

mod check;
mod clock;
mod discretion;
mod stop;
mod traceparent;

use std::{io::IsTerminal as _, sync::OnceLock};

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::WithExportConfig as _;
use opentelemetry_sdk::{Resource, propagation::TraceContextPropagator, trace::SdkTracerProvider};
use signalbox_settings::without_credentials;
use tracing_subscriber::{
    EnvFilter, Layer as _, filter::filter_fn, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

pub use clock::now;
pub use stop::stop_signal;
pub use traceparent::{adopt, current_traceparent, is_traceparent, new_traceparent};

/// Upper bounds of the latency histograms, in seconds: 0.1 ms to 10 s.
const LATENCY_BUCKETS_S: [f64; 16] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Upper bounds of the histograms of counts, such as the length of a batch.
const COUNT_BUCKETS: [f64; 11] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0];

/// How a program tells of itself.
#[derive(Debug, Clone, clap::Args)]
pub struct TelemetryConfig {
    /// Which log lines are written, in the form of `tracing`'s `EnvFilter`. None brings forth what clients send.
    #[arg(long, env = "SIGNALBOX_LOG", default_value = "info")]
    pub log: String,
    /// How log lines are written.
    #[arg(long, env = "SIGNALBOX_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
    /// OTLP collector to which spans are sent over gRPC, such as `http://127.0.0.1:4317`; none when absent.
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT")]
    pub otlp_endpoint: Option<String>,
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self { log: "info".into(), log_format: LogFormat::Text, otlp_endpoint: None }
    }
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Why telemetry could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The log filter cannot be read.
    #[error("log filter {filter:?} is malformed")]
    Filter {
        /// The filter as given.
        filter: String,
        /// What is wrong with it.
        #[source]
        source: tracing_subscriber::filter::ParseError,
    },
    /// The exporter cannot be built, for example because its endpoint is no URL.
    #[error("the OTLP exporter for {endpoint:?} cannot be set up")]
    Exporter {
        /// The endpoint, as it may be shown.
        endpoint: String,
        /// What is wrong.
        #[source]
        source: opentelemetry_otlp::ExporterBuildError,
    },
    /// Something else in this process already receives its logs.
    #[error("telemetry is already set up in this process")]
    AlreadySet(#[from] tracing_subscriber::util::TryInitError),
}

/// Flushes what has not been exported when dropped.
#[derive(Debug)]
#[must_use = "spans are exported until this is dropped"]
pub struct Guard(SdkTracerProvider);

impl Drop for Guard {
    fn drop(&mut self) {
        if let Err(error) = self.0.shutdown() {
            tracing::debug!(%error, "the last spans were not exported");
        }
    }
}

/// Sets up logs, spans and metrics of this process, under the name of its service. Must be called within
/// a tokio runtime.
///
/// # Errors
///
/// [`Error`], when the configuration is malformed or telemetry is already set up.
pub fn init(service: &'static str, config: &TelemetryConfig) -> Result<Guard, Error> {
    let filter = EnvFilter::try_new(&config.log)
        .map_err(|source| Error::Filter { filter: config.log.clone(), source })?;
    let mut provider =
        SdkTracerProvider::builder().with_resource(Resource::builder().with_service_name(service).build());
    if let Some(endpoint) = &config.otlp_endpoint {
        let exporter = opentelemetry_otlp::SpanExporter::builder()
            .with_tonic()
            .with_endpoint(endpoint)
            .build()
            .map_err(|source| Error::Exporter { endpoint: without_credentials(endpoint), source })?;
        provider = provider.with_batch_exporter(exporter);
    }
    let provider = provider.build();
    opentelemetry::global::set_text_map_propagator(TraceContextPropagator::new());
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let lines = match config.log_format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().boxed(),
    };
    let spans = tracing_opentelemetry::layer().with_tracer(provider.tracer(service));
    let discreet = filter_fn(discretion::may_be_told);
    tracing_subscriber::registry().with(filter).with(discreet).with(lines).with(spans).try_init()?;
    record_metrics();
    Ok(Guard(provider))
}

/// Makes sure that this process's metrics are recorded from now on. Servers call it before they count
/// anything, whether or not the rest of telemetry is set up.
pub fn record_metrics() {
    metrics_handle();
}

/// Every metric of this process in the Prometheus text format.
#[must_use]
pub fn metrics_text() -> String {
    let handle = metrics_handle();
    handle.run_upkeep();
    handle.render()
}

/// The recorder of this process, installed by whoever asks first: tests run several servers in one.
fn metrics_handle() -> &'static PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    HANDLE.get_or_init(|| {
        let recorder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &LATENCY_BUCKETS_S)
            .expect("the list of buckets is not empty")
            .set_buckets_for_metric(Matcher::Suffix("_len".into()), &COUNT_BUCKETS)
            .expect("the list of buckets is not empty")
            .build_recorder();
        let handle = recorder.handle();
        if metrics::set_global_recorder(recorder).is_err() {
            tracing::warn!("another recorder has this process's metrics");
        }
        handle
    })
}
