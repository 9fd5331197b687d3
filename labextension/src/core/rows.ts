/**
 * What of a tree is on the screen: the open rows in order, and the span a reader who chose none wants to see.
 */
import { statusOf, type SpanNode, type Tree } from "./reducer";

export interface Row {
  span: SpanNode;
  /** Levels above it in the tree; not the level of recursion. */
  level: number;
  /** Undefined where there is nothing to open. */
  open: boolean | undefined;
  position: number;
  siblings: number;
}

/** The rows not hidden by a closed ancestor, depth first. */
export function openRows(tree: Tree, closed: ReadonlySet<string>): Row[] {
  const rows: Row[] = [];
  const stack: { ids: string[]; index: number }[] = [{ ids: tree.roots, index: 0 }];
  for (let top = stack.at(-1); top; top = stack.at(-1)) {
    const span = tree.spans.get(top.ids[top.index++] ?? "");
    if (!span) {
      stack.pop();
      continue;
    }
    const open = span.children.length ? !closed.has(span.id) : undefined;
    rows.push({ span, level: stack.length - 1, open, position: top.index, siblings: top.ids.length });
    if (open) {
      stack.push({ ids: span.children, index: 0 });
    }
  }
  return rows;
}

/**
 * The span to show to a reader who follows the run: while it runs the newest one, sub-queries excepted because they
 * come by the dozen; afterwards the innermost failure, or the last code, or the last span.
 */
export function followed(tree: Tree): string | null {
  const spans = [...tree.spans.values()].reverse();
  const parentIsCode = (span: SpanNode) => tree.spans.get(span.parent ?? "")?.type === "code";
  const status = statusOf(tree);
  let found: SpanNode | undefined;
  if (status === "running") {
    found = spans.find((span) => span.type !== "sandbox" && !(span.type === "llm" && parentIsCode(span)));
  } else if (status === "failed") {
    found = spans.find((span) => span.status === "error");
  }
  found ??= spans.find((span) => span.type === "code") ?? spans[0];
  return found?.id ?? null;
}

/** The ids of the spans above `id`, innermost first. */
export function ancestors(tree: Tree, id: string): string[] {
  const above: string[] = [];
  for (let span = tree.spans.get(id); span?.parent && tree.spans.has(span.parent); ) {
    above.push(span.parent);
    span = tree.spans.get(span.parent);
  }
  return above;
}
