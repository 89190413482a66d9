// What nobody knows is looked up once, one at a time.

import assert from "node:assert/strict";
import { mock, test } from "node:test";

import { Lookups } from "../lookups.js";

/** Lets promises settle that are ready. */
const settle = () => new Promise((resolve) => setImmediate(resolve));

test("each thing is asked for once, a second apart, and a refusal stops nothing", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const [asked, found] = [[], []];
  const lookups = new Lookups((kind, id) => {
    asked.push(id);
    return id === "gone" ? Promise.reject(new Error("not found")) : Promise.resolve({ id });
  }, (kind, row) => found.push(`${kind} ${row.id}`));
  for (const id of ["gone", "a", "a", "b"]) lookups.want("incident", id);
  const counts = [];
  for (const ms of [0, 999, 1, 1000, 5000]) {
    t.mock.timers.tick(ms);
    await settle();
    counts.push(asked.length);
  }
  assert.deepEqual(counts, [1, 1, 2, 3, 3]);
  assert.deepEqual(found, ["incident a", "incident b"]);
  lookups.want("incident", "c");
  t.mock.timers.tick(0);
  await settle();
  assert.deepEqual(found.at(-1), "incident c");
});

test("what waits is forgotten with the visit, and an answer that comes later is dropped", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  let answer;
  const found = mock.fn();
  const lookups = new Lookups(() => new Promise((resolve) => (answer = resolve)), found);
  lookups.want("incident", "a");
  t.mock.timers.tick(0);
  lookups.clear();
  answer({ id: "a" });
  await settle();
  assert.equal(found.mock.callCount(), 0);
});
