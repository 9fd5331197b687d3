/**
 * The recursion tree: a pure fold over events.
 *
 * The same fold exists in Python (`fleet_rlm/core/tree.py`); both give the same canonical tree for every log in
 * `tests/golden`. Unknown kinds are ignored, an event already applied is ignored, and a span whose parent is unknown is
 * a root. `apply` changes the tree in place: a run of ten thousand events is folded frame by frame, never copied.
 */
import type { Channel, EventOf, FleetEvent, RunStatus, SpanStatus, SpanType, Usage } from "./events";

/** What a span asked a person; `answer` is null until somebody decides. `seq` is its name among the run's asks. */
export interface Ask {
  seq: number;
  span: string;
  tool: string;
  question: string;
  options: string[];
  answer: string | null;
  note: string | null;
}

/** One span as folded so far. Times are microseconds since 1970 UTC; `end` is null while it runs. */
export interface SpanNode extends Record<Channel, string> {
  id: string;
  parent: string | null;
  depth: number;
  type: SpanType;
  name: string;
  start: number;
  end: number | null;
  status: SpanStatus | "running";
  input: string | null;
  output: string | null;
  code: string | null;
  error_type: string | null;
  error: string | null;
  usage: Usage | null;
  attrs: Record<string, unknown>;
  children: string[];
  notes: string[];
  artifacts: string[];
  displays: Record<string, unknown>[];
  asks: Ask[];
}

export interface Tree {
  run: string;
  /** The last event applied, and when it was written. */
  seq: number;
  ts: number;
  start: EventOf<"run.start"> | null;
  end: EventOf<"run.end"> | null;
  /** The latest of the times the run was gone on with. */
  resumed: EventOf<"run.resume"> | null;
  /** The first sandbox of the run: what protects the user from generated code. */
  sandbox: EventOf<"sandbox"> | null;
  budget: EventOf<"budget"> | null;
  artifacts: Map<string, EventOf<"artifact">>;
  notes: EventOf<"note">[];
  /** What is waited for, by its span. */
  asks: Map<string, Ask>;
  /** Microseconds in which a person was waited for and the run's time stood still, since it began or was resumed. */
  waited: number;
  /** Since when that is so; null while it is not. */
  waiting: number | null;
  /** Summed over `llm` spans. */
  usage: Usage;
  /** In order of start. */
  spans: Map<string, SpanNode>;
  roots: string[];
}

const NO_USAGE: Usage = { llm_calls: 0, tokens_in: null, tokens_out: null, tokens_cached: null, cost_usd: null };

export function emptyTree(): Tree {
  return {
    run: "",
    seq: -1,
    ts: 0,
    start: null,
    end: null,
    resumed: null,
    sandbox: null,
    budget: null,
    artifacts: new Map(),
    notes: [],
    asks: new Map(),
    waited: 0,
    waiting: null,
    usage: NO_USAGE,
    spans: new Map(),
    roots: [],
  };
}

/** The tree of a whole log. */
export function fold(events: Iterable<FleetEvent>): Tree {
  const tree = emptyTree();
  for (const event of events) {
    apply(tree, event);
  }
  return tree;
}

export function statusOf(tree: Tree): RunStatus | "running" {
  return tree.end?.status ?? "running";
}

/** Fold one event in. */
export function apply(tree: Tree, event: FleetEvent): void {
  if (event.seq <= tree.seq) {
    return;
  }
  tree.run = event.run;
  tree.seq = event.seq;
  tree.ts = event.ts;
  const span = event.span === null ? undefined : tree.spans.get(event.span);
  switch (event.kind) {
    case "run.start":
      tree.start = event;
      break;
    case "run.end":
      tree.end = event;
      settle(tree, [...tree.asks.keys()]);
      break;
    case "run.resume":
      tree.end = null;
      tree.resumed = event;
      tree.asks.clear(); // what had no answer is asked again
      tree.waited = 0;
      tree.waiting = null;
      tree.budget = null; // it was that of limits which hold no more
      event.reopened.forEach((id) => reopen(tree.spans.get(id)));
      break;
    case "span.start":
      openSpan(tree, event);
      break;
    case "span.end":
      if (span) {
        closeSpan(tree, span, event);
      }
      break;
    case "approval.ask":
      if (span) {
        const { seq, question, options, tool } = event;
        const ask: Ask = { seq, span: span.id, tool, question, options, answer: null, note: null };
        span.asks.push(ask);
        tree.asks.set(span.id, ask);
        tree.waiting ??= event.ts;
      }
      break;
    case "approval.answer": {
      const ask = span && tree.asks.get(span.id);
      if (ask) {
        ask.answer = event.answer;
        ask.note = event.note;
        settle(tree, [ask.span]);
      }
      break;
    }
    case "delta":
      if (span) {
        span[event.channel] += event.text;
      }
      break;
    case "display":
      span?.displays.push(event.mimebundle);
      break;
    case "artifact":
      tree.artifacts.set(event.id, event);
      span?.artifacts.push(event.id);
      break;
    case "note":
      tree.notes.push(event);
      span?.notes.push(event.text);
      break;
    case "sandbox":
      tree.sandbox ??= event;
      break;
    case "budget":
      tree.budget = event;
      break;
  }
}

