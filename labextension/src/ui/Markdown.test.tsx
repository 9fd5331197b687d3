import { freshElement } from "../../testing/dom";
import assert from "node:assert/strict";
import { test } from "node:test";
import { render } from "preact";
import { Markdown } from "./Markdown";

function html(source: string): string {
  const element = freshElement();
  render(<Markdown source={source} />, element);
  return element.firstElementChild?.innerHTML ?? "";
}

test("paragraphs, headings, lists and code become elements", () => {
  assert.equal(html("# Title\none\ntwo\n\nthree"), '<p class="flt-heading">Title</p><p>one\ntwo</p><p>three</p>');
  assert.equal(html("- a\n- b\n  more"), "<ul><li>a</li><li>b\nmore</li></ul>");
  assert.equal(html("3. a\n4. `b`"), '<ol start="3"><li>a</li><li><code>b</code></li></ol>');
  assert.equal(html("```python\nx = '**1**'\n```\nend"), '<pre class="flt-pre">x = \'**1**\'</pre><p>end</p>');
  assert.equal(html("**a `b`** * c"), "<p><strong>a <code>b</code></strong> * c</p>");
});

test("a table keeps its cells", () => {
  const text = html("| a | b |\n|---|--:|\n| 1 | **2** |");
  assert.match(text, /<th>a<\/th><th>b<\/th>/);
  assert.match(text, /<td>1<\/td><td><strong>2<\/strong><\/td>/);
});

test("what a model wrote stays text: no tags, links, images or scripts", () => {
  const hostile = '<img src=x onerror=alert(1)> [a](javascript:alert(1)) ![b](http://x/y.png)\n\n- <script>1</script>';
  html(hostile);
  assert.equal(document.body.querySelectorAll("img, a, script").length, 0);
  assert.equal(document.body.textContent?.includes("<img src=x onerror=alert(1)>"), true);
});

test("unfinished and odd Markdown, as it comes in a stream, loses no text", () => {
  for (const source of ["```\nopen", "| a |", "**", "`", "-", "1.", "#", "a\r\nb", "| a |\n|--|", "  indented"]) {
    const letters = (text: string) => text.replace(/[^a-z]/g, "");
    html(source);
    assert.equal(letters(document.body.textContent ?? ""), letters(source), source);
  }
});
