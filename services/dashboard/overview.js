// The whole at a glance: how the connection is, how many things wait for whom, and how fast events come.

import { Sparkline, byId, element, setText } from "./element.js";
import { STATUSES } from "./fleet.js";
import { revisionOf } from "./interest.js";
import { many, words } from "./values.js";

const RATE_OVER_S = 10;
const RATE_POINTS = 60;
const WORDS = { live: "Live", connecting: "Connecting" };

export class Overview {
  /** `choose(status)` gets the status of agents that is pressed, and gives those that are chosen then. */
  constructor(choose) {
    this.perSecond = new Array(RATE_POINTS).fill(0);
    this.thisSecond = 0;
    this.rateLine = new Sparkline(RATE_POINTS, 1);
    byId("rate-line").replaceChildren(this.rateLine.root);
    this.chips = new Map(["all", ...STATUSES].map((status) => [status, chip(status, () => this.press(choose(status)))]));
    byId("statuses").replaceChildren(...[...this.chips.values()].map(({ button }) => button));
  }

  /** Shows how the connection is; `detail` is when it is tried again, or how many events behind it is. */
  link(state, detail) {
    byId("link").dataset.state = state;
    byId("retry").hidden = state !== "waiting";
    this.retryAt = state === "waiting" ? detail : null;
    if (state === "behind") setText(byId("link-word"), detail > 0 ? `Catching up: ${many(detail, "event")} behind` : "Catching up");
    else if (state !== "waiting") setText(byId("link-word"), WORDS[state]);
    if (state === "waiting" || state === "connecting") setText(byId("latency"), "–");
    this.countDown();
  }

  showLatency(ms) {
    setText(byId("latency"), ms < 10 ? ms.toFixed(1) : String(Math.round(ms)));
  }

  /** Counts an event. */
  count() {
    this.thisSecond += 1;
  }

  show({ fleet, shown, listed, pending, incidents, ongoing, cursor }) {
    const all = fleet.agents.size;
    const counts = fleet.counts();
    this.showFleet(all, shown, listed, counts);
    const grave = (incidents.severities.CRITICAL ?? 0) + (incidents.severities.HIGH ?? 0);
    tile("approvals", pending, pending === 1 ? "waits for approval" : "wait for approval", pending > 0 ? "warn" : "");
    tile("incidents", incidents.unsettled, incidents.unsettled === 1 ? "open incident" : "open incidents", grave > 0 ? "bad" : "", grave > 0 ? `${grave} grave` : "");
    tile("runs", ongoing, ongoing === 1 ? "run under way" : "runs under way", "");
    tile("fleet", all, all === 1 ? "agent" : "agents", counts.failed > 0 ? "bad" : "", counts.failed > 0 ? `${counts.failed} failed` : "");
    const urgent = [[pending, "to approve"], [counts.failed, "failed"]].filter(([count]) => count > 0).map(([count, what]) => `${count} ${what}`);
    document.title = urgent.length > 0 ? `(${urgent.join(", ")}) Signalbox` : "Signalbox";
    if (cursor) setText(byId("position"), revisionOf(cursor).toLocaleString());
  }

  showFleet(all, shown, listed, counts) {
    setText(byId("fleet-count"), all === 0 ? "" : shown === all ? String(all) : `${shown} of ${all}`);
    byId("agents-none").hidden = shown > 0 || all === 0;
    byId("empty").hidden = all > 0 || !listed;
    for (const [status, { button, count, label }] of this.chips) {
      const number = status === "all" ? all : counts[status];
      setText(count, String(number));
      if (status === "all") setText(label, number === 1 ? "agent" : "agents");
      button.dataset.zero = String(number === 0);
    }
  }

  tick() {
    this.perSecond.push(this.thisSecond);
    this.perSecond.shift();
    this.thisSecond = 0;
    const recent = this.perSecond.slice(-RATE_OVER_S).reduce((sum, count) => sum + count, 0) / RATE_OVER_S;
    setText(byId("rate"), recent < 100 ? recent.toFixed(1) : String(Math.round(recent)));
    this.rateLine.draw(this.perSecond);
    this.countDown();
  }

  countDown() {
    if (this.retryAt === null) return;
    const left = Math.max(0, Math.ceil((this.retryAt - Date.now()) / 1000));
    setText(byId("link-word"), `Reconnecting in ${left} s`);
  }

  press(chosen) {
    for (const [name, { button }] of this.chips) {
      button.setAttribute("aria-pressed", String(name === "all" ? chosen.size === 0 : chosen.has(name)));
    }
  }
}

function chip(status, press) {
  const count = element("b", "", "0");
  const lamp = element("i", "lamp");
  lamp.setAttribute("aria-hidden", "true");
  const label = element("span", "", words(status));
  const button = element("button", "chip", lamp, count, label);
  button.type = "button";
  button.dataset.status = status;
  button.setAttribute("aria-pressed", String(status === "all"));
  button.addEventListener("click", press);
  return { button, count, label };
}

/** Shows a number of the first row; a press on it leads to what it counts. */
function tile(section, number, text, tone, more = "") {
  const button = document.querySelector(`[data-leads-to="${section}"]`);
  button.dataset.tone = tone;
  button.dataset.zero = String(number === 0);
  setText(button.querySelector("b"), number.toLocaleString());
  setText(button.querySelector("span"), text);
  setText(button.querySelector("small"), more);
}