/** These spans do not wait any more. */
function settle(tree: Tree, spans: string[]): void {
  spans.forEach((span) => tree.asks.delete(span));
  if (tree.waiting !== null && tree.asks.size === 0) {
    tree.waited += tree.ts - tree.waiting;
    tree.waiting = null;
  }
}

function openSpan(tree: Tree, event: EventOf<"span.start">): void {
  if (event.span === null) {
    return;
  }
  const { type, name, parent, depth, input, code } = event;
  tree.spans.set(event.span, {
    id: event.span,
    ...{ parent, depth, type, name, input, code },
    attrs: { ...event.attrs },
    start: event.ts,
    end: null,
    status: "running",
    ...{ output: null, error_type: null, error: null, usage: null },
    ...{ stdout: "", stderr: "", thought: "", text: "" },
    ...{ children: [], notes: [], artifacts: [], displays: [], asks: [] },
  });
  const siblings = (parent !== null && tree.spans.get(parent)?.children) || tree.roots;
  siblings.push(event.span);
}

function closeSpan(tree: Tree, span: SpanNode, event: EventOf<"span.end">): void {
  const { status, output, usage, error_type, error, attrs } = event;
  Object.assign(span, { end: event.ts, status, output, usage, error_type, error });
  Object.assign(span.attrs, attrs);
  settle(tree, [span.id]);
  if (span.type === "llm" && usage) {
    tree.usage = addUsage(tree.usage, usage);
  }
}

function reopen(span: SpanNode | undefined): void {
  if (!span) {
    return;
  }
  Object.assign(span, { end: null, status: "running", error_type: null, error: null });
  if (span.type === "code") {
    // It is run again, and prints again.
    Object.assign(span, { stdout: "", stderr: "", displays: [] });
  }
}

/** A figure that either side with a call does not know stays unknown. */
export function addUsage(a: Usage, b: Usage): Usage {
  if (!a.llm_calls) {
    return b;
  }
  if (!b.llm_calls) {
    return a;
  }
  const sum = (x: number | null, y: number | null) => (x === null || y === null ? null : x + y);
  return {
    llm_calls: a.llm_calls + b.llm_calls,
    tokens_in: sum(a.tokens_in, b.tokens_in),
    tokens_out: sum(a.tokens_out, b.tokens_out),
    tokens_cached: sum(a.tokens_cached, b.tokens_cached),
    cost_usd: sum(a.cost_usd, b.cost_usd),
  };
}

/** The tree as plain JSON values, equal to what the Python fold gives. */
export function canonical(tree: Tree): Record<string, unknown> {
  const noTokens = tree.usage.llm_calls ? {} : { tokens_in: 0, tokens_out: 0, tokens_cached: 0 };
  return {
    run: tree.run,
    status: statusOf(tree),
    answer: tree.end?.answer ?? null,
    error: tree.end?.error ?? null,
    mode: tree.start?.mode ?? null,
    model: tree.start?.model ?? null,
    offline: tree.start?.offline ?? false,
    usage: { ...tree.usage, ...noTokens },
    spans: [...tree.spans.values()].map(canonicalSpan),
  };
}

function canonicalSpan(span: SpanNode): Record<string, unknown> {
  const { id, parent, depth, type, name, status, start, end, input, output, code, error_type, error, usage } = span;
  const { stdout, stderr, thought, text, children, notes, artifacts } = span;
  return {
    ...{ id, parent, depth, type, name, status, start, end, input, output, code, error_type, error, usage },
    ...{ stdout, stderr, thought, text, children, notes, artifacts },
    displays: span.displays.length,
    asks: span.asks.map(({ question, answer, note }) => [question, answer, note]),
  };
}
