/**
 * The records a run writes, event v1, as they come off a wire.
 *
 * The same nouns as `fleet_rlm/core/events.py`. What arrives is `unknown` until `parseEvent` has named it: a kind of a
 * later version, or a record whose fields are not what v1 says, becomes an `unknown` event that keeps its place in the
 * sequence. Without run, seq and ts a value is no event at all.
 */

export const SPAN_TYPES = ["turn", "step", "tool", "rlm", "iteration", "code", "llm", "sandbox"] as const;
export const CHANNELS = ["text", "stdout", "stderr", "thought"] as const;
const RUN_STATUSES = ["ok", "exhausted", "stopped", "failed"] as const;
const SPAN_STATUSES = ["ok", "error", "stopped", "exhausted"] as const;

export type SpanType = (typeof SPAN_TYPES)[number];
export type Channel = (typeof CHANNELS)[number];
export type RunStatus = (typeof RUN_STATUSES)[number];
export type SpanStatus = (typeof SPAN_STATUSES)[number];

/** What model calls consumed; null was not reported and is never 0. */
export interface Usage {
  llm_calls: number;
  tokens_in: number | null;
  tokens_out: number | null;
  tokens_cached: number | null;
  cost_usd: number | null;
}

/** What a run may spend, has spent or has left; null is unlimited or unknown. */
export interface Limits {
  calls: number | null;
  tokens: number | null;
  usd: number | null;
  seconds: number | null;
  depth: number | null;
  children: number | null;
}

/** One context variable as it was described to the model. */
export interface Variable {
  name: string;
  type: string;
  size: string;
  preview: string;
}

/** `ts` is microseconds since 1970 UTC; `span` is the span the event belongs to. */
interface Envelope {
  run: string;
  seq: number;
  ts: number;
  span: string | null;
}

interface Payloads {
  "run.start": {
    task: string;
    mode: string;
    model: string;
    sub_model: string | null;
    offline: boolean;
    budget: Limits;
    context: Variable[];
    parent_run: string | null;
    parent_span: string | null;
    session: string | null;
  };
  "run.resume": { reopened: string[]; model: string; sub_model: string | null; budget: Limits };
  "run.end": { status: RunStatus; answer: unknown; error_type: string | null; error: string | null };
  "span.start": {
    type: SpanType;
    name: string;
    parent: string | null;
    depth: number;
    attrs: Record<string, unknown>;
    input: string | null;
    code: string | null;
  };
  "span.end": {
    status: SpanStatus;
    output: string | null;
    usage: Usage | null;
    error_type: string | null;
    error: string | null;
    attrs: Record<string, unknown>;
  };
  delta: { channel: Channel; text: string };
  display: { mimebundle: Record<string, unknown> };
  artifact: { id: string; name: string; mime: string; bytes: number; path: string };
  budget: { spent: Limits; remaining: Limits };
  sandbox: { state: string; backend: string; tier: string; guarantees: Record<string, string>; missing: string[] };
  "approval.ask": { question: string; options: string[]; tool: string };
  "approval.answer": { answer: string; note: string | null };
  note: { level: "info" | "warning" | "error"; text: string };
  unknown: object;
}

export type Kind = keyof Payloads;
export type EventOf<K extends Kind> = Envelope & { kind: K } & Payloads[K];
export type FleetEvent = { [K in Kind]: EventOf<K> }[Kind];

type Raw = Record<string, unknown>;

class Malformed extends Error {}

