//! Who has a port: read from `/proc` where there is one.
//!
//! It must only look, and never end a process.

use std::{fs, path::Path};

/// State of a listening socket in `/proc/net/tcp`.
const LISTEN: &str = "0A";

/// The process that listens on a TCP port, in words; how to find it where this program cannot.
pub(super) fn describe(port: u16) -> String {
    let inodes: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .flat_map(|table| listening_inodes(&table, port))
        .collect();
    match inodes.iter().find_map(|inode| process_with_socket(inode)) {
        Some((pid, name)) => format!("process {pid} (`{name}`) has it"),
        None => format!("`lsof -iTCP:{port} -sTCP:LISTEN` may tell who has it"),
    }
}

/// Inodes of the sockets that listen on a port, from a table as the kernel writes it: local address and
/// port in hexadecimal in the second column, state in the fourth, inode in the tenth.
fn listening_inodes(table: &str, port: u16) -> Vec<String> {
    let mut inodes = Vec::new();
    for line in table.lines().skip(1) {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let (Some(local), Some(&state), Some(inode)) = (columns.get(1), columns.get(3), columns.get(9))
        else {
            continue;
        };
        let matches = local.rsplit_once(':').is_some_and(|(_, hex)| u16::from_str_radix(hex, 16) == Ok(port));
        if matches && state == LISTEN {
            inodes.push((*inode).to_owned());
        }
    }
    inodes
}

fn process_with_socket(inode: &str) -> Option<(String, String)> {
    let wanted = format!("socket:[{inode}]");
    for process in fs::read_dir("/proc").ok()?.filter_map(Result::ok) {
        let pid = process.file_name().to_string_lossy().into_owned();
        if !pid.bytes().all(|byte| byte.is_ascii_digit()) {
            continue;
        }
        let Ok(files) = fs::read_dir(process.path().join("fd")) else { continue };
        let holds =
            |file: &Path| fs::read_link(file).is_ok_and(|target| target.as_os_str() == wanted.as_str());
        if files.filter_map(Result::ok).any(|file| holds(&file.path())) {
            let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            return Some((pid, name.trim().to_owned()));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_listening_sockets_of_the_port_count() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
             0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4242 1 0\n\
             1: 0100007F:1F90 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 4243 1 0\n\
             2: 0100007F:1F91 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4244 1 0\n";
        assert_eq!(listening_inodes(table, 8080), ["4242"]);
        assert!(listening_inodes(table, 9999).is_empty());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_is_found_as_the_holder_of_its_own_port() {
        let socket = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let port = socket.local_addr().expect("bound").port();
        assert!(describe(port).contains(&format!("process {} ", std::process::id())), "{}", describe(port));
    }
}
