"""Rich output: objects as mimebundles, the way a notebook would ask for them, and figures as PNG.

Knows the `_repr_*_` protocol and matplotlib, imports neither IPython nor matplotlib by itself. Images are base64 text.
"""

from __future__ import annotations

import base64
import io
import sys
from typing import Any

REPRS = {
    "_repr_html_": "text/html",
    "_repr_markdown_": "text/markdown",
    "_repr_svg_": "image/svg+xml",
    "_repr_png_": "image/png",
    "_repr_jpeg_": "image/jpeg",
    "_repr_latex_": "text/latex",
    "_repr_json_": "application/json",
}
MAX_BUNDLE = 8 << 20  # characters per mime type
PLAIN = 10_000
ANYTHING = "_nobody_has_a_method_of_this_name_"


def bundle(obj: Any) -> dict[str, Any] | None:
    """The object's rich forms with its plain one, or None if it has no rich form."""
    if isinstance(obj, type) or callable(getattr(obj, ANYTHING, None)):  # a mock, a proxy: it claims every form
        return None
    found: dict[str, Any] = {}
    method = getattr(obj, "_repr_mimebundle_", None)
    if callable(method):
        made = method()
        found.update(made[0] if isinstance(made, tuple) else made or {})
    for name, mime in REPRS.items():
        method = getattr(obj, name, None)
        if mime not in found and callable(method) and (made := method()) is not None:
            found[mime] = made[0] if isinstance(made, tuple) else made
    if _is_figure(obj):
        found["image/png"] = _png(obj)
    if not found:
        return None
    for mime, data in found.items():
        if isinstance(data, bytes):
            found[mime] = base64.b64encode(data).decode()
        if isinstance(found[mime], str) and len(found[mime]) > MAX_BUNDLE:
            found[mime] = f"({len(found[mime]):,} characters of {mime}, more than the {MAX_BUNDLE:,} that are shown)"
    found.setdefault("text/plain", repr(obj)[:PLAIN])
    return found


def _is_figure(obj: Any) -> bool:
    module = sys.modules.get("matplotlib.figure")
    return module is not None and isinstance(obj, module.Figure)


def _png(figure: Any) -> bytes:
    target = io.BytesIO()
    figure.savefig(target, format="png", bbox_inches="tight")
    return target.getvalue()


def open_figures(shown: Any) -> list[dict[str, Any]]:
    """Every figure open in pyplot, which is loaded, but for the one shown as the cell's value; all are closed."""
    pyplot = sys.modules["matplotlib.pyplot"]
    figures = [pyplot.figure(number) for number in pyplot.get_fignums()]
    bundles = [bundle(figure) for figure in figures if figure is not shown]
    pyplot.close("all")
    return [made for made in bundles if made is not None]
