"""What a cell hands to its run: the values of `--with`, and the question with `{{name}}` filled in.

A value is handed over as it is, by reference; describing and sending it is the engine's work. A `str` variable is text;
a `pathlib.Path`, or a path written on the line, is the file or directory it names. A variable wins over a path of the
same name; quotation marks say that a path is meant.
"""

from __future__ import annotations

import keyword
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from IPython.core.error import UsageError

from fleet_rlm.notebook.arguments import unquoted
from fleet_rlm.notebook.lookup import lookup, root, variables
from fleet_rlm.notebook.suggest import did_you_mean

INSERTED_CHARS = 10_000
"""The question stands in every prompt of a run, so a value beyond this belongs into `--with`, which sends it once."""

PATH_CHARS = 4_096
"""The longest path of the system; a longer text names no file."""

_ITEM = re.compile(r"""(?:"[^"]*"|'[^']*'|\[[^\]]*\]|[^,\["'])+""")
_RENAMED = re.compile(r"\s*([^\W\d]\w*)\s*=(?!=)\s*(.+)", re.DOTALL)
_FIELD = re.compile(r"(\\)?\{\{(.*?)\}\}", re.DOTALL)


def gather(written: Iterable[str], namespace: Mapping[str, Any]) -> dict[str, Any]:
    """Name in the sandbox -> value, for all lists given to `--with`.

    Raises:
        UsageError: a variable or path does not exist, or two values would share a name.
    """
    context: dict[str, Any] = {}
    for item in (item.strip() for text in written for item in _ITEM.findall(text)):
        name, source = _named(item)
        called, value = _found(source, namespace)
        name = name or _name_for(called)
        if name in context and context[name] is not value:
            raise UsageError(f"two values of --with would be called `{name}`; rename one: --with other={source}")
        context[name] = value
    return context


def texts_that_name_files(context: Mapping[str, Any]) -> list[str]:
    """A sentence for each text that is also the path of something there: its user may have meant what is there."""
    notes = []
    for name, text in context.items():
        if isinstance(text, str) and 0 < len(text) <= PATH_CHARS and os.path.exists(path := os.path.expanduser(text)):
            kind = "directory" if os.path.isdir(path) else "file"
            notes.append(f"`{name}` is the text {text!r}, not the {kind}; pass Path({text!r}) to have that read")
    return notes


def interpolate(text: str, namespace: Mapping[str, Any]) -> str:
    r"""The text with each `{{lookup}}` replaced by `str()` of its value; `\{{` stays two braces.

    Raises:
        UsageError: a lookup fails, or its value is too long to stand in a question.
    """

    def filled(field: re.Match[str]) -> str:
        if field[1]:
            return field[0][1:]
        inserted = str(lookup(field[2].strip(), namespace))
        if len(inserted) > INSERTED_CHARS:
            raise UsageError(
                f"{{{{{field[2].strip()}}}}} is {len(inserted):,} characters long, too long to stand in the question; "
                f"hand it over with --with {field[2].strip()}"
            )
        return inserted

    return _FIELD.sub(filled, text)


def _named(item: str) -> tuple[str | None, str]:
    renamed = _RENAMED.fullmatch(item)
    if renamed is None or os.path.exists(item):
        return None, item
    name, source = renamed.groups()
    if keyword.iskeyword(name):
        raise UsageError(f"`{name}` is a word of Python and cannot be the name of a value: --with {item}")
    return name, source


def _found(source: str, namespace: Mapping[str, Any]) -> tuple[str, Any]:
    """What is written as `source`: the text to name it after, and the value."""
    path = Path(unquoted(source)).expanduser()
    quoted, exists = source[:1] in "'\"", os.path.exists(path)
    name = None if quoted else root(source)
    if name in namespace:
        try:
            return source, lookup(source, namespace)
        except UsageError:
            if not exists:  # it does for `data.csv` with a variable `data` that has no `csv`
                raise
    if exists:
        return path.resolve().stem or "files", path
    if quoted or name is None:
        raise UsageError(f"there is no file or directory {str(path)!r}, and no variable could be called that")
    raise UsageError(
        f"there is no variable `{name}` and no file or directory {source!r}{did_you_mean(name, variables(namespace))}"
    )


def _name_for(text: str) -> str:
    """`cfg.data["k"]` -> `cfg_data_k`; `my notes` -> `my_notes`."""
    name = re.sub(r"\W+", "_", text).strip("_")
    if not name or name[0].isdigit():
        name = f"v_{name}"
    return f"{name}_" if keyword.iskeyword(name) else name
