//! What an edge tells the state service of the client for whom it calls: the names of the metadata. It is believed
//! only with the edge's own token beside it.

/// The edge's own token, of the role service, as a proof that the rest is the edge's word.
pub const EDGE_TOKEN: &str = "signalbox-edge-token";
/// The client's IP address.
pub const CLIENT_ADDRESS: &str = "signalbox-client-address";
/// The client's `User-Agent`.
pub const CLIENT_AGENT: &str = "signalbox-client-agent";
