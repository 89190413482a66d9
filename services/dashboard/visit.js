// One signed-in visit: joins the connection, what is known, and what is to be seen of it. Everything in it ends when
// the token is given up.

import { AgentList } from "./agents.js";
import { Approvals } from "./approvals.js";
import { Connection } from "./connection.js";
import * as credential from "./credential.js";
import { Deeds } from "./deeds.js";
import { asked } from "./dialogs.js";
import { byId } from "./element.js";
import { Fleet } from "./fleet.js";
import { HealthView } from "./health.js";
import { IncidentList } from "./incident-list.js";
import { IncidentPanel } from "./incident-panel.js";
import { Incidents } from "./incidents.js";
import { resource, resources } from "./interest.js";
import { Lookups } from "./lookups.js";
import { Measurements } from "./measurements.js";
import { announce, notify } from "./notice.js";
import { Overview } from "./overview.js";
import { RunList } from "./run-list.js";
import { RUN_KINDS, Runs } from "./runs.js";
import { Stream } from "./stream.js";
import { duration, many, words } from "./values.js";

const EXPIRY_NOTICE_MS = 5 * 60 * 1000;
/** How a program is ended: as it is told before. */
const ENDING = { graceful: true, timeout_ms: 10000 };
/** What is told before it is done: what cannot be taken back. */
const CONFIRMED = {
  stop: "Its program is asked to end, and is killed if it has not ended after 10 seconds.",
  restart: "Its program is asked to end, is killed if it has not ended after 10 seconds, and is started again.",
};

export class Visit {
  /** `refused(why)` is told when the token is good for nothing any more. */
  constructor(token, refused) {
    Object.assign(this, { token, refused, claims: credential.claims(token), clockOffset: 0, mayCommand: false, live: null });
    this.fleet = new Fleet();
    this.incidents = new Incidents();
    this.runs = new Runs();
    this.makeViews();
    this.clock = setInterval(() => this.tick(), 1000);
    this.connection = new Connection(token, this.handlers());
    const ask = (type, data) => this.connection.ask(type, data);
    this.ask = ask;
    this.lookups = new Lookups((kind, id) => resource(ask, kind, id), (kind, row) => {
      if (kind === "incident") this.incidents.merge([row]);
      else this.runs.merge(kind, [row]);
      this.later();
    });
  }

  makeViews() {
    const now = () => this.now();
    const open = (id) => this.openIncident(id);
    const changed = () => this.later();
    const deeds = new Deeds({
      command: (data) => this.connection.command(data), blocked: () => this.blocked(), open, now, changed,
      nameOf: (id) => this.incidents.nameOf(id), me: this.claims.sub, refused: (text) => notify(text, "warn"),
    });
    this.overview = new Overview((status) => this.list.choose(status));
    this.health = new HealthView(byId("health"));
    this.approvals = new Approvals(
      { root: byId("approvals"), cards: byId("approval-cards"), more: byId("approvals-more"), decided: byId("decisions"), count: byId("approvals-count") },
      this.runs, this.incidents, deeds);
    this.incidentList = new IncidentList(
      { list: byId("incident-rows"), count: byId("incidents-count"), none: byId("incidents-none"), more: byId("incidents-more"), states: byId("incident-states"), severity: byId("incident-severity") },
      this.incidents, { open, changed, settled: () => this.readSettled() }, now);
    this.panel = new IncidentPanel(byId("incident"), this.incidents, this.runs, deeds);
    this.runList = new RunList({ list: byId("run-rows"), none: byId("runs-none"), more: byId("runs-more"), count: byId("runs-count") }, this.runs, this.incidents, { open, now });
    this.stream = new Stream({ list: byId("events"), count: byId("stream-count"), none: byId("events-none"), pause: byId("pause"), types: byId("stream-type") });
    this.list = new AgentList(byId("agents"), this.fleet, { act: (...what) => this.act(...what), dismiss: (agent) => this.note(agent.id, { problem: null }), changed }, now);
    // What stands in the fields holds for whoever signs in next, too.
    this.stream.filter(byId("stream-filter").value);
    this.incidentList.text = byId("incident-filter").value;
    this.list.text = byId("fleet-filter").value.trim().toLowerCase();
    byId("run-kind").replaceChildren(new Option("All kinds", ""), ...RUN_KINDS.map((kind) => new Option(words(kind), kind)));
  }

  handlers() {
    return {
      state: (state, detail) => this.linked(state, detail),
      ready: (data) => {
        this.clockOffset = Date.parse(data.server_time) - Date.now();
        this.mayCommand = data.capabilities.includes("command");
        document.body.dataset.may = String(this.mayCommand);
      },
      present: (read) => this.begun(read),
      event: (message) => this.happened(message),
      latency: (ms) => this.overview.showLatency(ms),
      resumed: (count) => notify(`Resumed: ${count === 0 ? "nothing was missed" : `${many(count, "missed event")} replayed`}.`, "good"),
      gap: () => notify("What was missed is no longer in the log. The present was read anew.", "warn"),
      warning: (text) => notify(text, "warn"),
      refused: (text) => this.refused(text),
    };
  }

  end() {
    clearInterval(this.clock);
    cancelAnimationFrame(this.frame);
    this.lookups.clear();
    this.connection.close();
    this.measurements?.close();
    this.health.end();
    this.panel.close();
    this.stream.clear();
    for (const id of ["agents", "approval-cards", "decisions", "incident-rows", "run-rows"]) byId(id).replaceChildren();
  }

