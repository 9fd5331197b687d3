/**
 * What protects the user from generated code, and what does not: told by the sandbox itself, never assumed.
 */
import type { EventOf } from "../core/events";
import { Icon } from "./icons";

export function IsolationBadge({ sandbox }: { sandbox: EventOf<"sandbox"> }) {
  const { backend, tier, guarantees, missing } = sandbox;
  const confined = tier.startsWith("confined");
  return (
    <span class={`flt-chip flt-isolation ${confined ? "flt-strong" : "flt-weak"}`} tabIndex={0}>
      <Icon name={confined ? "shield" : "warning"} /> {backend}: {tier}
      <span class="flt-popover" role="tooltip">
        <b>Generated code runs in a {backend} sandbox.</b>
        {Object.entries(guarantees).map(([name, mechanism]) => (
          <span class="flt-guarantee">
            <span class="flt-yes">✓</span> {name} <span class="flt-dim">{mechanism}</span>
          </span>
        ))}
        {missing.map((name) => (
          <span class="flt-guarantee">
            <span class="flt-no">✗</span> {name} <span class="flt-dim">not guaranteed</span>
          </span>
        ))}
      </span>
    </span>
  );
}
