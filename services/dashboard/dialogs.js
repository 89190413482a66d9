// Questions to people: each is one dialog that is asked one at a time.

import { byId, setText } from "./element.js";

/**
 * Asks, and resolves to the text that was given (empty where none was asked for or needed), or to `null` when it was
 * called off. `question` has `title`, `text`, `verb` and `tone` (`danger` or `primary`), and for an answer in words
 * `label`, `value` to begin with, `required` and `lengthMax`.
 */
export function asked({ title, text, verb, tone, label, value, required, lengthMax }) {
  const dialog = byId("question");
  const field = byId("question-answer");
  const yes = byId("question-yes");
  setText(byId("question-title"), title);
  setText(byId("question-text"), text ?? "");
  byId("question-text").hidden = !text;
  byId("question-field").hidden = !label;
  setText(byId("question-label"), label ? `${label}${required ? "" : " (optional)"}` : "");
  field.value = value ?? "";
  field.required = Boolean(label && required);
  field.disabled = !label;
  field.maxLength = lengthMax ?? 4096;
  setText(yes, verb);
  yes.className = tone;
  dialog.returnValue = "no";
  dialog.showModal();
  if (label) field.select();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes" ? field.value.trim() : null), { once: true });
  });
}

/** What a remediation is to be decided on, as it is asked. Longest texts are the catalog's. */
export const DECISIONS = {
  approve_remediation: { verb: "Approve", tone: "primary", label: "Comment", remark: "comment", text: "Its agent may begin at once." },
  reject_remediation: { verb: "Reject", tone: "danger", label: "Reason", remark: "reason", required: true, text: "It is not carried out." },
  rollback_remediation: { verb: "Roll back", tone: "danger", label: "Reason", remark: "reason", required: true, text: "It is marked as rolled back, and whoever carried it out is told." },
};

/** What can be done with an incident, as it is asked. */
export const STEPS = {
  assign_incident: { verb: "Assign", tone: "primary", label: "To whom", remark: "assigned_to", required: true, lengthMax: 256 },
  resolve_incident: { verb: "Resolve", tone: "primary", label: "Resolution", remark: "resolution", required: true },
  reopen_incident: { verb: "Reopen", tone: "primary", label: "Reason", remark: "reason", required: true },
};
