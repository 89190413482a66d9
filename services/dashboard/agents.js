// The list of agents. Each has one row, made once and changed in place; what a button asks for is told to
// whoever made the list.

import { Sparkline, element, setText } from "./element.js";
import { isLast } from "./fleet.js";
import { age, duration, size, words } from "./values.js";

const STEPS = ["QUEUED", "DELIVERED", "ACKNOWLEDGED", "IN_PROGRESS"];
const ACTIONS = [
  { action: "start", label: "Start", fits: (status) => status === "stopped" || status === "failed" || status === "pending" },
  { action: "stop", label: "Stop", fits: (status) => status === "active" || status === "idle" || status === "pending" },
  { action: "restart", label: "Restart", fits: (status) => status !== "stopping" },
  { action: "get_status", label: "Status", fits: () => true },
];
const REACH = { connected: "connected", disconnected: "disconnected", lost: "lost", never: "never seen" };
const NAMES = new Intl.Collator(undefined, { numeric: true });
const SAMPLES = 40;

/** Why an agent is as it is, in words. */
export function reasonOf({ reason, exitCode, fault }) {
  const signal = /^signal_(\d+)$/.exec(reason ?? "");
  const code = /^exit_code_(-?\d+)$/.exec(reason ?? "");
  if (signal) return `killed by signal ${signal[1]}${exitCode === undefined ? "" : `, exit code ${exitCode}`}`;
  if (code) return `exit code ${code[1]}`;
  const said = fault || (reason ?? "").replaceAll("_", " ");
  return exitCode === undefined ? said : `${said}${said ? ", " : ""}exit code ${exitCode}`;
}

export class AgentList {
  /** `on.act(agent, action)` and `on.dismiss(agent)` get what is pressed; `on.changed()` asks for `show`. `now()` is the server's time. */
  constructor(root, fleet, on, now) {
    Object.assign(this, { root, fleet, on, now });
    this.rows = new Map();
    this.newest = null;
    this.text = "";
    this.statuses = new Set();
    this.blocked = null;
  }

  /** Shows what changed; gives how many rows are to be seen. */
  show() {
    let moved = false;
    for (const id of this.fleet.changed) {
      const agent = this.fleet.agents.get(id);
      const row = this.rows.get(id);
      if (!agent) {
        row?.root.remove();
        this.rows.delete(id);
      } else if (row) {
        moved ||= row.agent.name !== agent.name || row.name !== agent.name;
        row.show(agent);
      } else {
        this.rows.set(id, new Row(this, agent));
        moved = true;
      }
    }
    this.fleet.changed.clear();
    if (moved) this.order();
    return this.sift();
  }

  /** Shows the time that goes by. */
  tick() {
    for (const row of this.rows.values()) if (!row.root.hidden) row.tick();
  }

  /** Why nothing can be commanded at the moment; `null` when it can. */
  block(why) {
    if (this.blocked === why) return;
    this.blocked = why;
    for (const row of this.rows.values()) row.showActions();
  }

  /** Has a status shown, or no more; `all` shows all of them. Gives those that are chosen then. */
  choose(status) {
    if (status === "all") this.statuses.clear();
    else if (!this.statuses.delete(status)) this.statuses.add(status);
    this.on.changed();
    return this.statuses;
  }

  /** Shows only those that fit what is looked for. */
  sift() {
    let seen = 0;
    for (const { root, agent } of this.rows.values()) {
      const fits = (this.statuses.size === 0 || this.statuses.has(agent.status))
        && (!this.text || `${agent.name}\n${agent.id}`.toLowerCase().includes(this.text));
      if (root.hidden === fits) root.hidden = !fits;
      seen += fits;
    }
    return seen;
  }

  order() {
    const rows = [...this.rows.values()].sort((a, b) => NAMES.compare(a.agent.name, b.agent.name) || NAMES.compare(a.agent.id, b.agent.id));
    // Only rows that stand elsewhere are moved: to move the one that has the focus would lose it.
    let at = this.root.firstElementChild;
    for (const { root } of rows) {
      if (root === at) at = at.nextElementSibling;
      else this.root.insertBefore(root, at);
    }
  }
}

class Row {
  constructor(list, agent) {
    this.list = list;
    this.touched = agent.touched;
    this.title = element("strong", "title");
    this.id = element("code", "id");
    this.word = element("span", "word");
    this.age = element("span", "age");
    this.reason = element("span", "reason");
    this.reach = element("span", "reach");
    this.cpu = new Gauge("CPU", 10);
    this.memory = new Gauge("Memory", 1);
    this.buttons = ACTIONS.map((entry) => this.button(entry));
    this.course = element("div", "course");
    this.course.hidden = true;
    this.problemText = element("span");
    const dismiss = element("button", "quiet", "Dismiss");
    dismiss.addEventListener("click", () => list.on.dismiss(this.agent));
    this.problem = element("div", "problem", this.problemText, dismiss);
    this.problem.setAttribute("role", "alert");
    this.problem.hidden = true;
    this.actions = element("div", "actions", ...this.buttons);
    this.actions.setAttribute("role", "group");
    const lamp = element("i", "lamp");
    lamp.setAttribute("aria-hidden", "true");
    this.root = element("li", "agent",
      element("div", "name", lamp, element("div", "", this.title, element("span", "below", this.id, this.reach))),
      element("div", "state", element("span", "", this.word, " ", this.age), this.reason),
      element("div", "gauges", this.cpu.root, this.memory.root),
      this.actions, this.course, this.problem);
    this.root.addEventListener("animationend", () => delete this.root.dataset.flash);
    this.show(agent);
  }

