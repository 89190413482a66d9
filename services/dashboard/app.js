// The page: signs people in and out, and hands what they type and press to the visit that is under way.

import * as credential from "./credential.js";
import { byId, setText } from "./element.js";
import { Visit } from "./visit.js";

const SHOWN_SIGNED_IN = ["desk", "link", "health", "sign-out"];

let visit = null;

function signIn(token) {
  visit?.end();
  credential.keep(token);
  const { sub, tenant_id: tenant, role } = credential.claims(token);
  const who = [sub, role, tenant].filter((part) => typeof part === "string");
  setText(byId("who"), who.join(" · "));
  byId("who").hidden = who.length === 0;
  byId("door").hidden = true;
  for (const id of SHOWN_SIGNED_IN) byId(id).hidden = false;
  for (const id of ["notice", "empty", "agents-none"]) byId(id).hidden = true;
  visit = new Visit(token, signOut);
}

function signOut(why) {
  visit?.end();
  visit = null;
  credential.forget();
  if (byId("question").open) byId("question").close("no");
  for (const id of [...SHOWN_SIGNED_IN, "retry", "who"]) byId(id).hidden = true;
  delete document.body.dataset.may;
  document.title = "Signalbox";
  byId("door").hidden = false;
  byId("sign-in-problem").hidden = !why;
  setText(byId("sign-in-problem"), why ?? "");
  byId("token").value = "";
  byId("token").focus();
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

/** Leads from a number to what it counts, for the eyes and for the keyboard. */
function lead(section) {
  const target = byId(section);
  // Nothing waits for approval: there is no such section then.
  if (target.hidden) return;
  target.scrollIntoView({ block: "start" });
  target.focus({ preventScroll: true });
}

function listen() {
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
    if (visit) visit.list.text = target.value.trim().toLowerCase();
    visit?.later();
  });
  byId("incident-filter").addEventListener("input", ({ target }) => {
    if (visit) visit.incidentList.text = target.value;
    visit?.later();
  });
  byId("run-kind").addEventListener("change", ({ target }) => {
    if (visit) visit.runList.kind = target.value;
    visit?.later();
  });
  byId("incident-close").addEventListener("click", () => byId("incident").close());
  byId("question-no").addEventListener("click", () => byId("question").close("no"));
  for (const button of document.querySelectorAll("[data-copy]")) button.addEventListener("click", () => copy(button));
  for (const button of document.querySelectorAll("[data-leads-to]")) button.addEventListener("click", () => lead(button.dataset.leadsTo));
  addEventListener("hashchange", () => {
    const token = credential.fromAddress();
    if (token) signIn(token);
  });
}

function begin() {
  setText(byId("sign-in-line"), `source target/dev/env; xdg-open "${location.origin}/#token=$SIGNALBOX_OPERATOR_TOKEN"`);
  setText(byId("agent-line"), "source target/dev/env\nSIGNALBOX_TOKEN=$SIGNALBOX_AGENT_TOKEN \\\n  $SIGNALBOX_BIN_DIR/signalbox-agent run --id web-1 -- python3 -m http.server 9000");
  listen();
  const token = credential.fromAddress() ?? credential.kept();
  if (token) signIn(token);
  else signOut();
}

begin();
