import assert from "node:assert/strict";
import { test } from "node:test";
import { goldenLog } from "../../testing/golden";
import { fold } from "./reducer";
import { ancestors, followed, openRows } from "./rows";

const auto = fold(goldenLog("auto"));

test("an open tree shows every span, children below their parent", () => {
  const rows = openRows(auto, new Set());
  assert.equal(rows.length, auto.spans.size);
  rows.forEach((row, index) => {
    const parent = rows.findLastIndex((other, at) => at < index && other.level < row.level);
    assert.equal(rows[parent]?.span.id, row.span.parent ?? undefined);
  });
});

test("what is below a closed span is not shown, and the span says so", () => {
  const tool = [...auto.spans.values()].find((span) => span.type === "tool");
  const rows = openRows(auto, new Set([tool?.id ?? ""]));
  assert.equal(rows.find((row) => row.span === tool)?.open, false);
  assert.deepEqual(rows.map((row) => row.span.type), ["turn", "step", "llm", "tool", "step", "llm"]);
});

test("a span of an unknown parent is shown at the top", () => {
  const rows = openRows(fold(goldenLog("later")), new Set());
  assert.equal(rows.find((row) => row.span.name === "orphan")?.level, 0);
});

test("while a run goes on its newest span is followed, but sub-queries of a cell are not", () => {
  const log = goldenLog("auto");
  const query = log.findIndex((event) => event.kind === "span.start" && event.name === "llm_query");
  const running = fold(log.slice(0, query + 2));
  assert.equal(running.spans.get(followed(running) ?? "")?.type, "code");
});

test("after a failure its innermost span is followed, after an answer the last code", () => {
  const failed = fold(goldenLog("failed"));
  assert.equal(failed.spans.get(followed(failed) ?? "")?.type, "llm");
  assert.equal(auto.spans.get(followed(auto) ?? "")?.output, "submitted");
  const direct = fold(goldenLog("direct"));
  assert.equal(direct.spans.get(followed(direct) ?? "")?.name, "answer");
});

test("an empty tree has no row and nothing to follow", () => {
  const empty = fold([]);
  assert.deepEqual(openRows(empty, new Set()), []);
  assert.equal(followed(empty), null);
});

test("the spans above one are told innermost first", () => {
  const child = [...auto.spans.values()].find((span) => span.name === "sub_rlm");
  const types = ancestors(auto, child?.id ?? "").map((id) => auto.spans.get(id)?.type);
  assert.deepEqual(types, ["code", "iteration", "rlm", "tool", "step", "turn"]);
});
