// One incident in full: what it is, what was found out about it, what is done about it, and what can be done next.

import { Deciding, parametersOf, stateOf } from "./approvals.js";
import { element, setText } from "./element.js";
import { KeyedList } from "./keyed-list.js";
import { decisionOf, isOngoing, progressOf, stageOf } from "./runs.js";
import { age, duration, moment, percent, words } from "./values.js";

const WRITTEN = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium", hour12: false });
/** Rows of each list at the most. */
const ROWS_MAX = 50;
const RECOMMENDATIONS_MAX = 20;
const ACTIONS = [
  ["assign_incident", "Assign", ({ status }) => status !== "MERGED"],
  ["resolve_incident", "Resolve", ({ status }) => status === "OPEN" || status === "INVESTIGATING"],
  ["reopen_incident", "Reopen", ({ status }) => status === "RESOLVED"],
];

export class IncidentPanel {
  /** `root` is a dialog; `part(name)` of it are the elements with the class of that name. */
  constructor(root, incidents, runs, deeds) {
    Object.assign(this, { root, incidents, runs, deeds });
    this.part = (name) => root.querySelector(`.${name}`);
    this.id = null;
    this.analyses = new KeyedList(this.part("analyses"), () => new Analysis(deeds));
    this.remediations = new KeyedList(this.part("remediations"), () => new Remediation(deeds));
    this.buttons = ACTIONS.map(([action, label, fits]) => ({ action, fits, button: this.button(action, label) }));
    this.part("panel-actions").replaceChildren(...this.buttons.map(({ button }) => button));
    root.onclose = () => (this.id = null);
    this.part("panel-dismiss").onclick = () => deeds.dismiss(this.id);
  }

  /** Shows this incident. `reading` resolves, to whether all was found, when what came before has been read. */
  open(id, reading) {
    this.id = id;
    this.reading = "What came before is being read.";
    if (!this.root.open) this.root.showModal();
    this.show();
    const done = (text) => {
      if (this.id !== id) return;
      this.reading = text;
      this.show();
    };
    reading.then(
      (whole) => done(whole ? "" : "There is more than this page reads; the newest may be missing."),
      (error) => done(`What came before could not be read: ${error.message}`),
    );
  }

  close() {
    this.root.close();
  }

  /** Shows what changed. */
  show() {
    if (this.id === null) return;
    const row = this.incidents.rows.get(this.id);
    this.root.dataset.severity = row?.severity ?? "";
    this.root.dataset.state = row?.status ?? "";
    setText(this.part("panel-number"), this.incidents.nameOf(this.id));
    setText(this.part("panel-severity"), words(row?.severity ?? ""));
    setText(this.part("panel-state"), words(row?.status ?? ""));
    setText(this.part("panel-title"), row ? row.title ?? words(row.type) : this.reading ? "…" : "This incident is gone");
    setText(this.part("panel-description"), row?.description ?? "");
    this.showFacts(row);
    this.showActions(row);
    const analyses = this.runs.about("analysis", this.id);
    const remediations = this.runs.about("remediation", this.id);
    this.analyses.show(analyses.slice(0, ROWS_MAX), ({ id }) => id);
    this.remediations.show(remediations.slice(0, ROWS_MAX), ({ id }) => id);
    this.part("no-analyses").hidden = analyses.length > 0;
    this.part("no-remediations").hidden = remediations.length > 0;
    setText(this.part("panel-reading"), this.reading);
  }

  tick() {
    if (this.id === null) return;
    this.analyses.tick();
    this.remediations.tick();
  }

  showFacts(row) {
    const facts = row ? factsOf(row, this.incidents) : [];
    const key = JSON.stringify(facts);
    if (key === this.factsShown) return;
    this.factsShown = key;
    this.part("panel-facts").replaceChildren(...facts.map(([name, value]) => element("div", "", element("dt", "", name), element("dd", "", value))));
  }

  showActions(row) {
    const { sending, problem } = this.deeds.of(this.id);
    for (const { action, fits, button } of this.buttons) {
      button.hidden = !row || !fits(row);
      const why = this.deeds.blocked() ?? (sending ? "It is on its way" : null);
      button.setAttribute("aria-disabled", String(why !== null));
      button.title = why ?? "";
      button.dataset.busy = String(sending === action);
    }
    this.part("panel-problem").hidden = !problem;
    setText(this.part("panel-problem-text"), problem ?? "");
  }

  button(action, label) {
    const button = element("button", "act", label);
    button.type = "button";
    button.addEventListener("click", () => {
      const row = this.incidents.rows.get(this.id);
      if (row && button.getAttribute("aria-disabled") !== "true") this.deeds.step(action, row);
    });
    return button;
  }
}

