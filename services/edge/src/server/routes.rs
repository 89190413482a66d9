//! Which path leads where, on which listener.

use super::page;
use crate::dialect::DialectId;

/// Which listener a request came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Site {
    /// All five APIs.
    Main,
    /// The API `aisoc`, at its documented URL.
    Aisoc,
    /// The log stream, at its documented URL.
    Logs,
}

/// Where a path leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// A WebSocket of this dialect.
    Socket(DialectId),
    /// Whether the edge is well.
    Health,
    /// What it measures about itself.
    Metrics,
    /// What is here.
    About,
    /// A file of the dashboard.
    Page(&'static page::File),
}

/// What a person is told who asks what is here.
pub(super) const ABOUT: &str = "\
Signalbox edge: WebSocket APIs of the control plane.

  /ws                        sentinelops    credential: Authorization: Bearer, ?api_key=, or a first auth message
  /api/v1/ws                 freeagentics   credential: ?token=
  /ws/logs                   sentinel_ai    credential: ?token=, where one is asked for
  /v1/ws                     projects       credential: ?token=
  /dialects/<name>/ws        each of these, and aisoc (credential: ?token=)
  /                          the dashboard, a web page
  /healthz                   ok, degraded or draining
  /metrics                   Prometheus text
";

impl Site {
    /// Where the path leads; `None` when nowhere.
    pub(super) fn route(self, path: &str) -> Option<Target> {
        let path = if path.len() > 1 { path.strip_suffix('/').unwrap_or(path) } else { path };
        match (self, path) {
            (_, "/healthz") => Some(Target::Health),
            (Self::Main, "/about") => Some(Target::About),
            (Self::Main, "/metrics") => Some(Target::Metrics),
            (Self::Main, "/ws") => Some(Target::Socket(DialectId::SentinelOps)),
            (Self::Main, "/api/v1/ws") => Some(Target::Socket(DialectId::FreeAgentics)),
            (Self::Main, "/v1/ws") => Some(Target::Socket(DialectId::Projects)),
            (Self::Main | Self::Logs, "/ws/logs") => Some(Target::Socket(DialectId::SentinelAi)),
            (Self::Aisoc, "/ws") => Some(Target::Socket(DialectId::Aisoc)),
            (Self::Main, path) => match page::file(path) {
                Some(file) => Some(Target::Page(file)),
                None => {
                    let name = path.strip_prefix("/dialects/")?.strip_suffix("/ws")?;
                    DialectId::from_name(name).map(Target::Socket)
                }
            },
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_dialect_is_reached_on_the_main_listener() {
        for dialect in DialectId::ALL {
            let path = format!("/dialects/{}/ws", dialect.name());
            assert_eq!(Site::Main.route(&path), Some(Target::Socket(dialect)));
        }
        assert_eq!(Site::Main.route("/ws/"), Some(Target::Socket(DialectId::SentinelOps)));
        assert_eq!(Site::Aisoc.route("/ws"), Some(Target::Socket(DialectId::Aisoc)));
        assert_eq!(Site::Logs.route("/ws"), None);
        assert!(matches!(Site::Main.route("/"), Some(Target::Page(_))));
        assert_eq!(Site::Logs.route("/"), None);
        for path in ["", "/x", "/dialects/x/ws", "/dialects//ws", "/ws/x", "/metrics/x"] {
            assert_eq!(Site::Main.route(path), None, "{path}");
        }
    }
}
