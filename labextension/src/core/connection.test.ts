import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";
import { goldenItems } from "../../testing/golden";
import { Connection, PATIENCE_MS, SILENCE_MS, type Port } from "./connection";
import type { FleetEvent } from "./events";
import type { Link } from "./transport";
import type { FromPage } from "./wire";

const ITEMS = goldenItems("auto");
const LAST = ITEMS.length - 1;

class Kernel implements Port {
  sent: FromPage[] = [];
  gone = false;
  #listener: (message: unknown) => void = () => undefined;

  send(message: FromPage) {
    if (this.gone) {
      throw new Error("Cannot send");
    }
    this.sent.push(message);
  }
  listen(listener: (message: unknown) => void) {
    this.#listener = listener;
    return () => (this.#listener = () => undefined);
  }
  snapshot() {
    return { title: "t", status: "running", answer: null, error: null, model: null, offline: false };
  }
  say(message: object) {
    this.#listener({ v: 1, ...message });
  }
  events(from: number, to: number, items: unknown[] = ITEMS.slice(from, to + 1)) {
    this.say({ t: "events", from, to, now: Date.now() * 1000, items });
  }
  hellos() {
    return this.sent.filter((message) => message.t === "hello").map((message) => message.have);
  }
}

function opened() {
  const kernel = new Kernel();
  const connection = new Connection(kernel);
  const seen: FleetEvent[] = [];
  const links: Link[] = [];
  connection.subscribe((update) => {
    seen.push(...update.events);
    links.push(update.link);
  });
  return { kernel, connection, seen, links, seqs: () => seen.map((event) => event.seq) };
}

const upTo = (n: number) => Array.from({ length: n + 1 }, (_, index) => index);

beforeEach(() => mock.timers.reset());

test("a page asks for everything when it opens", () => {
  assert.deepEqual(opened().kernel.sent, [{ v: 1, t: "hello", have: 0 }]);
});

test("batches that overlap, repeat and come late give every event once and in order", () => {
  const { kernel, seqs } = opened();
  kernel.events(0, 9);
  kernel.events(5, 12);
  kernel.events(20, 24);
  kernel.events(0, 24);
  kernel.events(13, 19);
  kernel.events(25, LAST);
  assert.deepEqual(seqs(), upTo(LAST));
});

test("a gap is asked for once, from the first event that is missing", () => {
  const { kernel, seqs } = opened();
  kernel.events(0, 4);
  kernel.events(10, 12);
  kernel.events(13, 14);
  assert.deepEqual(seqs(), upTo(4));
  assert.deepEqual(kernel.hellos(), [0, 5]);
  kernel.events(5, 9);
  assert.deepEqual(seqs(), upTo(14));
});

test("an answer that leaves another gap is followed by another question", () => {
  const { kernel } = opened();
  kernel.events(0, 4);
  kernel.events(20, 22);
  kernel.events(5, 9);
  assert.deepEqual(kernel.hellos(), [0, 5, 10]);
});

test("a kernel that says that it left something out is asked for it", () => {
  const { kernel } = opened();
  kernel.events(0, 4);
  kernel.say({ t: "gap", from: 5 });
  assert.deepEqual(kernel.hellos(), [0, 5]);
});

test("an item that is no event does not make the page ask for ever", () => {
  const { kernel, seqs } = opened();
  kernel.events(0, 3, [ITEMS[0], "rubbish", ITEMS[2], ITEMS[3]]);
  kernel.events(4, 5);
  assert.deepEqual(seqs(), [0, 2, 3, 4, 5]);
  assert.deepEqual(kernel.hellos(), [0]);
});

test("a second view has at once what the first has", () => {
  const { kernel, connection } = opened();
  kernel.events(0, 30);
  let first: readonly FleetEvent[] = [];
  connection.subscribe(({ events }) => (first = first.length ? first : events));
  assert.equal(first.length, 31);
});

test("a kernel that does not answer in time is called lost, and any word from it heals that", () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  const { kernel, links } = opened();
  mock.timers.tick(PATIENCE_MS - 1);
  assert.equal(links.at(-1), "connecting");
  mock.timers.tick(1);
  assert.equal(links.at(-1), "lost");
  kernel.events(0, 2);
  assert.equal(links.at(-1), "live");
});

test("an empty batch is an answer", () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  const { kernel, links } = opened();
  kernel.events(0, -1, []);
  mock.timers.tick(PATIENCE_MS);
  assert.equal(links.at(-1), "live");
});

