// What is known of incidents: those that were listed or looked up, and the events after. Pure: it knows neither
// page nor connection.

import { moment } from "./values.js";

/** The severities, the gravest first. */
export const SEVERITIES = ["CRITICAL", "HIGH", "MEDIUM", "LOW", "INFO"];
/** The states in which an incident asks for somebody. */
export const UNSETTLED = ["OPEN", "INVESTIGATING"];
/** How many are kept. What is past it is forgotten, the settled ones that came first before all others. */
const KEPT_MAX = 5000;

export class Incidents {
  constructor() {
    this.rows = new Map();
  }

  /** Takes a list of all that are unsettled; whoever is not in it is settled, or no more. */
  replace(list) {
    this.rows.clear();
    this.merge(list);
  }

  /** Takes rows that were read. */
  merge(list) {
    for (const row of list) this.rows.set(row.id, { ...this.rows.get(row.id), ...row });
    this.bound();
  }

  /** Takes rows that were read long ago, as it were: of those that are known already events have told since. */
  fill(list) {
    this.merge(list.filter(({ id }) => !this.rows.has(id)));
  }

  /** Applies an event. Gives the id of an incident that is unknown and has to be looked up, else `null`. */
  apply({ event, data }) {
    if (event === "incident.created") {
      this.merge([data.incident]);
      return null;
    }
    const id = data.incident_id;
    if (event === "incident.deleted") {
      this.rows.delete(id);
      return null;
    }
    if (!event.startsWith("incident.")) return null;
    const row = this.rows.get(id);
    if (!row) return id;
    if (event === "incident.updated") {
      const changes = Object.entries(data.changes).map(([name, change]) => [name, change.new ?? undefined]);
      this.rows.set(id, { ...row, ...Object.fromEntries(changes), updated_at: data.updated_at });
    } else {
      // What changed was told by the event before; this one tells who did it.
      this.rows.set(id, { ...row, ...remarks(event, data) });
    }
    return null;
  }

  /** How many are in each state, and how many of those that are unsettled are of each severity. */
  counts() {
    const states = {};
    const severities = {};
    for (const { status, severity } of this.rows.values()) {
      states[status] = (states[status] ?? 0) + 1;
      if (UNSETTLED.includes(status)) severities[severity] = (severities[severity] ?? 0) + 1;
    }
    return { states, severities, unsettled: UNSETTLED.reduce((sum, state) => sum + (states[state] ?? 0), 0) };
  }

  /**
   * Those in one of the states, of the severity and with the text that are given (an empty one stands for all): the
   * gravest first, of these the newest.
   */
  fitting({ states, severity, text }) {
    const terms = text.toLowerCase().split(/\s+/).filter(Boolean);
    return [...this.rows.values()]
      .filter((row) => states.includes(row.status) && (!severity || row.severity === severity))
      .filter((row) => terms.length === 0 || terms.every((term) => hay(row).includes(term)))
      .sort((a, b) => rank(a) - rank(b) || (moment(b.created_at) ?? 0) - (moment(a.created_at) ?? 0) || (a.id < b.id ? 1 : -1));
  }

  /** What people call an incident, known or not. */
  nameOf(id) {
    const row = this.rows.get(id);
    return row?.incident_id ?? id;
  }

  bound() {
    if (this.rows.size <= KEPT_MAX) return;
    const settled = [...this.rows.values()].filter(({ status }) => !UNSETTLED.includes(status));
    const order = [...settled, ...this.rows.values()];
    for (const { id } of order) {
      if (this.rows.size <= KEPT_MAX) return;
      this.rows.delete(id);
    }
  }
}

function rank({ severity }) {
  const at = SEVERITIES.indexOf(severity);
  return at < 0 ? SEVERITIES.length : at;
}

function hay(row) {
  const parts = [row.incident_id, row.id, row.title, row.type, row.assigned_to, row.project_id, row.region];
  return parts.concat(row.affected_resources).filter(Boolean).join("\n").toLowerCase();
}

/** Who did what the last change tells of. */
function remarks(event, data) {
  switch (event) {
    case "incident.assigned":
      return { assigned_by: data.assigned_by };
    case "incident.resolved":
      return { settled: { word: "resolved", by: data.resolved_by } };
    case "incident.merged":
      return { settled: { word: "merged", by: data.merged_by } };
    case "incident.reopened":
      return { settled: undefined, reopened_by: data.reopened_by };
    default:
      return {};
  }
}