  button({ action, label }) {
    const button = element("button", `act ${action}`, label);
    button.type = "button";
    button.addEventListener("click", () => {
      if (button.getAttribute("aria-disabled") !== "true") this.list.on.act(this.agent, action);
    });
    return button;
  }

  show(agent) {
    this.agent = agent;
    this.name = agent.name;
    setText(this.title, agent.name);
    setText(this.id, agent.id === agent.name ? "" : agent.id);
    setText(this.word, agent.status);
    setText(this.reason, reasonOf(agent));
    setText(this.reach, REACH[agent.connectivity] ?? agent.connectivity);
    this.reach.dataset.reach = agent.connectivity;
    this.root.dataset.status = agent.status;
    this.root.dataset.newest = String(this.list.fleet.newest === agent.id);
    this.actions.setAttribute("aria-label", `Commands for ${agent.name}`);
    if (agent.touched !== this.touched) {
      this.touched = agent.touched;
      this.root.dataset.flash = "";
    }
    const runs = agent.connectivity === "connected" && !["stopped", "failed"].includes(agent.status);
    this.cpu.show(agent.cpu, runs, (value) => `${value.toFixed(value < 10 ? 1 : 0)} %`);
    this.memory.show(agent.memory, runs, size);
    this.showActions();
    this.showCourse();
    this.problem.hidden = !agent.problem;
    setText(this.problemText, agent.problem ?? "");
    this.tick();
  }

  showActions() {
    const { agent, list } = this;
    ACTIONS.forEach(({ action, fits }, index) => {
      const why = list.blocked ?? (agent.sending ? "A command is on its way" : fits(agent.status) ? null : `The agent is ${agent.status}`);
      const button = this.buttons[index];
      button.setAttribute("aria-disabled", String(why !== null));
      button.title = why ?? "";
      button.setAttribute("aria-label", `${ACTIONS[index].label} ${agent.name}`);
      button.dataset.busy = String(agent.sending === action);
    });
  }

  /** How far the last command got. */
  showCourse() {
    const { course, sending } = this.agent;
    const key = JSON.stringify([course, sending]);
    if (key === this.courseShown) return;
    this.courseShown = key;
    this.course.hidden = !course && !sending;
    this.courseAge = null;
    if (sending) {
      this.course.dataset.end = "";
      this.course.replaceChildren(element("code", "", sending.replace("_", " ")), steps(-1, false), element("span", "", "sending"));
      return;
    }
    if (!course) return;
    const ended = isLast(course.state);
    const good = course.state === "SUCCEEDED";
    this.course.dataset.end = ended ? (good ? "good" : "bad") : "";
    this.courseAge = element("span", "age");
    const parts = [
      element("code", "", course.command.replace("_", " ")),
      steps(ended ? STEPS.length : STEPS.indexOf(course.state), ended),
      element("span", "verdict", words(course.state)),
      this.courseAge,
      course.by ? element("span", "by", `by ${course.by}`) : null,
      course.error ? element("span", "error", course.error) : null,
      course.command === "get_status" && course.result ? facts(course.result) : null,
    ];
    this.course.replaceChildren(...parts.filter((part) => part !== null));
  }

  tick() {
    const { changedAt, course } = this.agent;
    const now = this.list.now();
    setText(this.age, changedAt ? `for ${age(now - changedAt)}` : "");
    if (this.courseAge) {
      const { begunAt, endedAt } = course;
      setText(this.courseAge, endedAt ? `in ${duration(endedAt - begunAt)}` : `for ${age(now - begunAt)}`);
    }
  }
}

/** The way of a command as lamps: passed, present, to come. */
function steps(at, ended) {
  const lamps = [...STEPS, "END"].map((step, index) => {
    const lamp = element("i");
    if (index < at || (ended && index <= at)) lamp.className = "passed";
    else if (index === at) lamp.className = "present";
    return lamp;
  });
  const root = element("span", "steps", ...lamps);
  root.setAttribute("aria-hidden", "true");
  return root;
}

/** What an agent answered when it was asked for its status. */
function facts(result) {
  const skipped = new Set(["agent_id"]);
  const entries = Object.entries(result).filter(([name, value]) => !skipped.has(name) && value !== null && typeof value !== "object");
  return element("dl", "facts", ...entries.map(([name, value]) => {
    const shown = name.endsWith("_ms") ? duration(Number(value)) : String(value).replaceAll("_", " ");
    return element("div", "", element("dt", "", name.replace(/_ms$/, "").replaceAll("_", " ")), element("dd", "", shown));
  }));
}

/** One measurement: its name, its course and its last value. */
class Gauge {
  constructor(label, top) {
    this.spark = new Sparkline(SAMPLES, top);
    this.value = element("span", "value", "–");
    this.root = element("div", "gauge", element("span", "label", label), this.spark.root, this.value);
  }

  show(values, runs, write) {
    this.root.dataset.runs = String(runs && values.length > 0);
    setText(this.value, runs && values.length > 0 ? write(values.at(-1)) : "–");
    if (values !== this.drawn) this.spark.draw(values);
    this.drawn = values;
  }
}
