"""Host tools as functions of the guest, also those that fork this process while they run."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from . import inbox, wire

if TYPE_CHECKING:
    from .session import Session

UNSET: Any = object()


def function(session: Session, name: str, kind: str) -> Callable[..., Any]:
    """The function the cell sees. `kind` is "plain", "forking" or "batched"."""
    if kind == "plain":

        def tool(*args: Any, **kwargs: Any) -> Any:
            return call(session, name, list(args), kwargs)

    elif kind == "forking":

        def tool(prompt: Any, context: Any = UNSET, **kwargs: Any) -> Any:
            return call(session, name, [], {"prompt": prompt, **kwargs}, [context])

    else:

        def tool(prompts: Any, contexts: Any = None, return_exceptions: bool = False, **kwargs: Any) -> Any:
            return _call_batched(session, name, list(prompts), contexts, return_exceptions, kwargs)

    tool.__name__ = tool.__qualname__ = name
    tool.kind = kind  # type: ignore[attr-defined]
    return tool


def _call_batched(
    session: Session, name: str, prompts: list[Any], contexts: Any, return_exceptions: bool, kwargs: dict[str, Any]
) -> list[Any]:
    given = [UNSET] * len(prompts) if contexts is None else list(contexts)
    if len(given) != len(prompts):
        raise ValueError(f"{name}: {len(prompts)} prompts but {len(given)} contexts")
    results: list[Any] = call(session, name, [prompts], kwargs, given)
    failures = [result for result in results if isinstance(result, Exception)]
    if failures and not return_exceptions:
        raise ExceptionGroup(f"{len(failures)} of {len(results)} {name} items failed", failures)
    return results


def call(
    session: Session, name: str, args: list[Any], kwargs: dict[str, Any], contexts: list[Any] | None = None
) -> Any:
    """Ask the host to run a tool; forks this process as often as the host asks meanwhile.

    `contexts` holds, per item of the call, what `context` is in a child forked for it.
    """
    channel = session.channel
    number, box = channel.open_box()
    try:
        session.output.flush()
        channel.send({"t": "call", "id": number, "name": name, "args": _lifted(args), "kwargs": wire.lifted(kwargs)})
        while True:
            header, parts, fds = channel.receive(box)
            if header["t"] == "ret":
                break
            session.fork(header, fds, {} if (bound := contexts[header["item"]]) is UNSET else {"context": bound})
    finally:
        channel.close_box(number)
    if "error" in header:
        raise inbox.exception(header["error"]["type"], header["error"]["message"])
    return inbox.value(header["value"], parts, fds)


def _lifted(args: list[Any]) -> list[Any]:
    return [wire.lifted(arg) for arg in args]
