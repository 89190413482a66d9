// A client of the `sentinelops` protocol: signs in by message, reads the present, follows the log from the position
// that it was read at, and comes back to where it was when the connection is lost. It knows no page.

import { EVENTS, now, present, revisionOf } from "./interest.js";

const PING_EVERY_MS = 5000;
const ANSWER_WITHIN_MS = 15000;
/** Replayed events come in a burst; this much quiet is its end. */
const REPLAY_QUIET_MS = 400;
const BACKOFF_FIRST_MS = 500;
const BACKOFF_MAX_MS = 20000;
/** After a refusal for too many connections there is no point in hurrying. */
const BACKOFF_LIMITED_MS = 10000;
// Closes after which the same token would only be refused again.
const CLOSE_EXPIRED = 4001;
const REFUSALS = {
  4000: "The token was not accepted.",
  [CLOSE_EXPIRED]: "The token has expired.",
  4002: "The token's role may not watch here.",
};
const CLOSE_LIMITED = 4003;

/** How long to wait before the next attempt: anything up to a bound that doubles, so that clients spread. */
export function backoff(attempt, least = 0) {
  const bound = Math.min(BACKOFF_MAX_MS, BACKOFF_FIRST_MS * 2 ** Math.min(attempt, 16));
  return least + Math.max(100, Math.random() * bound);
}

/** The URL of a WebSocket of the server that this page came from. */
export function socketUrl(path) {
  return `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}${path}`;
}

/** An answer that is an error, with the protocol's code. */
export class Refused extends Error {
  constructor({ code, message, retry_after: retryAfter }) {
    super(retryAfter ? `${message} (again in ${retryAfter} s)` : message);
    this.code = code;
  }
}

/**
 * `on` has: `state(state, detail)`, `ready(data)`, `present(read)`, `event(message)`, `latency(ms)`,
 * `resumed(count)`, `gap()`, `warning(text)` and `refused(text)`. States are connecting, behind (what was missed is
 * being told), live and waiting.
 */
export class Connection {
  constructor(token, on) {
    this.token = token;
    this.on = on;
    this.cursor = null;
    this.attempt = 0;
    this.sequence = 0;
    this.asked = new Map();
    this.ended = false;
    this.woken = () => this.retryNow();
    addEventListener("online", this.woken);
    this.open();
  }

  /** Ends it for good. */
  close() {
    this.ended = true;
    removeEventListener("online", this.woken);
    clearTimeout(this.retry);
    this.drop();
  }

  /** Connects at once when it waits for its next attempt. */
  retryNow() {
    if (this.retry === undefined || this.ended) return;
    clearTimeout(this.retry);
    this.open();
  }

  /** Has something done. Resolves once it is durable. */
  command(data) {
    return this.ask("command", data);
  }

  open() {
    this.retry = undefined;
    this.refusal = null;
    this.replay = null;
    this.on.state("connecting");
    const socket = new WebSocket(socketUrl("/ws"));
    this.socket = socket;
    socket.onopen = () => this.send({ type: "auth", token: this.token });
    socket.onmessage = ({ data }) => socket === this.socket && this.take(JSON.parse(data));
    socket.onclose = ({ code }) => socket === this.socket && this.lost(code);
    this.silence(socket);
  }

  send(message) {
    if (this.socket?.readyState !== WebSocket.OPEN) return false;
    this.socket.send(JSON.stringify(message));
    return true;
  }

  ask(type, data) {
    const id = `${type}_${++this.sequence}`;
    return new Promise((resolve, reject) => {
      if (!this.send({ id, type, data })) {
        reject(new Refused({ code: "OFFLINE", message: "There is no connection at the moment" }));
        return;
      }
      const timer = setTimeout(() => {
        this.asked.delete(id);
        reject(new Refused({ code: "TIMEOUT", message: "The server did not answer in time" }));
      }, ANSWER_WITHIN_MS);
      this.asked.set(id, { resolve, reject, timer });
    });
  }

  settle(id, how, value) {
    const asked = this.asked.get(id);
    if (!asked) return false;
    clearTimeout(asked.timer);
    this.asked.delete(id);
    asked[how](value);
    return true;
  }