  now() {
    return Date.now() + this.clockOffset;
  }

  /** Why nothing can be asked for at the moment; `null` when it can. */
  blocked() {
    if (!this.live) return "There is no connection";
    return this.mayCommand ? null : "Your role may only watch";
  }

  linked(state, detail) {
    const live = state === "live" || state === "behind";
    if (state === "waiting") this.health.show(null);
    this.overview.link(state, detail);
    if (live === this.live) return;
    this.live = live;
    byId("desk").dataset.live = String(live);
    if (live) {
      this.measurements ??= new Measurements(this.token, (agents) => {
        this.fleet.measure(agents);
        this.later();
      });
      if (this.status) this.health.show(this.status);
    } else {
      this.measurements?.close();
      this.measurements = null;
    }
    this.list.block(this.blocked());
    this.later();
  }

  /** Takes the present as it was read: when the page begins, and when what was missed could not be told. */
  begun({ agents, resources: { incident, ...runs }, status, cut }) {
    this.lookups.clear();
    this.settled = null;
    this.incidentList.settledKnown = false;
    this.fleet.replace(agents);
    this.incidents.replace(incident);
    this.runs.replace(runs);
    this.status = status;
    this.health.show(status);
    this.listed = true;
    if (cut.length > 0) notify(`There is more than this page reads of: ${cut.join(", ")}.`, "warn");
    if (this.incidentList.showsSettled()) this.readSettled();
    this.later();
  }

  happened(message) {
    const { event, data } = message;
    this.overview.count();
    // Components are told of when something changes, and hold until the next change.
    if (event === "system.status") this.health.show((this.status = { components: this.status?.components, ...data }));
    const unknown = this.incidents.apply(message);
    if (unknown) this.lookups.want("incident", unknown);
    const unnamed = this.runs.apply(message);
    if (unnamed) this.lookups.want("project", unnamed);
    const said = this.fleet.apply(message) ?? saidOf(event, data, this.incidents);
    if (said) announce(said);
    this.stream.add(message);
    this.later();
  }

  /** Reads the incidents that are settled, once. */
  readSettled() {
    this.settled ??= resources(this.ask, "incident", { status: ["RESOLVED", "MERGED"] }).then(({ items, cut }) => {
      this.incidents.fill(items);
      this.incidentList.settledKnown = true;
      if (cut) notify("There are more settled incidents than this page reads; the newest may be missing.", "warn");
      this.later();
    }, (error) => {
      this.settled = null;
      notify(`Settled incidents could not be read: ${error.message}`, "warn");
    });
  }

  openIncident(id) {
    this.panel.open(id, this.readAbout(id));
  }

  /** Reads what was done about an incident before this page looked; tells whether that was all. */
  async readAbout(id) {
    if (!this.incidents.rows.has(id)) this.incidents.fill([await resource(this.ask, "incident", id)]);
    // No filter names an incident; its type, which runs inherit, leaves out most of the others.
    const having = { type: [this.incidents.rows.get(id).type] };
    const read = await Promise.all(["analysis", "remediation"].map(async (kind) => {
      const { items, cut } = await resources(this.ask, kind, having);
      this.runs.merge(kind, items.filter((row) => row.incident_id === id));
      return !cut;
    }));
    return read.every(Boolean);
  }

  /** Shows everything that changed with the next picture, however much it is. */
  later() {
    if (this.frame) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = undefined;
      this.show();
    });
  }

  show() {
    this.stream.show();
    const agents = this.list.show();
    const pending = this.approvals.show();
    const incidents = this.incidentList.show();
    const ongoing = this.runList.show();
    this.panel.show();
    this.overview.show({ fleet: this.fleet, shown: agents, listed: this.listed, pending, incidents, ongoing, cursor: this.connection.cursor });
  }

  tick() {
    this.overview.tick();
    for (const view of [this.list, this.approvals, this.incidentList, this.panel]) view.tick();
    // What has ended leaves the list after a while, without anything else having happened.
    this.runList.show();
    this.runList.tick();
    const left = this.claims.exp ? this.claims.exp * 1000 - this.now() : Infinity;
    if (left < EXPIRY_NOTICE_MS && !this.warned) {
      this.warned = true;
      notify(`Your token expires in ${duration(left)}. Sign in with a fresh one before that.`, "warn");
    }
  }

  note(id, news) {
    this.fleet.update(id, news);
    this.later();
  }

  async act(agent, action) {
    if (action in CONFIRMED) {
      const verb = action === "stop" ? "Stop" : "Restart";
      if ((await asked({ title: `${verb} ${agent.name}?`, text: CONFIRMED[action], verb, tone: "danger" })) === null) return;
    }
    this.note(agent.id, { sending: action, problem: null });
    try {
      await this.connection.command({ action, agent_id: agent.id, parameters: action in CONFIRMED ? ENDING : {} });
      this.note(agent.id, { sending: null });
    } catch (error) {
      this.note(agent.id, { sending: null, problem: `${words(action)}: ${error.message}` });
    }
  }
}

/** What is told to those who listen to the page, of what is not about agents. */
function saidOf(event, data, incidents) {
  if (event === "incident.created") return `new incident, ${words(data.incident.severity)}: ${data.incident.title ?? words(data.incident.type)}`;
  if (event === "remediation.approval_required") return `${words(data.action)} for ${incidents.nameOf(data.incident_id)} waits for approval`;
  return event === "system.status" && data.old_status ? `the system is ${data.health}` : null;
}
