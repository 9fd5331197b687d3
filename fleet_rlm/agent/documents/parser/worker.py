"""The limited process: lock yourself, read the file on standard input, write its text to standard output.

Run as `python -I -m fleet_rlm.agent.documents.parser.worker CONFIG`, CONFIG in JSON: kind, root (the only directory it
may write to), read (paths), confine (whether this machine can), memory, file_size and cpu (limits). The last thing it
does is to write one JSON object to the descriptor `report`: {"metadata": ...} or {"error": sentence}.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import signal
import sys
from typing import Any

from fleet_rlm.agent.documents.parser import html, notebook, office, pdf, table
from fleet_rlm.agent.documents.parser.contract import CannotRead, Parser

PARSERS: dict[str, Parser] = {
    "html": html.parse,
    "notebook": notebook.parse,
    "parquet": table.parse,
    "pdf": pdf.parse,
    "docx": office.parse,
    "pptx": office.parse,
    "xlsx": office.parse,
}


def main(config: dict[str, Any]) -> None:
    """Parse one file and report."""
    report: dict[str, Any]
    try:
        if config["kind"] == "pdf":
            pdf.unpacked()
        _limit(config)
        with open(0, "rb") as file, open(1, "w", encoding="utf-8", errors="replace", newline="") as out:
            report = {"metadata": PARSERS[config["kind"]](file, out.write)}
    except CannotRead as error:
        report = {"error": str(error)}
    except MemoryError:
        report = {"error": f"needs more than the {config['memory'] >> 20:,} MB of memory a parser gets"}
    except OSError as error:
        report = {"error": f"becomes too much text, or cannot be read: {error.strerror}"}
    except Exception as error:  # a parser met a file it does not understand: it is the file's fault
        report = {"error": f"is damaged, or not what its name says ({type(error).__name__}: {error})"[:400]}
    with open(config["report"], "w", encoding="utf-8") as out:
        json.dump(report, out)


def _limit(config: dict[str, Any]) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (config["cpu"], config["cpu"]))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    if not config["confine"]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (config["file_size"], config["file_size"]))
        if sys.platform == "linux":  # elsewhere the limit does not exist or refuses every allocation
            resource.setrlimit(resource.RLIMIT_AS, (config["memory"], config["memory"]))
        return
    lockdown = importlib.import_module("fleet_rlm.sandbox.guest.lockdown")  # needs Linux
    lockdown.die_with_parent(signal.SIGKILL)
    lockdown.limit(memory=config["memory"], file_size=config["file_size"])
    lockdown.lock(config["root"], tuple(config["read"]), namespaces=False)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
    sys.stdout.flush()
    os._exit(0)  # native threads of a parser must not keep it
