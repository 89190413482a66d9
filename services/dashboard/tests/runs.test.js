// Runs of every kind, as their events make them.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Runs, decisionOf, findingsOf, isUnfinished, progressOf, stageOf, stepsOf, titleOf, unfinishedStates } from "../runs.js";

const at = (second) => new Date(Date.UTC(2026, 0, 5, 10, 0, second)).toISOString();

/** Runs after these events, a second apart: pairs of type and data. */
function after(...events) {
  const runs = new Runs();
  events.forEach(([event, data], second) => runs.apply({ event, data, timestamp: at(second) }));
  return runs;
}

const ASKED = ["remediation.approval_required", { action_id: "rem_1", incident_id: "inc_1", action: "block_ip", parameters: { ip: "192.0.2.1" }, requested_by: "remediation-agent" }];
const APPROVED = ["remediation.approved", { action_id: "rem_1", incident_id: "inc_1", action: "block_ip", approved_by: "ann", approved_at: at(1), comment: "go" }];
const STARTED = ["remediation.started", { action_id: "rem_1", incident_id: "inc_1", action: "block_ip", parameters: {}, initiated_by: "remediation-agent" }];

test("a remediation waits until a person has decided, and then for its agent", () => {
  const runs = after(ASKED);
  assert.deepEqual(runs.pending().map(({ id }) => id), ["rem_1"]);
  assert.equal(decisionOf(runs.pending()[0]), null);
  runs.apply({ event: APPROVED[0], data: APPROVED[1], timestamp: at(1) });
  assert.deepEqual(runs.pending(), []);
  const [run] = runs.decided(5);
  assert.deepEqual(decisionOf(run), { word: "approved", by: "ann", at: Date.parse(at(1)), said: "go" });
  assert.equal(run.row.initiated_by, "remediation-agent");
  assert.equal(runs.ongoing(), 0);
  runs.apply({ event: STARTED[0], data: STARTED[1], timestamp: at(2) });
  assert.equal(runs.ongoing(), 1);
});

test("a rejection ends a remediation with its reason", () => {
  const runs = after(ASKED, ["remediation.rejected", { action_id: "rem_1", incident_id: "inc_1", action: "block_ip", rejected_by: "bob", rejected_at: at(1), reason: "too much" }]);
  const [run] = runs.decided(5);
  assert.equal(isUnfinished(run), false);
  assert.deepEqual([run.status, decisionOf(run).by, decisionOf(run).said], ["REJECTED", "bob", "too much"]);
});

test("those that wait come the oldest first, the decisions the newest first", () => {
  const ask = (id) => ["remediation.approval_required", { ...ASKED[1], action_id: id }];
  const decide = (id, second) => ["remediation.approved", { ...APPROVED[1], action_id: id, approved_at: at(second) }];
  const runs = after(ask("a"), ask("b"), ask("c"), ask("d"), decide("c", 7), decide("d", 9));
  assert.deepEqual(runs.pending().map(({ id }) => id), ["a", "b"]);
  assert.deepEqual(runs.decided(1).map(({ id }) => id), ["d"]);
});

test("each kind tells its progress in its own measure", () => {
  const cases = [
    ["analysis.progress", { analysis_id: "x", incident_id: "i", progress: 45, stage: "Correlating" }, 0.45, "Correlating"],
    ["inference.progress", { inference_id: "x", agent_id: "a", progress: 0.5, stage: "decode" }, 0.5, "decode"],
    ["project.progress", { project_id: "x", progress: 20, current_step: "models", files_created: ["a.py"] }, 0.2, "models"],
    ["validation.progress", { validation_id: "x", project_id: "p", current_check: "lint", checks_completed: 2, checks_total: 8 }, 0.25, "lint"],
    ["investigation.step", { investigation_id: "x", index: 3, step: { title: "Read the log" } }, null, "Read the log"],
    ["playbook.step", { playbook_id: "x", name: "isolate", index: 1, steps_total: 4, step: { name: "notify" } }, 0.25, "notify"],
  ];
  for (const [event, data, progress, stage] of cases) {
    const run = after([event, data]).get(event.split(".")[0], "x");
    assert.deepEqual([progressOf(run), stageOf(run)], [progress, stage], event);
  }
});

test("progress never goes back, and an end stays an end", () => {
  const progress = (value) => ["analysis.progress", { analysis_id: "x", incident_id: "i", progress: value }];
  const runs = after(progress(60), progress(40));
  assert.equal(progressOf(runs.get("analysis", "x")), 0.6);
  runs.apply({ event: "analysis.completed", data: { analysis_id: "x", incident_id: "i", results: { root_cause: "c", confidence: 1, recommendations: [] }, duration_ms: 9 }, timestamp: at(3) });
  runs.apply({ event: progress(70)[0], data: progress(70)[1], timestamp: at(4) });
  const run = runs.get("analysis", "x");
  assert.deepEqual([run.status, progressOf(run), run.endedAt], ["COMPLETED", 1, Date.parse(at(3))]);
});

