/**
 * What protects the user from generated code, and what does not: told by the sandbox itself, never assumed.
 */
import type { EventOf } from "../core/events";
import { Icon } from "./icons";

export function IsolationBadge({ sandbox }: { sandbox: EventOf<"sandbox"> }) {
  const { backend, tier, guarantees, missing } = sandbox;
  return (
    <span class={`flt-chip flt-isolation ${missing.length ? "flt-weak" : "flt-strong"}`} tabIndex={0}>
      <Icon name={missing.length ? "warning" : "shield"} /> {backend}: {tier}
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
