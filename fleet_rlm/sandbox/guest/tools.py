"""Host tools as functions of the guest, also those that fork this process while they run.

The functions belong to whichever session serves this process, so that one kept under another name, or inside an
object, still works in a forked child.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from . import inbox, wire

if TYPE_CHECKING:
    from .session import Session

UNSET: Any = object()

GIVEN = "_context_given"
"""A child's variable: whether its `context` was passed to it, rather than inherited or made by its parent's code."""
_serving: list[Session] = []


def serve(session: Session) -> None:
    """Let every tool function of this process ask the host of this session."""
    _serving[:] = [session]


def forked() -> None:
    """This process was forked from one that serves."""
    for session in _serving:
        session.forked()


def function(name: str, kind: str) -> Callable[..., Any]:
    """The function the cell sees. `kind` is "plain", "forking" or "batched"."""

    def plain(*args: Any, **kwargs: Any) -> Any:
        return call(name, list(args), kwargs, [])

    def forking(prompt: Any, context: Any = UNSET, **kwargs: Any) -> Any:
        return call(name, [], {"prompt": prompt, **kwargs}, [context])

    def batched(prompts: Any, contexts: Any = None, return_exceptions: bool = False, **kwargs: Any) -> Any:
        return _call_batched(name, list(prompts), contexts, return_exceptions, kwargs)

    kinds: dict[str, Callable[..., Any]] = {"plain": plain, "forking": forking, "batched": batched}
    tool = kinds[kind]
    tool.__name__ = tool.__qualname__ = name
    return tool


def _call_batched(
    name: str, prompts: list[Any], contexts: Any, return_exceptions: bool, kwargs: dict[str, Any]
) -> list[Any]:
    given = [UNSET] * len(prompts) if contexts is None else list(contexts)
    if len(given) != len(prompts):
        raise ValueError(f"{name}: {len(prompts)} prompts but {len(given)} contexts")
    results: list[Any] = call(name, [prompts], kwargs, given)
    failures = [result for result in results if isinstance(result, Exception)]
    if failures and not return_exceptions:
        raise ExceptionGroup(f"{len(failures)} of {len(results)} {name} items failed", failures)
    return results


def call(name: str, args: list[Any], kwargs: dict[str, Any], contexts: list[Any]) -> Any:
    """Ask the host to run a tool; forks this process as often as the host asks meanwhile.

    `contexts` holds, per item of the call, what `context` is in a child forked for it.
    """
    session = _serving[0]
    channel = session.channel
    number, box = channel.open_box()
    try:
        session.output.flush()
        channel.send({"t": "call", "id": number, "name": name, "args": _lifted(args), "kwargs": wire.lifted(kwargs)})
        while True:
            header, parts, fds = channel.receive(box)
            if header["t"] == "ret":
                break
            bound = contexts[header["item"]]
            given = {GIVEN: False} if bound is UNSET else {GIVEN: True, "context": bound}
            session.fork_in_call(header, fds, given)
    finally:
        channel.close_box(number)
    if "error" in header:
        raise inbox.exception(header["error"]["type"], header["error"]["message"])
    return inbox.value(header["value"], parts, fds)


def _lifted(args: list[Any]) -> list[Any]:
    return [wire.lifted(arg) for arg in args]
