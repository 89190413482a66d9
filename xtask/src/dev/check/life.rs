//! The life that the check drives: born, active, killed, started again, stopped, in that order.
//!
//! It must use only what clients of the documented protocols have, and the machine's own signals.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};

use super::{
    transcript::{Transcript, Way},
    watcher::Watcher,
};
use crate::house::House;

/// The agent of the check.
const AGENT_ID: &str = "check-1";
/// How long an ordinary step may take.
const STEP_TIMEOUT: Duration = Duration::from_secs(20);
/// How soon the death of the program must be seen.
const DEATH_TIMEOUT: Duration = Duration::from_secs(1);
/// Pause between two looks at the process table.
const LOOK_PAUSE: Duration = Duration::from_millis(5);

/// Drives the agent through its life and compares what both clients see.
///
/// # Errors
///
/// The first thing that was expected and did not come.
pub(super) async fn drive(house: &mut House, transcript: &Transcript) -> Result<()> {
    let pid_file = house.plan().dir.join("program.pid");
    let mut clients = Clients::connect(house, transcript).await?;

    house.start_agent(AGENT_ID, &program(&pid_file)).await?;
    transcript.add(Instant::now(), "check", Way::Done, &format!("the agent {AGENT_ID} is started"));
    clients.see_birth().await?;
    let first = pid_told_in(&pid_file).await?;

    kill(first, Signal::SIGKILL).with_context(|| format!("kill process {first}"))?;
    let killed = Instant::now();
    transcript.add(killed, "check", Way::Done, &format!("kill -9 {first}"));
    let seen = clients.see_status("failed", DEATH_TIMEOUT).await?;
    transcript.took("from kill -9 to both clients' frames", seen - killed);
    if seen - killed > DEATH_TIMEOUT {
        bail!(
            "the death of the program was seen after {:?}, which is later than {DEATH_TIMEOUT:?}",
            seen - killed
        );
    }

    std::fs::remove_file(&pid_file).context("forget the first process")?;
    clients.command("start", &json!({})).await?;
    clients.see_status("active", STEP_TIMEOUT).await?;
    let second = pid_told_in(&pid_file).await?;
    if second == first {
        bail!("the agent says that the program was started again, but it is still process {first}");
    }

    clients.command("stop", &json!({ "graceful": true })).await?;
    let asked = Instant::now();
    clients.see_status("stopping", STEP_TIMEOUT).await?;
    let stopped = clients.see_status("stopped", STEP_TIMEOUT).await?;
    gone(second).await?;
    transcript.add(Instant::now(), "check", Way::Done, &format!("process {second} is gone"));
    transcript.took("from the stop on the socket to both clients' stopped", stopped - asked);
    clients.close().await
}

/// Two clients, one for each of two protocols, which must tell the same story.
struct Clients {
    freeagentics: Watcher,
    sentinelops: Watcher,
}

impl Clients {
    async fn connect(house: &House, transcript: &Transcript) -> Result<Self> {
        let ws = house.plan().addresses.ws_url();
        let token = &house.tokens().operator;
        let url = format!("{ws}/api/v1/ws?token={token}");
        let mut freeagentics = Watcher::connect("freeagentics", &url, None, transcript).await?;
        let is = |kind: &'static str| move |frame: &Value| frame["type"] == kind;
        freeagentics.expect("connection_established", STEP_TIMEOUT, is("connection_established")).await?;
        let events = json!(["agent_created", "agent_status"]);
        freeagentics.send(&json!({ "type": "subscribe", "data": { "events": events } })).await?;
        freeagentics.expect("subscription_confirmed", STEP_TIMEOUT, is("subscription_confirmed")).await?;

        let mut sentinelops =
            Watcher::connect("sentinelops", &format!("{ws}/ws"), Some(token), transcript).await?;
        sentinelops.expect("connection.ready", STEP_TIMEOUT, is("connection.ready")).await?;
        let subscribe = json!({ "id": "1", "type": "subscribe", "data": { "events": ["agent.*"] } });
        sentinelops.send(&subscribe).await?;
        sentinelops.expect("subscription.confirmed", STEP_TIMEOUT, is("subscription.confirmed")).await?;
        Ok(Self { freeagentics, sentinelops })
    }

    /// Sees the agent appear as pending and become active.
    async fn see_birth(&mut self) -> Result<()> {
        let pending = |frame: &Value| {
            let data = &frame["data"];
            let born = frame["type"] == "agent_created" && data["status"] == "pending";
            born && data["agent_id"] == AGENT_ID
        };
        self.freeagentics.expect("agent_created as pending", STEP_TIMEOUT, pending).await?;
        self.see_status("active", STEP_TIMEOUT).await.map(drop)
    }

    /// Waits until both clients have seen a status. Returns when the later of the two saw it.
    async fn see_status(&mut self, status: &'static str, within: Duration) -> Result<Instant> {
        let about = move |data: &Value| data["agent_id"] == AGENT_ID && data["new_status"] == status;
        let (first, _) = self
            .freeagentics
            .expect(&format!("agent_status {status}"), within, |frame| {
                frame["type"] == "agent_status" && about(&frame["data"])
            })
            .await?;
        let (second, _) = self
            .sentinelops
            .expect(&format!("agent.status_change to {status}"), within, |frame| {
                frame["event"] == "agent.status_change" && about(&frame["data"])
            })
            .await?;
        Ok(first.max(second))
    }

    async fn command(&mut self, command: &str, parameters: &Value) -> Result<()> {
        let data = json!({ "agent_id": AGENT_ID, "command": command, "parameters": parameters });
        self.freeagentics.send(&json!({ "type": "command", "data": data })).await
    }

    async fn close(self) -> Result<()> {
        self.freeagentics.close().await?;
        self.sentinelops.close().await
    }
}

/// A real program that stays, and tells its process id before it does anything else.
fn program(pid_file: &Path) -> Vec<String> {
    let script = "echo $$ > \"$0.part\" && mv \"$0.part\" \"$0\" && exec sleep 86400";
    vec!["sh".to_owned(), "-c".to_owned(), script.to_owned(), pid_file.display().to_string()]
}

/// The process id that the program tells as its first act, which may come after the agent's frame.
async fn pid_told_in(file: &Path) -> Result<Pid> {
    let looking = async {
        while !file.exists() {
            tokio::time::sleep(LOOK_PAUSE).await;
        }
    };
    let looked = tokio::time::timeout(STEP_TIMEOUT, looking).await;
    looked.context("the agent is active, but its program has not told its process id")?;
    let text = std::fs::read_to_string(file).context("read the program's process id")?;
    Ok(Pid::from_raw(text.trim().parse().context("the program's process id")?))
}

async fn gone(pid: Pid) -> Result<()> {
    let looking = async {
        while kill(pid, None).is_ok() {
            tokio::time::sleep(LOOK_PAUSE).await;
        }
    };
    let looked = tokio::time::timeout(STEP_TIMEOUT, looking).await;
    looked.with_context(|| format!("the agent is stopped, but its program, process {pid}, still runs"))
}
