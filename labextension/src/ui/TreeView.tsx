/**
 * The recursion tree as an accessible tree widget: arrow keys, open and close, and only the visible rows in the page.
 */
import { useEffect, useId, useLayoutEffect, useRef, useState } from "preact/hooks";
import type { Tree } from "../core/reducer";
import { ancestors, openRows, type Row } from "../core/rows";
import { keepPlainKeys } from "./shortcuts";
import { ROW_HEIGHT, TreeRow } from "./TreeRow";

const OVERSCAN = 6;
const MIN_ROWS = 9;
const MAX_ROWS = 16;

interface Props {
  tree: Tree;
  running: boolean;
  now: number;
  selected: string | null;
  /** True when the reader chose the selected span; otherwise the view follows the run. */
  chosen: boolean;
  choose: (id: string | null) => void;
}

export function TreeView({ tree, running, now, selected, chosen, choose }: Props) {
  const [closed, setClosed] = useState<ReadonlySet<string>>(new Set());
  const [scrollTop, setScrollTop] = useState(0);
  const scroller = useRef<HTMLDivElement>(null);
  const prefix = useId();

  const rows = openRows(tree, closed);
  const at = rows.findIndex((row) => row.span.id === selected);
  const height = ROW_HEIGHT * Math.min(MAX_ROWS, Math.max(MIN_ROWS, rows.length));
  const first = Math.max(0, Math.floor(scrollTop / ROW_HEIGHT) - OVERSCAN);
  const shown = rows.slice(first, first + Math.ceil(height / ROW_HEIGHT) + 2 * OVERSCAN);

  useEffect(() => (scroller.current ? keepPlainKeys(scroller.current) : undefined), []);

  useEffect(() => {
    const above = selected === null ? [] : ancestors(tree, selected);
    if (!chosen && above.some((id) => closed.has(id))) {
      setClosed(new Set([...closed].filter((id) => !above.includes(id))));
    }
  }, [selected, chosen]);

  useLayoutEffect(() => {
    const box = scroller.current;
    if (box && at >= 0) {
      const top = at * ROW_HEIGHT;
      box.scrollTop = Math.min(top, Math.max(box.scrollTop, top + ROW_HEIGHT - height));
    }
  }, [at, height]);

  const setOpen = (id: string, open: boolean) => {
    const next = new Set(closed);
    open ? next.delete(id) : next.add(id);
    setClosed(next);
  };

  const onKeyDown = (event: KeyboardEvent) => {
    const move = keyMove(event.key, rows, at);
    if (!move || event.ctrlKey || event.metaKey || event.altKey) {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
    if (move.open !== undefined) {
      setOpen(move.id, move.open);
    }
    choose(move.id);
  };

  const parents = [...tree.spans.values()].filter((span) => span.children.length && span.parent !== null);
  return (
    <div class="flt-tree">
      <div class="flt-bar">
        <span class="flt-label">Trace</span>
        <span class="flt-dim">{tree.spans.size} {tree.spans.size === 1 ? "span" : "spans"}</span>
        <span class="flt-space" />
        {chosen && running && (
          <button type="button" class="flt-link" onClick={() => choose(null)}>Follow the run</button>
        )}
        {parents.length > 0 && (
          <button
            type="button"
            class="flt-link"
            onClick={() => setClosed(new Set(closed.size ? [] : parents.map((span) => span.id)))}
          >
            {closed.size ? "Expand all" : "Collapse all"}
          </button>
        )}
      </div>
      <div
        ref={scroller}
        class="flt-rows"
        role="tree"
        aria-label="recursion tree"
        tabIndex={0}
        aria-activedescendant={at >= 0 ? `${prefix}-${selected}` : undefined}
        style={{ height: `${height}px` }}
        onKeyDown={onKeyDown}
        onWheel={() => running && choose(selected)}
        onScroll={(event) => setScrollTop(event.currentTarget.scrollTop)}
      >
        <div class="flt-canvas" style={{ height: `${rows.length * ROW_HEIGHT}px` }}>
          {shown.map((row, index) => (
            <TreeRow
              key={row.span.id}
              id={`${prefix}-${row.span.id}`}
              row={row}
              top={(first + index) * ROW_HEIGHT}
              selected={row.span.id === selected}
              ended={tree.end !== null}
              now={now}
              onChoose={() => choose(row.span.id)}
              onToggle={() => setOpen(row.span.id, !row.open)}
            />
          ))}
        </div>
      </div>
    </div>
  );
}

/** Where a key leads from row `at`: the span to select, and whether to open or close it. */
export function keyMove(key: string, rows: Row[], at: number): { id: string; open?: boolean } | null {
  const row = rows[at];
  const go = (index: number) => {
    const target = rows[Math.max(0, Math.min(rows.length - 1, index))];
    return target ? { id: target.span.id } : null;
  };
  switch (key) {
    case "ArrowDown":
      return go(at + 1);
    case "ArrowUp":
      return go(at - 1);
    case "Home":
      return go(0);
    case "End":
      return go(rows.length - 1);
    case "ArrowRight":
      return row?.open === undefined ? null : row.open ? go(at + 1) : { id: row.span.id, open: true };
    case "ArrowLeft":
      if (row?.open) {
        return { id: row.span.id, open: false };
      }
      return row?.level ? go(rows.findLastIndex(({ level }, index) => index < at && level < row.level)) : null;
    case "Enter":
    case " ":
      return row?.open === undefined ? null : { id: row.span.id, open: !row.open };
    default:
      return null;
  }
}
