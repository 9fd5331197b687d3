"""The figures README and CHANGELOG quote, measured here and now: `make bench`.

Each time is the best of several fresh processes, because what disturbs a measurement only ever adds to it.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]

LOAD_EXT = """
import time
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
begun = time.perf_counter()
shell.run_line_magic("load_ext", "fleet_rlm")
print(time.perf_counter() - begun)
"""


def main() -> None:
    rows = [("%load_ext fleet_rlm", f"{min(load_ext() for _ in range(5)) * 1000:.1f} ms")]
    runs = [demo() for _ in range(3)]
    rows.append(("fleet demo, question 1, whole process", f"{min(seconds for seconds, _ in runs):.1f} s"))
    told = runs[0][1]
    for what in ("from question to answer", "answered over", "sent to the model", "model calls", "children"):
        rows.append((f"  {what}", found(rf"^{what} +(.+)$", told)))
    for bundle in sorted((ROOT / "fleet_rlm" / "_static").glob("widget.*")):
        rows.append((bundle.name, f"{bundle.stat().st_size / 1000:.1f} kB"))
    for what, figure in rows:
        print(f"{what:<40}{figure}")


def load_ext() -> float:
    """Seconds in a fresh interpreter with IPython loaded."""
    return float(subprocess.run([sys.executable, "-c", LOAD_EXT], check=True, capture_output=True, text=True).stdout)


def demo() -> tuple[float, str]:
    """Seconds and output of the first question of the demo."""
    with tempfile.TemporaryDirectory() as home:
        begun = time.perf_counter()
        command = [sys.executable, "-m", "fleet_rlm.cli", "demo"]
        environ = {"PATH": "/usr/bin:/bin", "HOME": home, "FLEET_HOME": home}
        told = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, env=environ).stdout
        return time.perf_counter() - begun, told


def found(pattern: str, text: str) -> str:
    match = re.search(pattern, text, re.MULTILINE)
    return match[1] if match else "not told"


if __name__ == "__main__":
    main()
