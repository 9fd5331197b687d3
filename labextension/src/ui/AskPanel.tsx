/**
 * A run waits for a person: what it wants to do, with everything it would do it with, and the buttons that decide.
 */
import { useEffect, useRef, useState } from "preact/hooks";
import type { Ask, SpanNode } from "../core/reducer";
import { Icon } from "./icons";
import { keepPlainKeys } from "./shortcuts";
import { TextBlock } from "./TextBlock";

/** What was decided, in words. */
export const DECISIONS: Record<string, string> = { once: "allowed once", always: "allowed always", no: "declined" };

interface Props {
  ask: Ask;
  /** The call that waits, and what the model thought before it. */
  span: SpanNode | undefined;
  thought: string;
  decide: (ask: number, answer: string, note: string | null) => Promise<void>;
}

export function AskPanel({ ask, span, thought, decide }: Props) {
  const [sent, setSent] = useState<string | null>(null);
  const [refusal, setRefusal] = useState<string | null>(null);
  const [note, setNote] = useState("");
  const panel = useRef<HTMLFormElement>(null);
  useEffect(() => (panel.current ? keepPlainKeys(panel.current) : undefined), []);
  const send = (answer: string) => {
    setSent(answer);
    setRefusal(null);
    decide(ask.seq, answer, answer === "no" && note.trim() ? note.trim() : null).catch((error: Error) => {
      setSent(null);
      setRefusal(error.message);
    });
  };
  const button = (answer: string) => (
    <button
      key={answer}
      type="button"
      class={`flt-decide flt-decide-${answer}`}
      disabled={sent !== null}
      onClick={() => send(answer)}
    >
      {label(answer, ask.tool)}
    </button>
  );
  return (
    <form
      ref={panel}
      class="flt-ask"
      aria-label="the run asks you"
      onSubmit={(event) => {
        event.preventDefault(); // Enter in the note
        send("no");
      }}
    >
      <p class="flt-question" role="alert">
        <Icon name="hand" /> {ask.question}
      </p>
      {thought && <p class="flt-dim">The model: {thought}</p>}
      <TextBlock label={`${ask.tool} would be used with`} text={readable(span?.input ?? null)} />
      <div class="flt-decisions">
        {ask.options.filter((answer) => answer !== "no").map(button)}
        {ask.options.includes("no") && (
          <span class="flt-refuse">
            <input
              type="text"
              class="flt-reason"
              placeholder="what it should do instead (optional)"
              aria-label="note to the model, told with Decline"
              value={note}
              disabled={sent !== null}
              onInput={(event) => setNote(event.currentTarget.value)}
            />
            {button("no")}
          </span>
        )}
      </div>
      {refusal && <p class="flt-note flt-note-error" role="alert">{refusal}</p>}
    </form>
  );
}

function label(answer: string, tool: string): string {
  const labels: Record<string, string> = { once: "Allow once", always: `Always allow ${tool}`, no: "Decline" };
  return labels[answer] ?? answer;
}

/** Arguments one below the other, texts as they are; what is no JSON object stays as it is. */
function readable(input: string | null): string | null {
  try {
    const given: unknown = JSON.parse(input ?? "");
    if (typeof given === "object" && given !== null && !Array.isArray(given)) {
      const text = (value: unknown) => (typeof value === "string" ? value : JSON.stringify(value));
      return Object.entries(given).map(([name, value]) => `${name}: ${text(value)}`).join("\n");
    }
  } catch {
    // It was cut for its length, or is a text.
  }
  return input;
}
