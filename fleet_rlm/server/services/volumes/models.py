"""What is asked of volumes and told of them, as JSON."""

from __future__ import annotations

import datetime
from typing import Annotated, Literal

from pydantic import Field

from fleet_rlm.server.services.runs.models import Strict

PREVIEW_BYTES = 200_000
MOST_PREVIEW_BYTES = 1_000_000

VolumeName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Path = Annotated[str, Field(min_length=1, max_length=2_000)]


class TreeQuery(Strict):
    """Which part of a volume: what is below `path`, so many levels deep."""

    volume: VolumeName
    path: Annotated[str, Field(max_length=2_000)] = ""
    max_depth: Annotated[int, Field(ge=1, le=32)] = 10


class FileQuery(Strict):
    """A file of a volume, such as `memory/notes.md`."""

    volume: VolumeName
    path: Path


class PreviewQuery(FileQuery):
    """The beginning of a file."""

    max_bytes: Annotated[int, Field(ge=1, le=MOST_PREVIEW_BYTES)] = PREVIEW_BYTES


class Volume(Strict):
    """A volume, what it holds and what it may hold."""

    name: str
    bytes: int
    files: int
    quota_bytes: int
    quota_files: int


class Node(Strict):
    """A file, or a folder with the number and bytes of what it holds."""

    path: str
    name: str
    type: Literal["file", "folder"]
    bytes: int
    files: int
    modified_at: datetime.datetime


class VolumeTree(Strict):
    """What is below a folder, sorted by path; `truncated` says that there is more than is listed."""

    volume: str
    path: str
    nodes: list[Node]
    total_files: int
    total_folders: int
    truncated: bool


class Preview(Strict):
    """The beginning of a file as text; `text` is null where it is none."""

    volume: str
    path: str
    mime: str
    bytes: int
    text: str | None
    truncated: bool
