// What is known of the agents: a list, and the events after it. Pure: it knows neither page nor connection.

import { words } from "./values.js";

/** States of an agent, the ones that need attention first. */
export const STATUSES = ["failed", "pending", "active", "idle", "stopping", "stopped"];
/** States of a command that are its last. */
const LAST = new Set(["SUCCEEDED", "FAILED", "REJECTED", "TIMED_OUT", "EXPIRED", "CANCELED", "UNKNOWN"]);
const SAMPLES_MAX = 40;

export function isLast(state) {
  return LAST.has(state);
}

export class Fleet {
  constructor() {
    this.agents = new Map();
    /** Agents that changed since they were last shown. */
    this.changed = new Set();
    this.newest = null;
  }

  /** Takes a list that was read; who is not in it is no more. What is going on with those that stay is kept. */
  replace(list) {
    const before = this.agents;
    this.agents = new Map(list.map((read) => [read.agent_id, { ...this.fresh(read), ...ongoing(before.get(read.agent_id)) }]));
    for (const id of [...before.keys(), ...this.agents.keys()]) this.changed.add(id);
  }

  /** Applies an event; says for people what it meant, where it concerns them. */
  apply({ event, data, timestamp }) {
    switch (event) {
      case "agent.created":
        this.agents.set(data.agent_id, { ...this.fresh(data), changedAt: Date.parse(timestamp) });
        this.touch(data.agent_id);
        return `${data.name || data.agent_id} is new`;
      case "agent.deleted":
        this.agents.delete(data.agent_id);
        this.changed.add(data.agent_id);
        return `${data.name || data.agent_id} was deleted`;
      case "agent.updated":
        this.update(data.agent_id, { name: data.name });
        return null;
      case "agent.status_change":
        this.update(data.agent_id, {
          name: data.name,
          status: data.new_status,
          reason: data.reason,
          exitCode: data.exit_code,
          fault: null,
          changedAt: Date.parse(timestamp),
        });
        this.touch(data.agent_id);
        return `${data.name || data.agent_id} is ${data.new_status}`;
      case "agent.error":
        this.update(data.agent_id, { fault: data.error, exitCode: data.exit_code });
        return null;
      case "agent.connectivity_change":
        this.update(data.agent_id, { connectivity: data.new_connectivity });
        return `${data.name || data.agent_id} is ${data.new_connectivity}`;
      case "command.issued":
        this.update(data.agent_id, { course: this.begun(data, timestamp), problem: null });
        return null;
      case "command.updated":
        return this.advance(data, timestamp);
      default:
        return null;
    }
  }

  /** Notes the latest measurements. */
  measure(measured) {
    for (const [id, values] of Object.entries(measured)) {
      const agent = this.agents.get(id);
      if (!agent) continue;
      agent.cpu = [...agent.cpu, values.cpu_usage ?? 0].slice(-SAMPLES_MAX);
      agent.memory = [...agent.memory, values.memory_bytes ?? 0].slice(-SAMPLES_MAX);
      this.changed.add(id);
    }
  }

  /** Notes something about an agent, if there is one. */
  update(id, news) {
    const agent = this.agents.get(id);
    if (!agent) return;
    for (const [name, value] of Object.entries(news)) {
      if (value !== undefined || name === "exitCode") agent[name] = value;
    }
    this.changed.add(id);
  }

  /** How many there are in each state. */
  counts() {
    const counts = Object.fromEntries(STATUSES.map((status) => [status, 0]));
    for (const { status } of this.agents.values()) counts[status] = (counts[status] ?? 0) + 1;
    return counts;
  }

  fresh(read) {
    return {
      id: read.agent_id,
      name: read.name || read.agent_id,
      status: read.status,
      reason: read.status_reason ?? "",
      exitCode: read.exit_code,
      fault: null,
      connectivity: read.connectivity ?? "never",
      version: read.software_version ?? "",
      changedAt: Date.parse(read.updated_at ?? read.created_at) || null,
      touched: 0,
      cpu: [],
      memory: [],
      course: null,
      sending: null,
      problem: null,
    };
  }

  touch(id) {
    const agent = this.agents.get(id);
    if (!agent) return;
    agent.touched += 1;
    if (this.newest) this.changed.add(this.newest);
    this.newest = id;
  }

  begun(data, timestamp) {
    return {
      id: data.command_id,
      command: data.command,
      state: "QUEUED",
      by: data.issued_by,
      begunAt: Date.parse(data.issued_at ?? timestamp),
      endedAt: null,
      result: null,
      error: null,
    };
  }

  advance(data, timestamp) {
    const agent = this.agents.get(data.agent_id);
    if (!agent) return null;
    // A command that was issued before this page looked is told from where it is.
    if (agent.course?.id !== data.command_id) {
      if (agent.course && !isLast(agent.course.state)) return null;
      agent.course = this.begun(data, timestamp);
    }
    const course = agent.course;
    course.state = data.new_state;
    course.result = data.result ?? course.result;
    course.error = data.error || course.error;
    if (isLast(course.state)) course.endedAt = Date.parse(timestamp);
    this.changed.add(agent.id);
    return isLast(course.state) ? `${course.command} of ${agent.name}: ${words(course.state)}` : null;
  }
}

/** What a list does not tell, and what must outlive it. */
function ongoing(agent) {
  if (!agent) return {};
  const { cpu, memory, course, sending, problem, touched } = agent;
  return { cpu, memory, course, sending, problem, touched };
}
