// Incidents, as their events make them.

import assert from "node:assert/strict";
import { test } from "node:test";

import { factsOf } from "../incident-panel.js";
import { Incidents } from "../incidents.js";

function row(id, more = {}) {
  return { id, incident_id: `INC-2026-${id}`, type: "suspicious_login", severity: "HIGH", status: "OPEN", created_at: "2026-01-05T10:00:00.000Z", affected_resources: ["idp-1"], ...more };
}

function known(...rows) {
  const incidents = new Incidents();
  incidents.merge(rows);
  return incidents;
}

const everything = { states: ["OPEN", "INVESTIGATING", "RESOLVED", "MERGED"], severity: "", text: "" };
const ids = (list) => list.map(({ id }) => id);

test("a change applies what it names, and what is empty afterwards is gone", () => {
  const incidents = known(row("1", { assigned_to: "ann" }));
  incidents.apply({ event: "incident.updated", data: { incident_id: "1", changes: { status: { old: "OPEN", new: "INVESTIGATING" }, assigned_to: { old: "ann", new: null } }, updated_by: "x", updated_at: "t" } });
  const { status, assigned_to: assignee, severity } = incidents.rows.get("1");
  assert.deepEqual([status, assignee, severity], ["INVESTIGATING", undefined, "HIGH"]);
});

test("who resolved an incident is told until it is reopened", () => {
  const incidents = known(row("1"));
  const changed = (to) => incidents.apply({ event: "incident.updated", data: { incident_id: "1", changes: { status: { old: "", new: to } }, updated_by: "bob", updated_at: "t" } });
  changed("RESOLVED");
  incidents.apply({ event: "incident.resolved", data: { incident_id: "1", resolution: "done", resolved_by: "bob", resolved_at: "t" } });
  assert.match(Object.fromEntries(factsOf(incidents.rows.get("1"), incidents)).Resolved, / by bob$/);
  changed("OPEN");
  incidents.apply({ event: "incident.reopened", data: { incident_id: "1", reopened_by: "ann", reopened_at: "t" } });
  assert.equal(Object.fromEntries(factsOf(incidents.rows.get("1"), incidents)).Resolved, undefined);
});

test("an incident that nobody knows has to be looked up", () => {
  const incidents = new Incidents();
  assert.equal(incidents.apply({ event: "incident.updated", data: { incident_id: "7", changes: {} } }), "7");
  assert.equal(incidents.apply({ event: "incident.created", data: { incident: row("8") } }), null);
  assert.equal(incidents.apply({ event: "incident.deleted", data: { incident_id: "9" } }), null);
  assert.equal(incidents.apply({ event: "analysis.started", data: { analysis_id: "a", incident_id: "7" } }), null);
  assert.deepEqual([...incidents.rows.keys()], ["8"]);
});

test("the gravest come first, of these the newest", () => {
  const incidents = known(
    row("old", { created_at: "2026-01-05T09:00:00.000Z" }), row("low", { severity: "LOW" }),
    row("new", { created_at: "2026-01-05T11:00:00.000Z" }), row("worst", { severity: "CRITICAL" }), row("odd", { severity: "ODD" }));
  assert.deepEqual(ids(incidents.fitting(everything)), ["worst", "new", "old", "low", "odd"]);
});

test("a list is narrowed by state, severity and every word of the text", () => {
  const incidents = known(row("1", { title: "Stolen session", assigned_to: "ann" }), row("2", { status: "RESOLVED" }), row("3", { severity: "LOW" }));
  assert.deepEqual(ids(incidents.fitting({ ...everything, states: ["RESOLVED"] })), ["2"]);
  assert.deepEqual(ids(incidents.fitting({ ...everything, severity: "LOW" })), ["3"]);
  assert.deepEqual(ids(incidents.fitting({ ...everything, text: " ANN stolen " })), ["1"]);
  assert.deepEqual(ids(incidents.fitting({ ...everything, text: "idp-1 2026-3" })), ["3"]);
  assert.deepEqual(ids(incidents.fitting({ ...everything, text: "ann elsewhere" })), []);
});

test("only what is unsettled is counted as waiting", () => {
  const counts = known(row("1"), row("2", { status: "INVESTIGATING", severity: "LOW" }), row("3", { status: "RESOLVED" })).counts();
  assert.deepEqual(counts, { states: { OPEN: 1, INVESTIGATING: 1, RESOLVED: 1 }, severities: { HIGH: 1, LOW: 1 }, unsettled: 2 });
});

test("what was read long ago overwrites nothing, a list that was read anew everything", () => {
  const incidents = known(row("1", { status: "INVESTIGATING" }));
  incidents.fill([row("1"), row("2", { status: "RESOLVED" })]);
  assert.deepEqual([incidents.rows.get("1").status, incidents.rows.get("2").status], ["INVESTIGATING", "RESOLVED"]);
  incidents.replace([row("3")]);
  assert.deepEqual([...incidents.rows.keys()], ["3"]);
});

test("settled incidents are forgotten before those that are open", () => {
  const incidents = known(row("open"));
  incidents.merge(Array.from({ length: 5100 }, (_, index) => row(`r${index}`, { status: "RESOLVED" })));
  assert.equal(incidents.rows.size, 5000);
  assert.ok(incidents.rows.has("open") && incidents.rows.has("r5099") && !incidents.rows.has("r0"));
});
