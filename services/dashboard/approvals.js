// Remediations that wait for a person: one card each. Below them, who decided what last.

import { element, setText } from "./element.js";
import { KeyedList } from "./keyed-list.js";
import { decisionOf, progressOf } from "./runs.js";
import { age, many, percent, plain, words } from "./values.js";

/** How many cards are made; the others are counted. */
const CARDS_MAX = 50;
const DECIDED_MAX = 3;

export class Approvals {
  /** `parts` has the elements `root`, `cards`, `more`, `decided` and `count`; `deeds` says what may be done. */
  constructor(parts, runs, incidents, deeds) {
    Object.assign(this, { parts, runs, incidents, deeds });
    this.cards = new KeyedList(parts.cards, () => new Card(this));
    this.decisions = new KeyedList(parts.decided, () => new Decision(this));
  }

  /** Shows what waits; gives how many wait. */
  show() {
    const pending = this.runs.pending();
    const decided = this.runs.decided(DECIDED_MAX);
    this.cards.show(pending.slice(0, CARDS_MAX), ({ id }) => id);
    this.decisions.show(decided, ({ id }) => id);
    const { root, more, decided: list, count } = this.parts;
    root.dataset.waiting = String(pending.length > 0);
    root.hidden = pending.length === 0 && decided.length === 0;
    list.hidden = decided.length === 0;
    more.hidden = pending.length <= CARDS_MAX;
    setText(more, `${pending.length - CARDS_MAX} more wait behind these.`);
    setText(count, pending.length === 0 ? "none waits" : `${many(pending.length, "waits", "wait")}, the oldest first`);
    return pending.length;
  }

  tick() {
    this.cards.tick();
    this.decisions.tick();
  }
}

/** The buttons that decide on a remediation, and what the server said when it refused. */
export class Deciding {
  /** `actions` pairs a name of the protocol with a label. */
  constructor(deeds, actions) {
    this.deeds = deeds;
    this.buttons = actions.map(([action, label]) => {
      const button = element("button", `act ${action}`, label);
      button.type = "button";
      button.addEventListener("click", () => button.getAttribute("aria-disabled") !== "true" && deeds.decide(action, this.run));
      return { action, label, button };
    });
    this.root = element("div", "actions", ...this.buttons.map(({ button }) => button));
    this.root.setAttribute("role", "group");
    this.text = element("span");
    const dismiss = element("button", "quiet", "Dismiss");
    dismiss.type = "button";
    dismiss.addEventListener("click", () => deeds.dismiss(this.run.id));
    this.problem = element("div", "problem", this.text, dismiss);
    this.problem.setAttribute("role", "alert");
  }

  /** Shows the buttons of the actions that fit, and the problem with the last one, where there is one. */
  show(run, subject, fitting) {
    this.run = run;
    const { sending, problem } = this.deeds.of(run.id);
    this.root.hidden = fitting.length === 0;
    for (const { action, label, button } of this.buttons) {
      button.hidden = !fitting.includes(action);
      const why = this.deeds.blocked() ?? (sending ? "It is on its way" : null);
      button.setAttribute("aria-disabled", String(why !== null));
      button.setAttribute("aria-label", `${label} ${subject}`);
      button.title = why ?? "";
      button.dataset.busy = String(sending === action);
    }
    this.problem.hidden = !problem;
    setText(this.text, problem ?? "");
  }
}

class Card {
  constructor(approvals) {
    this.approvals = approvals;
    this.action = element("strong", "title");
    this.age = element("span", "age");
    this.parameters = element("code", "parameters");
    this.incident = element("button", "to-incident");
    this.incident.type = "button";
    this.incident.addEventListener("click", () => approvals.deeds.open(this.run.row.incident_id));
    this.by = element("span", "by");
    this.deciding = new Deciding(approvals.deeds, [["approve_remediation", "Approve"], ["reject_remediation", "Reject"]]);
    this.root = element("li", "card",
      element("div", "what", element("div", "", this.action, " ", this.age), this.parameters, element("div", "below", this.incident, this.by)),
      this.deciding.root, this.deciding.problem);
  }

  show(run) {
    this.run = run;
    const { row } = run;
    const { incidents } = this.approvals;
    const incident = incidents.rows.get(row.incident_id);
    const title = incident?.title ?? words(incident?.type ?? "");
    setText(this.action, words(row.action));
    setText(this.parameters, parametersOf(row.parameters));
    setText(this.incident, `${incidents.nameOf(row.incident_id)}${title ? `: ${title}` : ""}`);
    this.root.dataset.severity = incident?.severity ?? "";
    setText(this.by, row.initiated_by ? `asked for by ${row.initiated_by}` : "");
    this.deciding.show(run, `${words(row.action)} for ${incidents.nameOf(row.incident_id)}`, ["approve_remediation", "reject_remediation"]);
    this.tick();
  }

  tick() {
    setText(this.age, this.run.since ? `waits for ${age(this.approvals.deeds.now() - this.run.since)}` : "");
  }
}

class Decision {
  constructor(approvals) {
    this.approvals = approvals;
    this.text = element("span", "text");
    this.age = element("span", "age");
    this.state = element("span", "verdict");
    this.root = element("li", "decision", this.text, this.state, this.age);
  }

  show(run) {
    this.decision = decisionOf(run);
    const { word, by, said } = this.decision;
    const name = this.approvals.incidents.nameOf(run.row.incident_id);
    setText(this.text, `${words(run.row.action)} for ${name}: ${word} by ${by}${said ? `, “${said}”` : ""}`);
    setText(this.state, stateOf(run));
    this.root.dataset.tone = word === "rejected" || run.status === "FAILED" ? "bad" : run.status === "COMPLETED" ? "good" : "";
    this.tick();
  }

  tick() {
    setText(this.age, `${age(this.approvals.deeds.now() - this.decision.at)} ago`);
  }
}

/** What became of a remediation after the decision. */
export function stateOf(run) {
  if (run.status === "APPROVED") return "waits for its agent";
  if (run.status === "RUNNING") return `running, ${percent(progressOf(run) ?? 0)}`;
  return words(run.status);
}

/** Parameters in a line. */
export function parametersOf(parameters) {
  return Object.entries(parameters ?? {}).map(([name, value]) => `${name}: ${plain(value)}`).join(" · ");
}
