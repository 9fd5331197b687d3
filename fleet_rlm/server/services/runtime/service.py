"""RuntimeService: the settings of this server, and checks of what it relies on.

What may be changed cannot lead a key anywhere: a model is named by a provider whose address is known here, never by an
address. A change holds for kernels that are started afterwards, until the server ends.
"""

from __future__ import annotations

import datetime
import json
import re
import time
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any, Literal, get_args

from fleet_rlm import __version__
from fleet_rlm.core.errors import FleetError
from fleet_rlm.core.redaction import SECRET_NAME
from fleet_rlm.core.settings import Settings
from fleet_rlm.lm.providers import KEYS
from fleet_rlm.server.services.errands import Errands
from fleet_rlm.server.services.errors import Forbidden, Refused, ServiceError
from fleet_rlm.server.services.health.readiness import Readiness
from fleet_rlm.server.services.kernels.service import Kernels
from fleet_rlm.server.services.lm.grants import Grant
from fleet_rlm.server.services.lm.service import Gateway
from fleet_rlm.server.services.lm.upstream import BASES, OFFLINE, Upstream, models_of
from fleet_rlm.server.services.owner import Owner
from fleet_rlm.server.services.runs.live import LiveRuns
from fleet_rlm.server.services.runtime.models import Checked, Key, PatchSettings, RuntimeSettings, RuntimeStatus

KEYS_OF_MODELS: tuple[Key, ...] = ("FLEET_LM", "FLEET_SUB_LM")
SHOWN = (*Settings.VARIABLES.values(), "FLEET_LM_ALLOW", "FLEET_SANDBOX_TIER", "AUTH_MODE", "APP_ENV", "PUBLIC_URL")
_MODEL = re.compile(r"(?P<provider>[a-z_]+)/[A-Za-z0-9][A-Za-z0-9._:/-]*")
_NUMBER = re.compile(r"[0-9]{1,9}")
_USER_INFO = re.compile(r"://[^\s/@]*@")

QUESTION = "Reply with the one word: ready"


class RuntimeService:
    """The runtime of one server.

    Args:
        environ: the server's variables, as kernels started from now on are given them.
        gateway, kernels, errands, readiness: the other services.
        live: the runs that go on.
        base: the server's FLEET_HOME.
    """

    def __init__(
        self,
        environ: MutableMapping[str, str],
        *,
        gateway: Gateway,
        kernels: Kernels,
        live: LiveRuns,
        errands: Errands,
        readiness: Readiness,
        base: Path,
    ) -> None:
        self._environ = environ
        self._begun_with = dict(environ)
        self._gateway = gateway
        self._kernels = kernels
        self._live = live
        self._errands = errands
        self._readiness = readiness
        self._base = base
        self._checks: dict[str, Checked] = {}

    def settings(self, app_env: str) -> RuntimeSettings:
        """What is set; secrets are not told."""
        names = dict.fromkeys([*SHOWN, *(name for provider in KEYS.values() for name in provider)])
        values = {name: _masked(name, self._environ.get(name)) for name in names}
        changeable: list[Key] = list(get_args(Key)) if app_env == "local" else []
        return RuntimeSettings(app_env=app_env, changeable=changeable, values=values)

    def change(self, app_env: str, asked: PatchSettings) -> RuntimeSettings:
        """Change settings, all of them or none.

        Raises:
            Forbidden: this server's settings are its administrator's.
            Refused: a value is none of that setting.
            UserError: a model has no key here.
        """
        if app_env != "local":
            raise Forbidden(f"settings are changed where the server is started: APP_ENV is {app_env}")
        changed = dict(self._environ)
        for name, value in asked.updates.items():
            given = value if value is not None else self._begun_with.get(name)
            if value is not None:
                _check(name, value)
            changed.pop(name, None)
            if given is not None:
                changed[name] = given
        Settings.from_environ(changed)
        models = models_of(changed)
        for name in asked.updates:
            self._environ.pop(name, None)
            if name in changed:
                self._environ[name] = changed[name]
        self._gateway.models = models
        self._readiness.model.forget()
        return self.settings(app_env)

    async def status(self, app_env: str, provider: Any) -> RuntimeStatus:
        """How it is doing."""
        models = self._gateway.models
        main = models.main.alias if models.main is not None else OFFLINE
        return RuntimeStatus(
            version=__version__,
            app_env=app_env,
            model=main,
            sub_model=models.sub.alias if models.sub is not None else main,
            models=list(models.known),
            kernels=self._kernels.own,
            runs_working=self._live.working,
            readiness=await self._readiness.check(provider),
            checks=list(self._checks.values()),
        )

    async def check_lm(self, owner: Owner) -> Checked:
        """Ask the model one short question."""
        main = self._gateway.models.main
        if main is None:
            found = "no model is configured: fleet/offline, a set of rules, answers; set FLEET_LM"
            return self._kept("lm", True, 0.0, found)
        return await self._checked("lm", lambda: self._asked(main, owner))

    async def check_sandbox(self) -> Checked:
        """Start a sandbox and let it compute."""

        async def tried() -> str:
            told = await self._errands.run("sandbox", self._base)
            return f"{told['name']}, {told['isolation']}: started and computed in {told['latency_ms']:.0f} ms"

        return await self._checked("sandbox", tried)

    async def _asked(self, model: Upstream, owner: Owner) -> str:
        body = {"model": model.alias, "messages": [{"role": "user", "content": QUESTION}]}
        grant = Grant("check", owner, time.monotonic() + 60, calls=1, tokens=None)
        async with self._gateway.chat(grant, json.dumps(body).encode()) as passed:
            answer = b"".join([piece async for piece in passed.body])
        if passed.status != 200:
            raise ServiceError(f"the provider of {model.alias} answered with {passed.status}")
        return f"{model.alias} answered: {_content(answer)}"

    async def _checked(self, kind: Literal["lm", "sandbox"], attempt: Callable[[], Awaitable[str]]) -> Checked:
        begun = time.perf_counter()
        try:
            ok, detail = True, await attempt()
        except FleetError as error:
            ok, detail = False, str(error)
        return self._kept(kind, ok, (time.perf_counter() - begun) * 1000, detail)

    def _kept(self, kind: Literal["lm", "sandbox"], ok: bool, latency_ms: float, detail: str) -> Checked:
        at = datetime.datetime.now(datetime.UTC)
        found = Checked(kind=kind, ok=ok, checked_at=at, latency_ms=round(latency_ms, 1), detail=detail)
        self._checks[kind] = found
        (self._readiness.model if kind == "lm" else self._readiness.sandbox).forget()
        return found


def _check(name: Key, value: str) -> None:
    if name not in KEYS_OF_MODELS:
        if not _NUMBER.fullmatch(value):
            raise Refused(f"{name} must be a whole number of at most nine digits")
        return
    match = _MODEL.fullmatch(value)
    if value != OFFLINE and (match is None or match["provider"] not in BASES or "//" in value):
        known = ", ".join(BASES)
        raise Refused(f"{name} must be {OFFLINE} or PROVIDER/MODEL with one of {known}; addresses are not taken here")


def _masked(name: str, value: str | None) -> str | None:
    if value is None or value == "":
        return None
    return "(set)" if SECRET_NAME.search(name) else _USER_INFO.sub("://", value)


def _content(answer: bytes) -> str:
    try:
        text = json.loads(answer)["choices"][0]["message"]["content"]
    except (ValueError, KeyError, IndexError, TypeError, RecursionError):
        raise ServiceError("the provider's answer is no chat completion; is its address that of an API?") from None
    return " ".join(str(text).split())[:100]
