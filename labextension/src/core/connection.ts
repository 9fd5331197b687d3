/**
 * A Transport over a carrier that may lose, repeat and reorder messages.
 *
 * Events are handed on once, in order and without gaps: what comes early waits, what is missing is asked for with a
 * `hello`. A page that opens late, or comes back to the foreground, asks in the same way, so a reload is nothing
 * special. When a hello stays unanswered the link is `lost`; any later message heals it. A carrier need not tell that
 * its kernel died, so a run that falls silent is asked too.
 */
import { parseEvent, type FleetEvent } from "./events";
import type { Link, Snapshot, Transport, Update } from "./transport";
import { parseMessage, VERSION, type FromPage } from "./wire";

/** How long the kernel may take to answer before the page says that it does not. */
export const PATIENCE_MS = 5_000;

/** After so long without a word during a run the page asks whether the kernel is still there. */
export const SILENCE_MS = 20_000;

/** The two verbs a carrier must have, and what it kept. */
export interface Port {
  /** Throws when the carrier knows that nobody is there any more. */
  send(message: FromPage): void;
  /** Returns what ends the listening. */
  listen(listener: (message: unknown) => void): () => void;
  snapshot(): Snapshot;
}

export class Connection implements Transport {
  #port: Port;
  #unlisten: () => void;
  #log: FleetEvent[] = [];
  #next = 0;
  #early = new Map<number, FleetEvent>();
  #link: Link = "connecting";
  #clockOffset: number | null = null;
  #listeners = new Set<(update: Update) => void>();
  #helloTimer: ReturnType<typeof setTimeout> | undefined;
  #silenceTimer: ReturnType<typeof setTimeout> | undefined;
  #requests = new Map<string, (failure: string | null) => void>();

  constructor(port: Port) {
    this.#port = port;
    this.#unlisten = port.listen((message) => this.#receive(message));
    this.hello();
  }

  snapshot(): Snapshot {
    return this.#port.snapshot();
  }

  subscribe(listener: (update: Update) => void): () => void {
    this.#listeners.add(listener);
    listener({ events: this.#log, link: this.#link, clockOffset: this.#clockOffset });
    return () => this.#listeners.delete(listener);
  }

  stop(): Promise<void> {
    return this.#request((id) => ({ v: VERSION, t: "stop", id }), "Interrupt it with the notebook's ■.");
  }

  approve(ask: number, answer: string, note: string | null): Promise<void> {
    const wayOut = "If a cell is running, %fleet approve works once it has ended.";
    return this.#request((id) => ({ v: VERSION, t: "approve", id, ask, answer, note }), wayOut);
  }

  /** Send a message and wait for the reply to it. */
  #request(message: (id: string) => FromPage, wayOut: string): Promise<void> {
    const id = Math.random().toString(36).slice(2);
    return new Promise((resolve, reject) => {
      const settle = (failure: string | null) => {
        clearTimeout(timer);
        this.#requests.delete(id);
        failure === null ? resolve() : reject(new Error(failure));
      };
      const timer = setTimeout(settle, PATIENCE_MS, `The kernel does not answer. ${wayOut}`);
      this.#requests.set(id, settle);
      this.#send(message(id), () => settle("The kernel of this run is gone, and the run with it."));
    });
  }

  /** Ask for everything not seen yet; nothing is asked while an answer is due or once the run's end is here. */
  hello(): void {
    // A run may go on after its end: what came early says so.
    if (this.#log.at(-1)?.kind !== "run.end" || this.#early.size > 0) {
      this.#ask();
    }
  }

  #ask(): void {
    if (this.#helloTimer !== undefined) {
      return;
    }
    this.#helloTimer = setTimeout(() => {
      this.#helloTimer = undefined;
      this.#publish("lost", []);
    }, PATIENCE_MS);
    this.#send({ v: VERSION, t: "hello", have: this.#next }, () => {
      this.#answered();
      this.#publish("lost", []);
    });
  }

  close(): void {
    this.#unlisten();
    this.#answered();
    clearTimeout(this.#silenceTimer);
    this.#requests.forEach((settle) => settle("The view was closed."));
    this.#listeners.clear();
  }

  #send(message: FromPage, gone: () => void): void {
    try {
      this.#port.send(message);
    } catch {
      gone();
    }
  }

  #receive(value: unknown): void {
    const message = parseMessage(value);
    switch (message?.t) {
      case "events": {
        this.#clockOffset = message.now - Date.now() * 1000;
        this.#publish("live", this.#accept(message.from, message.to, message.items));
        clearTimeout(this.#silenceTimer);
        this.#silenceTimer = setTimeout(() => this.hello(), SILENCE_MS);
        if (this.#early.size > 0) {
          this.hello();
        }
        break;
      }
      case "gap":
        this.#ask();
        break;
      case "reply":
        this.#requests.get(message.id)?.(message.ok ? null : (message.error ?? "The kernel refused."));
        break;
      case "foreign":
        this.#answered();
        this.#publish("foreign", []);
        break;
    }
  }

  /** The events that became due with this batch. */
  #accept(from: number, to: number, items: unknown[]): FleetEvent[] {
    for (const item of items) {
      const event = parseEvent(item);
      if (event && event.seq >= this.#next) {
        this.#early.set(event.seq, event);
      }
    }
    if (from > this.#next) {
      return [];
    }
    this.#answered();
    const due: FleetEvent[] = [];
    // Up to `to` the sender vouches that nothing is missing: an item that is no event must not be asked for for ever.
    for (; this.#next <= to || this.#early.has(this.#next); this.#next++) {
      const event = this.#early.get(this.#next);
      if (event) {
        due.push(event);
        this.#early.delete(this.#next);
      }
    }
    return due;
  }

  #answered(): void {
    clearTimeout(this.#helloTimer);
    this.#helloTimer = undefined;
  }

  #publish(link: Link, events: FleetEvent[]): void {
    this.#link = link;
    for (const event of events) {
      this.#log.push(event);
    }
    const update = { events, link, clockOffset: this.#clockOffset };
    for (const listener of [...this.#listeners]) {
      listener(update);
    }
  }
}
