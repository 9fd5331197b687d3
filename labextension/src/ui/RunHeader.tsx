/**
 * Who is answering what, since when, protected by what, and the button that ends it.
 */
import { useState } from "preact/hooks";
import type { EventOf } from "../core/events";
import { statusOf } from "../core/reducer";
import { duration, STATUS_WORDS } from "./format";
import { Icon } from "./icons";
import { IsolationBadge } from "./IsolationBadge";
import type { RunView } from "./useRun";

/** What to say about the link; after the run's end everything is here and the kernel may go. */
function linkNote({ link, tree }: RunView): string | null {
  if (link === "foreign") {
    return "The kernel runs another version of fleet-rlm than this page; reload the page.";
  }
  if (link === "lost" && !tree.end) {
    return tree.start
      ? "The kernel does not answer; showing what it last sent."
      : "Kernel not connected; showing what was saved.";
  }
  return null;
}

/** What a run that did not begin at its beginning says of its past. */
function pastNote({ parent_run, parent_span }: EventOf<"run.start">): string {
  return parent_run
    ? `A branch of ${parent_run}, which differs from ${parent_span} on; what came before was not asked again.`
    : "Resumed; what was recorded before was told again, and not asked again.";
}

export function RunHeader({ view, now, stop }: { view: RunView; now: number; stop: () => Promise<void> }) {
  const { tree, snapshot, link } = view;
  const [asked, setAsked] = useState(false);
  const [refusal, setRefusal] = useState<string | null>(null);
  const { start, resumed } = tree;
  const live = start !== null && tree.end === null;
  const known = start ? statusOf(tree) : snapshot.status;
  const status = known !== "running" ? known : link === "lost" ? "lost" : asked ? "stopping" : tree.asks.size > 0 ? "waiting" : "running";
  const model = resumed?.model || (start?.model ?? snapshot.model);
  const subModel = resumed?.sub_model ?? start?.sub_model;
  const ask = () => {
    setAsked(true);
    setRefusal(null);
    stop().catch((error: Error) => {
      setAsked(false);
      setRefusal(error.message);
    });
  };
  const note = linkNote(view);
  // Each level of a recursion notes that the budget is used up; the reader needs it once, and not if it ended the run.
  const told = tree.notes.filter(({ level, text }) => level !== "info" && text !== tree.end?.error);
  const warnings = [...new Map(told.map((note) => [note.text, note])).values()].slice(-3);
  return (
    <header class="flt-header">
      <div class="flt-headline">
        <span class={`flt-status flt-status-${status}`} role="status">
          {STATUS_WORDS[status] ?? status}
        </span>
        <span class="flt-title" title={start?.task ?? snapshot.title}>
          {start?.task ?? snapshot.title}
        </span>
        {start && <span class="flt-elapsed">{duration(now - (resumed ?? start).ts)}</span>}
        {live && (
          <button type="button" class="flt-stop" disabled={asked} onClick={ask}>
            {asked ? "Stopping…" : "Stop"}
          </button>
        )}
      </div>
      <div class="flt-facts">
        {(start?.offline ?? snapshot.offline) && (
          <strong class="flt-offline">
            <Icon name="warning" /> rule-based stand-in, not a model
          </strong>
        )}
        {model && (
          <span class="flt-chip" title="model">
            <Icon name="llm" /> {model}
            {subModel && subModel !== model && <span class="flt-dim"> · sub-queries {subModel}</span>}
          </span>
        )}
        {start && <span class="flt-chip" title="mode">{start.mode}</span>}
        {tree.sandbox && <IsolationBadge sandbox={tree.sandbox} />}
        {start?.context.map(({ name, type, size, preview }) => (
          <span class="flt-chip" title={`${name}: ${type}, ${size}\nas described to the model:\n${preview}`}>
            <code>{name}</code> <span class="flt-dim">{type}, {size}</span>
          </span>
        ))}
      </div>
      {start && resumed && <p class="flt-note">{pastNote(start)}</p>}
      {note && <p class="flt-note">{note}</p>}
      {refusal && <p class="flt-note flt-note-error" role="alert">{refusal}</p>}
      {warnings.map(({ seq, level, text }) => (
        <p key={seq} class={`flt-note flt-note-${level}`}>{text}</p>
      ))}
    </header>
  );
}
