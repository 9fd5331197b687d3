"""The options of `%%fleet`, declared once: parsing, help, completion and the description of a plan read this table.

Each field of `Arguments` is an option. Words are split at white space outside quotation marks, and the marks are kept
until an option reads its value, because `--with` tells `"a path"` from a variable by them. Every mistake is a plain
`UsageError`, which IPython prints as one line.
"""

from __future__ import annotations

import dataclasses
import keyword
import re
import textwrap
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from IPython.core.error import UsageError

from fleet_rlm.notebook.suggest import did_you_mean

MODES = ("auto", "rlm_only", "tools_only", "direct")
SANDBOXES = ("local", "process")
POLICIES = ("auto", "edits", "ask")


@dataclass(frozen=True)
class Option:
    """How one field of `Arguments` is written.

    Attributes:
        flags: the ways to write it; the first is its name.
        value: the placeholder of its value in the help; none for a switch.
        help: one sentence.
        read: turns the written value into the field's; a ValueError says what was expected.
        choices: the only values there are, if they can be listed.
        repeats: values add up over several uses, and one may go on after a comma and a space.
    """

    flags: tuple[str, ...]
    help: str
    value: str | None = None
    read: Callable[[str], Any] = str
    choices: tuple[str, ...] = ()
    repeats: bool = False

    @property
    def usage(self) -> str:
        """The option as the help writes it: `-h, --help` or `--budget N`."""
        return ", ".join(self.flags) + (f" {self.value}" if self.value else "")


def _option(*flags: str, default: Any = None, **described: Any) -> Any:
    return dataclasses.field(default=default, metadata={"option": Option(flags, **described)})


