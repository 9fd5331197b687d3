"""Effects: which calls of tools have changed the session, so that each changes it once, however often its run goes on.

A run that goes on calls its tools again for what they leave behind, and finds the session as it is: before those calls
where its kernel was killed, after them where it was not. So a tool changes the session inside of `once`, which knows
the call by its run, its step and its arguments. The marks are saved in one revision with what the calls changed.
"""

from __future__ import annotations

import contextlib
import contextvars
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fleet_rlm.core.journal import digest


@dataclass(frozen=True)
class Call:
    """A tool call of an agent.

    Attributes:
        run: in which it is made.
        mark: of its place and arguments, the same whenever the run goes on.
        of: the run it was recorded in first, where that is another: the one a branch came from.
    """

    run: str
    mark: str
    of: str | None = None


class Effects:
    """The marks of one session, by run.

    Attributes:
        lock: held while the session is changed; whoever saves both it and the marks holds it too.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._marks: dict[str, dict[str, None]] = {}

    @contextlib.contextmanager
    def once(self) -> Iterator[bool]:
        """Change the session inside, if the value is True: the calling tool has not done so. Outside of a tool call of
        an agent it always is."""
        call = _CALL.get()
        with self.lock:
            if call is None:
                yield True
                return
            done = self._marks.setdefault(call.run, {})
            yield call.mark not in done and call.mark not in self._marks.get(call.of or "", {})
            done[call.mark] = None

    def of(self, run: str) -> list[str]:
        """The marks of a run, as a session keeps them."""
        return list(self._marks.get(run, {}))

    def recall(self, run: str, marks: Iterable[str]) -> None:
        """The session is as these calls of a run have left it."""
        self._marks[run] = dict.fromkeys(marks)


_CALL: contextvars.ContextVar[Call | None] = contextvars.ContextVar("fleet_rlm_call", default=None)


@contextlib.contextmanager
def calling(run: str, step: int, name: str, arguments: Mapping[str, Any], of: str | None = None) -> Iterator[None]:
    """Inside, an agent's tool is called.

    Args:
        of: the run it is recorded in, if that is another one.
    """
    token = _CALL.set(Call(run, digest(step, name, arguments), of))
    try:
        yield
    finally:
        _CALL.reset(token)
