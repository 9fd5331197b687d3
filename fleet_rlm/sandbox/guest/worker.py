"""Start of a worker process: a warden that cleans up, and a confined template that sandboxes are forked from.

Run as `python -I worker.py FD LIFELINE ROOT`. The first frame on FD is the configuration. The warden keeps no channel,
runs no generated code and is not confined; it makes the root directory, waits until the host or the template is gone,
kills whatever is left below it and removes the directory. The template locks itself, then imports what it was asked to
preload, then forks.

The configuration: root, lock ("auto", "namespaces", "base" or "none"), read (paths), path (sys.path entries),
preload (module names), host (its pid), groups (the control group of the sandboxes' own ones, or None).
"""

from __future__ import annotations

import importlib.util
import os
import sys


def _load_package() -> None:
    """Make this folder importable as `fleet_guest` without putting anything on sys.path."""
    here = os.path.dirname(os.path.abspath(__file__))
    spec = importlib.util.spec_from_file_location(
        "fleet_guest", os.path.join(here, "__init__.py"), submodule_search_locations=[here]
    )
    if spec is None or spec.loader is None:
        raise ImportError(f"no package in {here}")
    package = importlib.util.module_from_spec(spec)
    sys.modules["fleet_guest"] = package
    spec.loader.exec_module(package)


if __name__ == "__main__":
    _load_package()
    from fleet_guest import warden

    warden.main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
