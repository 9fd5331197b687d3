import { drawn, framesDue, freshElement } from "../../testing/dom";
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { goldenLog } from "../../testing/golden";
import type { EventOf, FleetEvent } from "../core/events";
import type { Snapshot, Transport, Update } from "../core/transport";
import { mount } from "./App";

/** A carrier the test drives. */
class Carrier implements Transport {
  stops = 0;
  decisions: [number, string, string | null][] = [];
  refusal: string | null = null;
  saved: Snapshot = { title: "saved", status: "running", answer: null, error: null, model: null, offline: false };
  listener: ((update: Update) => void) | null = null;

  snapshot() {
    return this.saved;
  }
  subscribe(listener: (update: Update) => void) {
    this.listener = listener;
    return () => (this.listener = null);
  }
  stop() {
    this.stops++;
    return this.refusal === null ? Promise.resolve() : Promise.reject(new Error(this.refusal));
  }
  approve(ask: number, answer: string, note: string | null) {
    this.decisions.push([ask, answer, note]);
    return this.refusal === null ? Promise.resolve() : Promise.reject(new Error(this.refusal));
  }
  async deliver(events: FleetEvent[], link: Update["link"] = "live") {
    this.listener?.({ events, link, clockOffset: 0 });
    await drawn();
  }
}

let unmount = () => {};
afterEach(() => unmount());

async function shown(carrier = new Carrier()): Promise<{ carrier: Carrier; $: (selector: string) => HTMLElement[] }> {
  const element = freshElement();
  unmount = mount(element, carrier);
  await drawn();
  return { carrier, $: (selector) => [...element.querySelectorAll<HTMLElement>(selector)] };
}

const texts = (elements: HTMLElement[]) => elements.map((element) => element.textContent?.trim());
const button = (elements: HTMLElement[], label: string) => elements.find((element) => element.textContent === label);

test("a run in progress shows its question, its tree, its budget and a Stop button", async () => {
  const { carrier, $ } = await shown();
  await carrier.deliver(goldenLog("auto").slice(0, 30));
  assert.deepEqual(texts($(".flt-title")), ["Which deploy broke checkout, and what is the evidence?"]);
  assert.deepEqual(texts($(".flt-status")), ["Running"]);
  assert.ok($('[role="treeitem"]').length > 8);
  assert.deepEqual(texts($(".flt-meter-value")).slice(0, 2), ["2 / 40", "2.9k / 200k"]);
  assert.deepEqual(texts($(".flt-answer")), []);
  assert.ok(button($("button"), "Stop"));
});

test("a resumed run runs again, says so, and has the model and the limits it goes on with", async () => {
  const { carrier, $ } = await shown();
  const log = goldenLog("resumed");
  const at = log.findIndex(({ kind }) => kind === "run.resume");
  await carrier.deliver(log.slice(0, at));
  assert.deepEqual(texts($(".flt-status")), ["Stopped"]);
  await carrier.deliver(log.slice(at, at + 1));
  assert.deepEqual(texts($(".flt-status")), ["Running"]);
  assert.match(texts($(".flt-note")).join(" "), /Resumed; what was recorded before was told again/);
  assert.match(texts($(".flt-chip"))[0] ?? "", /openai\/gpt-5\b.*sub-queries openai\/gpt-5-nano/);
  assert.deepEqual(texts($(".flt-meter-value"))[0], "3 / 60");
  await carrier.deliver(log.slice(at + 1));
  assert.deepEqual(texts($(".flt-status")), ["Done"]);
});

test("a branch says what it is a branch of", async () => {
  const { carrier, $ } = await shown();
  const [start, ...rest] = goldenLog("resumed");
  await carrier.deliver([{ ...start, parent_run: "r-first", parent_span: "s6" } as FleetEvent, ...rest]);
  assert.match(texts($(".flt-note")).join(" "), /A branch of r-first, which differs from s6 on/);
});

