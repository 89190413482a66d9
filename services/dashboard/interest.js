// What the page is interested in: what it reads when it begins, and which events it follows after that.

import { UNSETTLED } from "./incidents.js";
import { RUN_KINDS, unfinishedStates } from "./runs.js";

/** A star stands for what the document lists; everything else is named. A connection holds 50 names at the most. */
export const EVENTS = [
  "*", "command.*",
  ...named("agent", "created", "updated", "deleted", "connectivity_change"),
  "incident.deleted", "analysis.deleted", "remediation.deleted",
  ...named("inference", "started", "progress", "completed", "failed", "deleted"),
  ...named("project", "progress", "completed", "failed", "deleted"),
  ...named("validation", "progress", "completed", "deleted"),
  ...named("investigation", "started", "updated", "step", "finding", "completed", "error", "deleted"),
  ...named("playbook", "started", "updated", "step", "completed", "failed", "deleted"),
  ...named("alert", "created", "updated", "assigned"),
  ...named("case", "created", "updated", "closed", "comment"),
  "detection.triggered", "ueba.anomaly", "honeytoken.touched", "performance.alert",
];
const PAGE_SIZE = 1000;
/** Pages that are read of one list at the most. */
const PAGES_MAX = 20;

function named(group, ...whats) {
  return whats.map((what) => `${group}.${what}`);
}

/**
 * Reads the present: agents, unsettled incidents and unfinished runs. A snapshot would tell everything else as well,
 * every run that ever ended; lists are asked for what is wanted. The cursor is the earliest of all of them: events
 * from there on tell some of it again, which changes nothing.
 */
export async function present(ask) {
  const kinds = { incident: UNSETTLED, ...Object.fromEntries(RUN_KINDS.map((kind) => [kind, unfinishedStates(kind)])) };
  const [agents, status, ...lists] = await Promise.all([
    list(ask, { action: "list_agents" }),
    ask("request", { action: "get_status" }),
    ...Object.entries(kinds).map(([kind, states]) => resources(ask, kind, { status: states })),
  ]);
  const names = Object.keys(kinds);
  return {
    agents: agents.items,
    status,
    resources: Object.fromEntries(names.map((kind, index) => [kind, lists[index].items])),
    cut: [...(agents.cut ? ["agent"] : []), ...names.filter((_, index) => lists[index].cut)],
    cursor: earliest([agents, ...lists].map(({ cursor }) => cursor)),
  };
}

/** The position of the log at this moment. */
export async function now(ask) {
  return (await ask("request", { action: "list_agents", limit: 1 })).cursor;
}

/** The resources of a kind that have what `having` says: `items`, and whether the list was `cut`. */
export function resources(ask, kind, having) {
  return list(ask, { action: "list_resources", kind, ...having });
}

/** One resource. */
export async function resource(ask, kind, id) {
  return (await ask("request", { action: "get_resource", kind, id })).resource;
}

/** A list, with the position of the first page: what changed while the others were read is told by events. */
async function list(ask, query) {
  const items = [];
  let [cursor, token] = [null, ""];
  for (let page = 0; page < PAGES_MAX; page += 1) {
    const answer = await ask("request", { ...query, limit: PAGE_SIZE, ...(token && { page_token: token }) });
    items.push(...(answer.agents ?? answer.resources));
    cursor ??= answer.cursor;
    token = answer.next_page_token;
    if (!token) break;
  }
  return { items, cursor, cut: Boolean(token) };
}

/** The first of these positions in the log. */
export function earliest(cursors) {
  return cursors.reduce((first, cursor) => (revisionOf(cursor) < revisionOf(first) ? cursor : first));
}

/** The revision in a cursor `epoch:revision`. */
export function revisionOf(cursor) {
  return Number(cursor.slice(cursor.lastIndexOf(":") + 1));
}
