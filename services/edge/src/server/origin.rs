//! Where a client comes from: the web page it runs in, and its address behind proxies.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use http::{HeaderMap, header};
use ipnet::IpNet;

/// Whether a web page of this origin may connect. Clients that are no browsers send no origin, and the page
/// that this server itself serves is always welcome.
pub(super) fn is_allowed(headers: &HeaderMap, allowed: &[String]) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else { return true };
    let Ok(origin) = origin.to_str() else { return false };
    let origin = origin.trim_end_matches('/');
    is_of_this_server(origin, headers)
        || allowed.iter().any(|allowed| allowed == "*" || allowed.eq_ignore_ascii_case(origin))
}

/// Whether the page came from the host and port that the request goes to. The scheme is not compared: behind
/// a proxy that ends TLS it is not known here.
fn is_of_this_server(origin: &str, headers: &HeaderMap) -> bool {
    let Some((_, authority)) = origin.split_once("://") else { return false };
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    host.is_some_and(|host| host.eq_ignore_ascii_case(authority))
}

/// Finds a client's address behind proxies that are trusted. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct ClientAddress(Arc<[IpNet]>);

impl ClientAddress {
    pub(super) fn new(trusted: Vec<IpNet>) -> Self {
        Self(trusted.into())
    }

    /// The address of whoever is not trusted and nearest to this server: further ones are hearsay.
    pub(super) fn of(&self, peer: SocketAddr, headers: &HeaderMap) -> IpAddr {
        let mut address = peer.ip().to_canonical();
        for before in forwarded(headers).into_iter().rev() {
            if !self.trusts(address) {
                break;
            }
            match before {
                Some(before) => address = before.to_canonical(),
                None => break,
            }
        }
        address
    }

    /// Whether this is a proxy whose word is believed.
    pub(super) fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }
}

/// The addresses that proxies added, the farthest first; `None` for those that cannot be read. `Forwarded`
/// (RFC 7239) is preferred.
fn forwarded(headers: &HeaderMap) -> Vec<Option<IpAddr>> {
    let lists = |name: &str| -> Vec<String> {
        let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).map(|item| item.trim().to_owned()).collect()
    };
    let standard = lists("forwarded");
    if standard.is_empty() {
        return lists("x-forwarded-for").iter().map(|item| address(item)).collect();
    }
    let of_pair = |pair: &str| {
        let (name, value) = pair.split_once('=')?;
        name.trim().eq_ignore_ascii_case("for").then(|| address(value.trim().trim_matches('"')))
    };
    standard.iter().map(|element| element.split(';').find_map(of_pair).flatten()).collect()
}

/// An address, with or without a port, in brackets or not.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.split_once(']')).map_or(text, |(inner, _)| inner);
    bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(peer: &str, headers: &[(&'static str, &str)]) -> String {
        let trusted = vec!["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()];
        let headers = headers.iter().map(|(name, value)| {
            (http::HeaderName::from_static(name), http::HeaderValue::from_str(value).unwrap())
        });
        let peer = SocketAddr::new(peer.parse().unwrap(), 1);
        ClientAddress::new(trusted).of(peer, &headers.collect()).to_string()
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        let claim = [("x-forwarded-for", "203.0.113.9")];
        assert_eq!(seen("192.0.2.1", &claim), "192.0.2.1");
        assert_eq!(seen("10.1.1.1", &claim), "203.0.113.9");
        assert_eq!(seen("::ffff:10.1.1.1", &claim), "203.0.113.9");
        assert_eq!(seen("10.1.1.1", &[("x-forwarded-for", "1.1.1.1, 203.0.113.9, 10.2.2.2")]), "203.0.113.9");
        assert_eq!(seen("10.1.1.1", &[]), "10.1.1.1");
    }

    #[test]
    fn the_standard_header_is_read_and_preferred() {
        let both = [("forwarded", "for=\"[2001:db8::1]:443\";proto=https"), ("x-forwarded-for", "1.1.1.1")];
        assert_eq!(seen("::1", &both), "2001:db8::1");
        assert_eq!(seen("::1", &[("forwarded", "For=192.0.2.60:80, for=10.0.0.1")]), "192.0.2.60");
        assert_eq!(seen("::1", &[("forwarded", "for=unknown")]), "::1");
    }

    #[test]
    fn pages_connect_from_allowed_origins_only() {
        let of = |origin: &'static str| {
            HeaderMap::from_iter([(header::ORIGIN, http::HeaderValue::from_static(origin))])
        };
        let allowed = ["https://a.example".to_owned()];
        assert!(is_allowed(&of("https://A.example"), &allowed));
        assert!(!is_allowed(&of("https://a.example.evil"), &allowed));
        assert!(!is_allowed(&of("null"), &allowed));
        assert!(is_allowed(&of("https://evil.example"), &["*".to_owned()]));
        assert!(is_allowed(&HeaderMap::new(), &[]));
        let with_host = |origin: &'static str, host: &'static str| {
            let mut headers = of(origin);
            headers.insert(header::HOST, http::HeaderValue::from_static(host));
            headers
        };
        assert!(is_allowed(&with_host("http://edge.example:8080", "Edge.example:8080"), &[]));
        assert!(!is_allowed(&with_host("http://edge.example:81", "edge.example:8080"), &[]));
        assert!(!is_allowed(&with_host("https://evil.example", "edge.example:8080"), &[]));
        assert!(!is_allowed(&with_host("null", "null"), &[]));
    }
}
