// What is known of runs: what agents work on, from analyses to playbooks. Each kind has its own words; here they
// become one shape. Pure: it knows neither page nor connection.

import { moment } from "./values.js";

/** How many are kept; what ended first is forgotten first. */
const KEPT_MAX = 2000;
/** States in which a run has not ended, in any kind's words. */
const ONGOING = ["RUNNING", "running"];
/** States in which a remediation waits, for a person or for its agent. */
export const WAITING = ["PENDING_APPROVAL", "APPROVED"];

/** What the kinds have of their own: how far a row is (0 to 1; `null` where nobody knows), what it is and does. */
const KINDS = {
  analysis: { progress: (row) => (row.progress ?? 0) / 100, title: () => null, stage: (row) => row.stage },
  remediation: { progress: (row) => (row.progress ?? 0) / 100, title: (row) => row.action, stage: (row) => row.stage },
  inference: { progress: (row) => row.progress ?? 0, title: (row) => row.query, stage: (row) => row.stage },
  project: { progress: (row) => (row.progress ?? 0) / 100, title: (row) => row.name, stage: (row) => row.current_step },
  validation: { progress: (row) => row.checks_completed / row.checks_total, title: () => null, stage: (row) => row.current_check },
  investigation: { progress: () => NaN, title: (row) => row.question, stage: (row) => lastStep(row)?.title },
  playbook: { progress: (row) => stepsOf(row) / row.steps_total, title: (row) => row.name, stage: (row) => lastStep(row)?.name },
};

/** The kinds that are runs. */
export const RUN_KINDS = Object.keys(KINDS);

/** The states of a kind in which a run has not ended. */
export function unfinishedStates(kind) {
  if (kind === "remediation") return [...WAITING, "RUNNING"];
  return [kind === "analysis" ? "RUNNING" : "running"];
}

/** Whether a run is under way or waits. */
export function isUnfinished({ status }) {
  return ONGOING.includes(status) || WAITING.includes(status);
}

/** Whether somebody or something works on it at the moment. */
export function isOngoing({ status }) {
  return ONGOING.includes(status);
}

/** How far a run is, from 0 to 1; `null` where nobody knows. */
export function progressOf({ kind, row }) {
  const progress = KINDS[kind].progress(row);
  return Number.isFinite(progress) ? Math.min(1, Math.max(0, progress)) : null;
}

/** What a run is at the moment. */
export function stageOf({ kind, row }) {
  return KINDS[kind].stage(row) ?? "";
}

/** What a run is about, in its own words; `null` where only another resource tells. */
export function titleOf({ kind, row }) {
  return KINDS[kind].title(row) ?? null;
}

export class Runs {
  constructor() {
    this.runs = new Map();
  }

  get(kind, id) {
    return this.runs.get(`${kind} ${id}`);
  }

  /** Takes lists by kind of all that are unfinished; whatever else was thought so has ended unseen. */
  replace(lists) {
    for (const [key, run] of this.runs) if (isUnfinished(run)) this.runs.delete(key);
    for (const [kind, rows] of Object.entries(lists)) this.merge(kind, rows);
  }

  /** Takes rows of a kind that were read. An event may have been faster than the answer: no run goes back. */
  merge(kind, rows) {
    for (const read of rows) {
      const known = this.get(kind, read.id);
      const old = known && rank(read.status) < rank(known.status);
      this.put(kind, read.id, old ? known.status : read.status, old ? { ...read, ...known.row } : read);
    }
  }

  /** Applies an event. Gives the id of a run that has to be looked up, because the event does not name it. */
  apply({ event, data, timestamp }) {
    const [kind, what] = event.split(".");
    const id = kind === "remediation" ? data.action_id : data[`${kind}_id`];
    if (!(kind in KINDS) || !id) return null;
    if (what === "deleted") {
      this.runs.delete(`${kind} ${id}`);
      return null;
    }
    const known = this.get(kind, id);
    const { status, ...news } = newsOf(kind, what, data, known?.row ?? {}, timestamp);
    // A row that was read may be ahead of the events that are told again after it.
    if (known && !isUnfinished(known) && what === "progress") return null;
    this.put(kind, id, status ?? known?.status ?? unfinishedStates(kind).at(-1), news);
    return known === undefined && kind === "project" && !news.name ? id : null;
  }

  /** Remediations that wait for a person, the one that waits longest first. */
  pending() {
    return this.of("remediation", ({ status }) => status === "PENDING_APPROVAL").sort((a, b) => a.since - b.since);
  }

  /** The remediations that were decided on last, the newest decision first. */
  decided(countMax) {
    return this.of("remediation", (run) => decisionOf(run) !== null)
      .sort((a, b) => decisionOf(b).at - decisionOf(a).at)
      .slice(0, countMax);
  }

  /** The runs of a kind about an incident, the newest first. */
  about(kind, incidentId) {
    return this.of(kind, ({ row }) => row.incident_id === incidentId).sort((a, b) => b.since - a.since);
  }

