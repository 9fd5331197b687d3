"""When a signal may reach the code: inside a cell, also while it waits, and never half-way through a frame.

This holds for an interrupt (SIGINT, which raises KeyboardInterrupt) and for every handler that code installs: one that
raises, such as the usual time limit by `signal.alarm`, would otherwise leave half a frame on the wire. What comes
while a frame is read or written is handled after it; what comes between cells concerns nobody.
"""

from __future__ import annotations

import collections
import functools
import signal
import threading
from _signal import getsignal as installed  # signal.getsignal looks for an enum's member, for 6 us
from collections.abc import Callable
from types import FrameType
from typing import Any

IDLE, USER, GUARDED, WAITING = range(4)
TIMERS = (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)
Handle = Callable[[int, FrameType | None], Any]


class Interrupts:
    """Where the main thread is, and so whether a signal may be handled now."""

    def __init__(self) -> None:
        self.region = IDLE
        self.main = threading.get_ident()
        self.away = False  # in a process that the code forked: there is no host
        self._late: collections.deque[tuple[Handle, int]] = collections.deque()
        _current[:] = [self]
        signal.signal(signal.SIGINT, _interrupt)
        self._installed = installed(signal.SIGINT)

    def handle(self, handler: Handle, number: int, frame: FrameType | None) -> None:
        """A signal came that has this handler."""
        if self.region == GUARDED:
            self._late.append((handler, number))
        elif self.region != IDLE:
            before, self.region = self.region, USER
            try:
                handler(number, frame)
            except BaseException:
                self.region = USER if before == USER else GUARDED  # out of a wait, through wire code
                raise
            self.region = before

    def begin(self) -> None:
        """A cell starts: it can be interrupted, whatever an earlier one did to the handler."""
        self._late.clear()
        if installed(signal.SIGINT) is not self._installed:
            signal.signal(signal.SIGINT, _interrupt)
            self._installed = installed(signal.SIGINT)
        self.region = USER

    def end(self) -> None:
        """A cell is over, and so are the timers it set: they would strike the next one."""
        self.region = IDLE
        for timer in TIMERS:
            signal.setitimer(timer, 0)

    def guard(self) -> int | None:
        """Enter wire code; returns what `release` needs, or None on any thread but the main one."""
        if threading.get_ident() != self.main:
            return None
        region, self.region = self.region, GUARDED if self.region != IDLE else IDLE
        return region

    def release(self, region: int | None) -> None:
        """Leave wire code. Handles what came meanwhile, if the cell may have it."""
        if region is None:
            return
        self.region = region
        if region == USER:
            self._catch_up()

    def wait(self, region: int | None, block: Callable[[], Any]) -> None:
        """Block in wire code entered from `region`; a signal for the cell is handled at once and may raise."""
        if region != USER:
            block()
            return
        self.region = WAITING
        self._catch_up()
        block()
        self.region = GUARDED

    def _catch_up(self) -> None:
        while self._late:
            handler, number = self._late.popleft()
            self.handle(handler, number, None)


_current: list[Interrupts] = []  # of the session that this process serves


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


class _Deferred:
    """A handler of the code as Python is given it."""

    def __init__(self, handler: Handle) -> None:
        self.handler = handler

    def __call__(self, number: int, frame: FrameType | None) -> None:
        _current[0].handle(self.handler, number, frame)


def defer() -> None:
    """Let `signal.signal` install handlers that wait for their time; `signal.getsignal` tells what was installed."""
    install, ask = signal.signal, signal.getsignal

    @functools.wraps(install)
    def deferring(signalnum: Any, handler: Any) -> Any:
        return _plain(install(signalnum, _Deferred(handler) if callable(handler) else handler))

    @functools.wraps(ask)
    def asked(signalnum: Any) -> Any:
        return _plain(ask(signalnum))

    signal.signal, signal.getsignal = deferring, asked


def _plain(handler: Any) -> Any:
    return handler.handler if isinstance(handler, _Deferred) else handler
