/**
 * A labelled text of a span, cut where it is long and whole on request.
 */
import { useState } from "preact/hooks";
import { highlight } from "./highlight";

/** Characters drawn at first; a page with megabytes of text in it stops scrolling smoothly. */
export const FIRST = 10_000;

interface Props {
  label: string;
  text: string | null;
  /** Python source: line numbers and colours. */
  code?: boolean;
  /** Running text rather than columns of output. */
  prose?: boolean;
  error?: boolean;
}

export function TextBlock({ label, text, code, prose, error }: Props) {
  const [whole, setWhole] = useState(false);
  const [copied, setCopied] = useState(false);
  if (!text?.trim()) {
    return null;
  }
  const shown = whole ? text : text.slice(0, FIRST);
  const copy = () => void navigator.clipboard.writeText(text).then(() => setCopied(true));
  return (
    <div class={`flt-block${error ? " flt-block-error" : ""}`}>
      <div class="flt-block-head">
        <span class="flt-label">{label}</span>
        {/* Browsers offer the clipboard only to pages they consider secure. */}
        {globalThis.navigator?.clipboard && (
          <button type="button" class="flt-link flt-copy" onClick={copy}>{copied ? "Copied" : "Copy"}</button>
        )}
      </div>
      {code ? <Source code={shown} /> : <pre class={`flt-pre${prose ? " flt-prose" : ""}`}>{shown}</pre>}
      {shown.length < text.length && (
        <button type="button" class="flt-link" onClick={() => setWhole(true)}>
          Show all {text.length.toLocaleString("en")} characters
        </button>
      )}
    </div>
  );
}

function Source({ code }: { code: string }) {
  const numbers = code.split("\n").map((_, index) => index + 1);
  return (
    <div class="flt-source">
      <pre aria-hidden="true" class="flt-lines">{numbers.join("\n")}</pre>
      <pre class="flt-code">
        {highlight(code).map(({ text, kind }) => (kind ? <span class={`flt-py-${kind}`}>{text}</span> : text))}
      </pre>
    </div>
  );
}
