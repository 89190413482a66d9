//! The dashboard: a static web page that is a client of the WebSocket APIs like any other.
//!
//! It must know no session: the page is the same for everybody, and brings its own credential.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use http_body_util::Full;

/// What the page may do: load from here, connect by WebSocket, and be framed by nobody. Nothing inline runs.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self'; connect-src 'self' ws: wss:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// Headers of every file of the page.
const HEADERS: [(HeaderName, &str); 6] = [
    (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
    // For browsers that do not know `frame-ancestors`.
    (header::X_FRAME_OPTIONS, "DENY"),
    // Windows that others open with it get no hold of it, and other pages cannot load its parts.
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (header::REFERRER_POLICY, "no-referrer"),
    // Kept by the browser, and asked about each time: files of two versions never meet in one page.
    (header::CACHE_CONTROL, "no-cache"),
];

const HTML: &str = "text/html; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const IMAGE: &str = "image/svg+xml";

/// One file of the page.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct File {
    path: &'static str,
    media_type: &'static str,
    text: &'static str,
}

/// A file of `services/dashboard`, and the path that it is served at.
macro_rules! file {
    ($path:literal, $media_type:expr, $name:literal) => {
        File {
            path: $path,
            media_type: $media_type,
            text: include_str!(concat!("../../../dashboard/", $name)),
        }
    };
}

static FILES: [File; 29] = [
    file!("/", HTML, "index.html"),
    file!("/assets/style.css", STYLE, "style.css"),
    file!("/assets/work.css", STYLE, "work.css"),
    file!("/assets/icon.svg", IMAGE, "icon.svg"),
    file!("/assets/app.js", SCRIPT, "app.js"),
    file!("/assets/element.js", SCRIPT, "element.js"),
    file!("/assets/values.js", SCRIPT, "values.js"),
    file!("/assets/credential.js", SCRIPT, "credential.js"),
    file!("/assets/connection.js", SCRIPT, "connection.js"),
    file!("/assets/interest.js", SCRIPT, "interest.js"),
    file!("/assets/measurements.js", SCRIPT, "measurements.js"),
    file!("/assets/fleet.js", SCRIPT, "fleet.js"),
    file!("/assets/agents.js", SCRIPT, "agents.js"),
    file!("/assets/incidents.js", SCRIPT, "incidents.js"),
    file!("/assets/incident-list.js", SCRIPT, "incident-list.js"),
    file!("/assets/incident-panel.js", SCRIPT, "incident-panel.js"),
    file!("/assets/runs.js", SCRIPT, "runs.js"),
    file!("/assets/run-list.js", SCRIPT, "run-list.js"),
    file!("/assets/approvals.js", SCRIPT, "approvals.js"),
    file!("/assets/deeds.js", SCRIPT, "deeds.js"),
    file!("/assets/dialogs.js", SCRIPT, "dialogs.js"),
    file!("/assets/health.js", SCRIPT, "health.js"),
    file!("/assets/keyed-list.js", SCRIPT, "keyed-list.js"),
    file!("/assets/lookups.js", SCRIPT, "lookups.js"),
    file!("/assets/notice.js", SCRIPT, "notice.js"),
    file!("/assets/overview.js", SCRIPT, "overview.js"),
    file!("/assets/stream.js", SCRIPT, "stream.js"),
    file!("/assets/event-text.js", SCRIPT, "event-text.js"),
    file!("/assets/visit.js", SCRIPT, "visit.js"),
];

/// The file at this path.
pub(super) fn file(path: &str) -> Option<&'static File> {
    FILES.iter().find(|file| file.path == path)
}

impl File {
    /// The file, or word that the client has it already.
    pub(super) fn answer(&self, request: &HeaderMap) -> Response<Full<Bytes>> {
        let tag = self.tag();
        let known = request.get_all(header::IF_NONE_MATCH).iter().any(|tags| lists(tags, &tag));
        let mut response = if known {
            let mut response = Response::new(Full::default());
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            response
        } else {
            Response::new(Full::new(Bytes::from_static(self.text.as_bytes())))
        };
        let headers = response.headers_mut();
        headers.extend(HEADERS.map(|(name, value)| (name, HeaderValue::from_static(value))));
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.media_type));
        headers.insert(header::ETAG, HeaderValue::from_str(&tag).expect("hexadecimal is fit for a header"));
        response
    }

    /// Another one for another text (RFC 9110, section 8.8.3).
    fn tag(&self) -> String {
        let mut hasher = DefaultHasher::new();
        self.text.hash(&mut hasher);
        format!("\"{:016x}\"", hasher.finish())
    }
}

/// Whether a list of entity tags has this one; a proxy that compresses may have made it a weak one.
fn lists(tags: &HeaderValue, tag: &str) -> bool {
    let Ok(tags) = tags.to_str() else { return false };
    tags.split(',').map(str::trim).any(|listed| listed == "*" || listed.trim_start_matches("W/") == tag)
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    fn get(path: &str, request: &[(HeaderName, &str)]) -> Response<Full<Bytes>> {
        let headers =
            request.iter().map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap()));
        file(path).unwrap().answer(&headers.collect())
    }

    #[tokio::test]
    async fn the_root_is_a_page_that_loads_from_here_alone() {
        let response = get("/", &[]);
        assert_eq!(response.status(), StatusCode::OK);
        let headers = response.headers().clone();
        assert_eq!(headers[header::CONTENT_TYPE], "text/html; charset=utf-8");
        assert_eq!(headers[header::REFERRER_POLICY], "no-referrer");
        assert_eq!(headers[header::X_FRAME_OPTIONS], "DENY");
        let policy = headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        let page = response.into_body().collect().await.unwrap().to_bytes();
        assert!(page.starts_with(b"<!doctype html>"));
    }

    #[test]
    fn everything_that_the_page_names_is_served() {
        let mut named = Vec::new();
        for File { text, .. } in &FILES {
            let quoted = text.split('"').filter(|part| !part.contains(char::is_whitespace));
            named.extend(quoted.filter_map(|part| match part.strip_prefix("./") {
                Some(module) => Some(format!("/assets/{module}")),
                None => part.starts_with("/assets/").then(|| part.to_owned()),
            }));
        }
        assert!(named.len() >= FILES.len(), "{named:?}");
        for path in &named {
            assert!(file(path).is_some(), "{path}");
        }
        for file in &FILES[1..] {
            assert!(named.iter().any(|path| path == file.path), "nothing names {}", file.path);
        }
    }

    #[test]
    fn what_the_browser_has_is_not_sent_again() {
        let tag = get("/", &[]).headers()[header::ETAG].to_str().unwrap().to_owned();
        for known in [tag.clone(), format!("\"x\", W/{tag}"), "*".into()] {
            let again = get("/", &[(header::IF_NONE_MATCH, &known)]);
            assert_eq!(again.status(), StatusCode::NOT_MODIFIED, "{known}");
            assert_eq!(again.headers()[header::ETAG].to_str().unwrap(), tag);
        }
        assert_eq!(get("/assets/app.js", &[(header::IF_NONE_MATCH, &tag)]).status(), StatusCode::OK);
    }
}
