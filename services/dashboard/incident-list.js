// The list of incidents, and what narrows it: states, severity and text.

import { element, setText } from "./element.js";
import { SEVERITIES, UNSETTLED } from "./incidents.js";
import { KeyedList } from "./keyed-list.js";
import { age, moment, words } from "./values.js";

/** How many rows are made; whoever looks for others narrows the list. */
const ROWS_MAX = 100;
const STATES = [...UNSETTLED, "RESOLVED", "MERGED"];

export class IncidentList {
  /**
   * `parts` has `list`, `count`, `none`, `more`, `states` and `severity`. `on.open(id)` gets what is pressed, and
   * `on.settled()` is told when those that are settled are wanted, which are not listed before.
   */
  constructor(parts, incidents, on, now) {
    Object.assign(this, { parts, incidents, on, now });
    this.text = "";
    this.states = new Set(UNSETTLED);
    /** Whether those that are settled have been read; without that their number says nothing. */
    this.settledKnown = false;
    this.list = new KeyedList(parts.list, () => new Row(this));
    this.chips = STATES.map((state) => this.chip(state));
    parts.states.replaceChildren(...this.chips.map(({ button }) => button));
    parts.severity.replaceChildren(new Option("Any severity", ""), ...SEVERITIES.map((name) => new Option(capital(name), name)));
    parts.severity.onchange = () => on.changed();
  }

  /** Shows what fits; gives the counts of all. */
  show() {
    const { count, none, more, severity } = this.parts;
    const fitting = this.incidents.fitting({ states: [...this.states], severity: severity.value, text: this.text });
    this.list.show(fitting.slice(0, ROWS_MAX), ({ id }) => id);
    const counts = this.incidents.counts();
    for (const { state, button, number } of this.chips) {
      const known = this.settledKnown || UNSETTLED.includes(state);
      setText(number, known ? String(counts.states[state] ?? 0) : "");
      button.dataset.zero = String(known && !counts.states[state]);
    }
    none.hidden = fitting.length > 0;
    setText(none, this.incidents.rows.size === 0 ? "No incident is open." : "No incident fits.");
    more.hidden = fitting.length <= ROWS_MAX;
    setText(more, `${fitting.length - ROWS_MAX} more fit; narrow the list to see them.`);
    setText(count, fitting.length === 0 ? "" : String(fitting.length));
    return counts;
  }

  tick() {
    this.list.tick();
  }

  /** Whether incidents are shown that are settled. */
  showsSettled() {
    return STATES.some((state) => this.states.has(state) && !UNSETTLED.includes(state));
  }

  chip(state) {
    const number = element("b", "", "0");
    const button = element("button", "chip", number, element("span", "", words(state)));
    button.type = "button";
    button.setAttribute("aria-pressed", String(this.states.has(state)));
    button.addEventListener("click", () => {
      if (!this.states.delete(state)) this.states.add(state);
      button.setAttribute("aria-pressed", String(this.states.has(state)));
      if (this.showsSettled()) this.on.settled();
      this.on.changed();
    });
    return { state, button, number };
  }
}

class Row {
  constructor(list) {
    this.list = list;
    this.severity = element("span", "severity");
    this.number = element("code", "number");
    this.title = element("span", "title");
    this.state = element("span", "word");
    this.assignee = element("span", "assignee");
    this.age = element("span", "age");
    this.button = element("button", "incident", this.severity,
      element("span", "name", this.title, element("span", "below", this.number, this.assignee)),
      element("span", "state", this.state, this.age));
    this.button.type = "button";
    this.button.addEventListener("click", () => list.on.open(this.row.id));
    this.root = element("li", "", this.button);
  }

  show(row) {
    this.row = row;
    setText(this.severity, words(row.severity));
    setText(this.number, row.incident_id ?? row.id);
    setText(this.title, row.title ?? words(row.type));
    setText(this.state, words(row.status));
    setText(this.assignee, row.assigned_to ?? "nobody's");
    this.assignee.dataset.nobody = String(!row.assigned_to);
    this.root.dataset.severity = row.severity;
    this.root.dataset.state = row.status;
    this.tick();
  }

  tick() {
    const since = moment(this.row.created_at);
    setText(this.age, since ? age(this.list.now() - since) : "");
  }
}

function capital(word) {
  const text = words(word);
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}`;
}
