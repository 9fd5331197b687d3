/**
 * One small drawing per type of span, in the colour of the text around it.
 */
import type { SpanType } from "../core/events";

/** Paths on a 16 by 16 field, stroked. */
const PATHS: Record<SpanType | "shield" | "chevron" | "warning" | "hand", string> = {
  turn: "M2.5 3.5h11v7.5h-6l-3 2.5v-2.5h-2z",
  step: "M3 8h8.5M8 4.5 11.5 8 8 11.5M14 3.5v9",
  tool: "M9.6 6.4a3 3 0 1 1 3.9-3.6l-2 .6-.2 1.6 1.4.7 1.1-1.1M9.6 6.4 3 13M3 13l-.8-.8L8.8 5.6",
  rlm: "M2.5 2.5h11v11h-11zM5 5h6v6H5zM7.3 7.3h1.4v1.4H7.3z",
  iteration: "M13 8a5 5 0 1 1-1.6-3.7M13.2 1.8v3h-3",
  code: "M5.5 4.5 2 8l3.5 3.5M10.5 4.5 14 8l-3.5 3.5",
  llm: "M8 1.8 9.5 6.5 14.2 8 9.5 9.5 8 14.2 6.5 9.5 1.8 8 6.5 6.5z",
  sandbox: "M8 1.8 13.5 5v6L8 14.2 2.5 11V5zM2.5 5 8 8l5.5-3M8 8v6.2",
  shield: "M8 1.6 13.2 3.4v4.2c0 3.2-2.2 5.4-5.2 6.8-3-1.4-5.2-3.6-5.2-6.8V3.4zM5.6 7.9l1.7 1.7 3.2-3.3",
  chevron: "M6 3.5 10.5 8 6 12.5",
  hand: "M4.2 8.4V4.6a1 1 0 0 1 2 0V7V3a1 1 0 0 1 2 0v4-3.3a1 1 0 0 1 2 0V7.4V5.2a1 1 0 0 1 2 0V10c0 2.6-1.7 4.2-4 4.2-1.9 0-2.9-.8-3.8-2.3L2.6 9.2c-.5-.9.6-1.7 1.3-1z",
  warning: "M8 2 14.5 13.5h-13zM8 6.2v3.4M8 11.4v.3",
};

export function Icon({ name, title }: { name: keyof typeof PATHS; title?: string }) {
  return (
    <svg class={`flt-icon flt-icon-${name}`} viewBox="0 0 16 16" aria-hidden={title ? undefined : "true"}>
      {title && <title>{title}</title>}
      <path d={PATHS[name]} />
    </svg>
  );
}
