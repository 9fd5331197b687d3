/**
 * A run as a component sees it: the tree folded so far, brought up to date once per animation frame.
 *
 * However fast events come, the page folds and draws them at most once per frame; a page in the background draws
 * nothing and catches up when it is looked at again.
 */
import { useEffect, useState } from "preact/hooks";
import type { FleetEvent } from "../core/events";
import { apply, emptyTree, type Tree } from "../core/reducer";
import type { Link, Snapshot, Transport } from "../core/transport";

export interface RunView {
  /** Changed in place; a new RunView around it says that it has. */
  tree: Tree;
  snapshot: Snapshot;
  link: Link;
  clockOffset: number | null;
}

export function useRun(transport: Transport): RunView {
  const [view, setView] = useState<RunView>(() => first(transport));
  useEffect(() => {
    let current = first(transport);
    let queue: FleetEvent[] = [];
    let frame = 0;
    const draw = () => {
      frame = 0;
      for (const event of queue) {
        apply(current.tree, event);
      }
      queue = [];
      setView((current = { ...current, snapshot: transport.snapshot() }));
    };
    const unsubscribe = transport.subscribe(({ events, link, clockOffset }) => {
      queue = queue.length ? queue.concat(events) : [...events];
      current = { ...current, link, clockOffset };
      frame ||= requestAnimationFrame(draw);
    });
    return () => {
      unsubscribe();
      cancelAnimationFrame(frame);
    };
  }, [transport]);
  return view;
}

function first(transport: Transport): RunView {
  return { tree: emptyTree(), snapshot: transport.snapshot(), link: "connecting", clockOffset: null };
}

/** The run's own clock in microseconds since 1970 UTC, ticking each second while `running`. */
export function useRunClock({ tree, clockOffset }: RunView, running: boolean): number {
  const [, tick] = useState(0);
  useEffect(() => {
    if (running) {
      const timer = setInterval(() => tick((n) => n + 1), 1000);
      return () => clearInterval(timer);
    }
  }, [running]);
  return running && clockOffset !== null ? Math.max(tree.ts, Date.now() * 1000 + clockOffset) : tree.ts;
}
