//! What is known of a call before its service sees it, for the audit: the method, the client's address and what it
//! says it is. It must not judge the call.

use std::net::IpAddr;

use http::{Extensions, HeaderMap, header::USER_AGENT};
use signalbox_identity::{
    Keys, Principal, Role, Rule,
    forwarded::{CLIENT_ADDRESS, CLIENT_AGENT, EDGE_TOKEN},
    rule_of,
};
use signalbox_telemetry::now;
use signalbox_transport::Peer;

use crate::domain::audit::{Call, Outcome};

/// Longest description of a client that is kept, in bytes.
const USER_AGENT_LEN_MAX: usize = 256;

/// A call of the method of this path by the holder of a credential.
pub(super) fn call(
    path: &str,
    headers: &HeaderMap,
    extensions: &Extensions,
    principal: &Principal,
    keys: &Keys,
) -> Call {
    if is_by_edge(headers, keys) {
        return forwarded(path, headers, principal);
    }
    let peer = extensions.get::<Peer>().and_then(Peer::address);
    told(path, principal, peer.map(|peer| peer.ip()), text(headers, USER_AGENT.as_str()))
}

/// A call that an edge makes for a client of its own, by what the edge says of the client.
pub(super) fn forwarded(path: &str, headers: &HeaderMap, principal: &Principal) -> Call {
    let address = text(headers, CLIENT_ADDRESS).and_then(|text| text.parse().ok());
    told(path, principal, address, text(headers, CLIENT_AGENT))
}

fn told(path: &str, principal: &Principal, address: Option<IpAddr>, user_agent: Option<&str>) -> Call {
    Call {
        method: rule_of(path).map_or_else(String::new, Rule::method),
        role: principal.role,
        key_id: principal.key_id.clone(),
        // One client has one address, whichever family the socket was of.
        address: address.map(|address| address.to_canonical().to_string()),
        user_agent: user_agent.map(bounded),
        outcome: Outcome::Done,
    }
}

/// Whether an edge makes the call for a client of its own. What anybody else says of a client is no one's word.
fn is_by_edge(headers: &HeaderMap, keys: &Keys) -> bool {
    text(headers, EDGE_TOKEN)
        .and_then(|token| keys.verify(token, now()).ok())
        .is_some_and(|principal| principal.role == Role::Service)
}

fn text<'headers>(headers: &'headers HeaderMap, name: &str) -> Option<&'headers str> {
    headers.get(name)?.to_str().ok()
}

/// A header's text is visible ASCII, so that it can be cut anywhere.
fn bounded(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(USER_AGENT_LEN_MAX).collect()
}

#[cfg(test)]
mod tests {
    use http::HeaderName;
    use signalbox_identity::{TokenConfig, TokenRequest};

    use super::*;

    const SECRET: &str = "a-secret-of-at-least-thirty-two-bytes";

    fn keys() -> Keys {
        Keys::new(&TokenConfig::secret(SECRET)).unwrap()
    }

    fn token(tenant_id: &str, role: Role) -> String {
        let ttl = time::Duration::minutes(1);
        let request =
            TokenRequest { subject: "x".into(), tenant_id: tenant_id.into(), role, ttl, agent_id: None };
        keys().issue(&request, now()).unwrap()
    }

    fn told(given: &[(&'static str, &str)]) -> Call {
        let given = given.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()));
        let path = "/signalbox.v1.AgentService/CreateAgent";
        let principal = Principal {
            subject: "ann".into(),
            tenant_id: "dev".into(),
            role: Role::Admin,
            expires_at: None,
            fingerprint: None,
            key_id: None,
            agent_id: None,
        };
        call(path, &given.collect(), &Extensions::new(), &principal, &keys())
    }

    #[test]
    fn an_edge_is_believed_and_nobody_else() {
        let claim = [(CLIENT_ADDRESS, "::ffff:192.0.2.7"), (CLIENT_AGENT, "browser")];
        let edge = token("*", Role::Service);
        let by_edge = told(&[claim[0], claim[1], (EDGE_TOKEN, &edge)]);
        assert_eq!(by_edge.address.as_deref(), Some("192.0.2.7"));
        assert_eq!(by_edge.user_agent.as_deref(), Some("browser"));
        assert_eq!(by_edge.method, "AgentService.CreateAgent");
        for proof in ["", "nonsense", &token("dev", Role::Admin)] {
            let told = told(&[claim[0], claim[1], (EDGE_TOKEN, proof), ("user-agent", "curl")]);
            assert_eq!((told.address, told.user_agent.as_deref()), (None, Some("curl")), "{proof}");
        }
    }

    #[test]
    fn what_is_no_address_is_none_and_a_long_description_is_cut() {
        let edge = token("*", Role::Service);
        let long = "x".repeat(4000);
        let told = told(&[(CLIENT_ADDRESS, "nowhere"), (CLIENT_AGENT, &long), (EDGE_TOKEN, &edge)]);
        assert_eq!((told.address, told.user_agent.unwrap().len()), (None, USER_AGENT_LEN_MAX));
    }
}
