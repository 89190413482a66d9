// The page: joins the connection, what is known of the agents, and what is to be seen of them.

import { AgentList, duration } from "./agents.js";
import { Connection, revisionOf } from "./connection.js";
import * as credential from "./credential.js";
import { Sparkline, byId, element, setText } from "./element.js";
import { Fleet, STATUSES } from "./fleet.js";
import { Measurements } from "./measurements.js";
import { Stream } from "./stream.js";

const RATE_OVER_S = 10;
const RATE_POINTS = 60;
const NOTICE_MS = 8000;
const EXPIRY_NOTICE_MS = 5 * 60 * 1000;
/** How a program is ended: as it is told before. */
const ENDING = { graceful: true, timeout_ms: 10000 };
/** What is told before it is done: what cannot be taken back. */
const CONFIRMED = {
  stop: "Its program is asked to end, and is killed if it has not ended after 10 seconds.",
  restart: "Its program is asked to end, is killed if it has not ended after 10 seconds, and is started again.",
};

/** One signed-in visit: everything that ends when the token is given up. */
class Visit {
  constructor(token) {
    this.claims = credential.claims(token);
    this.fleet = new Fleet();
    this.clockOffset = 0;
    this.mayCommand = false;
    this.live = false;
    this.perSecond = new Array(RATE_POINTS).fill(0);
    this.thisSecond = 0;
    this.stream = new Stream({ list: byId("events"), count: byId("stream-count"), none: byId("events-none"), pause: byId("pause") });
    this.list = new AgentList(byId("agents"), this.fleet, { act: (...what) => this.act(...what), dismiss: (agent) => this.note(agent.id, { problem: null }) }, () => this.now());
    // What stands in the fields holds for whoever signs in next, too.
    this.stream.filter(byId("stream-filter").value);
    this.list.text = byId("fleet-filter").value.trim().toLowerCase();
    this.rateLine = new Sparkline(RATE_POINTS, 1);
    byId("rate-line").replaceChildren(this.rateLine.root);
    this.chips = new Map(["all", ...STATUSES].map((status) => [status, this.chip(status)]));
    byId("statuses").replaceChildren(...[...this.chips.values()].map(({ button }) => button));
    this.clock = setInterval(() => this.tick(), 1000);
    this.connection = new Connection(token, this.handlers(token));
  }

  handlers(token) {
    return {
      state: (state, detail) => this.linked(state, detail, token),
      ready: (data) => {
        this.clockOffset = Date.parse(data.server_time) - Date.now();
        this.mayCommand = data.capabilities.includes("command");
      },
      agents: (agents) => {
        this.fleet.replace(agents);
        this.listed = true;
        this.later();
      },
      event: (message) => this.happened(message),
      latency: (ms) => {
        setText(byId("latency"), ms < 10 ? ms.toFixed(1) : String(Math.round(ms)));
      },
      resumed: (count) => notify(`Resumed: ${count === 0 ? "nothing was missed" : `${count} missed ${count === 1 ? "event" : "events"} replayed`}.`, "good"),
      gap: () => notify("What was missed is no longer in the log. The list was read anew.", "warn"),
      warning: (text) => notify(text, "warn"),
      refused: (text) => signOut(text),
    };
  }

  end() {
    clearInterval(this.clock);
    cancelAnimationFrame(this.frame);
    this.connection.close();
    this.measurements?.close();
    this.stream.clear();
    byId("agents").replaceChildren();
  }

  now() {
    return Date.now() + this.clockOffset;
  }

  linked(state, detail, token) {
    this.live = state === "live";
    this.retryAt = state === "waiting" ? detail : null;
    byId("link").dataset.state = state;
    byId("desk").dataset.live = String(this.live);
    byId("retry").hidden = state !== "waiting";
    if (this.live) {
      setText(byId("position"), revisionOf(detail).toLocaleString());
      this.measurements ??= new Measurements(token, (agents) => {
        this.fleet.measure(agents);
        this.later();
      });
    } else {
      setText(byId("latency"), "–");
      this.measurements?.close();
      this.measurements = null;
    }
    this.showLink();
    this.list.block(!this.live ? "There is no connection" : this.mayCommand ? null : "Your role may not issue commands");
  }

  showLink() {
    const left = this.retryAt ? Math.max(0, Math.ceil((this.retryAt - Date.now()) / 1000)) : 0;
    const word = this.live ? "Live" : this.retryAt ? `Reconnecting in ${left} s` : "Connecting";
    setText(byId("link-word"), word);
  }

  happened(message) {
    this.thisSecond += 1;
    const said = this.fleet.apply(message);
    if (said) announce(said);
    this.stream.add(message);
    this.later();
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
    const seen = this.list.show();
    const all = this.fleet.agents.size;
    this.stream.show();
    setText(byId("fleet-count"), all === 0 ? "" : seen === all ? String(all) : `${seen} of ${all}`);
    byId("agents-none").hidden = seen > 0 || all === 0;
    byId("empty").hidden = all > 0 || !this.listed;
    const counts = this.fleet.counts();
    for (const [status, { button, count, label }] of this.chips) {
      const number = status === "all" ? all : counts[status];
      setText(count, String(number));
      if (status === "all") setText(label, number === 1 ? "agent" : "agents");
      button.dataset.zero = String(number === 0);
    }
    document.title = counts.failed > 0 ? `(${counts.failed} failed) Signalbox` : "Signalbox";
    if (this.connection?.cursor) setText(byId("position"), revisionOf(this.connection.cursor).toLocaleString());
  }

