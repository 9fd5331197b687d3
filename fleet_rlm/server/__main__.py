"""`python -m fleet_rlm.server serve|lab|openapi`: what `fleet serve`, `fleet lab` and `fleet openapi` become."""

from __future__ import annotations

import argparse
import json
import sys

from fleet_rlm.core.errors import UserError

NOT_BEGUN = 2


def main() -> int:
    """Carry out one command line, and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m fleet_rlm.server")
    parser.add_argument("kind", choices=("serve", "lab", "openapi"))
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--base-url", default="/")
    given, options = _parted(sys.argv[1:])
    args = parser.parse_args(given)
    if args.kind == "openapi":
        from fleet_rlm.server.openapi import document

        print(json.dumps(document(args.base_url), indent=1, ensure_ascii=False))
        return 0
    from fleet_rlm.server.launch import launch

    try:
        launch(args.kind, host=args.host, port=args.port, base_url=args.base_url, options=options)
    except UserError as error:
        print(f"fleet: {error}", file=sys.stderr)
        return NOT_BEGUN
    return 0


def _parted(argv: list[str]) -> tuple[list[str], list[str]]:
    """What is ours, and after `--` what is the Jupyter server's."""
    at = argv.index("--") if "--" in argv else len(argv)
    return argv[:at], argv[at + 1 :]


if __name__ == "__main__":
    sys.exit(main())
