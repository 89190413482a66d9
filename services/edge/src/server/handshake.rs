//! The opening handshake of a WebSocket (RFC 6455, section 4.2), and what a client brings with it.
//!
//! It must not log what it reads: query strings carry credentials.

use http::{HeaderMap, HeaderValue, Method, StatusCode, header, request::Parts};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::session::Arrival;

/// The only version there is.
const VERSION: &str = "13";
/// Length of 16 bytes in base64.
const KEY_LEN: usize = 24;
/// Longest header or parameter that is kept.
const VALUE_LEN_MAX: usize = 8 * 1024;

/// Why a request is no handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NoHandshake {
    /// The answer's status.
    pub(super) status: StatusCode,
    /// For people.
    pub(super) message: &'static str,
}

/// Checks the handshake, and gives the value of `Sec-WebSocket-Accept`.
pub(super) fn check(parts: &Parts) -> Result<HeaderValue, NoHandshake> {
    let refuse = |status, message| Err(NoHandshake { status, message });
    if parts.method != Method::GET {
        return refuse(StatusCode::METHOD_NOT_ALLOWED, "a WebSocket handshake is a GET request");
    }
    let headers = &parts.headers;
    if !has_token(headers, header::CONNECTION, "upgrade") || !has_token(headers, header::UPGRADE, "websocket")
    {
        return refuse(StatusCode::UPGRADE_REQUIRED, "this is a WebSocket: connect with a WebSocket client");
    }
    match headers.get(header::SEC_WEBSOCKET_VERSION) {
        Some(version) if version == VERSION => {}
        Some(_) => return refuse(StatusCode::UPGRADE_REQUIRED, "Sec-WebSocket-Version: expected 13"),
        None => return refuse(StatusCode::BAD_REQUEST, "Sec-WebSocket-Version is missing"),
    }
    let Some(key) = headers.get(header::SEC_WEBSOCKET_KEY) else {
        return refuse(StatusCode::BAD_REQUEST, "Sec-WebSocket-Key is missing");
    };
    let key = key.as_bytes();
    if key.len() != KEY_LEN || !key.ends_with(b"==") {
        return refuse(StatusCode::BAD_REQUEST, "Sec-WebSocket-Key: expected 16 bytes in base64");
    }
    let accept = derive_accept_key(key);
    Ok(HeaderValue::from_str(&accept).expect("base64 is fit for a header"))
}

/// Headers that tell a client of another version which one is spoken.
pub(super) fn upgrade_headers() -> [(header::HeaderName, HeaderValue); 3] {
    [
        (header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static(VERSION)),
        (header::UPGRADE, HeaderValue::from_static("websocket")),
        (header::CONNECTION, HeaderValue::from_static("upgrade")),
    ]
}

/// What the client brings: credentials, where to resume, who it says it is.
pub(super) fn arrival(parts: &Parts) -> Arrival {
    let mut arrival = Arrival {
        bearer: bearer(&parts.headers).map(Into::into),
        fingerprint: text(&parts.headers, "x-client-fingerprint"),
        client_version: text(&parts.headers, "x-client-version"),
        user_agent: text(&parts.headers, "user-agent"),
        traceparent: text(&parts.headers, "traceparent"),
        ..Arrival::default()
    };
    let query = parts.uri.query().unwrap_or_default();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        if value.len() > VALUE_LEN_MAX {
            continue;
        }
        match &*name {
            "cursor" => arrival.cursor = Some(value.into_owned()),
            "types" => arrival.types = Some(value.into_owned()),
            "token" | "api_key" => arrival.parameters.push((name.into_owned(), value.into_owned().into())),
            _ => {}
        }
    }
    arrival
}

/// The credential of the header; the scheme's name has no case (RFC 9110, section 11.1).
fn bearer(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, credential) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| credential.trim().to_owned())
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    let value = headers.get(name)?.to_str().ok()?;
    (value.len() <= VALUE_LEN_MAX).then(|| value.to_owned())
}

/// Whether a list of tokens holds this one.
fn has_token(headers: &HeaderMap, name: header::HeaderName, wanted: &str) -> bool {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|token| token.trim().eq_ignore_ascii_case(wanted))
}

#[cfg(test)]
mod tests {
    use http::Request;
    use secrecy::ExposeSecret as _;

    use super::*;

    fn request(uri: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::get(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    const GOOD: [(&str, &str); 4] = [
        ("connection", "keep-alive, Upgrade"),
        ("upgrade", "WebSocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];

    #[test]
    fn the_handshake_of_the_standard_is_accepted() {
        assert_eq!(check(&request("/ws", &GOOD)).unwrap(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn what_is_missing_is_named() {
        let without = |index: usize| {
            let mut headers = GOOD.to_vec();
            headers.remove(index);
            check(&request("/ws", &headers)).unwrap_err().status
        };
        let statuses = [426, 426, 400, 400].map(|status| StatusCode::from_u16(status).unwrap());
        assert_eq!([without(0), without(1), without(2), without(3)], statuses);
        let with = |index: usize, value: &'static str| {
            let mut headers = GOOD.to_vec();
            headers[index].1 = value;
            check(&request("/ws", &headers)).unwrap_err().status
        };
        assert_eq!((with(2, "8").as_u16(), with(3, "short").as_u16()), (426, 400));
    }

    #[test]
    fn credentials_are_decoded_from_where_they_stand() {
        let parts = request(
            "/ws?api_key=a%2Bb%20c&cursor=e%3A1&types=error,system&x=y",
            &[("authorization", "bearer  t.o.k")],
        );
        let arrival = arrival(&parts);
        assert_eq!(arrival.bearer.unwrap().expose_secret(), "t.o.k");
        assert_eq!(arrival.parameters[0].1.expose_secret(), "a+b c");
        assert_eq!(
            (arrival.cursor.as_deref(), arrival.types.as_deref()),
            (Some("e:1"), Some("error,system"))
        );
    }
}
