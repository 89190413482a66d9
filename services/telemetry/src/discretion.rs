//! What no filter brings into the logs: libraries that tell what passes through them tell credentials with it.

use tracing::{Metadata, level_filters::LevelFilter};

/// Modules that do so, and how much each may tell all the same.
const TOO_FRANK: [(&str, LevelFilter); 2] = [
    // Frames of WebSockets, in the first of which a client may show its token.
    ("tungstenite", LevelFilter::INFO),
    // Parameters of the database's address that it does not know, `sslpassword` among them, with their values.
    ("sqlx_postgres::options", LevelFilter::OFF),
];

/// Whether an event or a span of this kind may be told.
pub(crate) fn may_be_told(metadata: &Metadata<'_>) -> bool {
    let is_of = |module: &str| {
        let rest = metadata.target().strip_prefix(module);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    };
    TOO_FRANK.iter().all(|(module, most)| !is_of(module) || metadata.level() <= most)
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{Arc, Mutex, PoisonError},
    };

    use tracing_subscriber::{filter::filter_fn, layer::SubscriberExt as _};

    use super::*;

    #[derive(Clone, Default)]
    struct Logged(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Logged {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_may_hold_a_credential_is_told_at_no_level() {
        let logged = Logged::default();
        let writer = logged.clone();
        let lines = tracing_subscriber::fmt::layer().with_writer(move || writer.clone());
        let everything = tracing_subscriber::registry().with(filter_fn(may_be_told)).with(lines);
        tracing::subscriber::with_default(everything, || {
            tracing::trace!(target: "tungstenite::protocol", "hush 1");
            tracing::debug!(target: "tungstenite", "hush 2");
            tracing::warn!(target: "sqlx_postgres::options::parse", "hush 3");
            tracing::warn!(target: "tungstenite::protocol", "told 1");
            tracing::trace!(target: "tungstenite_of_ours", "told 2");
            tracing::trace!("told 3");
        });
        let text = String::from_utf8(logged.0.lock().unwrap().clone()).unwrap();
        assert_eq!((text.matches("told").count(), text.matches("hush").count()), (3, 0), "{text}");
    }
}
