"""What the environment sets, read once per run and in one place.

Every field is named with its variable; `%fleet config` and `fleet doctor` show them. Models and their keys are
resolved in `fleet_rlm.lm.resolve`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from fleet_rlm.core.errors import UserError

TIERS = ("confined", "confined+ns")
"""How strong a local sandbox is, the least first."""


def _home() -> Path:
    from platformdirs import user_data_path

    return user_data_path("fleet-rlm")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of this process.

    Attributes:
        lm: FLEET_LM, the model that answers.
        sub_lm: FLEET_SUB_LM, the model of sub-queries and children; the same model if unset.
        sandbox: FLEET_SANDBOX, where generated code runs.
        sandbox_tier: FLEET_SANDBOX_TIER, the least confinement a local sandbox may have: "confined", or "confined+ns",
            which refuses to start where namespaces are not allowed.
        home: FLEET_HOME, where the logs and artifacts of runs are kept.
        window: FLEET_WINDOW, tokens of context of a model whose window is not known, such as one on your own server.
        direct_chars: FLEET_DIRECT_CHARS, the largest context in characters that is answered without recursion.
        database_url: DATABASE_URL, the Postgres that keeps sessions and runs; unset, a SQLite file in the home does.
        keep_mb: FLEET_KEEP_MB, room in megabytes for the data of runs, kept so that they can be resumed; 0 keeps none.
        roots: FLEET_ROOTS, directories whose files a session's agent may load, separated by ":"; the current directory
            if unset.
        closed: FLEET_CLOSED, directories and files that no agent reads besides the home, inside of roots too, separated
            by ":"; a server names here for its kernels what is its own.
        fetch_allow: FLEET_FETCH_ALLOW, hosts with private addresses that may be fetched, separated by commas.
    """

    lm: str | None = None
    sub_lm: str | None = None
    sandbox: str = "local"
    sandbox_tier: str = "confined"
    home: Path = field(default_factory=_home)
    window: int | None = None
    direct_chars: int = 24_000
    keep_mb: int = 4_096
    database_url: str | None = None
    roots: tuple[str, ...] = ()
    closed: tuple[str, ...] = ()
    fetch_allow: tuple[str, ...] = ()

    VARIABLES: ClassVar[dict[str, str]] = {
        "lm": "FLEET_LM",
        "sub_lm": "FLEET_SUB_LM",
        "sandbox": "FLEET_SANDBOX",
        "sandbox_tier": "FLEET_SANDBOX_TIER",
        "home": "FLEET_HOME",
        "window": "FLEET_WINDOW",
        "direct_chars": "FLEET_DIRECT_CHARS",
        "keep_mb": "FLEET_KEEP_MB",
        "database_url": "DATABASE_URL",
        "roots": "FLEET_ROOTS",
        "closed": "FLEET_CLOSED",
        "fetch_allow": "FLEET_FETCH_ALLOW",
    }

    @property
    def closed_places(self) -> tuple[Path, ...]:
        """Where no agent reads: the home, which holds keys and the saved state of sessions, and what is closed."""
        return tuple(place.expanduser().resolve() for place in (self.home, *map(Path, self.closed)))

    @classmethod
    def from_environ(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """The settings of an environment, the process's own by default.

        Raises:
            UserError: a variable holds something that cannot be used; the message names it.
        """
        environ = os.environ if environ is None else environ
        given = {name: environ[variable] for name, variable in cls.VARIABLES.items() if environ.get(variable)}
        values: dict[str, object] = dict(given)
        if "home" in given:
            values["home"] = Path(given["home"]).expanduser()
        for name, unit in (("direct_chars", "characters"), ("window", "tokens"), ("keep_mb", "megabytes")):
            if name in given:
                if not given[name].isdecimal():
                    raise UserError(f"{cls.VARIABLES[name]} must be a whole number of {unit}, not {given[name]!r}")
                values[name] = int(given[name])
        for name, separator in (("roots", os.pathsep), ("closed", os.pathsep), ("fetch_allow", ",")):
            if name in given:
                values[name] = tuple(part.strip() for part in given[name].split(separator) if part.strip())
        if given.get("sandbox_tier", TIERS[0]) not in TIERS:
            raise UserError(f"FLEET_SANDBOX_TIER must be {' or '.join(TIERS)}, not {given['sandbox_tier']!r}")
        return cls(**values)  # type: ignore[arg-type]
