// A client of the `freeagentics` protocol for the one thing that only it has: `metrics_update`, the latest
// measurements of every agent. The page works without it; where it fails, it just tries again. It lives no longer
// than a connection of the other protocol, which tells whether there is a server and whether the token is good.

import { backoff, socketUrl } from "./connection.js";

const INTERVAL_MS = 2000;
const UNAUTHORIZED = 1008;

export class Measurements {
  /** `on(agents, system)` gets each update. The protocol takes its token in the URL; it reads no `auth` message. */
  constructor(token, on) {
    this.url = socketUrl(`/api/v1/ws?token=${encodeURIComponent(token)}`);
    this.on = on;
    this.attempt = 0;
    this.open();
  }

  close() {
    clearTimeout(this.retry);
    const socket = this.socket;
    this.socket = null;
    socket?.close();
  }

  open() {
    const socket = new WebSocket(this.url);
    this.socket = socket;
    const send = (type, data) => socket.send(JSON.stringify({ type, data }));
    socket.onmessage = ({ data: text }) => {
      if (socket !== this.socket) return;
      const { type, data } = JSON.parse(text);
      if (type === "connection_established") {
        send("configure", { metrics_interval: INTERVAL_MS });
        send("subscribe", { events: ["metrics_update"] });
      } else if (type === "metrics_update") {
        this.attempt = 0;
        this.on(data.agents, data.system);
      }
    };
    socket.onclose = ({ code }) => {
      if (socket !== this.socket) return;
      // With a good token the refusal is for the number of connections, which does not change at once.
      const least = code === UNAUTHORIZED ? 30000 : 1000;
      this.retry = setTimeout(() => this.open(), backoff(this.attempt++, least));
    };
  }
}
