// The health of the system: what the last `system.status` said, and how the header shows it.

import { element, setText } from "./element.js";
import { words } from "./values.js";

/** How many agents that are unwell are named; the list of agents has them all. */
const UNWELL_MAX = 8;

/** What a `system.status` comes down to: one word, a state for each component, and the agents that are unwell. */
export function healthOf(status) {
  if (!status) return { word: "unknown", reason: "", components: [], unwell: [] };
  const agents = Object.entries(status.agents ?? {});
  return {
    word: status.health ?? "unknown",
    reason: status.health === "healthy" ? "" : words(status.reason),
    components: componentsOf(status),
    unwell: agents.filter(([, agent]) => isUnwell(agent)).slice(0, UNWELL_MAX).map(([id, agent]) => ({ name: id, state: ailment(agent) })),
  };
}

/** Only a change tells of all components; what is told every now and then, of the connection to the state service. */
function componentsOf({ components, summary }) {
  const told = Object.entries(components ?? {}).map(([name, state]) => ({ name: words(name), state: wordOf(state) }));
  const reachable = summary?.state_service_reachable;
  if (reachable === undefined || components?.state_service) return told;
  return [...told, { name: "state service", state: reachable ? "healthy" : "down" }];
}

function isUnwell({ status, connectivity }) {
  return status === "failed" || connectivity === "lost" || connectivity === "disconnected";
}

function ailment({ status, connectivity }) {
  return status === "failed" ? status : connectivity;
}

function wordOf(state) {
  return typeof state === "string" ? state : state?.status ?? "unknown";
}

export class HealthView {
  /** `root` is a `details` with a `summary`; it closes by Escape and by a press elsewhere, as menus do. */
  constructor(root) {
    this.root = root;
    this.word = root.querySelector(".health-word");
    this.body = root.querySelector(".health-body");
    this.leaving = new AbortController();
    const { signal } = this.leaving;
    root.addEventListener("keydown", ({ key }) => key === "Escape" && this.close(), { signal });
    document.addEventListener("pointerdown", ({ target }) => root.contains(target) || (root.open = false), { signal });
    this.show(null);
  }

  /** Shows a `system.status`; `null` while there is none to be had. */
  show(status) {
    const health = healthOf(status);
    const key = JSON.stringify(health);
    if (key === this.shown) return;
    this.shown = key;
    this.root.dataset.health = health.word;
    setText(this.word, words(health.word));
    this.root.querySelector("summary").setAttribute("aria-label", `System: ${words(health.word)}`);
    const parts = [
      element("p", "", health.word === "unknown" ? "Nothing is known of the system at the moment." : `The system is ${health.word}${health.reason ? `: ${health.reason}` : ""}.`),
      entries("Components", health.components),
      entries("Unwell agents", health.unwell),
    ];
    this.body.replaceChildren(...parts.filter((part) => part !== null));
  }

  end() {
    this.leaving.abort();
  }

  close() {
    this.root.open = false;
    this.root.querySelector("summary").focus();
  }
}

function entries(title, list) {
  if (list.length === 0) return null;
  const rows = list.map(({ name, state }) => {
    const lamp = element("i", "lamp");
    lamp.setAttribute("aria-hidden", "true");
    const row = element("li", "", lamp, element("span", "", name), element("span", "is", words(state)));
    row.dataset.health = state;
    return row;
  });
  return element("div", "", element("h3", "", title), element("ul", "", ...rows));
}
