/**
 * One span in one line: where it hangs, what it is, what it is about, how it ended, how long it took.
 */
import type { SpanNode } from "../core/reducer";
import type { Row } from "../core/rows";
import { count, duration, gist, tokens } from "./format";
import { Icon } from "./icons";

/** In pixels; the style sheet takes it from here. */
export const ROW_HEIGHT = 26;
const INDENT = 14;

interface Props {
  id: string;
  row: Row;
  top: number;
  selected: boolean;
  ended: boolean;
  now: number;
  onChoose: () => void;
  onToggle: () => void;
}

/** A span that had no end when its run ended was cut off. */
export function spanStatus(span: SpanNode, runEnded: boolean): string {
  return span.status === "running" && runEnded ? "stopped" : span.status;
}

/** How long it took or has taken; nothing for a span that was cut off. */
export function spanTime(span: SpanNode, status: string, now: number): string {
  return span.end === null && status !== "running" ? "" : duration((span.end ?? now) - span.start);
}

export function TreeRow({ id, row, top, selected, ended, now, onChoose, onToggle }: Props) {
  const { span, level, open } = row;
  const status = spanStatus(span, ended);
  const spent = span.type === "llm" && span.usage ? tokens(span.usage) : null;
  const summary = gist(span);
  const monospace = span.type === "code" || span.type === "tool";
  return (
    <div
      id={id}
      class={`flt-row flt-type-${span.type} flt-is-${status}${selected ? " flt-selected" : ""}`}
      role="treeitem"
      aria-level={level + 1}
      aria-selected={selected}
      aria-expanded={open}
      aria-posinset={row.position}
      aria-setsize={row.siblings}
      aria-label={`${span.type} ${span.name}, ${status}`}
      style={{ top: `${top}px`, height: `${ROW_HEIGHT}px`, paddingLeft: `${4 + level * INDENT}px` }}
      onClick={onChoose}
      onDblClick={onToggle}
    >
      {Array.from({ length: level }, (_, depth) => (
        <i class="flt-guide" style={{ left: `${12 + depth * INDENT}px` }} />
      ))}
      <span
        class={`flt-toggle${open ? " flt-open" : ""}`}
        onClick={(event) => {
          event.stopPropagation();
          onToggle();
        }}
      >
        {open !== undefined && <Icon name="chevron" />}
      </span>
      <Icon name={span.type} title={span.type} />
      <span class="flt-name">{span.name}</span>
      {span.type === "rlm" && <span class="flt-depth">depth {span.depth}</span>}
      <span class={`flt-gist${monospace ? " flt-mono" : ""}`}>{summary === span.name ? "" : summary}</span>
      {open === false && <span class="flt-hidden-count">+{span.children.length}</span>}
      {spent !== null && <span class="flt-figure">{count(spent)} tok</span>}
      <span class="flt-figure">{spanTime(span, status, now)}</span>
      <span class={`flt-mark flt-mark-${status}`} title={status} />
    </div>
  );
}
