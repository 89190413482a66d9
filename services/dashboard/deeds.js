// What people do with incidents and remediations: they are asked what goes with it, the server is told, and what it
// answers is kept beside the thing itself until the next attempt.

import { DECISIONS, STEPS, asked } from "./dialogs.js";
import { words } from "./values.js";

const NOTHING = Object.freeze({ sending: null, problem: null });

export class Deeds {
  /**
   * `on` has `command(data)`, `blocked()`, `open(incidentId)`, `now()`, `nameOf(incidentId)`,
   * `changed()`, `refused(text)` and `me`.
   */
  constructor(on) {
    this.on = on;
    this.notes = new Map();
  }

  /** What is on its way for this thing, and what the server said when it refused. */
  of(id) {
    return this.notes.get(id) ?? NOTHING;
  }

  /** Why nothing can be done at the moment; `null` when it can. */
  blocked() {
    return this.on.blocked();
  }

  now() {
    return this.on.now();
  }

  open(incidentId) {
    this.on.open(incidentId);
  }

  /** Forgets what the server said. */
  dismiss(id) {
    this.notes.delete(id);
    this.on.changed();
  }

  /** Approves, rejects or rolls back a remediation. */
  async decide(action, { id, row }) {
    const title = `${DECISIONS[action].verb} ${words(row.action)} for ${this.on.nameOf(row.incident_id)}?`;
    await this.carryOut(action, DECISIONS[action], title, id, { remediation_id: id });
  }

  /** Assigns, resolves or reopens an incident. */
  async step(action, incident) {
    const asking = { ...STEPS[action] };
    if (action === "assign_incident") asking.value = incident.assigned_to ?? this.on.me ?? "";
    const title = `${asking.verb} ${this.on.nameOf(incident.id)}`;
    await this.carryOut(action, asking, title, incident.id, { incident_id: incident.id });
  }

  async carryOut(action, asking, title, id, about) {
    const said = await asked({ ...asking, title });
    if (said === null) return;
    this.note(id, { sending: action, problem: null });
    try {
      await this.on.command({ action, ...about, ...(said && { [asking.remark]: said }) });
      this.notes.delete(id);
      this.on.changed();
    } catch (error) {
      const problem = `${title.replace("?", "")}: ${error.message}`;
      this.note(id, { sending: null, problem });
      // Somebody else may have been faster, and what it stood beside may be gone.
      this.on.refused(problem);
    }
  }

  note(id, note) {
    this.notes.set(id, note);
    this.on.changed();
  }
}
