"""The source of the running interpreter's standard library: over ten million characters that everyone has."""

from __future__ import annotations

import shutil
import sysconfig
from pathlib import Path

_NOT_PYTHON_S_OWN = shutil.ignore_patterns("site-packages", "dist-packages", "__pycache__", "lib-dynload", "config-*")


def copy_sources(to: Path) -> Path:
    """Copy the Python files of the standard library, its tests among them where they are installed, below `to`."""
    root = Path(sysconfig.get_paths()["stdlib"])

    def ignored(folder: str, names: list[str]) -> set[str]:
        inside = {name for name in names if not name.endswith(".py") and not Path(folder, name).is_dir()}
        return inside | _NOT_PYTHON_S_OWN(folder, names)

    target = to / f"python{sysconfig.get_python_version()}"
    shutil.copytree(root, target, ignore=ignored, copy_function=shutil.copyfile, ignore_dangling_symlinks=True)
    return target
