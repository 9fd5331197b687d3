/**
 * The messages between kernel and page: one envelope `{v: 1, t, ...}`, on any carrier.
 *
 * Kernel to page: `events` (from..to by seq, both included; an empty batch answers a hello that missed nothing), `gap`
 * (events from there on exist and were not sent), `reply`. Page to kernel: `hello` (`have` is the next seq wanted),
 * `stop`, and `approve` (the decision on what the event of number `ask` asked); the last two are answered by a `reply`.
 */

export const VERSION = 1;

export type FromPage =
  | { v: 1; t: "hello"; have: number }
  | { v: 1; t: "stop"; id: string }
  | { v: 1; t: "approve"; id: string; ask: number; answer: string; note: string | null };

export type FromKernel =
  /** `now` is the kernel's clock when it sent this, in microseconds since 1970 UTC. */
  | { t: "events"; from: number; to: number; now: number; items: unknown[] }
  | { t: "gap"; from: number }
  | { t: "reply"; id: string; ok: boolean; error: string | null }
  | { t: "foreign" };

/** The message in `value`; `foreign` for another version of the envelope, null for anything else. */
export function parseMessage(value: unknown): FromKernel | null {
  if (typeof value !== "object" || value === null) {
    return null;
  }
  const { v, t, from, to, now, items, id, ok, error } = value as Record<string, unknown>;
  if (typeof v !== "number" || typeof t !== "string") {
    return null;
  }
  if (v !== VERSION) {
    return { t: "foreign" };
  }
  const numbers = typeof from === "number" && typeof to === "number" && typeof now === "number";
  if (t === "events" && numbers && Array.isArray(items)) {
    return { t, from, to, now, items };
  }
  if (t === "gap" && typeof from === "number") {
    return { t, from };
  }
  if (t === "reply" && typeof id === "string") {
    return { t, id, ok: ok === true, error: typeof error === "string" ? error : null };
  }
  return null;
}