test("what several levels note is shown once, and not at all if it is why the run ended", async () => {
  const { carrier, $ } = await shown();
  const log = goldenLog("exhausted");
  const end = log.at(-1) as EventOf<"run.end">;
  const note = (text: string, at: number) =>
    ({ ...{ v: 1, kind: "note", run: end.run, span: null, level: "warning" }, ts: end.ts, seq: end.seq + at, text }) as FleetEvent;
  const noted = ["no child is left", "no child is left", end.error ?? ""].map(note);
  await carrier.deliver([...log.slice(0, -1), ...noted, { ...end, seq: end.seq + noted.length }]);
  assert.deepEqual(texts($(".flt-header > .flt-note")), ["no child is left"]);
});

test("Stop is acknowledged at once, sent once, and taken away when the run has ended", async () => {
  const { carrier, $ } = await shown();
  const log = goldenLog("stopped");
  await carrier.deliver(log.slice(0, -1));
  button($("button"), "Stop")?.click();
  await drawn();
  button($("button"), "Stopping…")?.click();
  await drawn();
  assert.equal(carrier.stops, 1);
  assert.deepEqual(texts($(".flt-status")), ["Stopping…"]);
  await carrier.deliver(log.slice(-1));
  assert.deepEqual(texts($(".flt-status")), ["Stopped"]);
  assert.equal($(".flt-stop").length, 0);
});

test("a Stop that did not arrive says why and can be pressed again", async () => {
  const carrier = new Carrier();
  carrier.refusal = "The kernel does not answer.";
  const { $ } = await shown(carrier);
  await carrier.deliver(goldenLog("stopped").slice(0, 6));
  button($("button"), "Stop")?.click();
  await drawn();
  assert.deepEqual(texts($('[role="alert"]')), ["The kernel does not answer."]);
  assert.ok(button($("button"), "Stop"));
});

/** The log up to and with the nth question. */
function untilAsked(n: number): FleetEvent[] {
  const log = goldenLog("asked");
  const asks = log.filter(({ kind }) => kind === "approval.ask");
  return log.slice(0, log.indexOf(asks[n] as FleetEvent) + 1);
}

test("a run that waits shows what it would do, why, and with what, and the answer is sent once", async () => {
  const { carrier, $ } = await shown();
  await carrier.deliver(untilAsked(0));
  assert.deepEqual(texts($(".flt-status")), ["Waiting for you"]);
  assert.deepEqual(texts($(".flt-question")), ["Fetch https://example.com/handbook.html?"]);
  assert.match(texts($(".flt-ask")).join(), /The handbook may tell.*path: https:/);
  button($("button"), "Allow once")?.click();
  await drawn();
  button($("button"), "Always allow load_document")?.click();
  assert.deepEqual(carrier.decisions, [[11, "once", null]]);
});

test("a note goes with Decline, by the button and by Enter, and with nothing else", async () => {
  const { carrier, $ } = await shown();
  await carrier.deliver(untilAsked(0));
  const [reason] = $(".flt-reason") as HTMLInputElement[];
  assert.ok(reason);
  reason.value = " read the wiki ";
  reason.dispatchEvent(new Event("input", { bubbles: true }));
  await drawn();
  $(".flt-ask")[0]?.dispatchEvent(new Event("submit", { bubbles: true, cancelable: true }));
  await drawn();
  assert.deepEqual(carrier.decisions, [[11, "no", "read the wiki"]]);
});

test("an answer that did not arrive says why and can be given again", async () => {
  const carrier = new Carrier();
  carrier.refusal = "it was answered already: no";
  const { $ } = await shown(carrier);
  await carrier.deliver(untilAsked(0));
  button($("button"), "Decline")?.click();
  await drawn();
  assert.match(texts($(".flt-note-error")).join(), /answered already/);
  assert.equal((button($("button"), "Decline") as HTMLButtonElement).disabled, false);
});

test("what was decided is told with its span, and nothing is asked any more", async () => {
  const { carrier, $ } = await shown();
  await carrier.deliver(goldenLog("asked"));
  assert.equal($(".flt-ask").length, 0);
  $('[role="treeitem"][aria-label^="tool load_document"]')[0]?.click();
  await drawn();
  assert.deepEqual(texts($(".flt-detail .flt-note")), ["Fetch https://example.com/handbook.html? declined: it is behind a login"]);
});