test("a run that falls silent is asked for a sign of life, and each word from it is one", () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  const { kernel, links } = opened();
  kernel.events(0, 2);
  mock.timers.tick(SILENCE_MS - 1);
  kernel.events(3, 4);
  mock.timers.tick(SILENCE_MS - 1);
  assert.deepEqual(kernel.hellos(), [0]);
  mock.timers.tick(1);
  assert.deepEqual(kernel.hellos(), [0, 5]);
  mock.timers.tick(PATIENCE_MS);
  assert.equal(links.at(-1), "lost");
});

test("once the run's end is here nothing more is asked, so a kernel may go", () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  const { kernel, connection } = opened();
  kernel.events(0, LAST);
  connection.hello();
  mock.timers.tick(2 * SILENCE_MS);
  assert.deepEqual(kernel.hellos(), [0]);
});

test("a page that comes back to the foreground asks from where it was", () => {
  const { kernel, connection } = opened();
  kernel.events(0, 7);
  connection.hello();
  connection.hello();
  assert.deepEqual(kernel.hellos(), [0, 8]);
});

test("stop resolves when the kernel has taken note", async () => {
  const { kernel, connection } = opened();
  const stopped = connection.stop();
  const request = kernel.sent.at(-1);
  assert.equal(request?.t, "stop");
  kernel.say({ t: "reply", id: "of another page", ok: false, error: "not yours" });
  kernel.say({ t: "reply", id: request.id, ok: true });
  await stopped;
});

test("a stop that was refused, or never answered, says so", async () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  const { kernel, connection } = opened();
  const refused = connection.stop();
  const request = kernel.sent.at(-1);
  assert.equal(request?.t, "stop");
  kernel.say({ t: "reply", id: request.id, ok: false, error: "it is over" });
  await assert.rejects(refused, { message: "it is over" });

  const unanswered = connection.stop();
  mock.timers.tick(PATIENCE_MS);
  await assert.rejects(unanswered, /does not answer/);
});

test("a decision goes to the kernel with its note, and a refusal comes back", async () => {
  const { kernel, connection } = opened();
  const decided = connection.approve(7, "no", "read the wiki");
  const request = kernel.sent.at(-1);
  assert.equal(request?.t, "approve");
  assert.deepEqual([request.ask, request.answer, request.note], [7, "no", "read the wiki"]);
  kernel.say({ t: "reply", id: request.id, ok: false, error: "it was answered already" });
  await assert.rejects(decided, { message: "it was answered already" });
});

test("a kernel that is gone is called lost at once, and Stop says so", async () => {
  const { kernel, connection, links } = opened();
  kernel.events(0, 3);
  kernel.gone = true;
  connection.hello();
  assert.equal(links.at(-1), "lost");
  await assert.rejects(connection.stop(), /kernel of this run is gone/);
});

test("a kernel that speaks another version is named as that", () => {
  const { kernel, links } = opened();
  kernel.say({ v: 2, t: "events" });
  assert.equal(links.at(-1), "foreign");
});

test("what is not a message of ours is left alone", () => {
  const { kernel, seqs, links } = opened();
  for (const message of [{ t: "events" }, { t: 7 }, { t: "events", from: 0, to: 1, now: 1, items: "no" }, { v: "1" }]) {
    kernel.say(message);
  }
  assert.deepEqual(seqs(), []);
  assert.deepEqual(links, ["connecting"]);
});

test("a closed connection hears nothing, asks nothing and leaves no promise behind", async () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  const { kernel, connection, seqs } = opened();
  kernel.events(0, 1);
  const stopped = connection.stop();
  connection.close();
  await assert.rejects(stopped);
  kernel.events(2, 3);
  mock.timers.tick(2 * SILENCE_MS);
  assert.deepEqual(seqs(), [0, 1]);
  assert.deepEqual(kernel.hellos(), [0]);
});

test("a run that goes on after its end is followed: a gap behind the end is asked for", () => {
  const { kernel, seqs } = opened();
  const items = goldenItems("resumed") as { seq: number; ts: number; kind?: string }[];
  const end = items.findIndex((item) => item.kind === "run.end");
  kernel.events(0, end, items.slice(0, end + 1));
  kernel.events(end + 3, end + 4, items.slice(end + 3, end + 5));
  assert.deepEqual(kernel.hellos(), [0, end + 1]);
  kernel.events(end + 1, end + 2, items.slice(end + 1, end + 3));
  assert.deepEqual(seqs(), upTo(end + 4));
});

test("when the kernel says that something is missing after a run's end, it is asked for", () => {
  const { kernel } = opened();
  kernel.events(0, LAST);
  kernel.say({ t: "gap", from: LAST + 1 });
  assert.deepEqual(kernel.hellos(), [0, LAST + 1]);
});