def _whole(least: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not re.fullmatch(r"[+-]?\d+", text) or int(text) < least:
            raise ValueError(f"a whole number of at least {least}")
        return int(text)

    return read


def _positive(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise ValueError("a number above 0")
    return number


def _variable(text: str) -> str:
    if not text.isidentifier() or keyword.iskeyword(text):
        raise ValueError("the name of a variable")
    return text


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """One `%%fleet` line, read. A field that was not given has its default, and the engine's default then holds."""

    context: tuple[str, ...] = _option(
        "--with",
        default=(),
        value="A,B",
        repeats=True,
        help="what to answer from: variables (also cfg.data, d['k'], xs[0]) and paths of files or directories; "
        "name=A gives it another name",
    )
    output: str | None = _option(
        "-o", value="VAR", read=_variable, help="bind the answer to VAR when the run ends; until then VAR is None"
    )
    model: str | None = _option("--model", value="M", help="the model that thinks, e.g. openai/gpt-5 (%fleet models)")
    sub_model: str | None = _option("--sub-model", value="M", help="the model of sub-queries; else that of --model")
    budget: int | None = _option(
        "--budget", value="N", read=_whole(1), help="model calls the whole run may make, sub-queries included"
    )
    usd: float | None = _option("--usd", value="X", read=_positive, help="US dollars the whole run may cost")
    timeout: float | None = _option("--timeout", value="S", read=_positive, help="seconds the whole run may take")
    depth: int | None = _option(
        "--depth",
        value="N",
        read=_whole(0),
        help="levels of recursion: 0 allows no sub-calls, 1 sub-queries (llm_query), 2 (the default) sub-RLMs too",
    )
    concurrency: int | None = _option("--concurrency", value="N", read=_whole(1), help="sub-queries in flight at once")
    mode: str = _option(
        "--mode",
        default="auto",
        value="|".join(MODES),
        choices=MODES,
        help="auto lets the agent decide; rlm_only always recurses, tools_only never does, direct asks the model once",
    )
    sandbox: str | None = _option(
        "--sandbox",
        value="|".join(SANDBOXES),
        choices=SANDBOXES,
        help="where generated code runs: local is confined; process is a separate process without confinement",
    )
    approve: str | None = _option(
        "--approve",
        value="|".join(POLICIES),
        choices=POLICIES,
        help="which tools of the agent wait for your answer: auto (the default) none, edits those that fetch or clone, "
        "ask those that write to the session's memory and buffers too",
    )
    tools: tuple[str, ...] = _option(
        "--tools",
        default=(),
        value="F,G",
        repeats=True,
        help="functions of this notebook that the agent may call; they run in this kernel, --approve asks about them",
    )
    record: str | None = _option("--record", value="FILE", help="append the models' replies to FILE")
    replay: str | None = _option(
        "--replay", value="FILE", help="answer from the replies in FILE; no model is called and no key is needed"
    )
    session: str | None = _option(
        "--session", value="NAME", help="go on with this session from here on; it is made if there is none"
    )
    no_session: bool = _option("--no-session", default=False, help="ask outside of the session this kernel is in")
    plan: bool = _option(
        "--plan", default=False, help="show what would happen and what would be sent first; no model is called"
    )
    quiet: bool = _option("--quiet", default=False, help="show the answer only")
    detach: bool = _option(
        "--detach", default=False, help="return at once; the run goes on, see %fleet status and %fleet stop"
    )
    help: bool = _option("-h", "--help", default=False, help="show this help")


def options() -> dict[str, Option]:
    """Field of `Arguments` -> its option, in the order of the help."""
    return {field.name: field.metadata["option"] for field in dataclasses.fields(Arguments)}


def option_of(flag: str) -> tuple[str, Option] | None:
    """The field and option written as `flag`, or None."""
    return next(((name, option) for name, option in options().items() if flag in option.flags), None)


def flags() -> list[str]:
    """Every way to write an option."""
    return [flag for option in options().values() for flag in option.flags]


def parse(line: str) -> Arguments:
    """The options of a `%%fleet` line.

    Raises:
        UsageError: an unknown option, a missing or unusable value, or text that belongs into the body.
    """
    words = iter(split_words(line))
    values: dict[str, Any] = {}
    for word in words:
        found = option_of(word.partition("=")[0])
        if found is None:
            raise UsageError(_stray(word))
        name, option = found
        value = value_of(option, word, words)
        values[name] = (*values.get(name, ()), value) if option.repeats else value
    return Arguments(**values)


def value_of(option: Option, word: str, rest: Iterator[str]) -> Any:
    """The value of the option that `word` writes, where it has none itself taken from the words behind it.

    Raises:
        UsageError: it is missing or unusable.
    """
    flag, given, written = word.partition("=")
    if option.value is None:
        if given:
            raise UsageError(f"{flag} takes no value")
        return True
    if not given:
        written = next(rest, "")
    if not written or (not given and option_of(written)):
        raise UsageError(f"{flag} needs a value: {option.usage}")
    if not option.repeats:
        return _read(flag, option, unquoted(written))
    while written.endswith(","):
        written += next(rest, "") or _missing(flag, option)
    return written


def split_words(line: str) -> list[str]:
    """The words of a line; a part in quotation marks does not end a word and keeps its marks.

    Raises:
        UsageError: a quotation mark is not closed.
    """
    words = re.findall(r"""(?:"[^"]*"|'[^']*'|[^\s"'])+""", line)
    if "".join(words) != re.sub(r"""("[^"]*"|'[^']*')|\s+""", lambda part: part[1] or "", line):
        raise UsageError(
            "a quotation mark on the %%fleet line is not closed; the question itself goes on the lines below it"
        )
    return words


def unquoted(text: str) -> str:
    """The text without the quotation marks around it."""
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"" else text


def asks_for_help(words: Iterable[str]) -> bool:
    """Whether a line asks what it could be; in quotation marks the words are a name."""
    return not {"-h", "--help"}.isdisjoint(words)


def help_text() -> str:
    """What `%%fleet -h` and `%%fleet?` show."""
    return "\n".join(
        [
            "Ask a question; the answer is worked out from variables, files and directories of this notebook.",
            "",
            "    %%fleet [options]",
            "    the question, on as many lines as it takes; {{name}} is replaced by the value of a variable",
            "",
            *_described(),
            "",
            "The run is bound to _run before the first model call, the answer to the variable of -o when the run ends;",
            "a session the cell is in is bound to _session.",
            "Stop it with the Stop button or by interrupting the kernel: the trace is kept in _run. A run without an",
            "answer fails its cell. `%fleet help` lists what else there is.",
        ]
    )


def given(arguments: Arguments) -> str:
    """The options that differ from their defaults, as they could be written again."""
    parts = []
    for field in dataclasses.fields(Arguments):
        value, option = getattr(arguments, field.name), options()[field.name]
        if value == field.default:
            continue
        written = ",".join(value) if option.repeats else "" if value is True else str(value)
        parts.append(f"{option.flags[0]} {written}".rstrip())
    return " ".join(parts)


def _described() -> Iterator[str]:
    for option in options().values():
        yield f"  {option.usage}"
        yield from textwrap.wrap(option.help, 100, initial_indent=" " * 8, subsequent_indent=" " * 8)


def _read(flag: str, option: Option, written: str) -> Any:
    if option.choices and written not in option.choices:
        known = ", ".join(option.choices)
        raise UsageError(f"{flag} {written}: choose one of {known}{did_you_mean(written, option.choices)}")
    try:
        return option.read(written)
    except ValueError as error:
        raise UsageError(f"{flag} needs {error}, not {written!r}") from error


def _missing(flag: str, option: Option) -> str:
    raise UsageError(f"{flag} ends in a comma: {option.usage}")


def _stray(word: str) -> str:
    if word.startswith("-"):
        meant = did_you_mean(word.partition("=")[0], flags())
        return f"%%fleet has no option {word}{meant or '; %%fleet -h lists them'}"
    if f"--{word}" in flags():
        return f"{word!r} on the %%fleet line is not an option; did you mean --{word}?"
    return f"{word!r} on the %%fleet line is not an option; the question goes on the lines below it"