test("the time in which a person is waited for is not counted against the run's", async () => {
  const { carrier, $ } = await shown();
  await carrier.deliver(untilAsked(2));
  const time = $(".flt-meter").find((meter) => meter.textContent?.startsWith("time"));
  assert.match(time?.textContent ?? "", /^time\d\.\d s \//); // twenty seconds each were waited before
});

test("spans that were cut off when the run ended do not go on for ever", async () => {
  const { carrier, $ } = await shown();
  await carrier.deliver(goldenLog("stopped"));
  assert.equal($(".flt-mark-running").length, 0);
  assert.ok($(".flt-mark-stopped").length >= 4);
});

test("the stand-in is named as no model, in the header and above its answer", async () => {
  const { carrier, $ } = await shown();
  await carrier.deliver(goldenLog("exhausted"));
  assert.deepEqual(texts($(".flt-offline")), ["rule-based stand-in, not a model"]);
  assert.deepEqual(texts($(".flt-answer > .flt-label")), ["Answer of the rule-based stand-in"]);
  assert.match($(".flt-meter").map((meter) => meter.textContent).join(), /costunknown/);
});

test("a failure is told in plain words and its span is shown", async () => {
  const { carrier, $ } = await shown();
  await carrier.deliver(goldenLog("failed"));
  assert.match($(".flt-failure")[0]?.textContent ?? "", /^ModelError: The model refused the key \(401\)/);
  assert.deepEqual(texts($(".flt-detail .flt-name")), ["generate code"]);
});

test("the isolation badge tells each guarantee, its mechanism, and what is missing", async () => {
  const { carrier, $ } = await shown();
  await carrier.deliver(goldenLog("exhausted"));
  assert.deepEqual(texts($(".flt-guarantee")), [
    ...["✓ memory RLIMIT_AS 4 GB", "✗ network not guaranteed", "✗ files not guaranteed"],
  ]);
  assert.equal($(".flt-isolation.flt-weak").length, 1);
  unmount();
  const other = await shown();
  await other.carrier.deliver(goldenLog("auto"));
  assert.equal(other.$(".flt-yes").length, 5, "the sandbox that ran the code, not the record of its end");
});

test("a chosen cell shows its code, what it printed and what it drew", async () => {
  const { carrier, $ } = await shown();
  await carrier.deliver(goldenLog("auto"));
  $('[role="tree"]')[0]?.dispatchEvent(new KeyboardEvent("keydown", { key: "Home", bubbles: true }));
  await drawn();
  $(".flt-type-code")[0]?.click();
  await drawn();
  assert.match($(".flt-code")[0]?.textContent ?? "", /^errors = logs/);
  assert.deepEqual(texts($(".flt-detail .flt-block .flt-label")), ["Code", "Printed", "Printed to stderr", "Output"]);
  assert.match($(".flt-picture")[0]?.getAttribute("src") ?? "", /^data:image\/svg\+xml,/);
});

test("the keyboard walks the tree, closes and opens it", async () => {
  const { carrier, $ } = await shown();
  await carrier.deliver(goldenLog("auto"));
  const press = async (key: string) => {
    $('[role="tree"]')[0]?.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
    await drawn();
    return $('[aria-selected="true"]')[0]?.getAttribute("aria-label");
  };
  assert.equal(await press("Home"), "turn Which deploy broke checkout, and what is the evidence?, ok");
  assert.equal(await press("ArrowRight"), "step step 1, ok");
  assert.equal(await press("ArrowDown"), "llm react, ok");
  assert.equal(await press("ArrowLeft"), "step step 1, ok");
  assert.equal(await press("ArrowLeft"), "step step 1, ok");
  assert.equal($('[role="treeitem"]').length, 4);
  assert.equal(await press("End"), "llm react, ok");
  assert.equal($('[role="tree"]')[0]?.getAttribute("aria-activedescendant"), $('[aria-selected="true"]')[0]?.id);
});

test("plain keys in the tree are kept from the host's shortcuts, keys with a modifier are not", async () => {
  const { carrier, $ } = await shown();
  await carrier.deliver(goldenLog("auto"));
  const tree = $('[role="tree"]')[0];
  const keptFromHost = (init: KeyboardEventInit) => {
    let kept: boolean | undefined;
    const host = () => (kept = tree?.hasAttribute("data-lm-suppress-shortcuts"));
    document.addEventListener("keydown", host, true);
    tree?.dispatchEvent(new KeyboardEvent("keydown", { bubbles: true, ...init }));
    document.removeEventListener("keydown", host, true);
    return kept;
  };
  assert.deepEqual(
    [keptFromHost({ key: "ArrowDown" }), keptFromHost({ key: "d" }), keptFromHost({ key: "s", ctrlKey: true })],
    [true, true, false],
  );
});

test("a reader who chose a span is not moved by the run, and can go back to following it", async () => {
  const { carrier, $ } = await shown();
  const log = goldenLog("auto");
  await carrier.deliver(log.slice(0, 20));
  $('[role="treeitem"]')[0]?.click();
  await drawn();
  await carrier.deliver(log.slice(20, 40));
  assert.equal($('[aria-selected="true"]')[0]?.getAttribute("aria-level"), "1");
  button($("button"), "Follow the run")?.click();
  await drawn();
  assert.notEqual($('[aria-selected="true"]')[0]?.getAttribute("aria-level"), "1");
});

test("without a kernel a saved widget shows what was kept, and says that this is so", async () => {
  const carrier = new Carrier();
  carrier.saved = { ...carrier.saved, status: "ok", answer: "**42**", model: "fleet/offline", offline: true };
  const { $ } = await shown(carrier);
  await carrier.deliver([], "lost");
  assert.deepEqual(texts($(".flt-note")), ["Kernel not connected; showing what was saved."]);
  assert.deepEqual(texts($(".flt-markdown")), ["42"]);
  assert.deepEqual(texts($(".flt-status")), ["Done"]);
  assert.equal($(".flt-offline").length, 1);
});

test("a kernel that falls silent during a run is not shown as running, and Stop can still be tried", async () => {
  const { carrier, $ } = await shown();
  await carrier.deliver(goldenLog("auto").slice(0, 30));
  await carrier.deliver([], "lost");
  assert.deepEqual(texts($(".flt-status")), ["Last seen running"]);
  assert.deepEqual(texts($(".flt-header > .flt-note")), ["The kernel does not answer; showing what it last sent."]);
  assert.equal(button($("button"), "Stop")?.hasAttribute("disabled"), false);
});

test("ten thousand spans put only the visible rows into the page", async () => {
  const { carrier, $ } = await shown();
  const [start] = goldenLog("auto");
  const many = Array.from({ length: 10_000 }, (_, index): FleetEvent => ({
    ...{ kind: "span.start", run: "r", seq: index + 1, ts: 1, span: `s${index}`, type: "llm", name: `q${index}` },
    ...{ parent: index ? "s0" : null, depth: 0, attrs: {}, input: null, code: null },
  }));
  await carrier.deliver([start as FleetEvent, ...many]);
  assert.match($(".flt-tree .flt-bar")[0]?.textContent ?? "", /10000 spans/);
  assert.ok($('[role="treeitem"]').length < 40);
  const tree = $('[role="tree"]')[0] as HTMLElement;
  tree.dispatchEvent(new KeyboardEvent("keydown", { key: "End", bubbles: true }));
  await drawn();
  tree.dispatchEvent(new Event("scroll"));
  await drawn();
  assert.equal($('[aria-selected="true"]')[0]?.getAttribute("aria-posinset"), "9999");
  assert.ok($('[role="treeitem"]').length < 40);
});

test("events are folded once per frame, however many messages they come in", async () => {
  const { carrier, $ } = await shown();
  for (const event of goldenLog("auto")) {
    carrier.listener?.({ events: [event], link: "live", clockOffset: 0 });
  }
  assert.equal(framesDue(), 1);
  assert.equal($('[role="treeitem"]').length, 0);
  await drawn();
  assert.deepEqual(texts($(".flt-status")), ["Done"]);
});

test("unmounting ends the subscription and empties the element", async () => {
  const { carrier, $ } = await shown();
  await carrier.deliver(goldenLog("direct"));
  unmount();
  await drawn();
  assert.equal(carrier.listener, null);
  assert.deepEqual($("*"), []);
});
