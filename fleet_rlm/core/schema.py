"""Write the JSON Schema of event v1: `python -m fleet_rlm.core.schema docs/events.schema.json`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from fleet_rlm.core.events import json_schema


def text() -> str:
    """The schema as it is committed."""
    return json.dumps(json_schema(), indent=1, sort_keys=True) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(text(), encoding="utf-8")
