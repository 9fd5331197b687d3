/**
 * Everything known of one span, in the order in which it happened: asked, thought, wrote, printed, returned, failed.
 */
import type { SpanNode, Tree } from "../core/reducer";
import { DECISIONS } from "./AskPanel";
import { bytes, STATUS_WORDS, usageLine, withoutAnsi } from "./format";
import { Icon } from "./icons";
import { Display } from "./Display";
import { TextBlock } from "./TextBlock";
import { spanStatus, spanTime } from "./TreeRow";

interface Props {
  tree: Tree;
  span: SpanNode;
  now: number;
}

export function SpanDetail({ tree, span, now }: Props) {
  const status = spanStatus(span, tree.end !== null);
  const model = span.attrs.model;
  const { model: _, ...attrs } = span.attrs;
  const artifacts = span.artifacts.map((id) => tree.artifacts.get(id)).filter((artifact) => artifact !== undefined);
  const isRoot = span.type === "turn";
  return (
    <div class="flt-detail" role="region" aria-label={`span ${span.name}`}>
      <div class="flt-bar">
        <Icon name={span.type} />
        <b class="flt-name">{span.name}</b>
        <span class="flt-dim">{span.type}</span>
        <span class={`flt-word flt-word-${status}`}>{STATUS_WORDS[status]}</span>
        <span class="flt-space" />
        <span class="flt-dim">{spanTime(span, status, now)}</span>
      </div>
      <div class="flt-detail-body">
        {(typeof model === "string" || span.usage) && (
          <p class="flt-dim">{[model, span.usage && usageLine(span.usage)].filter(Boolean).join(" · ")}</p>
        )}
        {span.notes.map((note) => (
          <p class="flt-note">{note}</p>
        ))}
        {span.asks.map(({ seq, question, answer, note }) => (
          <p key={seq} class={`flt-note${answer === "no" ? " flt-note-warning" : ""}`}>
            {question} <b>{DECISIONS[answer ?? ""] ?? answer ?? (tree.asks.has(span.id) ? "waits for you" : "no answer")}</b>
            {note && `: ${note}`}
          </p>
        ))}
        {isRoot && tree.start?.context.map(({ name, type, size, preview }) => (
          <TextBlock label={`Sent to the model for ${name} (${type}, ${size})`} text={preview} />
        ))}
        {!isRoot && <TextBlock label={span.type === "llm" ? "Prompt" : "Input"} text={span.input} />}
        <TextBlock label="Thought" text={span.thought} prose />
        <TextBlock label="Code" text={span.code} code />
        <TextBlock label="Text" text={span.text === span.output ? "" : span.text} prose />
        <TextBlock label="Printed" text={withoutAnsi(span.stdout)} />
        <TextBlock label="Printed to stderr" text={withoutAnsi(span.stderr)} />
        {span.displays.map((mimebundle) => (
          <Display mimebundle={mimebundle} />
        ))}
        <TextBlock label={span.type === "llm" ? "Reply" : "Output"} text={span.output} prose={span.type === "llm"} />
        {span.error !== null && (
          <TextBlock label={span.error_type ?? "Error"} text={withoutAnsi(span.error)} error={status === "error"} />
        )}
        {artifacts.map(({ name, mime, bytes: size, path }) => (
          <p class="flt-dim" title={path}>
            <code>{name}</code> {mime}, {bytes(size)}
          </p>
        ))}
        {Object.keys(attrs).length > 0 && (
          <dl class="flt-attrs">
            {Object.entries(attrs).map(([name, value]) => (
              <>
                <dt>{name}</dt>
                <dd>{typeof value === "string" ? value : JSON.stringify(value)}</dd>
              </>
            ))}
          </dl>
        )}
      </div>
    </div>
  );
}
