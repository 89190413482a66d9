//! A question to a model, and its answer; now and then there is none.

use serde_json::json;

use crate::simulate::{step::Who::Inference, tale::Tale};

const QUERIES: [&str; 4] = [
    "Which hosts talk to domains younger than a week?",
    "Summarise what changed in the payments cluster since yesterday",
    "Is the drop in checkouts seasonal?",
    "Propose a hypothesis for the latency of eu-west-1",
];

pub(super) fn tell(tale: &mut Tale) {
    let (query, priority) = (*tale.pick(&QUERIES), *tale.pick(&["low", "normal", "high"]));
    let seconds = tale.between(4..=9);
    let data = json!({
        "agent_id": Inference.id(),
        "query": query,
        "priority": priority,
        "estimated_duration": seconds,
    });
    let inference = tale.create(Inference, "inference", "inf", data);
    let fails = tale.telling() % 2 == 1;
    let stages = [(0.2, "Reading the context"), (0.5, "Weighing hypotheses"), (0.9, "Writing the answer")];
    for (progress, stage) in &stages[..if fails { 2 } else { 3 }] {
        tale.wait(900..=1800);
        #[expect(clippy::cast_precision_loss, reason = "a few seconds")]
        let remaining = (seconds as f64 * (1.0 - progress)).round();
        let patch = json!({"progress": progress, "stage": stage, "estimated_remaining": remaining});
        tale.patch(Inference, "inference", &inference, patch);
    }
    tale.wait(700..=1400);
    let end = if fails {
        json!({
            "status": "failed",
            "error_code": "MODEL_OVERLOADED",
            "error_message": "the model did not answer within its time",
        })
    } else {
        let confidence = tale.share(60..=97);
        let summary =
            json!({"confidence": confidence, "beliefs_updated": 4, "recommended_action": "observe"});
        json!({"status": "completed", "progress": 1, "estimated_remaining": 0, "result_summary": summary})
    };
    tale.patch(Inference, "inference", &inference, end);
}
