// What events mention and nobody knows is looked up: each thing once, one at a time, and no more often than leaves
// the connection messages for what people do. It knows no page.

/** The pause between two; a connection may send a hundred messages a minute, pings included. */
const EVERY_MS = 1000;
/** How many may wait. What is past it is left unknown: an event will mention it again. */
const WAITING_MAX = 200;

export class Lookups {
  /** `ask(kind, id)` resolves to the row; `found(kind, row)` gets it. */
  constructor(ask, found) {
    Object.assign(this, { ask, found });
    this.waiting = new Map();
    this.timer = null;
  }

  /** Has something looked up, unless it waits already. */
  want(kind, id) {
    if (this.waiting.size >= WAITING_MAX) return;
    this.waiting.set(`${kind} ${id}`, { kind, id });
    this.timer ??= setTimeout(() => this.next(), 0);
  }

  /** Forgets what waits. */
  clear() {
    clearTimeout(this.timer);
    this.timer = null;
    this.waiting.clear();
  }

  async next() {
    const timer = this.timer;
    const [first] = this.waiting;
    if (!first) {
      this.timer = null;
      return;
    }
    const [key, { kind, id }] = first;
    this.waiting.delete(key);
    // What cannot be read is gone already, or the connection is: either way it is not worth a word.
    const row = await this.ask(kind, id).catch(() => null);
    if (this.timer !== timer) return;
    if (row) this.found(kind, row);
    this.timer = setTimeout(() => this.next(), EVERY_MS);
  }
}
