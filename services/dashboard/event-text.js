// What an event says at a glance: whose it is, a line of text, and how it is to be taken. Pure: it knows neither page
// nor connection.

import { clip, many, percent, plain, words } from "./values.js";

const TEXT_MAX = 240;
// Fields that say what an event is about, the one that says most first.
const TELLING = ["message", "error", "error_message", "title", "comment", "summary", "resolution", "reason", "query", "question", "stage", "current_step", "current_check", "action", "name", "status", "type"];

/** Whose event it is. */
export function subjectOf(event, data) {
  const group = event.split(".")[0];
  if (group === "agent" || group === "command") return String(data.agent_id ?? "");
  const about = data.incident ?? data.rule ?? data;
  const own = about.incident_id ?? data[`${group}_id`] ?? about.id ?? data.agent_id;
  if (own) return String(own);
  const named = Object.entries(data).find(([name, value]) => name.endsWith("_id") && typeof value === "string");
  return named ? named[1] : "";
}

/** What happened, in a line. */
export function textOf(event, data) {
  return clip(lineOf(event, data), TEXT_MAX);
}

function lineOf(event, data) {
  switch (event) {
    case "agent.status_change":
      return `${data.old_status} → ${data.new_status}${reason(data)}`;
    case "agent.connectivity_change":
      return `${data.old_connectivity} → ${data.new_connectivity}${reason(data)}`;
    case "command.issued":
      return `${data.command} issued by ${data.issued_by}`;
    case "command.updated":
      return `${data.command}: ${words(data.new_state)}${data.error ? `, ${data.error}` : ""}`;
    case "command.cancel_requested":
      return `${data.command}: cancel requested by ${data.requested_by}`;
    case "incident.created":
      return `${words(data.incident?.severity)}: ${data.incident?.title ?? words(data.incident?.type)}`;
    case "incident.assigned":
      return data.assigned_to ? `to ${data.assigned_to} by ${data.assigned_by}` : `to nobody by ${data.assigned_by}`;
    case "analysis.completed":
      return `${data.results?.root_cause} (${percent(data.results?.confidence ?? 0)} sure)`;
    case "remediation.approval_required":
      return `${words(data.action)} asked for by ${data.requested_by}`;
    case "remediation.approved":
      return `${words(data.action)} by ${data.approved_by}${data.comment ? `: ${data.comment}` : ""}`;
    case "remediation.rejected":
      return `${words(data.action)} by ${data.rejected_by}${data.reason ? `: ${data.reason}` : ""}`;
    case "investigation.step":
    case "playbook.step":
      return `step ${data.index}: ${data.step?.title ?? data.step?.name}`;
    case "investigation.finding":
      return `found: ${data.finding?.title}`;
    case "validation.progress":
      return `${data.checks_completed} of ${many(data.checks_total ?? 0, "check")}${data.current_check ? `, ${data.current_check}` : ""}`;
    case "project.completed":
      return many(data.files?.length ?? 0, "file");
    case "rule.created":
      return data.rule?.name ?? "";
    case "system.status":
      return `${data.health}${reason(data)}`;
    default:
      return other(event, data);
  }
}

function other(event, data) {
  if (data.changes && typeof data.changes === "object") {
    return Object.entries(data.changes).map(([name, change]) => `${words(name)}: ${plain(change?.old)} → ${plain(change?.new)}`).join(", ");
  }
  const telling = TELLING.find((name) => typeof data[name] === "string" && data[name] !== "");
  const text = telling ? data[telling] : JSON.stringify(data);
  if (!event.endsWith(".progress") || typeof data.progress !== "number") return text;
  // Inferences count to 1, everything else to 100.
  return `${percent(event.startsWith("inference.") ? data.progress : data.progress / 100)}${telling ? `, ${text}` : ""}`;
}

function reason(data) {
  return data.reason ? `, ${words(data.reason)}` : "";
}

/** How an event is to be taken: `good`, `warn`, `bad`, or an empty string. */
export function toneOf(event, data) {
  const word = words(data.new_status ?? data.new_connectivity ?? data.new_state ?? data.health ?? data.status);
  if (["failed", "lost", "rejected", "timed out", "unknown", "expired", "down"].includes(word) || /\.(error|failed|rejected)$/.test(event)) return "bad";
  if (["degraded", "disconnected", "stopping", "canceled"].includes(word) || /^(system\.alert|performance\.alert|honeytoken\.touched|remediation\.approval_required)$/.test(event)) return "warn";
  if (["active", "connected", "succeeded", "healthy"].includes(word) || /\.(completed|resolved|approved)$/.test(event)) return "good";
  return "";
}
