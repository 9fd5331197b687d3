"""A stranger that puts a link in the place of a folder and takes it away again, without a pause, in another process."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

SWAP = """
import ctypes, sys
libc = ctypes.CDLL(None, use_errno=True)
one, other = (name.encode() for name in sys.argv[1:])
print("swapping", flush=True)
while libc.renameat2(-100, one, -100, other, 2) == 0:  # both at once, so that one of the two is always there
    pass
sys.exit("renameat2 failed")
"""


@contextlib.contextmanager
def swapped(folder: Path, outside: Path) -> Iterator[None]:
    """While the block lasts, `folder` is now itself, now a link to `outside`."""
    link = folder.with_name(folder.name + "-link")
    link.symlink_to(outside, target_is_directory=True)
    with subprocess.Popen([sys.executable, "-c", SWAP, str(folder), str(link)], stdout=subprocess.PIPE) as swapper:
        assert swapper.stdout is not None
        assert swapper.stdout.readline() == b"swapping\n"
        try:
            yield
            assert swapper.poll() is None, "it swapped all the time"
        finally:
            swapper.kill()
