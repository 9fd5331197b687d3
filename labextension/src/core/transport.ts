/**
 * What a view knows of where a run comes from: nothing but this interface.
 *
 * A carrier (the widget's comm, a WebSocket, a saved log) implements it; views never import one.
 */
import type { FleetEvent } from "./events";

/**
 * How the carrier stands: `connecting` until the first word, `live`, `lost` when it does not answer, `foreign` when
 * it speaks a version this page does not know.
 */
export type Link = "connecting" | "live" | "lost" | "foreign";

/** The little that is known before, or without, any event: what a saved widget keeps. */
export interface Snapshot {
  title: string;
  status: string;
  answer: unknown;
  error: string | null;
  model: string | null;
  offline: boolean;
}

export interface Update {
  /** Events not delivered before, in order of `seq`, without gaps. */
  events: readonly FleetEvent[];
  link: Link;
  /** Microseconds to add to this machine's clock to get that of the run; null while unknown. */
  clockOffset: number | null;
}

export interface Transport {
  snapshot(): Snapshot;
  /** Calls `listener` at once with everything known, then on each change. Returns what ends that. */
  subscribe(listener: (update: Update) => void): () => void;
  /** Ask the run to stop. Resolves when it has taken note; rejects with one sentence and the way out. */
  stop(): Promise<void>;
  /** Decide what the event of number `ask` asked, as `stop`. */
  approve(ask: number, answer: string, note: string | null): Promise<void>;
}
