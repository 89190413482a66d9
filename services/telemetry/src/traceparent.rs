//! W3C Trace Context (<https://www.w3.org/TR/trace-context/>) as text: `00-<trace>-<span>-<flags>`.

use opentelemetry::{
    Context, SpanId, TraceFlags, TraceId,
    trace::{SpanContext, TraceContextExt as _, TraceState},
};
use opentelemetry_sdk::trace::{IdGenerator as _, RandomIdGenerator};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// Whether the text is a `traceparent` that may be stored and passed on.
#[must_use]
pub fn is_traceparent(text: &str) -> bool {
    parse(text).is_some()
}

/// Begins a trace for work that arrived without one.
#[must_use]
pub fn new_traceparent() -> String {
    let ids = RandomIdGenerator::default();
    format(ids.new_trace_id(), ids.new_span_id(), TraceFlags::SAMPLED)
}

/// Makes the span a child of the work that the text names. Malformed text is no error: the span begins
/// a trace of its own.
pub fn adopt(span: &Span, traceparent: &str) {
    if let Some(parent) = parse(traceparent) {
        // Fails only where no collector layer is installed, and then there is nothing to link.
        let _ = span.set_parent(Context::new().with_remote_span_context(parent));
    }
}

/// The `traceparent` of the current span, to be passed on; `None` outside of any exported trace.
#[must_use]
pub fn current_traceparent() -> Option<String> {
    let context = Span::current().context();
    let span = context.span();
    let span = span.span_context();
    span.is_valid().then(|| format(span.trace_id(), span.span_id(), span.trace_flags()))
}

fn format(trace: TraceId, span: SpanId, flags: TraceFlags) -> String {
    format!("00-{trace}-{span}-{:02x}", flags.to_u8())
}

fn parse(text: &str) -> Option<SpanContext> {
    let mut parts = text.split('-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let lower_hex = |part: &str| part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let lengths = [version.len(), trace.len(), span.len(), flags.len()] == [2, 32, 16, 2];
    if parts.next().is_some()
        || !lengths
        || version != "00"
        || ![trace, span, flags].into_iter().all(lower_hex)
    {
        return None;
    }
    let context = SpanContext::new(
        TraceId::from_hex(trace).ok()?,
        SpanId::from_hex(span).ok()?,
        TraceFlags::new(u8::from_str_radix(flags, 16).ok()?),
        true,
        TraceState::NONE,
    );
    context.is_valid().then_some(context)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_traceparent_is_one() {
        assert!(is_traceparent(&new_traceparent()));
        assert_ne!(new_traceparent(), new_traceparent());
    }

    #[test]
    fn malformed_text_is_none() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert!(is_traceparent(good));
        let zero = "00-00000000000000000000000000000000-00f067aa0ba902b7-01";
        for bad in ["", "00", zero, &good.to_uppercase(), &format!("{good}-x"), &good[1..]] {
            assert!(!is_traceparent(bad), "{bad:?}");
        }
    }
}
