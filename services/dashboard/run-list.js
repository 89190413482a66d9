// What agents work on at the moment, of every kind, and for a while what came of it.

import { element, setText } from "./element.js";
import { KeyedList } from "./keyed-list.js";
import { findingsOf, isOngoing, progressOf, stageOf, stepsOf, titleOf } from "./runs.js";
import { age, clip, duration, many, percent, words } from "./values.js";

const ROWS_MAX = 60;
const TITLE_MAX = 160;
/** How long one that has ended is still shown. */
const LINGER_MS = 20000;

export class RunList {
  /** `parts` has `list`, `none`, `more` and `count`; `open(id)` shows an incident, `now()` is the server's time. */
  constructor(parts, runs, incidents, { open, now }) {
    Object.assign(this, { parts, runs, incidents, open, now });
    this.kind = "";
    this.list = new KeyedList(parts.list, () => new Row(this));
  }

  /** Shows what is under way; gives how much that is. */
  show() {
    const current = this.runs.current(this.now() - LINGER_MS).filter(({ kind }) => !this.kind || kind === this.kind);
    this.list.show(current.slice(0, ROWS_MAX), ({ kind, id }) => `${kind} ${id}`);
    const { none, more, count } = this.parts;
    none.hidden = current.length > 0;
    more.hidden = current.length <= ROWS_MAX;
    setText(more, `${current.length - ROWS_MAX} more are not shown.`);
    const ongoing = this.runs.ongoing();
    setText(count, ongoing === 0 ? "" : String(ongoing));
    return ongoing;
  }

  tick() {
    this.list.tick();
  }

  /** What a run is about, with the words of what it belongs to where it has none. */
  nameOf(run) {
    if (run.kind === "analysis") return this.incidentName(run.row.incident_id);
    if (run.kind === "remediation") return `${words(run.row.action)} for ${this.incidentName(run.row.incident_id)}`;
    if (run.kind === "validation") {
      const project = this.runs.get("project", run.row.project_id);
      return (project && titleOf(project)) ?? run.row.project_id ?? run.id;
    }
    return titleOf(run) ?? run.id;
  }

  incidentName(id) {
    const title = this.incidents.rows.get(id)?.title;
    return `${this.incidents.nameOf(id)}${title ? `: ${title}` : ""}`;
  }
}

class Row {
  constructor(list) {
    this.list = list;
    this.kind = element("span", "kind");
    this.title = element("strong", "title");
    this.open = element("button", "to-incident", "Show");
    this.open.type = "button";
    this.open.addEventListener("click", () => list.open(this.run.row.incident_id));
    this.bar = element("progress");
    this.bar.max = 1;
    this.share = element("span", "share");
    this.stage = element("span", "stage");
    this.age = element("span", "age");
    this.root = element("li", "run",
      element("div", "name", this.kind, this.title, this.open),
      element("div", "course", this.bar, this.share, this.stage, element("span", "spring"), this.age));
  }

  show(run) {
    this.run = run;
    const ongoing = isOngoing(run);
    const progress = progressOf(run);
    const name = this.list.nameOf(run);
    setText(this.kind, run.kind);
    setText(this.title, clip(name, TITLE_MAX));
    this.title.title = name.length > TITLE_MAX ? name : "";
    this.open.hidden = !run.row.incident_id;
    this.open.setAttribute("aria-label", `Show ${this.list.incidents.nameOf(run.row.incident_id)}`);
    this.root.dataset.tone = toneOf(run);
    this.bar.hidden = run.status === "APPROVED";
    if (progress !== null) this.bar.value = progress;
    else if (ongoing) this.bar.removeAttribute("value");
    else this.bar.value = 1;
    this.bar.setAttribute("aria-label", `${run.kind} ${name}`);
    setText(this.share, progress === null || !ongoing ? "" : percent(progress));
    setText(this.stage, tellingOf(run));
    this.tick();
  }

  tick() {
    const { since, endedAt, row } = this.run;
    const now = this.list.now();
    const took = row.duration_ms ?? (endedAt ? endedAt - since : null);
    const text = isOngoing(this.run) || took === null ? `for ${age(now - since)}` : `in ${duration(took)}`;
    setText(this.age, since ? `${text}${row.agent_id ? ` on ${row.agent_id}` : ""}` : "");
  }
}

/** What a run does, or what came of it. */
export function tellingOf(run) {
  const { row, status, kind } = run;
  if (status === "APPROVED") return "approved, waits for its agent";
  if (!isOngoing(run)) {
    const came = row.error ?? row.error_message ?? row.summary;
    const text = typeof came === "string" ? came : row.results?.root_cause ?? "";
    return `${words(status)}${text ? `: ${clip(text, TITLE_MAX)}` : ""}`;
  }
  if (kind === "investigation") {
    const counts = [many(stepsOf(row), "step")];
    if (findingsOf(row) > 0) counts.push(many(findingsOf(row), "finding"));
    return [counts.join(", "), stageOf(run)].filter(Boolean).join(": ");
  }
  if (kind === "validation") return `${row.checks_completed ?? 0} of ${many(row.checks_total ?? 0, "check")}${stageOf(run) ? `: ${stageOf(run)}` : ""}`;
  return stageOf(run);
}

/** How a run's state is to be taken. */
export function toneOf(run) {
  if (isOngoing(run) || run.status === "APPROVED") return "";
  return ["COMPLETED", "completed", "passed"].includes(run.status) ? "good" : "bad";
}
