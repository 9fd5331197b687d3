import { drawn, freshElement } from "../../testing/dom";
import assert from "node:assert/strict";
import { test } from "node:test";
import { goldenItems } from "../../testing/golden";
import factory from "./index";
import type { Model } from "./model";

/** An anywidget model with a kernel behind it that replays a golden log. */
class FakeModel implements Model {
  sent: { t: string; have?: number }[] = [];
  listeners = new Set<(message: unknown) => void>();
  traits = { run_id: "r", title: "saved", status: "running", theme: "dark", snapshot: {} };

  constructor(readonly log: string) {}

  get<K extends keyof FakeModel["traits"]>(name: K) {
    return this.traits[name];
  }
  on(_name: string, callback: (message: unknown) => void) {
    this.listeners.add(callback);
  }
  off(_name: string, callback: (message: unknown) => void) {
    this.listeners.delete(callback);
  }
  send(message: { t: string; have?: number }) {
    this.sent.push(message);
    if (message.t === "hello") {
      const items = goldenItems(this.log).slice(message.have);
      const batch = { v: 1, t: "events", from: message.have, to: items.at(-1)?.seq, now: items.at(-1)?.ts, items };
      queueMicrotask(() => this.listeners.forEach((listener) => listener(batch)));
    }
  }
}

test("a widget that is shown says hello once and shows the run, in every view", async () => {
  const widget = factory();
  const model = new FakeModel("auto");
  const signal = new AbortController().signal;
  widget.initialize({ model, signal });
  await drawn();
  const [one, two] = [document.createElement("div"), document.createElement("div")];
  freshElement().append(one, two);
  widget.render({ model, el: one, signal });
  widget.render({ model, el: two, signal });
  await drawn();
  assert.equal(model.sent.length, 1);
  for (const view of [one, two]) {
    assert.match(view.textContent ?? "", /Which deploy broke checkout/);
    assert.equal(view.querySelector(".flt-root")?.getAttribute("data-theme"), "dark");
  }
});

test("two runs of one module do not see each other's events", async () => {
  const widget = factory();
  const [auto, direct] = [new FakeModel("auto"), new FakeModel("direct")];
  direct.traits = { ...direct.traits, run_id: "another" };
  widget.initialize({ model: auto });
  widget.initialize({ model: direct });
  const el = freshElement();
  widget.render({ model: auto, el });
  await drawn();
  assert.match(el.textContent ?? "", /Which deploy broke checkout/);
});

test("the end of a view takes it away and leaves the connection; the end of the model closes it", async () => {
  const widget = factory();
  const model = new FakeModel("direct");
  const [ofModel, ofView] = [new AbortController(), new AbortController()];
  widget.initialize({ model, signal: ofModel.signal });
  const el = freshElement();
  widget.render({ model, el, signal: ofView.signal });
  await drawn();
  ofView.abort();
  assert.equal(el.children.length, 0);
  assert.equal(model.listeners.size, 1);
  ofModel.abort();
  assert.equal(model.listeners.size, 0);
  assert.throws(() => widget.render({ model, el }), /not initialized/);
});

test("a page that becomes visible asks for what it missed, until its model is gone", async () => {
  const widget = factory();
  const model = new FakeModel("auto");
  model.send = (message) => model.sent.push(message);
  const close = widget.initialize({ model });
  model.listeners.forEach((listener) => listener({ v: 1, t: "events", from: 0, to: -1, now: 0, items: [] }));
  const look = () => document.dispatchEvent(new Event("visibilitychange"));
  look();
  assert.equal(model.sent.length, 2);
  close();
  look();
  assert.equal(model.sent.length, 2);
});