  /** What is under way, and after it what has ended since a moment; of both the newest first. */
  current(endedSince) {
    const shown = (run) => isOngoing(run) || run.status === "APPROVED" || (run.endedAt ?? 0) > endedSince;
    const order = (a, b) => isUnfinished(b) - isUnfinished(a) || b.since - a.since || (a.id < b.id ? 1 : -1);
    return [...this.runs.values()].filter(shown).sort(order);
  }

  /** How many are under way. */
  ongoing() {
    return [...this.runs.values()].filter(isOngoing).length;
  }

  of(kind, fits) {
    return [...this.runs.values()].filter((run) => run.kind === kind && fits(run));
  }

  put(kind, id, status, news) {
    const key = `${kind} ${id}`;
    const known = this.runs.get(key);
    const row = { ...known?.row, ...news };
    // Progress never goes back, whatever the order in which it is heard of.
    for (const name of ["progress", "checks_completed"]) {
      if (known?.row[name] > row[name]) row[name] = known.row[name];
    }
    const since = moment(row.created_at) ?? moment(row.started_at) ?? known?.since ?? 0;
    const endedAt = isUnfinished({ status }) ? null : moment(row.finished_at) ?? moment(row.rejected_at) ?? known?.endedAt ?? null;
    this.runs.set(key, { kind, id, status, since, endedAt, row });
    this.bound();
  }

  bound() {
    if (this.runs.size <= KEPT_MAX) return;
    const ended = [...this.runs].filter(([, run]) => !isUnfinished(run)).sort(([, a], [, b]) => a.endedAt - b.endedAt);
    for (const [key] of [...ended, ...this.runs]) {
      if (this.runs.size <= KEPT_MAX) return;
      this.runs.delete(key);
    }
  }
}

/** How late in the life of a run a state is. */
function rank(status) {
  const order = ["PENDING_APPROVAL", "APPROVED", "RUNNING"].indexOf(status);
  if (status === "running") return 2;
  return order >= 0 ? order : status === "ROLLED_BACK" ? 4 : 3;
}

/** Who decided what about a remediation, when, and what was said; `null` where nobody had to or has. */
export function decisionOf({ kind, row }) {
  if (kind !== "remediation") return null;
  if (row.rejected_by) return { word: "rejected", by: row.rejected_by, at: moment(row.rejected_at) ?? 0, said: row.reason ?? "" };
  if (row.approved_by) return { word: "approved", by: row.approved_by, at: moment(row.approved_at) ?? 0, said: row.comment ?? "" };
  return null;
}

/** What an event says of its run, as fields of the row; `status` where it tells of one. */
function newsOf(kind, what, data, row, timestamp) {
  const capitals = kind === "analysis" || kind === "remediation";
  const ended = { finished_at: timestamp };
  switch (what) {
    case "approval_required":
      return { ...data, initiated_by: data.requested_by, status: "PENDING_APPROVAL", created_at: timestamp };
    case "approved":
      return { ...data, status: "APPROVED" };
    case "rejected":
      return { ...data, ...ended, status: "REJECTED" };
    case "rolled_back":
      return { ...data, ...ended, status: "ROLLED_BACK" };
    case "started":
      return { started_at: timestamp, ...data, status: capitals ? "RUNNING" : "running" };
    case "step":
      return { ...data, steps_told: data.index };
    case "finding":
      return { findings_told: data.index };
    case "updated":
      return Object.fromEntries(Object.entries(data.changes).map(([name, change]) => [name, change.new ?? undefined]));
    case "progress":
      // The kinds whose first event this is tell so by it alone.
      return { started_at: row.started_at ?? timestamp, ...data, ...(data.files_created && { files: data.files_created }) };
    case "completed": {
      const word = data.status ?? (capitals ? "COMPLETED" : "completed");
      return { ...data, ...ended, status: word, ...(word === "passed" || /completed/i.test(word) ? whole(kind, row) : {}) };
    }
    case "failed":
    case "error":
      return { ...data, ...ended, error: data.error ?? data.error_message, status: capitals ? "FAILED" : "failed" };
    default:
      return data;
  }
}

/** The progress of a run that came to a good end, for its last event does not tell it. */
function whole(kind, row) {
  if (kind === "validation") return { checks_completed: row.checks_total };
  if (kind === "inference") return { progress: 1 };
  return "progress" in row ? { progress: 100 } : {};
}

/** How many steps were taken: as the row says that was read, or as the events after it do. */
export function stepsOf(row) {
  return Math.max(row.steps?.length ?? 0, row.steps_told ?? 0, row.steps_completed ?? 0);
}

/** How many things were found. */
export function findingsOf(row) {
  return Math.max(row.findings?.length ?? 0, row.findings_told ?? 0);
}

function lastStep(row) {
  return (row.steps_told ?? 0) > (row.steps?.length ?? 0) ? row.step : row.steps?.at(-1);
}
