//! Where a house listens: the documented ports, a range of one's own, or whatever is free.
//!
//! It must not know who listens there.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use anyhow::{Context as _, Result, bail};

use super::port_holder;

/// What `--help` says about `--port-base`.
pub(crate) const OFFSETS_HELP: &str = "Move all addresses to a range of ports: N edge with all five APIs \
    (8080 otherwise), N+1 gRPC (50051), N+2 metrics of the state service (9464), N+3 aisoc (8086), N+4 \
    sentinel_ai logs (8000), N+5 the supervised web server (9000)";
/// Ports of a house.
const PORTS: u16 = 6;
/// Ports below are for root.
const PORT_MIN: u16 = 1024;

/// The address of each part, all on the loopback interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Addresses {
    /// The edge, with all five APIs.
    pub(crate) edge: SocketAddr,
    /// gRPC of the state service.
    pub(crate) grpc: SocketAddr,
    /// Metrics and health of the state service.
    pub(crate) state_metrics: SocketAddr,
    /// The edge's second listener, for aisoc at its documented URL.
    pub(crate) aisoc: SocketAddr,
    /// The edge's third listener, for sentinel_ai at its documented URL.
    pub(crate) logs: SocketAddr,
    /// The web server that the demonstration supervises.
    pub(crate) web: SocketAddr,
}

impl Addresses {
    /// The documented ones, or the range that begins at a port.
    ///
    /// # Errors
    ///
    /// When the range does not fit.
    pub(crate) fn choose(port_base: Option<u16>) -> Result<Self> {
        let Some(base) = port_base else {
            return Ok(Self::of_ports([8080, 50051, 9464, 8086, 8000, 9000]));
        };
        let last = u16::MAX - (PORTS - 1);
        if !(PORT_MIN..=last).contains(&base) {
            bail!(
                "--port-base {base}: expected a port from {PORT_MIN} to {last}, because {PORTS} ports from \
                 there on are used"
            );
        }
        Ok(Self::of_ports(std::array::from_fn(|offset| {
            base + u16::try_from(offset).expect("there are six offsets")
        })))
    }

    /// Ports that nobody has at this moment.
    ///
    /// # Errors
    ///
    /// When there are not enough.
    pub(crate) fn free() -> Result<Self> {
        let bind = |_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        // All are held until all are known, so that they differ.
        let held: Vec<TcpListener> =
            (0..PORTS).map(bind).collect::<Result<_, _>>().context("find free ports")?;
        let ports: Vec<u16> = held
            .iter()
            .map(|socket| socket.local_addr().map(|address| address.port()))
            .collect::<Result<_, _>>()
            .context("read the free ports")?;
        Ok(Self::of_ports(ports.try_into().expect("six listeners have six ports")))
    }

    /// Makes sure that nobody listens on any of them.
    ///
    /// # Errors
    ///
    /// The first that is taken, with who has it where that can be found, and what to do.
    pub(crate) fn check_free(&self, with_web: bool) -> Result<()> {
        for (address, purpose) in self.named() {
            if address == self.web && !with_web {
                continue;
            }
            if let Err(error) = TcpListener::bind(address) {
                bail!(
                    "port {} ({purpose}) is taken ({error}): {}. End it, or move everything with \
                     `--port-base N`",
                    address.port(),
                    port_holder::describe(address.port())
                );
            }
        }
        Ok(())
    }

    /// The URL of the state service.
    pub(crate) fn grpc_url(&self) -> String {
        format!("http://{}", self.grpc)
    }

    /// The URL under which the edge serves all five APIs, without a path.
    pub(crate) fn ws_url(&self) -> String {
        format!("ws://{}", self.edge)
    }

    fn of_ports(ports: [u16; PORTS as usize]) -> Self {
        let [edge, grpc, state_metrics, aisoc, logs, web] =
            ports.map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        Self { edge, grpc, state_metrics, aisoc, logs, web }
    }

    fn named(&self) -> [(SocketAddr, &'static str); PORTS as usize] {
        [
            (self.edge, "edge"),
            (self.grpc, "gRPC of the state service"),
            (self.state_metrics, "metrics of the state service"),
            (self.aisoc, "edge, aisoc"),
            (self.logs, "edge, sentinel_ai logs"),
            (self.web, "supervised web server"),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ports(addresses: &Addresses) -> Vec<u16> {
        addresses.named().iter().map(|(address, _)| address.port()).collect()
    }

    #[test]
    fn the_default_addresses_are_the_documented_ones() {
        let addresses = Addresses::choose(None).expect("they fit");
        assert_eq!(ports(&addresses), [8080, 50051, 9464, 8086, 8000, 9000]);
        assert_eq!(addresses.grpc_url(), "http://127.0.0.1:50051");
        assert_eq!(addresses.ws_url(), "ws://127.0.0.1:8080");
    }

    #[test]
    fn a_base_moves_every_port_by_its_documented_offset() {
        let addresses = Addresses::choose(Some(20_000)).expect("it fits");
        assert_eq!(ports(&addresses), [20_000, 20_001, 20_002, 20_003, 20_004, 20_005]);
        assert_eq!(addresses.web.port(), 20_005);
    }

    #[test]
    fn a_base_without_room_is_refused() {
        for base in [0, 80, 65_531] {
            let error = Addresses::choose(Some(base)).expect_err("no room").to_string();
            assert!(error.contains("from 1024 to 65530"), "{error}");
        }
        assert!(Addresses::choose(Some(65_530)).is_ok());
    }

    #[test]
    fn a_taken_port_is_named_with_its_purpose_and_the_remedy() {
        let addresses = Addresses::free().expect("there are free ports");
        let _holder = TcpListener::bind(addresses.aisoc).expect("it was free");
        let error = addresses.check_free(true).expect_err("one is taken").to_string();
        assert!(error.contains(&format!("port {} (edge, aisoc)", addresses.aisoc.port())), "{error}");
        assert!(error.contains("--port-base"), "{error}");
    }

    #[test]
    fn the_web_server_s_port_matters_only_when_it_is_started() {
        let addresses = Addresses::free().expect("there are free ports");
        let _holder = TcpListener::bind(addresses.web).expect("it was free");
        assert!(addresses.check_free(false).is_ok());
        assert!(addresses.check_free(true).is_err());
    }
}
