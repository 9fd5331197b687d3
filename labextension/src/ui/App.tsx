/**
 * The whole view of one run: header, what it asks, answer, budget, and the tree beside the span that is looked at.
 *
 * It knows a Transport and nothing of who carries it, so a cell, a panel and a page of a saved log show the same.
 */
import { render } from "preact";
import { useState } from "preact/hooks";
import { followed } from "../core/rows";
import type { Transport } from "../core/transport";
import { AnswerPanel } from "./AnswerPanel";
import { AskPanel } from "./AskPanel";
import { BudgetBar } from "./BudgetBar";
import { RunHeader } from "./RunHeader";
import { SpanDetail } from "./SpanDetail";
import { TreeView } from "./TreeView";
import { useRun, useRunClock } from "./useRun";

/** Colours for hosts that have no Jupyter theme; where there is one, it decides. */
export type Theme = "auto" | "light" | "dark";

export function App({ transport, theme = "auto" }: { transport: Transport; theme?: Theme }) {
  const view = useRun(transport);
  const { tree } = view;
  const running = tree.start !== null && tree.end === null && view.link !== "lost";
  const now = useRunClock(view, running);
  const [chosen, choose] = useState<string | null>(null);
  const selected = chosen ?? followed(tree);
  const span = selected === null ? undefined : tree.spans.get(selected);
  return (
    <section class="flt-root" data-theme={theme} data-link={view.link} aria-label="fleet run">
      <RunHeader view={view} now={now} stop={() => transport.stop()} />
      {[...tree.asks.values()].map((ask) => {
        const span = tree.spans.get(ask.span);
        const thought = tree.spans.get(span?.parent ?? "")?.thought ?? "";
        return <AskPanel key={ask.seq} {...{ ask, span, thought }} decide={(...given) => transport.approve(...given)} />;
      })}
      <AnswerPanel view={view} />
      {tree.start && <BudgetBar tree={tree} now={now} />}
      {tree.spans.size > 0 && (
        <div class="flt-trace">
          <TreeView {...{ tree, running, now, selected, choose }} chosen={chosen !== null} />
          {span && <SpanDetail key={span.id} tree={tree} span={span} now={now} />}
        </div>
      )}
    </section>
  );
}

/** Show a run in `element`; returns what takes it away again. */
export function mount(element: HTMLElement, transport: Transport, theme: Theme = "auto"): () => void {
  render(<App transport={transport} theme={theme} />, element);
  return () => render(null, element);
}
