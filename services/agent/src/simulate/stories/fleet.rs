//! The agents themselves: one rests, one dies and comes back; people register, rename and forget one, and give
//! commands.

use std::collections::BTreeMap;

use serde_json::json;

use crate::simulate::{
    step::{
        Ask, Condition,
        Who::{Generator, Inference, Monitor},
    },
    tale::{Tale, object},
};

pub(super) fn tell(tale: &mut Tale) {
    let done = tale.between(100..=900);
    let details = json!({"inference_count": done});
    tale.status(Inference, Condition::Idle, "nothing_to_do", details);
    tale.wait(800..=1500);
    tale.status(Generator, Condition::Failed, "signal_9", json!({"signal": "SIGKILL", "uptime_ms": 812_000}));
    tale.log(Generator, "error", "the generator was killed: out of memory", json!({}));
    tale.wait(1200..=2000);
    tale.status(Generator, Condition::Pending, "restarted_by_policy", json!({}));
    tale.wait(800..=1500);
    tale.status(Generator, Condition::Active, "restarted_by_policy", json!({"restarts": 1}));
    tale.status(Inference, Condition::Active, "work_arrived", json!({}));
    administer(tale);
    command(tale);
}

fn administer(tale: &mut Tale) {
    let agent_id = tale.id("batch").replace('_', "-");
    tale.wait(500..=1000);
    tale.ask(Ask::CreateAgent {
        agent_id: agent_id.clone(),
        name: "Nightly batch".into(),
        labels: BTreeMap::from([("team".to_owned(), "data".to_owned())]),
    });
    tale.wait(1500..=2500);
    tale.ask(Ask::RenameAgent { agent_id: agent_id.clone(), name: "Nightly batch (retired)".into() });
    tale.wait(1500..=2500);
    tale.ask(Ask::DeleteAgent { agent_id });
}

fn command(tale: &mut Tale) {
    let word = tale.id("command");
    let parameters = object(json!({"duration_ms": 1500}));
    tale.wait(500..=1000);
    tale.ask(Ask::Command { word: None, to: Monitor, name: "run_diagnostics", parameters });
    tale.wait(500..=1000);
    let parameters = object(json!({"duration_ms": 50_000}));
    tale.ask(Ask::Command { word: Some(word.clone()), to: Inference, name: "run_diagnostics", parameters });
    tale.wait(2000..=3000);
    tale.ask(Ask::CancelCommand { word, reason: "It takes too long" });
}
