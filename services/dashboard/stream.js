// The stream of events: the last ones only, of those the ones that fit, the newest first.

import { element, setText } from "./element.js";
import { subjectOf, textOf, toneOf } from "./event-text.js";

const ROWS_MAX = 500;
const TIME = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3, hour12: false });

export class Stream {
  /** `parts` has the elements `list`, `count`, `none`, `pause` and `types`, a select. */
  constructor(parts) {
    this.parts = parts;
    this.seen = new Map();
    this.type = "";
    parts.types.replaceChildren(new Option("All types", ""));
    parts.types.onchange = () => {
      this.type = parts.types.value;
      this.filter(this.text);
    };
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
    for (const { event } of entries) this.offer(event);
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
    const typed = this.type === "" || entry.event === this.type || (this.type.endsWith(".*") && entry.event.startsWith(this.type.slice(0, -1)));
    return typed && (this.text === "" || this.text.split(/\s+/).every((word) => entry.hay.includes(word)));
  }

  /** Makes a type one of those that can be chosen. There are as many as the catalog has and no more. */
  offer(event) {
    const group = event.split(".")[0];
    let options = this.seen.get(group);
    if (!options) {
      options = element("optgroup", "", new Option(`${group}, all`, `${group}.*`));
      options.label = group;
      this.seen.set(group, options);
      insertSorted(this.parts.types, options, ({ label }) => label, 1);
    }
    if ([...options.children].some(({ value }) => value === event)) return;
    insertSorted(options, new Option(event, event), ({ value }) => value, 1);
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

/** Puts a child where it belongs by its name, behind the first ones. */
function insertSorted(parent, child, nameOf, first) {
  const after = [...parent.children].slice(first).find((other) => nameOf(other) > nameOf(child));
  parent.insertBefore(child, after ?? null);
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
  entry.row.dataset.tone = toneOf(entry.event, entry.data);
  return entry.row;
}
