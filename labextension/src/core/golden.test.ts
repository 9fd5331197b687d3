import assert from "node:assert/strict";
import { test } from "node:test";
import { GOLDEN, goldenLog, goldenTree } from "../../testing/golden";
import { apply, canonical, emptyTree, fold } from "./reducer";

test("there are golden logs of every ending", () => {
  const endings = GOLDEN.map((name) => canonical(fold(goldenLog(name))).status);
  assert.deepEqual([...new Set(endings)].sort(), ["exhausted", "failed", "ok", "stopped"]);
});

for (const name of GOLDEN) {
  test(`${name}: the fold gives the tree the Python fold gives`, () => {
    assert.deepEqual(canonical(fold(goldenLog(name))), goldenTree(name));
  });

  test(`${name}: applying the log twice changes nothing`, () => {
    const log = goldenLog(name);
    assert.deepEqual(canonical(fold([...log, ...log])), goldenTree(name));
  });

  test(`${name}: after every prefix the tree is whole: each child known, each root without a known parent`, () => {
    const tree = emptyTree();
    for (const event of goldenLog(name)) {
      apply(tree, event);
      const reached = new Set<string>(tree.roots);
      for (const id of reached) {
        tree.spans.get(id)?.children.forEach((child) => reached.add(child));
      }
      assert.deepEqual([...reached].sort(), [...tree.spans.keys()].sort());
    }
  });
}
