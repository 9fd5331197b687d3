import assert from "node:assert/strict";
import { test } from "node:test";
import type { SpanNode } from "../core/reducer";
import { bytes, count, dollars, duration, gist, usageLine, withoutAnsi } from "./format";

test("durations", () => {
  const shown = [-5, 0.0004, 0.0994, 0.44, 9.94, 9.96, 59.4, 59.6, 185, 3729].map((seconds) => duration(seconds * 1e6));
  assert.deepEqual(shown, ["0 ms", "0 ms", "99 ms", "0.4 s", "9.9 s", "10 s", "59 s", "1:00", "3:05", "1:02:09"]);
});

test("counts", () => {
  assert.deepEqual([0, 999, 1000, 15_581, 99_960, 999_600, 2_400_000].map(count), [
    ...["0", "999", "1k", "15.6k", "100k", "1M", "2.4M"],
  ]);
});

test("money that is unknown is not called 0, and little money is not called nothing", () => {
  assert.deepEqual([null, 0, 0.00004, 0.0021, 0.0305, 12.5].map(dollars), [
    ...["unknown", "$0", "< $0.0001", "$0.0021", "$0.030", "$12.50"],
  ]);
});

test("bytes", () => {
  assert.deepEqual([12, 18_342, 96_300_000].map(bytes), ["12 B", "18.3 kB", "96.3 MB"]);
});

test("usage says what is unknown", () => {
  const usage = { llm_calls: 1, tokens_in: 2890, tokens_out: null, tokens_cached: 2400, cost_usd: null };
  assert.equal(usageLine(usage), "2.9k tokens in (2.4k cached) · unknown out · cost unknown");
});

test("terminal colours of a traceback are taken out", () => {
  assert.equal(withoutAnsi("\u001b[0;31mNameError\u001b[0m: x"), "NameError: x");
});

test("the gist of a span says what it is about, not how its text begins", () => {
  const of = (span: Partial<SpanNode>) => gist({ thought: "", text: "", input: null, output: null, code: null, ...span } as SpanNode);
  assert.equal(of({ type: "llm", output: "[[ ## reasoning ## ]]\nLook at the files.\n[[ ## code ## ]]" }), "Look at the files.");
  assert.equal(of({ type: "llm", input: "[system]\nYour input fields are:" }), "", "a prompt says nothing of the call");
  assert.equal(of({ type: "code", code: "# stage: search\nimport re\n\ndef found():\n    pass\nhits = found()" }), "hits = found()");
  assert.equal(of({ type: "code", code: "import this" }), "import this");
});
