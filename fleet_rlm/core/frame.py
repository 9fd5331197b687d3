"""The spans of a run as a DataFrame with stable columns and dtypes.

Columns, in order: run, span, parent, depth, seq, kind, name, status, start, end, duration_s, model, llm_calls,
tokens_in, tokens_out, tokens_cached, cost_usd, input, output, code, error_type, error, attrs. `start` and `end` are
UTC timestamps of microsecond resolution, `duration_s` is in seconds, `cost_usd` in US dollars; what is unknown is
missing (NA/NaT), never 0. `kind` is the span's type (turn, step, tool, rlm, iteration, code, llm, sandbox), `depth`
its level of recursion, `attrs` a JSON object.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from fleet_rlm.core.tree import SpanNode, Tree

if TYPE_CHECKING:
    import pandas as pd

TIME = "datetime64[us, UTC]"
DTYPES: dict[str, str] = {
    "run": "string",
    "span": "string",
    "parent": "string",
    "depth": "int64",
    "seq": "int64",
    "kind": "string",
    "name": "string",
    "status": "string",
    "start": TIME,
    "end": TIME,
    "duration_s": "Float64",
    "model": "string",
    "llm_calls": "Int64",
    "tokens_in": "Int64",
    "tokens_out": "Int64",
    "tokens_cached": "Int64",
    "cost_usd": "Float64",
    "input": "string",
    "output": "string",
    "code": "string",
    "error_type": "string",
    "error": "string",
    "attrs": "string",
}


def spans_frame(tree: Tree) -> pd.DataFrame:
    """One row per span in order of start; columns and dtypes as in `DTYPES`."""
    import pandas as pd  # 0.4 s: only who asks for a frame pays for it

    rows = [_row(tree.run, span) for span in list(tree.spans.values())]  # a copy: a live run adds to it
    columns = zip(*rows, strict=True) if rows else [[] for _ in DTYPES]
    return pd.DataFrame(
        {
            name: pd.to_datetime(pd.Series(values, dtype="Int64"), unit="us", utc=True).astype(TIME)
            if dtype == TIME
            else pd.array(list(values), dtype=dtype)
            for (name, dtype), values in zip(DTYPES.items(), columns, strict=True)
        }
    )


def _row(run: str, span: SpanNode) -> tuple[Any, ...]:
    usage = span.usage
    spent = (None,) * 5
    if usage is not None:
        spent = (usage.llm_calls, usage.tokens_in, usage.tokens_out, usage.tokens_cached, usage.cost_usd)  # type: ignore[assignment]
    duration = None if span.end is None else (span.end - span.start) / 1e6
    return (
        *(run, span.id, span.parent, span.depth, span.seq, span.type, span.name, span.status),
        *(span.start, span.end, duration, span.attrs.get("model"), *spent),
        *(span.input, span.output, span.code, span.error_type, span.error),
        json.dumps(span.attrs, sort_keys=True, default=str),
    )