test("what failed says why in one place", () => {
  const failed = after(["inference.failed", { inference_id: "x", agent_id: "a", error_code: "TIMEOUT", error_message: "no answer", processing_time: 3 }]);
  assert.deepEqual([failed.get("inference", "x").status, failed.get("inference", "x").row.error], ["failed", "no answer"]);
  const errored = after(["investigation.error", { investigation_id: "x", error: "agent_lost", duration_ms: 1 }]);
  assert.equal(errored.get("investigation", "x").status, "failed");
  const validation = after(["validation.completed", { validation_id: "x", project_id: "p", status: "error", error: "agent_lost", duration_ms: 1 }]);
  assert.equal(validation.get("validation", "x").status, "error");
});

test("steps and findings are counted, from whichever source knows more", () => {
  const runs = new Runs();
  runs.merge("investigation", [{ id: "x", status: "running", question: "who?", steps: [{ title: "one" }, { title: "two" }], findings: [] }]);
  const run = () => runs.get("investigation", "x");
  assert.deepEqual([stepsOf(run().row), stageOf(run())], [2, "two"]);
  runs.apply({ event: "investigation.step", data: { investigation_id: "x", index: 3, step: { title: "three" } }, timestamp: at(0) });
  runs.apply({ event: "investigation.finding", data: { investigation_id: "x", index: 1, finding: { title: "f" } }, timestamp: at(1) });
  assert.deepEqual([stepsOf(run().row), findingsOf(run().row), stageOf(run()), titleOf(run())], [3, 1, "three", "who?"]);
});

test("an answer that events have overtaken takes nothing back", () => {
  const runs = after(ASKED, APPROVED, STARTED);
  runs.merge("remediation", [{ id: "rem_1", status: "PENDING_APPROVAL", incident_id: "inc_1", action: "block_ip", progress: 0, created_at: at(0) }]);
  assert.equal(runs.get("remediation", "rem_1").status, "RUNNING");
  assert.equal(runs.decided(1).length, 1);
  runs.merge("remediation", [{ id: "rem_1", status: "ROLLED_BACK", incident_id: "inc_1", action: "block_ip", progress: 100, created_at: at(0), finished_at: at(9) }]);
  assert.equal(runs.get("remediation", "rem_1").status, "ROLLED_BACK");
});

test("a list that was read anew forgets what has ended unseen and keeps what was seen to end", () => {
  const runs = after(ASKED, ["playbook.started", { playbook_id: "p", name: "n", started_by: "a", started_at: at(1) }], ["playbook.completed", { playbook_id: "p", name: "n", steps_completed: 0, duration_ms: 1 }]);
  runs.replace({ analysis: [{ id: "new", status: "RUNNING", incident_id: "i", progress: 3 }] });
  assert.equal(runs.get("remediation", "rem_1"), undefined);
  assert.deepEqual([runs.get("playbook", "p").status, runs.get("analysis", "new").status], ["completed", "RUNNING"]);
});

test("what has ended leaves the current ones after a while", () => {
  const runs = after(["playbook.started", { playbook_id: "p", name: "n", started_by: "a", started_at: at(0) }], ["playbook.failed", { playbook_id: "p", name: "n", error: "e", duration_ms: 1 }]);
  assert.equal(runs.current(Date.parse(at(0))).length, 1);
  assert.equal(runs.current(Date.parse(at(1))).length, 0);
});

test("a project that only its progress is known of has to be looked up", () => {
  const runs = new Runs();
  const progress = { event: "project.progress", data: { project_id: "p", progress: 1, files_created: [] }, timestamp: at(0) };
  assert.equal(runs.apply(progress), "p");
  assert.equal(runs.apply(progress), null);
  assert.equal(runs.apply({ event: "incident.created", data: { incident: { id: "i" } }, timestamp: at(0) }), null);
});

test("a deleted run is gone, and no more than a bounded number is kept", () => {
  const runs = after(ASKED, ["remediation.deleted", { action_id: "rem_1", incident_id: "inc_1", deleted_by: "a", deleted_at: at(1) }]);
  assert.equal(runs.get("remediation", "rem_1"), undefined);
  for (let index = 0; index < 2100; index += 1) {
    runs.apply({ event: "playbook.started", data: { playbook_id: `p${index}`, name: "n", started_by: "a", started_at: at(0) }, timestamp: at(0) });
    runs.apply({ event: "playbook.completed", data: { playbook_id: `p${index}`, name: "n", steps_completed: 0, duration_ms: 1 }, timestamp: new Date(index).toISOString() });
  }
  runs.apply({ event: ASKED[0], data: ASKED[1], timestamp: at(5) });
  assert.equal(runs.runs.size, 2000);
  assert.equal(runs.pending().length, 1);
  assert.equal(runs.get("playbook", "p0"), undefined);
});

test("the states that a list is asked for are those of runs that have not ended", () => {
  for (const kind of ["analysis", "remediation", "inference"]) {
    assert.ok(unfinishedStates(kind).every((status) => isUnfinished({ status })), kind);
  }
});