  tick() {
    this.perSecond.push(this.thisSecond);
    this.perSecond.shift();
    this.thisSecond = 0;
    const recent = this.perSecond.slice(-RATE_OVER_S).reduce((sum, count) => sum + count, 0) / RATE_OVER_S;
    setText(byId("rate"), recent < 100 ? recent.toFixed(1) : String(Math.round(recent)));
    this.rateLine.draw(this.perSecond);
    this.list.tick();
    if (this.retryAt) this.showLink();
    const left = this.claims.exp ? this.claims.exp * 1000 - this.now() : Infinity;
    if (left < EXPIRY_NOTICE_MS && !this.warned) {
      this.warned = true;
      notify(`Your token expires in ${duration(left)}. Sign in with a fresh one before that.`, "warn");
    }
  }

  chip(status) {
    const count = element("b", "", "0");
    const lamp = element("i", "lamp");
    lamp.setAttribute("aria-hidden", "true");
    const label = element("span", "", status);
    const button = element("button", "chip", lamp, count, label);
    button.dataset.status = status;
    button.setAttribute("aria-pressed", String(status === "all"));
    button.addEventListener("click", () => this.choose(status));
    return { button, count, label };
  }

  choose(status) {
    const chosen = this.list.statuses;
    if (status === "all") chosen.clear();
    else if (!chosen.delete(status)) chosen.add(status);
    for (const [name, { button }] of this.chips) {
      button.setAttribute("aria-pressed", String(name === "all" ? chosen.size === 0 : chosen.has(name)));
    }
    this.later();
  }

  note(id, news) {
    this.fleet.update(id, news);
    this.later();
  }

  async act(agent, action) {
    if (action in CONFIRMED && !(await confirmed(action, agent.name, CONFIRMED[action]))) return;
    this.note(agent.id, { sending: action, problem: null });
    try {
      await this.connection.command(action, agent.id, action in CONFIRMED ? ENDING : {});
      this.note(agent.id, { sending: null });
    } catch (error) {
      this.note(agent.id, { sending: null, problem: `${action.replace("_", " ")}: ${error.message}` });
    }
  }
}

let visit = null;
let noticeTimer;

function signIn(token) {
  visit?.end();
  credential.keep(token);
  const { sub, tenant_id: tenant, role } = credential.claims(token);
  const who = [sub, role, tenant].filter((part) => typeof part === "string");
  setText(byId("who"), who.join(" · "));
  byId("who").hidden = who.length === 0;
  byId("door").hidden = true;
  for (const id of ["desk", "link", "sign-out"]) byId(id).hidden = false;
  byId("notice").hidden = true;
  byId("empty").hidden = true;
  byId("agents-none").hidden = true;
  visit = new Visit(token);
}

function signOut(why) {
  visit?.end();
  visit = null;
  credential.forget();
  for (const id of ["desk", "link", "retry", "sign-out", "who"]) byId(id).hidden = true;
  document.title = "Signalbox";
  byId("door").hidden = false;
  byId("sign-in-problem").hidden = !why;
  setText(byId("sign-in-problem"), why ?? "");
  byId("token").value = "";
  byId("token").focus();
}

function notify(text, tone) {
  const notice = byId("notice");
  setText(notice, text);
  notice.dataset.tone = tone;
  notice.hidden = false;
  clearTimeout(noticeTimer);
  noticeTimer = setTimeout(() => (notice.hidden = true), NOTICE_MS);
}

let announced = [];
/** Tells a screen reader what changed, a second's worth at a time. */
function announce(text) {
  announced.push(text);
  if (announced.length > 1) return;
  setTimeout(() => {
    const [more, told] = [announced.length - 3, announced.slice(-3)];
    setText(byId("announcer"), more > 0 ? `${more} other changes; ${told.join("; ")}` : told.join("; "));
    announced = [];
  }, 1000);
}

function confirmed(action, name, text) {
  const dialog = byId("confirm");
  const verb = action === "stop" ? "Stop" : "Restart";
  setText(byId("confirm-title"), `${verb} ${name}?`);
  setText(byId("confirm-text"), text);
  setText(byId("confirm-yes"), verb);
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}

async function copy(button) {
  const target = byId(button.dataset.copy);
  try {
    await navigator.clipboard.writeText(target.textContent);
    setText(button, "Copied");
    setTimeout(() => setText(button, "Copy"), 1500);
  } catch {
    // Without leave to write to the clipboard the text is at least marked.
    getSelection().selectAllChildren(target);
  }
}

function begin() {
  setText(byId("sign-in-line"), `source target/dev/env; xdg-open "${location.origin}/#token=$SIGNALBOX_OPERATOR_TOKEN"`);
  setText(byId("agent-line"), "source target/dev/env\nSIGNALBOX_TOKEN=$SIGNALBOX_AGENT_TOKEN \\\n  $SIGNALBOX_BIN_DIR/signalbox-agent run --id web-1 -- python3 -m http.server 9000");
  byId("sign-in").addEventListener("submit", (event) => {
    event.preventDefault();
    const token = byId("token").value.trim();
    byId("token").value = "";
    if (token) signIn(token);
  });
  byId("sign-out").addEventListener("click", () => signOut());
  byId("retry").addEventListener("click", () => visit?.connection.retryNow());
  byId("pause").addEventListener("click", () => visit?.stream.pause(!visit.stream.paused));
  byId("stream-filter").addEventListener("input", ({ target }) => visit?.stream.filter(target.value));
  byId("fleet-filter").addEventListener("input", ({ target }) => {
    if (!visit) return;
    visit.list.text = target.value.trim().toLowerCase();
    visit.later();
  });
  for (const button of document.querySelectorAll("[data-copy]")) button.addEventListener("click", () => copy(button));
  addEventListener("hashchange", () => {
    const token = credential.fromAddress();
    if (token) signIn(token);
  });
  const token = credential.fromAddress() ?? credential.kept();
  if (token) signIn(token);
  else signOut();
}

begin();
