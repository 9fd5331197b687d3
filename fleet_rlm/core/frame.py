"""The spans of a run as a DataFrame with stable columns and dtypes.

Columns, in order: run, span, parent, depth, seq, kind, name, status, start, end, duration_s, model, llm_calls,
tokens_in, tokens_out, tokens_cached, cost_usd, input, output, code, error_type, error, attrs, question, asked_at,
decision, decided_at, decided_by, decision_note. Times are UTC timestamps of microsecond resolution, `duration_s` is in
seconds, `cost_usd` in US dollars; what is unknown is missing (NA/NaT), never 0. `kind` is the span's type (turn, step,
tool, rlm, iteration, code, llm, sandbox), `depth` its level of recursion, `attrs` a JSON object. The last six tell what
a tool asked a person before it was used, and what was decided; where it asked again after a resume, the last time.
"""

from __future__ import annotations

import json
import types
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
    "question": "string",
    "asked_at": TIME,
    "decision": "string",
    "decided_at": TIME,
    "decided_by": "string",
    "decision_note": "string",
}
AS_THEY_ARE = (
    *("parent", "depth", "seq", "name", "status", "start", "end"),
    *("input", "output", "code", "error_type", "error"),
)
DECIDED = {
    "question": "question",
    "asked_at": "asked",
    "decision": "answer",
    "decided_at": "answered",
    "decided_by": "by",
    "decision_note": "note",
}
"""Columns by the fields of an `Ask`."""
SPENT = ("llm_calls", "tokens_in", "tokens_out", "tokens_cached", "cost_usd")
UNKNOWN = types.SimpleNamespace(**dict.fromkeys(SPENT))
_json = json.JSONEncoder(sort_keys=True, default=str).encode


def spans_frame(tree: Tree) -> pd.DataFrame:
    """One row per span in order of start; columns and dtypes as in `DTYPES`."""
    import pandas as pd  # 0.4 s: only who asks for a frame pays for it

    spans = list(tree.spans.values())  # a copy: a live run adds to it
    columns = _columns(tree.run, spans)
    return pd.DataFrame(
        {
            name: pd.to_datetime(pd.Series(columns[name], dtype="Int64"), unit="us", utc=True).astype(TIME)
            if dtype == TIME
            else pd.array(columns[name], dtype=dtype)
            for name, dtype in DTYPES.items()
        }
    )


def _columns(run: str, spans: list[SpanNode]) -> dict[str, list[Any]]:
    """Column by column, for a row of its own per span would take as long as all the rest."""
    usages = [span.usage or UNKNOWN for span in spans]
    columns: dict[str, list[Any]] = {"run": [run] * len(spans), "span": [span.id for span in spans]}
    columns |= {name: [getattr(span, name) for span in spans] for name in AS_THEY_ARE}
    columns |= {name: [getattr(usage, name) for usage in usages] for name in SPENT}
    columns["kind"] = [span.type for span in spans]
    columns["duration_s"] = [None if span.end is None else (span.end - span.start) / 1e6 for span in spans]
    columns["model"] = [span.attrs.get("model") for span in spans]
    columns["attrs"] = [_json(span.attrs) for span in spans]
    asks = [span.asks[-1] if span.asks else None for span in spans]
    columns |= {name: [getattr(ask, field, None) for ask in asks] for name, field in DECIDED.items()}
    return columns
