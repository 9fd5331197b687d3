"""Errands: work that needs the agent's code and no kernel, done in a process of its own that ends with it.

Such a process sees what a kernel of ours sees, no keys and no database. A few run at once, so that nobody can fill the
machine by asking often.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fleet_rlm.server.services.errors import InUse, Refused, ServiceError, Unavailable
from fleet_rlm.server.services.kernels.environment import clean_environment

AT_ONCE = 2
TIMEOUT_S = 120.0
MODULE = "fleet_rlm.server.kernel.errand"


class Errands:
    """Sends processes on errands.

    Args:
        environ: the server's environment.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._free = asyncio.Semaphore(AT_ONCE)

    async def run(self, verb: str, home: Path, **args: Any) -> Any:
        """What came of it.

        Raises:
            Refused: it cannot be done, for a reason of whoever asked.
            InUse: the session is open in another process.
            Unavailable: it took too long.
            ServiceError: it failed.
        """
        environ = {**clean_environment(self._environ), "FLEET_HOME": str(home)}
        async with self._free:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", MODULE),  # not from the directory of notebooks, which is everybody's
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                env=environ,
            )
            try:
                async with asyncio.timeout(TIMEOUT_S):
                    told, _ = await process.communicate(json.dumps({"verb": verb, "args": args}).encode())
            except TimeoutError:
                raise Unavailable(f"{verb} took more than {TIMEOUT_S:.0f} seconds and was stopped") from None
            finally:
                if process.returncode is None:
                    with contextlib.suppress(ProcessLookupError):
                        process.kill()
                    await process.wait()
        if process.returncode:
            raise ServiceError(f"{verb} ended with code {process.returncode}")
        answer = json.loads(told)
        if "fault" in answer:
            raise (InUse if answer["kind"] == "SessionInUse" else Refused)(answer["fault"])
        return answer["result"]
