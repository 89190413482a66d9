//! The settings of a private cluster's server, written anew at every start.
//!
//! It must not start anything.

/// Whether data survive a crash of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::postgres) enum Durability {
    /// As PostgreSQL does it by itself.
    Safe,
    /// Nothing is synced to disk: for data that nobody misses.
    Fast,
}

/// The settings of a server that listens on a port of the loopback interface.
pub(super) fn render(port: u16, durability: Durability) -> String {
    let mut text = format!(
        "# Written at every start; changes are lost.\nport = {port}\nlisten_addresses = '127.0.0.1'\n\
         unix_socket_directories = ''\nmax_connections = 300\ntimezone = 'UTC'\nlog_timezone = 'UTC'\n"
    );
    if durability == Durability::Fast {
        text.push_str("fsync = off\nsynchronous_commit = off\nfull_page_writes = off\n");
    }
    text
}

/// The port in such settings.
pub(super) fn port_of(settings: &str) -> Option<u16> {
    settings.lines().find_map(|line| line.strip_prefix("port = "))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_of_the_last_start_is_found_in_the_render() {
        assert_eq!(port_of(&render(54_321, Durability::Safe)), Some(54_321));
        assert_eq!(port_of("max_connections = 3\n"), None);
    }

    #[test]
    fn data_that_stay_are_synced_to_disk() {
        assert!(!render(1, Durability::Safe).contains("fsync"));
        assert!(render(1, Durability::Fast).contains("fsync = off"));
    }
}
