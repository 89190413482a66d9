// How values, events and the system's health are written for people.

import assert from "node:assert/strict";
import { test } from "node:test";

import { parametersOf, stateOf } from "../approvals.js";
import { subjectOf, textOf, toneOf } from "../event-text.js";
import { healthOf } from "../health.js";
import { EVENTS, earliest, revisionOf } from "../interest.js";
import { tellingOf } from "../run-list.js";
import { age, clip, duration, many, moment, percent, plain, size } from "../values.js";

test("times are written in the largest unit that says enough", () => {
  const cases = [[-5, "0 ms"], [250, "250 ms"], [1500, "1.5 s"], [59_999, "59 s"], [61_000, "1 min"], [3_700_000, "1 h 1 min"], [90_000_000, "1 d"]];
  for (const [ms, text] of cases) assert.equal(duration(ms), text);
  assert.deepEqual([age(9_900), age(75_000)], ["9 s", "1 min"]);
});

test("only what is whole is a hundred percent", () => {
  assert.deepEqual([percent(0), percent(0.999), percent(1), percent(1.2)], ["0 %", "99 %", "100 %", "100 %"]);
});

test("other values", () => {
  assert.deepEqual([size(512_000), size(2_500_000), size(3e9)], ["512 kB", "2.5 MB", "3.0 GB"]);
  assert.deepEqual([many(1, "step"), many(2, "step"), many(0, "waits", "wait")], ["1 step", "2 steps", "0 wait"]);
  assert.deepEqual([plain("a"), plain({ a: 1 }), plain(undefined)], ["a", '{"a":1}', "null"]);
  assert.equal(clip("abcdef", 3), "abc…");
  assert.deepEqual([moment("2026-01-05T10:00:00Z"), moment("soon"), moment(undefined)], [1767607200000, null, null]);
  assert.equal(parametersOf({ ip: "192.0.2.1", hosts: ["a"] }), 'ip: 192.0.2.1 · hosts: ["a"]');
});

test("an event is told in a line", () => {
  const cases = [
    ["agent.status_change", { old_status: "active", new_status: "failed", reason: "exit_code_3" }, "active → failed, exit code 3", "bad"],
    ["incident.created", { incident: { id: "i", severity: "HIGH", type: "intrusion", title: "Break-in" } }, "high: Break-in", ""],
    ["incident.updated", { incident_id: "i", changes: { assigned_to: { old: null, new: "ann" } } }, "assigned to: null → ann", ""],
    ["analysis.completed", { results: { root_cause: "stuffing", confidence: 0.89 } }, "stuffing (89 % sure)", "good"],
    ["remediation.approval_required", { action: "block_ip", requested_by: "r" }, "block ip asked for by r", "warn"],
    ["remediation.rejected", { action: "block_ip", rejected_by: "bob", reason: "no" }, "block ip by bob: no", "bad"],
    ["inference.progress", { progress: 0.25, stage: "decode" }, "25 %, decode", ""],
    ["project.progress", { progress: 25, current_step: "models" }, "25 %, models", ""],
    ["validation.progress", { checks_completed: 1, checks_total: 1, current_check: "lint" }, "1 of 1 check, lint", ""],
    ["system.status", { health: "degraded", reason: "database_degraded" }, "degraded, database degraded", "warn"],
    ["ticket.closed", { anything: [1] }, '{"anything":[1]}', ""],
  ];
  for (const [event, data, text, tone] of cases) assert.deepEqual([textOf(event, data), toneOf(event, data)], [text, tone], event);
  assert.equal(textOf("log.line", { message: "x".repeat(1000) }).length, 241);
});

test("an event is about its incident, its agent or itself", () => {
  assert.equal(subjectOf("incident.created", { incident: { id: "inc_1", incident_id: "INC-2026-001" } }), "INC-2026-001");
  assert.equal(subjectOf("analysis.started", { analysis_id: "ana_1", incident_id: "inc_1", agent_id: "a" }), "inc_1");
  assert.equal(subjectOf("inference.failed", { inference_id: "inf_1", agent_id: "a" }), "inf_1");
  assert.equal(subjectOf("command.updated", { command_id: "c", agent_id: "a" }), "a");
  assert.equal(subjectOf("alert.created", { id: "alert_1" }), "alert_1");
  assert.equal(subjectOf("system.status", {}), "");
});

test("health is one word, its components and who is unwell", () => {
  assert.deepEqual(healthOf(null), { word: "unknown", reason: "", components: [], unwell: [] });
  const health = healthOf({
    health: "degraded", reason: "database_degraded", components: { database: "degraded", state_service: { status: "healthy" } },
    agents: { a: { status: "active", connectivity: "lost" }, b: { status: "failed", connectivity: "connected" }, c: { status: "active", connectivity: "connected" } },
  });
  assert.deepEqual(health.components, [{ name: "database", state: "degraded" }, { name: "state service", state: "healthy" }]);
  assert.deepEqual(health.unwell, [{ name: "a", state: "lost" }, { name: "b", state: "failed" }]);
  assert.equal(health.reason, "database degraded");
  const periodic = healthOf({ health: "healthy", agents: {}, summary: { state_service_reachable: false } });
  assert.deepEqual(periodic.components, [{ name: "state service", state: "down" }]);
});

test("runs are told by what they do, and at the end by what came of them", () => {
  const told = (kind, status, row) => tellingOf({ kind, status, row });
  assert.equal(told("investigation", "running", { steps: [{ title: "a" }], findings_told: 2 }), "1 step, 2 findings: a");
  assert.equal(told("validation", "running", { checks_completed: 1, checks_total: 3 }), "1 of 3 checks");
  assert.equal(told("analysis", "FAILED", { error: "too few lines" }), "failed: too few lines");
  assert.equal(told("analysis", "COMPLETED", { results: { root_cause: "c" } }), "completed: c");
  assert.equal(stateOf({ kind: "remediation", status: "RUNNING", row: { progress: 30 } }), "running, 30 %");
});

test("the subscription fits the bound of a connection, and begins at the earliest position that was read", () => {
  assert.ok(EVENTS.length <= 50, `${EVENTS.length} names`);
  assert.equal(new Set(EVENTS).size, EVENTS.length);
  assert.equal(earliest(["e:12", "e:9", "e:10"]), "e:9");
  assert.equal(revisionOf("5e0f-a:77"), 77);
});
