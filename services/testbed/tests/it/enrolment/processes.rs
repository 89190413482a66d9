//! `signalbox-agent` as a process that enrols itself, has its key replaced, and is killed in the midst of it.

use std::{path::Path, process::Stdio};

use signalbox_identity::Role;
use signalbox_proto::v1;
use signalbox_testbed::{Client, State, Watcher, database, program_path, soon};
use tokio::process::{Child, Command};

use super::{admin, token};

/// Lives so short that an agent has a new key every ten seconds.
const KEY_TTL_S: u32 = 15;
/// How often the agent is killed: at other moments of its key's life each time.
const KILLS: u32 = 6;

fn start(state: &State, dir: &Path, enrolment: Option<&str>, script: &str) -> Child {
    let mut command = Command::new(program_path("signalbox-agent"));
    command.args(["run", "--id", "web-1", "--state-dir"]).arg(dir).args(["--", "sh", "-c", script]);
    command.env("SIGNALBOX_GRPC_URL", state.url()).env_remove("SIGNALBOX_TOKEN");
    if let Some(token) = enrolment {
        let file = dir.join("enrolment");
        std::fs::write(&file, token).unwrap();
        command.env("SIGNALBOX_ENROLMENT_TOKEN_FILE", file);
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true).spawn().expect("the agent is built")
}

fn kept(dir: &Path) -> String {
    std::fs::read_to_string(dir.join("web-1.key.json")).unwrap_or_default()
}

async fn live_keys(state: &State) -> Vec<v1::ApiKey> {
    let listed = admin(state).access().list_api_keys(v1::ListApiKeysRequest::default()).await.unwrap();
    let now = signalbox_telemetry::now();
    let holds = |key: &v1::ApiKey| {
        let end = key.expires_at.as_ref().and_then(signalbox_proto::to_time);
        key.revoked_at.is_none() && end.is_none_or(|end| end > now)
    };
    listed.into_inner().keys.into_iter().filter(holds).collect()
}

#[tokio::test]
async fn an_agent_enrols_itself_once_and_keeps_its_key_fresh() {
    let state = State::start(&database().await).await;
    let dir = tempfile::tempdir().unwrap();
    let secret = token(&state, 1, false, KEY_TTL_S).await;
    let mut events = Watcher::start(state.channel()).await;
    let script = "trap 'exit 0' TERM; n=0; while :; do n=$((n+1)); echo line $n; sleep 0.1; done";
    let mut agent = start(&state, dir.path(), Some(&secret), script);
    assert_eq!(events.next_of("enrolment.used").await.agent_id, "web-1");
    let first = kept(dir.path());
    // Every line is in the log once and in order, whatever session it was sent on.
    let mut lines = 0;
    let mut replaced = 0;
    while replaced < 3 {
        let event = events.next().await;
        let data: serde_json::Value = serde_json::from_slice(&event.data).unwrap();
        match event.r#type.as_str() {
            "key.revoked" => {
                assert_eq!(data["reason"], "replaced");
                replaced += 1;
            }
            "log.line" if data["category"] == "agent" => {
                lines += 1;
                assert_eq!(data["message"], format!("line {lines}"));
            }
            _ => {}
        }
    }
    assert!(lines > 10, "{lines}");
    assert_ne!(kept(dir.path()), first);
    soon("end of the agent", agent.kill()).await.unwrap();
    let mut events = Watcher::start(state.channel()).await;
    // The token is used up, and the agent does not need it any more.
    let _agent = start(&state, dir.path(), None, "sleep 1000");
    soon("session", async { while events.next_of("agent.connectivity_change").await.actor != "web-1" {} })
        .await;
    state.stop().await;
}

#[tokio::test]
async fn an_agent_that_is_killed_while_its_key_is_replaced_is_never_locked_out() {
    let state = State::start(&database().await).await;
    let dir = tempfile::tempdir().unwrap();
    let secret = token(&state, 1, false, KEY_TTL_S * 4).await;
    let agent = start(&state, dir.path(), Some(&secret), "sleep 1000");
    soon("key", async {
        while !kept(dir.path()).contains("sbk_") {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let mut running = Some(agent);
    for round in 0..KILLS {
        let mut agent = running.take().expect("an agent runs");
        let key = serde_json::from_str::<serde_json::Value>(&kept(dir.path())).unwrap();
        let text = key["key"]["text"].as_str().expect("a key is kept").to_owned();
        agent.kill().await.unwrap();
        if round % 2 == 0 {
            // As if it was killed before it could keep the answer: the server has made a key that nobody knows.
            super::rotate(&state, &text).await.expect("the key that is kept holds");
        } else {
            // As if it was killed between keeping the answer and using it.
            soon("another key", async { while !rotated(&state, dir.path(), &text).await {} }).await;
        }
        let mut events = Watcher::start_after(state.channel(), Some(cursor(&state).await)).await;
        running = Some(start(&state, dir.path(), None, "sleep 1000"));
        // That the killed one is gone may be told first, and by the system.
        let opened = soon("session", async {
            loop {
                let event = events.next_of("agent.connectivity_change").await;
                if event.actor != "system" {
                    return event;
                }
            }
        });
        let opened = opened.await;
        assert_eq!((opened.actor.as_str(), opened.agent_id.as_str()), ("web-1", "web-1"), "round {round}");
    }
    assert!(live_keys(&state).await.len() <= 2, "what was replaced or never used has ended");
    state.stop().await;
}

/// Does what the agent does up to the moment at which it would use its new key.
async fn rotated(state: &State, dir: &Path, key: &str) -> bool {
    let Ok(new) = super::rotate(state, key).await else { return false };
    let mut content: serde_json::Value = serde_json::from_str(&kept(dir)).unwrap();
    content["key"]["text"] = new.secret.into();
    std::fs::write(dir.join("web-1.key.json"), content.to_string()).unwrap();
    true
}

async fn cursor(state: &State) -> v1::Cursor {
    let viewer = Client::new(state.channel(), Role::Viewer);
    let listed = viewer.agents().list_agents(v1::ListAgentsRequest::default()).await.unwrap();
    listed.into_inner().cursor.expect("a list says when it was read")
}
