"""What tests of whole runs share: a model behind HTTP, data with one fact in it, and the code that finds it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import fleet_rlm as fleet
from tests.twins.lm_server import LMServer
from tests.twins.scripts import by_role

BIG = "".join(f"line {i}: nothing here\n" for i in range(20_000)) + "the magic number is 7481\n"

FIND = "import re\nfound = re.search(r'magic number is (\\d+)', context).group(1)\nprint(found)"
SUBMIT = "SUBMIT(answer=found)"


@contextmanager
def model(**roles: Any) -> Iterator[tuple[LMServer, str]]:
    with LMServer(by_role(**roles)) as server:
        yield server, f"m@{server.base_url}"


def kinds(run: fleet.Run, kind: str) -> list[str]:
    return [span.name for span in run.tree.spans.values() if span.type == kind]
