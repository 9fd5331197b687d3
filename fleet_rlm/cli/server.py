"""`fleet serve`, `fleet lab` and `fleet openapi`: this process becomes the server; the terminal's rooms stay behind."""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
from typing import NoReturn

from fleet_rlm.core.errors import UserError

MODULE = "fleet_rlm.server"


def serve_command(args: argparse.Namespace) -> NoReturn:
    """`fleet serve`, also written `fleet serve-api`."""
    _become("serve", *_place(args))


def lab_command(args: argparse.Namespace) -> NoReturn:
    """`fleet lab`, also written `fleet web`."""
    _become("lab", *_place(args))


def openapi_command(_: argparse.Namespace) -> NoReturn:
    """`fleet openapi`."""
    _become("openapi")


def _place(args: argparse.Namespace) -> list[str]:
    place = [f"--host={args.host}", f"--port={args.port}", f"--base-url={args.base_url}"]
    return [*place, "--", *args.options]


def _become(*argv: str) -> NoReturn:
    """Be that program: signals reach it, and what ends is it."""
    if importlib.util.find_spec("jupyter_server") is None:
        raise UserError("the Jupyter server is not installed; pip install 'fleet-rlm[server]'")
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, "-P", "-m", MODULE, *argv])  # a queue.py in this directory is not meant
