/**
 * What the run may spend and has spent, as the ledger last said.
 */
import type { Limits } from "../core/events";
import type { Tree } from "../core/reducer";
import { count, dollars, duration, tokens } from "./format";

type Measure = keyof Limits;

export function BudgetBar({ tree, now }: { tree: Tree; now: number }) {
  const { start, resumed, budget, usage, waited, waiting } = tree;
  if (!start) {
    return null;
  }
  const spent = (measure: Measure) => budget?.spent[measure] ?? null;
  // What the ledger counts: the time in which a person is waited for is not the run's.
  const elapsed = ((waiting ?? now) - (resumed ?? start).ts - waited) / 1e6;
  const seconds = (n: number) => duration(n * 1e6);
  const meter = (label: string, measure: Measure, used: number | null, show: (n: number) => string) => (
    <Meter label={label} used={used} limit={limitOf(tree, measure)} show={show} />
  );
  return (
    <div class="flt-budget" role="group" aria-label="budget">
      {meter("calls", "calls", spent("calls") ?? usage.llm_calls, count)}
      {meter("tokens", "tokens", spent("tokens") ?? (usage.llm_calls ? tokens(usage) : 0), count)}
      {meter("cost", "usd", spent("usd") ?? usage.cost_usd, dollars)}
      {meter("time", "seconds", elapsed, seconds)}
      {Boolean(spent("children")) && meter("children", "children", spent("children"), count)}
    </div>
  );
}

/** The limit in force: it may be changed while the run goes on, and only the ledger knows. */
function limitOf({ start, resumed, budget }: Tree, measure: Measure): number | null {
  const spent = budget?.spent[measure] ?? null;
  const left = budget?.remaining[measure] ?? null;
  return spent !== null && left !== null ? spent + left : ((resumed ?? start)?.budget[measure] ?? null);
}

interface MeterProps {
  label: string;
  used: number | null;
  limit: number | null;
  show: (n: number) => string;
}

function Meter({ label, used, limit, show }: MeterProps) {
  const share = used !== null && limit ? Math.min(1, used / limit) : null;
  const level = share === null || share < 0.75 ? "" : share < 1 ? " flt-near" : " flt-full";
  const value = used === null ? "unknown" : show(used);
  return (
    <div class={`flt-meter${level}`}>
      <span class="flt-meter-label">{label}</span>
      <span class="flt-meter-value">
        {value}
        {limit !== null && <span class="flt-dim"> / {show(limit)}</span>}
      </span>
      {share !== null && (
        <span
          class="flt-track"
          role="meter"
          aria-label={`${label} spent`}
          aria-valuemin={0}
          aria-valuemax={limit ?? 0}
          aria-valuenow={used ?? 0}
        >
          <span style={{ width: `${share * 100}%` }} />
        </span>
      )}
    </div>
  );
}
