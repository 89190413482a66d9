//! What `dev` shows by itself: one agent that supervises a real program, and a simulated fleet that tells
//! stories of every kind.
//!
//! It must not know how agents work.

use anyhow::Result;

use crate::house::House;

/// The supervised program's agent.
pub(super) const AGENT_ID: &str = "web-1";

/// Starts the demonstration and waits until it is live.
///
/// # Errors
///
/// When the agent does not start or its program does not run.
pub(super) async fn start(house: &mut House) -> Result<()> {
    let port = house.plan().addresses.web.port();
    house.add_agent(AGENT_ID, &program(port)).await?;
    house.start_simulator()
}

/// A web server where Python has one, else a loop that every machine can run.
fn program(port: u16) -> Vec<String> {
    let words: Vec<String> = if python_runs() {
        let port = port.to_string();
        ["python3", "-m", "http.server", &port, "--bind", "127.0.0.1"].map(str::to_owned).into()
    } else {
        ["sh", "-c", "while :; do date; sleep 5; done"].map(str::to_owned).into()
    };
    words
}

fn python_runs() -> bool {
    let asked = std::process::Command::new("python3").args(["-c", "import http.server"]).output();
    asked.is_ok_and(|output| output.status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_demonstration_is_a_program_that_stays() {
        let program = program(9000);
        let last = program.last().map(String::as_str);
        assert!(matches!(last, Some("127.0.0.1" | "while :; do date; sleep 5; done")), "{program:?}");
    }
}