const payloads: { [K in Exclude<Kind, "unknown">]: (raw: Raw) => Payloads[K] } = {
  "run.start": (raw) => ({
    task: text(raw.task),
    mode: text(raw.mode),
    model: text(raw.model),
    sub_model: maybe(raw.sub_model, text),
    offline: raw.offline === true,
    budget: limits(raw.budget ?? {}),
    context: list(raw.context, (item) => {
      const variable = record(item);
      return {
        name: text(variable.name),
        type: text(variable.type),
        size: text(variable.size),
        preview: text(variable.preview),
      };
    }),
    parent_run: maybe(raw.parent_run, text),
    parent_span: maybe(raw.parent_span, text),
    session: maybe(raw.session, text),
  }),
  "run.resume": (raw) => ({
    reopened: list(raw.reopened, text),
    model: text(raw.model ?? ""),
    sub_model: maybe(raw.sub_model, text),
    budget: limits(raw.budget ?? {}),
  }),
  "run.end": (raw) => ({
    status: oneOf(raw.status, RUN_STATUSES),
    answer: raw.answer ?? null,
    error_type: maybe(raw.error_type, text),
    error: maybe(raw.error, text),
  }),
  "span.start": (raw) => ({
    type: oneOf(raw.type, SPAN_TYPES),
    name: text(raw.name),
    parent: maybe(raw.parent, text),
    depth: number(raw.depth ?? 0),
    attrs: record(raw.attrs ?? {}),
    input: maybe(raw.input, text),
    code: maybe(raw.code, text),
  }),
  "span.end": (raw) => ({
    status: oneOf(raw.status, SPAN_STATUSES),
    output: maybe(raw.output, text),
    usage: maybe(raw.usage, usage),
    error_type: maybe(raw.error_type, text),
    error: maybe(raw.error, text),
    attrs: record(raw.attrs ?? {}),
  }),
  delta: (raw) => ({ channel: oneOf(raw.channel, CHANNELS), text: text(raw.text) }),
  display: (raw) => ({ mimebundle: record(raw.mimebundle) }),
  artifact: (raw) => ({
    id: text(raw.id),
    name: text(raw.name),
    mime: text(raw.mime),
    bytes: number(raw.bytes),
    path: text(raw.path),
  }),
  budget: (raw) => ({ spent: limits(raw.spent), remaining: limits(raw.remaining) }),
  sandbox: (raw) => ({
    state: text(raw.state),
    backend: text(raw.backend),
    tier: text(raw.tier),
    guarantees: Object.fromEntries(Object.entries(record(raw.guarantees ?? {})).map(([key, how]) => [key, text(how)])),
    missing: list(raw.missing, text),
  }),
  "approval.ask": (raw) => ({
    question: text(raw.question),
    options: list(raw.options, text),
    tool: text(raw.tool ?? ""),
  }),
  "approval.answer": (raw) => ({ answer: text(raw.answer), note: maybe(raw.note, text) }),
  note: (raw) => ({ level: oneOf(raw.level, ["info", "warning", "error"] as const), text: text(raw.text) }),
};

/** The event in `value`, or null where there is none. */
export function parseEvent(value: unknown): FleetEvent | null {
  let envelope: Envelope;
  let raw: Raw;
  try {
    raw = record(value);
    envelope = { run: text(raw.run), seq: number(raw.seq), ts: number(raw.ts), span: maybe(raw.span, text) };
  } catch {
    return null;
  }
  const kind = raw.kind as Exclude<Kind, "unknown">;
  const payload = raw.v === 1 && Object.hasOwn(payloads, kind) ? payloads[kind] : undefined;
  try {
    if (payload) {
      return { ...envelope, kind, ...payload(raw) } as FleetEvent;
    }
  } catch (error) {
    if (!(error instanceof Malformed)) {
      throw error;
    }
  }
  return { ...envelope, kind: "unknown" };
}

/** The events of a JSONL text, one per line; lines that hold none are left out. */
export function parseLog(jsonl: string): FleetEvent[] {
  const lines = jsonl.split("\n").filter((line) => line.trim());
  return lines.map((line) => parseEvent(JSON.parse(line))).filter((event) => event !== null);
}

function limits(value: unknown): Limits {
  const raw = record(value);
  return {
    calls: maybe(raw.calls, number),
    tokens: maybe(raw.tokens, number),
    usd: maybe(raw.usd, number),
    seconds: maybe(raw.seconds, number),
    depth: maybe(raw.depth, number),
    children: maybe(raw.children, number),
  };
}

function usage(value: unknown): Usage {
  const raw = record(value);
  return {
    llm_calls: number(raw.llm_calls ?? 0),
    tokens_in: maybe(raw.tokens_in, number),
    tokens_out: maybe(raw.tokens_out, number),
    tokens_cached: maybe(raw.tokens_cached, number),
    cost_usd: maybe(raw.cost_usd, number),
  };
}

function text(value: unknown): string {
  if (typeof value !== "string") {
    throw new Malformed();
  }
  return value;
}

function number(value: unknown): number {
  if (typeof value !== "number") {
    throw new Malformed();
  }
  return value;
}

function record(value: unknown): Raw {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new Malformed();
  }
  return value as Raw;
}

function list<T>(value: unknown, item: (value: unknown) => T): T[] {
  if (value !== undefined && !Array.isArray(value)) {
    throw new Malformed();
  }
  return (value ?? []).map(item);
}

function maybe<T>(value: unknown, read: (value: unknown) => T): T | null {
  return value === undefined || value === null ? null : read(value);
}

function oneOf<T extends string>(value: unknown, allowed: readonly T[]): T {
  if (!allowed.includes(value as T)) {
    throw new Malformed();
  }
  return value as T;
}