  take(message) {
    this.heardAt = performance.now();
    switch (message.type) {
      case "connection.ready":
        this.on.ready(message.data);
        this.ping();
        this.follow().catch((error) => this.stumbled(error));
        break;
      case "event":
        this.event(message);
        break;
      case "response":
      case "subscription.confirmed":
        this.settle(message.id, "resolve", message.data);
        break;
      case "pong":
        if (this.pingedAt !== null) this.on.latency(this.heardAt - this.pingedAt);
        this.pingedAt = null;
        break;
      case "error":
        this.error(message);
        break;
    }
  }

  error({ id, error }) {
    if (error.code === "CURSOR_EXPIRED") {
      // What was missed is gone: the list, read anew, has all that it led to.
      this.cursor = null;
      this.on.gap();
      this.again(0);
    } else if (!this.settle(id, "reject", new Refused(error))) {
      this.refusal = error.message;
      this.on.warning(error.message);
    }
  }

  /** Begins where the present was read, or goes on where the connection was lost. */
  async follow() {
    const socket = this.socket;
    const ask = (type, data) => this.ask(type, data);
    const resumes = this.cursor !== null;
    const read = resumes ? { cursor: await now(ask) } : await present(ask);
    if (socket !== this.socket) return;
    if (resumes) {
      this.replay = { until: revisionOf(read.cursor), count: 0 };
      this.on.state("behind", this.replay.until - revisionOf(this.cursor));
    } else {
      this.cursor = read.cursor;
      this.on.present(read);
    }
    await this.ask("subscribe", { events: EVENTS, cursor: this.cursor });
    if (socket !== this.socket) return;
    this.attempt = 0;
    if (resumes) this.quiet();
    else this.on.state("live");
  }

  event(message) {
    if (message.id) {
      // At the seam of replay and live stream nothing is doubled; this holds even if it were.
      const revision = revisionOf(message.id);
      if (this.cursor && revision <= revisionOf(this.cursor)) return;
      this.cursor = message.id;
      if (this.replay && revision <= this.replay.until) {
        this.replay.count += 1;
        this.on.state("behind", this.replay.until - revision);
        if (this.replay.timer) this.quiet();
      }
    }
    this.on.event(message);
  }

  /** Tells how much was missed, once it has all come. */
  quiet() {
    clearTimeout(this.replay.timer);
    const replay = this.replay;
    replay.timer = setTimeout(() => {
      if (this.replay !== replay) return;
      this.replay = null;
      this.on.state("live");
      this.on.resumed(replay.count);
    }, REPLAY_QUIET_MS);
  }

  /** Asks for signs of life; a connection that gives none is as good as lost. */
  ping() {
    this.pingedAt = performance.now();
    this.send({ type: "ping" });
  }

  silence(socket) {
    clearInterval(this.pulse);
    this.pingedAt = null;
    this.heardAt = performance.now();
    this.pulse = setInterval(() => {
      const since = performance.now() - Math.max(this.heardAt, this.pingedAt ?? 0);
      if (this.pingedAt !== null && this.heardAt < this.pingedAt && since >= PING_EVERY_MS - 500) {
        this.lost(1006);
      } else if (socket.readyState === WebSocket.CONNECTING && since > 2 * PING_EVERY_MS) {
        this.lost(1006);
      } else if (socket.readyState === WebSocket.OPEN) {
        this.ping();
      }
    }, PING_EVERY_MS);
  }

  stumbled(error) {
    if (this.ended || error.code === "OFFLINE") return;
    this.on.warning(error.message);
    this.again(backoff(this.attempt++));
  }

  lost(code) {
    if (code in REFUSALS) {
      const why = code !== CLOSE_EXPIRED && this.refusal ? ` The server says: ${this.refusal}.` : "";
      this.close();
      this.on.refused(REFUSALS[code] + why);
      return;
    }
    this.again(backoff(this.attempt++, code === CLOSE_LIMITED ? BACKOFF_LIMITED_MS : 0));
  }

  again(afterMs) {
    this.drop();
    if (this.ended) return;
    clearTimeout(this.retry);
    this.retry = setTimeout(() => this.open(), afterMs);
    this.on.state("waiting", Date.now() + afterMs);
  }

  drop() {
    clearInterval(this.pulse);
    const socket = this.socket;
    this.socket = null;
    clearTimeout(this.replay?.timer);
    this.replay = null;
    for (const id of [...this.asked.keys()]) {
      const message = "The connection was lost; whether it was done shows when it is back";
      this.settle(id, "reject", new Refused({ code: "OFFLINE", message }));
    }
    socket?.close();
  }
}
