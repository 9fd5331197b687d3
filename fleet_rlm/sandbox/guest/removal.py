"""Remove a directory whose content is hostile: folders may deny access, links may lead anywhere, and code that may
still change it can be running. Every step goes through a descriptor of the folder above, never through a symbolic link.
"""

from __future__ import annotations

import os
import shutil

FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def remove(base: str, *below: str) -> None:
    """Remove `base`/`below`... and everything in it, opening up folders of this user that deny access.

    `base` itself must be a trusted path; what is not there, or is not a folder, is left alone.
    """
    try:
        folder = os.open(base, FOLDER)
    except FileNotFoundError:
        return
    try:
        for name in below[:-1]:
            inner = os.open(name, FOLDER, dir_fd=folder)
            os.close(folder)
            folder = inner
        _remove(below[-1], folder)
    except (FileNotFoundError, NotADirectoryError):
        return
    finally:
        os.close(folder)


def _remove(name: str, folder: int) -> None:
    shutil.rmtree(name, ignore_errors=True, dir_fd=folder)
    try:
        os.lstat(name, dir_fd=folder)
    except FileNotFoundError:
        return
    _open_up(name, folder)
    shutil.rmtree(name, ignore_errors=True, dir_fd=folder)


def _open_up(name: str, folder: int) -> None:
    """Give this user access to a folder and all folders in it."""
    try:
        inner = os.open(name, FOLDER, dir_fd=folder)
    except OSError:
        return  # not a folder
    try:
        os.chmod(f"/proc/self/fd/{inner}", 0o700)
        for entry in os.listdir(f"/proc/self/fd/{inner}"):
            _open_up(entry, inner)
    finally:
        os.close(inner)
