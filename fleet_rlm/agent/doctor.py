"""Whether everything a run needs is there, each thing tried and not guessed, and what to do where it is not.

No model is called: a key that exists may still be refused.
"""

from __future__ import annotations

import importlib.metadata
import importlib.resources
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass

from fleet_rlm.core.errors import FleetError, UserError
from fleet_rlm.core.loop import run_sync
from fleet_rlm.core.settings import Settings


@dataclass(frozen=True)
class Check:
    """One thing that was tried.

    Attributes:
        name: what was tried.
        ok: whether a run can rely on it.
        detail: what was found.
        way_out: what to do about it; "" where nothing needs to be done.
    """

    name: str
    ok: bool
    detail: str
    way_out: str = ""


def checks() -> list[Check]:
    """All checks, in the order in which a run meets them; loads dspy and starts a sandbox, so takes seconds."""
    try:
        settings = Settings.from_environ()
    except UserError as error:
        return [_python(), Check("settings", False, str(error), "unset the variable, or give it a value of that kind")]
    return [
        _python(),
        _package("dspy", "3.4.1", "3.5"),
        _tried("model", lambda: _model(settings)),
        _tried("sandbox", lambda: _sandbox(settings)),
        _tried("home", lambda: _home(settings)),
        _package("ipython", "8.20"),
        _package("ipywidgets", "8.1"),
        _package("anywidget", "0.9.21"),
        _widget(),
    ]


def _tried(name: str, check: Callable[[], Check]) -> Check:
    """The check, whatever it meets: what it cannot bear is what it has found."""
    try:
        return check()
    except Exception as error:
        return Check(name, False, f"{type(error).__name__}: {error}")


def _python() -> Check:
    found = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    fits = sys.version_info >= (3, 11)
    return Check("python", fits, found, "" if fits else "use Python 3.11 or newer")


def _package(name: str, least: str, below: str = "") -> Check:
    wanted = f"{name}>={least}" + (f",<{below}" if below else "")
    try:
        found = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return Check(name, False, "not installed", f"pip install '{wanted}'")
    fits = _parts(found) >= _parts(least) and (not below or _parts(found) < _parts(below))
    return Check(name, fits, found, "" if fits else f"pip install '{wanted}'")


def _parts(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:3] if part.isdigit())


def _model(settings: Settings) -> Check:
    from fleet_rlm.lm.resolve import resolve  # dspy: seconds

    try:
        found = resolve(None, settings=settings)
    except FleetError as error:
        return Check("model", False, str(error))
    if found.offline:
        detail = f"{found.name}, a rule-based stand-in, not a language model"
        return Check("model", True, detail, "set FLEET_LM (and the provider's key) to have a language model answer")
    return Check("model", True, f"{found.name} (not called)")


def _sandbox(settings: Settings) -> Check:
    from fleet_rlm.sandbox.registry import sandbox_named

    async def started() -> str:
        sandbox = sandbox_named(settings.sandbox, least=settings.sandbox_tier)
        begun = time.perf_counter()
        try:
            await sandbox.astart()
            result = await sandbox.aexecute("print(6 * 7)", timeout=30)
            if result.stdout.strip() != "42":
                raise UserError(f"the sandbox started, but computed {result.text()!r} for 6 * 7")
            took = (time.perf_counter() - begun) * 1000
            return f"{settings.sandbox}, {sandbox.isolation.summary()} (started and computed in {took:.0f} ms)"
        finally:
            await sandbox.aclose()

    try:
        return Check("sandbox", True, run_sync(started()))
    except FleetError as error:
        return Check("sandbox", False, str(error))


def _home(settings: Settings) -> Check:
    try:
        settings.home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=settings.home):
            return Check("home", True, str(settings.home))
    except OSError as error:
        way_out = "set FLEET_HOME to a directory you may write to; until then traces are kept in memory only"
        return Check("home", False, f"cannot write to {settings.home}: {error.strerror}", way_out)


def _widget() -> Check:
    bundle = importlib.resources.files("fleet_rlm").joinpath("_static", "widget.js")
    if bundle.is_file():
        return Check("widget", True, f"bundle of {len(bundle.read_bytes()) / 1000:.0f} kB")
    return Check("widget", False, "the bundle is not built", "in a checkout: make widget; a wheel brings it along")
