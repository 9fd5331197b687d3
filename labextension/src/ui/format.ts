/**
 * Figures and texts as a reader wants them. What is unknown is said to be unknown, never shown as 0.
 */
import type { Usage } from "../core/events";
import type { SpanNode } from "../core/reducer";

/** Microseconds as "4 ms", "0.4 s", "12 s", "3:05", "1:02:09". */
export function duration(microseconds: number): string {
  const seconds = Math.max(0, microseconds / 1e6);
  if (seconds < 0.0995) {
    return `${Math.round(seconds * 1000)} ms`;
  }
  if (seconds < 9.95) {
    return `${seconds.toFixed(1)} s`;
  }
  const whole = Math.round(seconds);
  if (whole < 60) {
    return `${whole} s`;
  }
  const two = (n: number) => String(n).padStart(2, "0");
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  return hours ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
}

/** 812 as "812", 15581 as "15.6k", 2400000 as "2.4M". */
export function count(n: number): string {
  for (const [size, unit] of [[1e6, "M"], [1e3, "k"]] as const) {
    if (n >= size * 0.9995) {
      const value = n / size;
      return `${value < 99.95 ? Number(value.toFixed(1)) : Math.round(value)}${unit}`;
    }
  }
  return String(n);
}

/** Dollars with enough digits to be more than nothing. */
export function dollars(usd: number | null): string {
  if (usd === null) {
    return "unknown";
  }
  if (usd === 0) {
    return "$0";
  }
  return usd < 0.0001 ? "< $0.0001" : `$${usd.toFixed(usd < 0.01 ? 4 : usd < 1 ? 3 : 2)}`;
}

export function bytes(n: number): string {
  return n < 1000 ? `${n} B` : n < 1e6 ? `${(n / 1e3).toFixed(1)} kB` : `${(n / 1e6).toFixed(1)} MB`;
}

/** Tokens in and out together; null where either is unknown. */
export function tokens(usage: Usage): number | null {
  return usage.tokens_in === null || usage.tokens_out === null ? null : usage.tokens_in + usage.tokens_out;
}

export function usageLine(usage: Usage): string {
  const part = (label: string, n: number | null) => `${n === null ? "unknown" : count(n)} ${label}`;
  const cached = usage.tokens_cached ? ` (${count(usage.tokens_cached)} cached)` : "";
  const calls = usage.llm_calls === 1 ? "" : `${usage.llm_calls} calls · `;
  const tokensIn = part("tokens in", usage.tokens_in) + cached;
  return `${calls}${tokensIn} · ${part("out", usage.tokens_out)} · cost ${dollars(usage.cost_usd)}`;
}

/** How lines begin that do not say what a cell of code is for. */
const TELLS_LITTLE = /^(\s|[#@)\]}]|import |from |def |class |async def |""")/;
/** How dspy names the fields of a reply: a heading, not what was said. */
const FIELD_NAME = /^\s*\[\[ ## \w+ ## \]\]\s*$/;

/** One line that tells a span from its neighbours. */
export function gist(span: SpanNode): string {
  const source = {
    turn: "",
    step: span.thought,
    tool: span.input ?? "",
    rlm: span.input ?? "",
    iteration: span.thought || span.text,
    code: span.code ?? "",
    llm: span.text || span.thought || span.output || "",
    sandbox: "",
  }[span.type];
  const lines = source.slice(0, 4000).split("\n").filter((line) => line.trim() && !FIELD_NAME.test(line));
  const telling = span.type === "code" ? lines.find((line) => !TELLS_LITTLE.test(line)) : undefined;
  return (telling ?? lines[0] ?? "").trim().slice(0, 160);
}

/** Terminal colours, which tracebacks carry, are noise here. */
export function withoutAnsi(text: string): string {
  return text.replace(/\u001b\[[0-9;]*[A-Za-z]/g, "");
}

export const STATUS_WORDS: Record<string, string> = {
  running: "Running",
  waiting: "Waiting for you",
  stopping: "Stopping…",
  lost: "Last seen running",
  ok: "Done",
  exhausted: "Budget exhausted",
  stopped: "Stopped",
  failed: "Failed",
  error: "Error",
};
