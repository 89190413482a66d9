//! Spans reach a collector, and belong to the work that a caller named.

use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    trace::v1::Span,
};
use signalbox_telemetry::{TelemetryConfig, adopt, current_traceparent};
use tokio::{net::TcpListener, sync::mpsc};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

struct Collector(mpsc::UnboundedSender<Span>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let resources = request.into_inner().resource_spans;
        let spans = resources.into_iter().flat_map(|spans| spans.scope_spans).flat_map(|spans| spans.spans);
        spans.for_each(|span| drop(self.0.send(span)));
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_span_is_exported_as_a_child_of_the_work_that_the_caller_named() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let (sender, mut spans) = mpsc::unbounded_channel();
    let collector = TraceServiceServer::new(Collector(sender));
    tokio::spawn(
        tonic::transport::Server::builder()
            .add_service(collector)
            .serve_with_incoming(TcpListenerStream::new(listener)),
    );
    let config = TelemetryConfig { otlp_endpoint: Some(endpoint), ..TelemetryConfig::default() };
    let guard = signalbox_telemetry::init("signalbox-test", &config).unwrap();

    let span = tracing::info_span!("work");
    adopt(&span, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    let passed_on = span.in_scope(current_traceparent).expect("the span belongs to a trace");
    drop(span);
    tokio::task::spawn_blocking(move || drop(guard)).await.unwrap();

    let exported = spans.recv().await.expect("the collector has received a span");
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert_eq!(exported.name, "work");
    assert_eq!(hex(&exported.trace_id), "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(hex(&exported.parent_span_id), "00f067aa0ba902b7");
    assert_eq!(passed_on, format!("00-{}-{}-01", hex(&exported.trace_id), hex(&exported.span_id)));
}
