"""Run one cell in a namespace: statements, a trailing value, SUBMIT, and errors with the lines that raised them.

Top-level `await` works. SUBMIT records its values and ends the cell even where a bare `except:` swallows it: while the
cell goes on regardless, the submission is raised in it again and again.
"""

from __future__ import annotations

import ast
import asyncio
import ctypes
import inspect
import linecache
import os
import sys
import threading
import traceback
from types import CodeType, TracebackType
from typing import Any, NoReturn

from .channel import NO_HOST
from .signals import IDLE, USER, Interrupts

VALUE_LIMIT = 10_000  # characters of a trailing value's repr
TRACEBACK_LIMIT = 20_000
MESSAGE_LIMIT = 5_000
_HERE = os.path.dirname(os.path.abspath(__file__)) + os.sep
AGAIN_S = 0.02  # before a swallowed SUBMIT is raised again
TYPES: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "float": (float, int),
    "bool": (bool,),
    "list": (list, tuple),
    "dict": (dict,),
    "NoneType": (type(None),),
}


class Submitted(BaseException):
    """Unwinds a cell after SUBMIT."""


class Submission:
    """SUBMIT of the running cell."""

    def __init__(self, interrupts: Interrupts) -> None:
        self.fields: list[dict[str, Any]] | None = None
        self.values: dict[str, Any] | None = None
        self._interrupts = interrupts
        self._over: threading.Event | None = None  # of the thread that insists, once there is one
        self._lock = threading.Lock()

    def begin(self) -> None:
        """A new cell starts."""
        self.values = self._over = None

    def submit(self, *args: Any, **kwargs: Any) -> None:
        """Record the final output and end the cell."""
        if self._interrupts.away:
            raise RuntimeError(NO_HOST)
        values = self._bound(args, kwargs)
        first = self.values is None
        self.values = values  # before the thread starts: on a busy machine it may insist before `start` returns
        if first:
            over = self._over = threading.Event()
            threading.Thread(target=self._insist, args=(over,), name="fleet-submit", daemon=True).start()
        raise Submitted

    def _bound(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        if self.fields is None:
            if len(args) > 1 or (args and kwargs) or not (args or kwargs):
                raise TypeError("SUBMIT takes one value, or values by name")
            return {"output": args[0]} if args else dict(kwargs)
        names = [field["name"] for field in self.fields]
        usage = f"SUBMIT({', '.join(names)})"
        if len(args) > len(names):
            raise TypeError(f"{usage} takes {len(names)} values, {len(args)} were given")
        values = dict(zip(names, args, strict=False))
        for name, given in kwargs.items():
            if name not in names:
                raise TypeError(f"{usage} has no field {name!r}")
            if name in values:
                raise TypeError(f"{usage} got two values for {name!r}")
            values[name] = given
        if missing := [name for name in names if name not in values]:
            raise TypeError(f"{usage} lacks {', '.join(map(repr, missing))}")
        for field in self.fields:
            wanted, given = field.get("type"), values[field["name"]]
            if wanted in TYPES and not _is(wanted, given):
                raise TypeError(f"{usage}: {field['name']!r} must be {wanted}, not {type(given).__name__}")
        return values

    def _insist(self, over: threading.Event) -> None:
        while not over.wait(AGAIN_S):
            with self._lock:
                if not over.is_set() and self._interrupts.region == USER:
                    _raise_in(self._interrupts.main, Submitted)

    def end(self) -> None:
        """The cell is over; nothing is raised in it any more."""
        if self._over is not None:
            with self._lock:
                self._over.set()
            _raise_in(self._interrupts.main, None)


def _is(wanted: str, given: Any) -> bool:
    """True if the value, or the Python value a numpy scalar stands for, is of the wanted type."""
    if getattr(given, "shape", None) == () and callable(getattr(given, "item", None)):
        given = given.item()
    return isinstance(given, TYPES[wanted]) and (wanted not in ("int", "float") or not isinstance(given, bool))


def _raise_in(thread: int, kind: type[BaseException] | None) -> None:
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), kind and ctypes.py_object(kind))


class Outcome:
    """How a cell ended, apart from what it printed."""

    value: Any = None
    has_value = False
    error: dict[str, str] | None = None


def run(code: str, number: int, namespace: dict[str, Any], submission: Submission, where: Interrupts) -> Outcome:
    """Execute the cell on the main thread. Everything it raises is in the outcome."""
    outcome = Outcome()
    name = f"<cell {number}>"
    linecache.cache[name] = (len(code), None, code.splitlines(keepends=True), name)
    try:
        parts = _compiled(code, name)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        outcome.error = describe(error, syntax=True)
        return outcome
    submission.begin()
    failure: BaseException | None = None
    try:
        try:
            where.begin()
            outcome.value = _evaluated(parts, namespace)
            outcome.has_value = outcome.value is not None
        finally:
            where.end()
            submission.end()
    except Submitted:
        where.end()
        submission.end()  # again, should the exception have struck inside the clean-up
    except BaseException as error:
        where.end()
        failure = error
    if where.away:
        _leave(failure)
    if failure is not None and submission.values is None:
        outcome.error = described(failure, where)
    return outcome


