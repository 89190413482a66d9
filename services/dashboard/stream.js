// The stream of events: the last ones only, of those the ones that fit, the newest first.

import { element, setText } from "./element.js";
import { words } from "./fleet.js";

const ROWS_MAX = 500;
const TEXT_MAX = 240;
const TIME = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3, hour12: false });
// Fields that say what an event is about, the one that says most first.
const TELLING = ["message", "error", "title", "summary", "resolution", "reason", "action", "status", "name", "type"];

export class Stream {
  /** `parts` has the elements `list`, `count`, `none` and `pause`. */
  constructor(parts) {
    this.parts = parts;
    this.entries = [];
    this.pending = [];
    this.paused = false;
    this.waiting = 0;
    this.text = "";
    this.pause(false);
  }

  /** Takes an event in; it is seen with the next `show`. */
  add(message) {
    this.pending.push(message);
    if (this.pending.length > ROWS_MAX) this.pending.splice(0, this.pending.length - ROWS_MAX);
    this.waiting += 1;
  }

  /** Shows what came since. */
  show() {
    if (this.paused || this.pending.length === 0) {
      if (this.paused) this.tell();
      return;
    }
    const entries = this.pending.map(entryOf);
    this.pending = [];
    this.waiting = 0;
    this.entries.push(...entries);
    for (const dropped of this.entries.splice(0, this.entries.length - ROWS_MAX)) dropped.row?.remove();
    const fitting = entries.slice(-ROWS_MAX).filter((entry) => this.fits(entry));
    this.parts.list.prepend(...fitting.reverse().map(rowOf));
    this.tell();
  }

  filter(text) {
    this.text = text.trim().toLowerCase();
    this.parts.list.replaceChildren(...this.entries.filter((entry) => this.fits(entry)).reverse().map(rowOf));
    this.tell();
  }

  pause(paused) {
    this.paused = paused;
    this.parts.pause.setAttribute("aria-pressed", String(paused));
    this.show();
    this.tell();
  }

  /** Forgets everything. */
  clear() {
    this.entries = [];
    this.pending = [];
    this.waiting = 0;
    this.parts.list.replaceChildren();
    this.tell();
  }

  fits(entry) {
    return this.text === "" || this.text.split(/\s+/).every((word) => entry.hay.includes(word));
  }

  tell() {
    const { list, count, none, pause } = this.parts;
    const [shown, all] = [list.childElementCount, this.entries.length];
    setText(count, all === 0 ? "" : shown === all ? `last ${all}` : `${shown} of the last ${all}`);
    none.hidden = shown > 0;
    setText(none, all > 0 ? "No event fits." : "Nothing has happened yet.");
    setText(pause, this.paused ? `Resume${this.waiting ? ` (${this.waiting} new)` : ""}` : "Pause");
  }
}

function entryOf({ event, data, timestamp, id }) {
  const subject = subjectOf(event, data);
  const text = textOf(event, data);
  return { event, data, timestamp, id, subject, text, hay: `${event} ${subject} ${text} ${JSON.stringify(data)}`.toLowerCase() };
}

function rowOf(entry) {
  if (entry.row) return entry.row;
  const time = element("time", "", TIME.format(new Date(entry.timestamp)));
  time.dateTime = entry.timestamp;
  const type = element("span", "type", entry.event);
  const summary = element("summary", "", time, type, element("span", "subject", entry.subject), element("span", "text", entry.text));
  const details = element("details", "", summary);
  details.addEventListener("toggle", () => {
    if (details.open && details.childElementCount === 1) {
      const whole = { ...(entry.id && { cursor: entry.id }), time: entry.timestamp, data: entry.data };
      details.append(element("pre", "", JSON.stringify(whole, null, 2)));
    }
  });
  entry.row = element("li", "", details);
  entry.row.dataset.group = entry.event.split(".")[0];
  entry.row.dataset.tone = toneOf(entry);
  return entry.row;
}

/** Whose event it is. */
function subjectOf(event, data) {
  if (data.agent_id) return String(data.agent_id);
  const own = data[`${event.split(".")[0]}_id`] ?? data.incident?.id;
  if (own) return String(own);
  const named = Object.entries(data).find(([name, value]) => name.endsWith("_id") && typeof value === "string");
  return named ? named[1] : "";
}

/** What happened, in a line. */
function textOf(event, data) {
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
    case "system.status":
      return `${data.health}${data.summary ? `, ${data.summary.agents} ${data.summary.agents === 1 ? "agent" : "agents"}, ${data.summary.unwell} unwell` : ""}${reason(data)}`;
    default:
      return clip(other(data));
  }
}

function reason(data) {
  return data.reason ? `, ${String(data.reason).replaceAll("_", " ")}` : "";
}

function other(data) {
  if (data.changes && typeof data.changes === "object") {
    return Object.entries(data.changes).map(([name, change]) => `${name}: ${plain(change?.old)} → ${plain(change?.new)}`).join(", ");
  }
  const telling = TELLING.find((name) => typeof data[name] === "string" && data[name] !== "");
  return telling ? data[telling] : JSON.stringify(data);
}

function plain(value) {
  return typeof value === "string" ? value : JSON.stringify(value ?? null);
}

function clip(text) {
  return text.length > TEXT_MAX ? `${text.slice(0, TEXT_MAX)}…` : text;
}

/** How an event is to be taken. */
function toneOf({ event, data }) {
  const word = String(data.new_status ?? data.new_connectivity ?? data.new_state ?? data.health ?? "").toLowerCase();
  if (["failed", "lost", "rejected", "timed_out", "unknown", "expired"].includes(word) || /\.(error|failed)$/.test(event)) return "bad";
  if (["degraded", "disconnected", "stopping", "canceled"].includes(word) || event === "system.alert") return "warn";
  if (["active", "connected", "succeeded"].includes(word) || /\.(completed|resolved)$/.test(event)) return "good";
  return "";
}
