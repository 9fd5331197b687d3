import assert from "node:assert/strict";
import { test } from "node:test";
import { highlight } from "./highlight";

const kinds = (code: string) =>
  highlight(code).filter(({ kind }) => kind).map(({ text, kind }) => `${kind}:${text}`);

test("strings, comments, numbers, keywords and the sandbox's own calls are told apart", () => {
  assert.deepEqual(kinds('for x in [1, 2.5]:  # "not a string"\n    SUBMIT(rf"a {x}")'), [
    ...["keyword:for", "keyword:in", "number:1", "number:2.5", 'comment:# "not a string"'],
    ...["call:SUBMIT", 'string:rf"a {x}"'],
  ]);
});

test("names that only contain a keyword, a prefix or a digit stay plain", () => {
  assert.deepEqual(kinds("format = bar1 + island + my_llm_query"), []);
});

test("a string may span lines, hold escapes, or never end", () => {
  assert.deepEqual(kinds('"""a\nb"""'), ['string:"""a\nb"""']);
  assert.deepEqual(kinds('"a\\"b" + 1'), ['string:"a\\"b"', "number:1"]);
  assert.deepEqual(kinds("'never\nif"), ["string:'never", "keyword:if"]);
  assert.deepEqual(kinds('"""never'), ['string:"""never']);
});

test("the pieces joined are the code again", () => {
  const code = 'def f(a, *b):\n\t"""doc"""\n\treturn f"{a!r}" % b  # é\n\n\'open';
  assert.equal(highlight(code).map(({ text }) => text).join(""), code);
});
