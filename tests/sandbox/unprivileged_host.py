"""Run as root with (tier, preparation, walls, paths): give up every privilege, then try the walls from inside.

It becomes `nobody`; directories that account cannot reach, such as a Python below root's home, are first put in its
reach by bind mounts of its own. Where mounts are not allowed it stays the same user without any capability.
"""

from __future__ import annotations

import ast
import ctypes
import os
import struct
import sys

NOBODY = 65534
CLONE_NEWNS, MS_BIND, MS_REC, MS_PRIVATE = 0x20000, 0x1000, 0x4000, 0x40000
PR_SET_SECUREBITS, NOROOT_LOCKED = 28, 3
libc = ctypes.CDLL(None, use_errno=True)


def blocked_at(path: str) -> str | None:
    """The first directory on the way that others may not pass."""
    at = "/"
    for part in os.path.realpath(path).strip("/").split("/"):
        at = os.path.join(at, part)
        if os.path.isdir(at) and not os.stat(at).st_mode & 0o001:
            return at
    return None


def give_up_privileges(needed: list[str]) -> None:
    blocked = {path: at for path in map(os.path.realpath, needed) if (at := blocked_at(path)) is not None}
    if blocked and libc.unshare(CLONE_NEWNS) != 0:
        libc.prctl(PR_SET_SECUREBITS, NOROOT_LOCKED, 0, 0, 0)
        header = ctypes.create_string_buffer(struct.pack("=Ii", 0x20080522, 0))
        assert libc.capset(header, ctypes.create_string_buffer(24)) == 0
        return
    if blocked:
        mounted(blocked)
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)


def mounted(blocked: dict[str, str]) -> None:
    held = {path: os.open(path, os.O_PATH) for path in blocked}
    assert libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None) == 0
    for at in set(blocked.values()):
        assert libc.mount(b"tmpfs", at.encode(), b"tmpfs", 0, b"mode=755") == 0
    for path, fd in held.items():
        os.makedirs(path, exist_ok=True)
        source = f"/proc/self/fd/{fd}".encode()
        assert libc.mount(source, path.encode(), None, MS_BIND | MS_REC, None) == 0


def main(tier: str, preparation: str, walls: dict[str, str], paths: list[str]) -> None:
    give_up_privileges([sys.prefix, sys.base_prefix, *filter(os.path.isdir, paths)])
    sys.path[:] = paths
    os.environ["HOME"] = "/nonexistent"
    from fleet_rlm.sandbox.local import LocalSandbox

    refused = 0
    with LocalSandbox(tier=tier) as sandbox:
        child = sandbox.fork()
        for inside in (sandbox, child):
            assert inside.run(preparation).error is None, inside.run(preparation).text()  # type: ignore[attr-defined]
            for name, code in walls.items():
                error = inside.run(code).error  # type: ignore[attr-defined]
                if error is None or error.type not in ("PermissionError", "FileNotFoundError", "OSError"):
                    print(name, error)
                else:
                    refused += 1
    print(f"{refused} refused")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], ast.literal_eval(sys.argv[3]), sys.argv[4].split(os.pathsep))
