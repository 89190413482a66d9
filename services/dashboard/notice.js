// What is told to whoever is at the page: for the eyes in a corner, for the ears by a screen reader.

import { byId, setText } from "./element.js";

const NOTICE_MS = 8000;
/** A second's worth is told at once; of much, the last. */
const ANNOUNCED_EVERY_MS = 1000;
const ANNOUNCED_MAX = 3;

let timer;
let announced = [];

/** Shows a text for a while. `tone` is `good` or `warn`. */
export function notify(text, tone) {
  const notice = byId("notice");
  setText(notice, text);
  notice.dataset.tone = tone;
  notice.hidden = false;
  clearTimeout(timer);
  timer = setTimeout(() => (notice.hidden = true), NOTICE_MS);
}

/** Tells a screen reader what changed. */
export function announce(text) {
  announced.push(text);
  if (announced.length > 1) return;
  setTimeout(() => {
    const [more, told] = [announced.length - ANNOUNCED_MAX, announced.slice(-ANNOUNCED_MAX)];
    setText(byId("announcer"), more > 0 ? `${more} other changes; ${told.join("; ")}` : told.join("; "));
    announced = [];
  }, ANNOUNCED_EVERY_MS);
}
