import assert from "node:assert/strict";
import { test } from "node:test";
import { parseEvent } from "./events";

const envelope = { v: 1, run: "r", seq: 3, ts: 1, span: "s1" };

test("an event of v1 is named by its kind", () => {
  const event = parseEvent({ ...envelope, kind: "delta", channel: "stdout", text: "hi" });
  assert.deepEqual(event, { run: "r", seq: 3, ts: 1, span: "s1", kind: "delta", channel: "stdout", text: "hi" });
});

for (const [what, value] of Object.entries({
  "a kind of a later version": { ...envelope, kind: "telemetry" },
  "a kind named like a method of every object": { ...envelope, kind: "toString" },
  "an event of another major version": { ...envelope, v: 2, kind: "delta", channel: "text", text: "x" },
  "a channel v1 does not have": { ...envelope, kind: "delta", channel: "smell", text: "x" },
  "a field of the wrong type": { ...envelope, kind: "delta", channel: "text", text: 7 },
  "a missing field": { ...envelope, kind: "note", level: "info" },
})) {
  test(`${what} is unknown and keeps its place`, () => {
    assert.deepEqual(parseEvent(value), { run: "r", seq: 3, ts: 1, span: "s1", kind: "unknown" });
  });
}

for (const value of [null, undefined, 7, "x", [], {}, { ...envelope, seq: "3" }, { ...envelope, run: undefined }]) {
  test(`${JSON.stringify(value)} is no event`, () => {
    assert.equal(parseEvent(value), null);
  });
}

test("a figure that was not reported stays unknown and is not 0", () => {
  const event = parseEvent({ ...envelope, kind: "span.end", status: "ok", usage: { llm_calls: 1, tokens_in: 5 } });
  assert.equal(event?.kind, "span.end");
  assert.deepEqual(event.usage, { llm_calls: 1, tokens_in: 5, tokens_out: null, tokens_cached: null, cost_usd: null });
});
