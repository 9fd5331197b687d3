"""Tab on a `%%fleet` or `%fleet` line: options, their values, variables, paths, subcommands, runs and spans.

A matcher of IPython's completer, so every front end gets it from the kernel. What it knows comes from the table in
`arguments`; only the names of models and runs are asked for elsewhere, when they are wanted.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable, Mapping
from typing import Any

from IPython.core.completer import CompletionContext, SimpleCompletion, SimpleMatcherResult, context_matcher
from IPython.core.error import UsageError
from IPython.core.getipython import get_ipython

from fleet_rlm.notebook import arguments
from fleet_rlm.notebook.functions import functions
from fleet_rlm.notebook.lookup import variables

_LINE = re.compile(r"\s*(%%?)fleet\s+(.*)", re.DOTALL)


@context_matcher(identifier="fleet_rlm.magic")  # type: ignore[untyped-decorator]
def fleet_matcher(context: CompletionContext) -> SimpleMatcherResult:
    """The completions at the cursor; none outside the magic line of a cell."""
    line = _LINE.fullmatch(context.full_text[: context.cursor_position]) if context.cursor_line == 0 else None
    if line is None:
        return {"completions": [], "matched_fragment": ""}
    shell = get_ipython()
    namespace = shell.user_ns if shell is not None else {}
    percent, written = line.groups()
    word = re.split(r"[\s,=]", written)[-1]
    earlier = written[: len(written) - len(word)]
    offered = _for_question(earlier, word, namespace) if percent == "%%" else _for_subcommand(earlier, namespace)
    kinds = offered if isinstance(offered, dict) else dict.fromkeys(offered, "param")
    found = sorted(text for text in kinds if text.startswith(word))
    return {
        "completions": [SimpleCompletion(text, type=kinds[text]) for text in found],
        "suppress": True,
        "matched_fragment": word,
    }


def _for_question(earlier: str, word: str, namespace: Mapping[str, Any]) -> Iterable[str]:
    flags = earlier.replace("=", " ").split()
    last = next((flag for flag in reversed(flags) if flag.startswith("-")), "")
    found = arguments.option_of(last)
    expects_value = found is not None and found[1].value is not None and (flags[-1] == last or flags[-1].endswith(","))
    if not expects_value or found is None:
        return arguments.flags()
    name, option = found
    if name == "context":
        return [*variables(namespace), *_paths(word)]
    if name == "tools":
        return functions(namespace)
    if name in ("model", "sub_model"):
        from fleet_rlm.lm.resolve import known_models

        models: list[str] = known_models()
        return models
    if name == "session":
        from fleet_rlm.notebook.sessions import session_names

        return map(_written, session_names())
    return variables(namespace) if name == "output" else option.choices


def _written(name: str) -> str:
    """A name as one word of the line: in quotation marks where it would be several, or an option."""
    mark = "'" if '"' in name else '"'
    return f"{mark}{name}{mark}" if name.startswith("-") or re.search(r"""[\s"']""", name) else name


def _for_subcommand(earlier: str, namespace: Mapping[str, Any]) -> Iterable[str]:
    from fleet_rlm.notebook.goingon import VERBS, known_options
    from fleet_rlm.notebook.runs import RUNS
    from fleet_rlm.notebook.subcommands import OF_A_RUN, PLAIN, options_of

    words = earlier.split()
    if not words:
        return [*OF_A_RUN, *VERBS, "diff", "session", *PLAIN]
    if words[0] == "session":
        return _for_session(words[1:])
    if words[0] not in (*OF_A_RUN, *VERBS, "diff"):
        return ()
    flags = known_options(words[0]) if words[0] in VERBS else options_of(words[0])
    if words[-1] in flags and flags[words[-1]][1].value:
        return ()
    if words[0] == "branch" and (named := _named(words[1:], flags)):
        return (_spans(named[0], namespace) if len(named) == 1 else {}) | dict.fromkeys(flags, "param")
    return [*(run.id for run in reversed(RUNS.all())), *flags]


def _named(words: list[str], flags: Mapping[str, tuple[str, arguments.Option]]) -> list[str]:
    """The words that are neither options nor their values."""
    before = ["", *words]
    return [
        word
        for flag, word in zip(before, words, strict=False)
        if not word.startswith("-") and not (flag in flags and flags[flag][1].value)
    ]


def _spans(run: str, namespace: Mapping[str, Any]) -> dict[str, str]:
    """The spans of a run at which a branch can change something, and what each is; none where there is no such run."""
    from fleet_rlm.core.journal import EDITS
    from fleet_rlm.core.report.lines import title
    from fleet_rlm.notebook.runs import RUNS

    try:
        found = RUNS.find(run, namespace)
    except UsageError:
        return {}
    return {span.id: title(span) for span in list(found.tree.spans.values()) if span.type in EDITS}


def _for_session(words: list[str]) -> Iterable[str]:
    from fleet_rlm.notebook.sessions import COMMANDS, session_names

    if not words:
        return COMMANDS
    return (
        map(_written, session_names())
        if words[0] in ("use", "show", "rename", "export", "delete") and len(words) == 1
        else ()
    )


def _paths(word: str) -> list[str]:
    """Files and directories that begin with the word; silent until there is one, or they would bury the variables."""
    found = glob.glob(glob.escape(word) + "*") if word else []
    return [path + os.sep if os.path.isdir(path) else path for path in found]
