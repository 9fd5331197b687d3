/**
 * How the run ended: the answer, or in plain words why there is none, and the files it left.
 */
import { bytes } from "./format";
import { Markdown } from "./Markdown";
import type { RunView } from "./useRun";

export function AnswerPanel({ view: { tree, snapshot } }: { view: RunView }) {
  const { end, artifacts } = tree;
  const answer = tree.start ? (end?.answer ?? null) : snapshot.answer;
  const error = tree.start ? (end?.error ?? null) : snapshot.error;
  const offline = tree.start?.offline ?? snapshot.offline;
  return (
    <>
      {error !== null && (
        <div class={`flt-failure flt-failure-${end?.status ?? snapshot.status}`} role="alert">
          {end?.error_type && <b>{end.error_type}: </b>}
          <span>{error}</span>
        </div>
      )}
      {answer !== null && answer !== undefined && (
        <div class="flt-answer">
          <h4 class="flt-label">{offline ? "Answer of the rule-based stand-in" : "Answer"}</h4>
          {typeof answer === "string" ? (
            <Markdown source={answer} />
          ) : (
            <pre class="flt-pre">{JSON.stringify(answer, null, 2)}</pre>
          )}
        </div>
      )}
      {artifacts.size > 0 && (
        <div class="flt-artifacts">
          <span class="flt-label">Artifacts</span>
          {[...artifacts.values()].map(({ id, name, mime, bytes: size, path }) => (
            <span key={id} class="flt-chip" title={`${mime}\n${path}`}>
              <code>{name}</code> <span class="flt-dim">{bytes(size)}</span>
            </span>
          ))}
        </div>
      )}
    </>
  );
}
