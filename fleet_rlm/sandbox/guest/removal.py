"""Remove a directory whose content is hostile: folders may have been made unreadable, links may lead anywhere."""

from __future__ import annotations

import os
import shutil
import stat


def remove(root: str) -> None:
    """Remove the tree, opening up folders of this user that deny access; symbolic links are never followed."""
    if not os.path.lexists(root):
        return
    shutil.rmtree(root, ignore_errors=True)
    if os.path.lexists(root):
        _open_up(root)
        shutil.rmtree(root, ignore_errors=True)


def _open_up(folder: str) -> None:
    os.chmod(folder, 0o700)
    for entry in os.scandir(folder):
        if stat.S_ISDIR(entry.stat(follow_symlinks=False).st_mode):
            _open_up(entry.path)