def _compiled(code: str, name: str) -> list[CodeType]:
    """The statements and, if the last one is an expression, that."""
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    tree = compile(code, name, "exec", ast.PyCF_ONLY_AST | flags, dont_inherit=True)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    parts = [compile(tree, name, "exec", flags, dont_inherit=True)]
    if last is not None:
        parts.append(compile(ast.Expression(last.value), name, "eval", flags, dont_inherit=True))
    return parts


def _evaluated(parts: list[CodeType], namespace: dict[str, Any]) -> Any:
    """The value of the last part. A cell that awaits anything runs in one event loop as a whole."""
    if any(map(_awaits, parts)):
        return asyncio.run(_awaited(parts, namespace))
    result = None
    for part in parts:
        result = eval(part, namespace)
    return result


async def _awaited(parts: list[CodeType], namespace: dict[str, Any]) -> Any:
    result = None
    for part in parts:
        result = eval(part, namespace)
        if _awaits(part):
            result = await result
    return result


def _awaits(part: CodeType) -> bool:
    return bool(part.co_flags & inspect.CO_COROUTINE)


def _leave(failure: BaseException | None) -> NoReturn:
    """End a process that the code forked and that came to the end of the cell, as a script would end."""
    status = 0 if failure is None else 1
    if isinstance(failure, SystemExit):
        status = failure.code if isinstance(failure.code, int) else int(failure.code is not None)
    elif failure is not None:
        print(describe(failure)["traceback"], end="", file=sys.stderr)
    os._exit(status & 0xFF)


def described(error: BaseException, where: Interrupts) -> dict[str, str]:
    """`describe`, as part of the cell: its `str` is code, which may take for ever."""
    try:
        where.region = USER
        return describe(error)
    except BaseException as interrupt:
        kind, reason = _kind(error), _kind(interrupt)
        return {"type": kind, "message": "", "traceback": f"{kind} (describing it ended in {reason})\n"}
    finally:
        where.region = IDLE


def _kind(error: BaseException) -> str:
    """The name of its type, whatever a metaclass makes of that."""
    name: str = type.__dict__["__name__"].__get__(type(error))
    return name


def describe(error: BaseException, *, syntax: bool = False) -> dict[str, str]:
    """Type, message and traceback, with the worker's own frames left out."""
    first = error.__traceback__
    while first is not None and not first.tb_frame.f_code.co_filename.startswith("<cell"):
        first = first.tb_next
    kind = _kind(error)
    try:
        message = str(error)
    except BaseException as broken:  # whatever its code raises, sys.exit() included
        message = f"<its str() raised {_kind(broken)}>"
    if isinstance(error, MemoryError):
        message = message or "the sandbox's memory limit was reached; work on parts of the data, or delete variables"
    if isinstance(error, SystemExit):
        message = f"exit({message}) only ends this cell; call SUBMIT(...) when the answer is ready"
    return {"type": kind, "message": _cut(message, MESSAGE_LIMIT), "traceback": _formatted(error, first, syntax)}


def _formatted(error: BaseException, first: TracebackType | None, syntax: bool) -> str:
    try:
        shown = traceback.TracebackException(type(error), error, None if syntax else first, compact=True)
        _leave_out_own_frames(shown)
        if isinstance(error, MemoryError) and not str(error):
            return "".join(shown.format()).rstrip() + ": the sandbox's memory limit was reached\n"
        return _cut("".join(shown.format()), TRACEBACK_LIMIT)
    except BaseException as broken:
        return f"{_kind(error)} (its traceback could not be formatted: {_kind(broken)})\n"


def _leave_out_own_frames(shown: traceback.TracebackException | None) -> None:
    """A tool that failed is the cell's last line; the way to the host behind it tells the reader nothing."""
    while shown is not None:
        shown.stack[:] = [frame for frame in shown.stack if not frame.filename.startswith(_HERE)]
        shown = shown.__cause__ or shown.__context__


def bounded_repr(value: Any) -> str:
    """repr() that stays short, in time as well as in characters, for large builtin containers."""
    if type(value) in (str, bytes) and len(value) > VALUE_LIMIT:
        return f"{value[: VALUE_LIMIT // 2]!r}... ({len(value):,} long)"
    if type(value) in (list, tuple, set, frozenset, dict) and len(value) > 2_000:
        items = iter(value.items() if isinstance(value, dict) else value)
        few = [next(items) for _ in range(20)]
        return _cut(f"{type(value).__name__} of {len(value):,}, starting {few!r}", VALUE_LIMIT)
    return _cut(repr(value), VALUE_LIMIT)


def _cut(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]}\n... {len(text) - limit:,} characters left out ...\n{text[-half:]}"