/** What an incident is, as names and texts. */
export function factsOf(row, incidents) {
  const written = (text) => (moment(text) === null ? "" : WRITTEN.format(moment(text)));
  return [
    ["Type", words(row.type)],
    ["Assigned to", row.assigned_to ? `${row.assigned_to}${row.assigned_by ? `, by ${row.assigned_by}` : ""}` : "nobody"],
    ["Opened", `${written(row.created_at)}${row.created_by ? ` by ${row.created_by}` : ""}`],
    ["Project", row.project_id],
    ["Region", row.region],
    ["Affects", (row.affected_resources ?? []).join(", ")],
    ["Merged into", row.merged_into && incidents.nameOf(row.merged_into)],
    ["Resolved", row.status === "RESOLVED" ? `${written(row.resolved_at)}${row.settled ? ` by ${row.settled.by}` : ""}` : ""],
    ["Resolution", row.status === "RESOLVED" ? row.resolution : ""],
    ["Reason", row.reason],
  ].filter(([, value]) => value);
}

class Analysis {
  constructor(deeds) {
    this.deeds = deeds;
    this.head = element("strong", "verdict");
    this.age = element("span", "age");
    this.bar = element("progress");
    this.bar.max = 1;
    this.bar.setAttribute("aria-label", "Progress of the analysis");
    this.cause = element("p", "cause");
    this.recommended = element("ul", "recommended");
    this.root = element("li", "analysis", element("div", "line", this.head, this.age), this.bar, this.cause, this.recommended);
  }

  show(run) {
    this.run = run;
    const { row } = run;
    const { results } = row;
    const progress = progressOf(run) ?? 0;
    const sure = results && typeof results.confidence === "number" ? `, ${percent(results.confidence)} sure` : "";
    setText(this.head, isOngoing(run) ? `${percent(progress)} ${stageOf(run)}` : `${words(run.status)}${sure}`);
    this.root.dataset.tone = run.status === "FAILED" ? "bad" : run.status === "COMPLETED" ? "good" : "";
    this.bar.hidden = !isOngoing(run);
    this.bar.value = progress;
    setText(this.cause, results?.root_cause ?? row.error ?? "");
    const recommendations = (results?.recommendations ?? []).slice(0, RECOMMENDATIONS_MAX);
    const key = JSON.stringify(recommendations);
    if (key !== this.recommendedShown) {
      this.recommendedShown = key;
      this.recommended.replaceChildren(...recommendations.map((entry) => recommendation(entry)));
    }
    this.tick();
  }

  tick() {
    setText(this.age, timeOf(this.run, this.deeds.now()));
  }
}

function recommendation({ action, priority, ...rest }) {
  return element("li", "", element("strong", "", words(action)), element("span", "below", [words(priority), parametersOf(rest)].filter(Boolean).join(" · ")));
}

class Remediation {
  constructor(deeds) {
    this.deeds = deeds;
    this.action = element("strong", "title");
    this.state = element("span", "verdict");
    this.age = element("span", "age");
    this.parameters = element("code", "parameters");
    this.bar = element("progress");
    this.bar.max = 1;
    this.bar.setAttribute("aria-label", "Progress of the remediation");
    this.story = element("p", "story");
    this.deciding = new Deciding(deeds, [["approve_remediation", "Approve"], ["reject_remediation", "Reject"], ["rollback_remediation", "Roll back"]]);
    this.root = element("li", "remediation", element("div", "line", this.action, this.state, this.age),
      this.parameters, this.bar, this.story, this.deciding.root, this.deciding.problem);
  }

  show(run) {
    this.run = run;
    const { row, status } = run;
    setText(this.action, words(row.action));
    setText(this.state, stateOf(run));
    setText(this.parameters, parametersOf(row.parameters));
    this.root.dataset.tone = ["FAILED", "REJECTED", "ROLLED_BACK"].includes(status) ? "bad" : status === "COMPLETED" ? "good" : status === "PENDING_APPROVAL" ? "warn" : "";
    this.bar.hidden = !isOngoing(run);
    this.bar.value = progressOf(run) ?? 0;
    setText(this.story, storyOf(run));
    const fitting = status === "PENDING_APPROVAL" ? ["approve_remediation", "reject_remediation"] : ["COMPLETED", "FAILED"].includes(status) ? ["rollback_remediation"] : [];
    this.deciding.show(run, words(row.action), fitting);
    this.tick();
  }

  tick() {
    setText(this.age, timeOf(this.run, this.deeds.now()));
  }
}

/** Who did what to a remediation, and what was said. */
export function storyOf(run) {
  const { row, status } = run;
  const decision = decisionOf(run);
  const at = (moment) => (moment ? `, ${WRITTEN.format(moment)}` : "");
  return [
    row.initiated_by && `Asked for by ${row.initiated_by}.`,
    decision && `${decision.word === "approved" ? "Approved" : "Rejected"} by ${decision.by}${at(decision.at)}${decision.said ? `: “${decision.said}”` : "."}`,
    isOngoing(run) && stageOf(run) && `${stageOf(run)}.`,
    row.error && `Error: ${row.error}.`,
    status === "ROLLED_BACK" && `Rolled back by ${row.rolled_back_by}${at(moment(row.rolled_back_at))}${row.reason ? `: “${row.reason}”` : "."}`,
  ].filter(Boolean).join(" ");
}

function timeOf({ since, endedAt, row }, now) {
  if (endedAt) return `${row.duration_ms ? `took ${duration(row.duration_ms)}, ` : ""}${age(now - endedAt)} ago`;
  return since ? `for ${age(now - since)}` : "";
}
