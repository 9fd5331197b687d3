"""Word, PowerPoint and Excel by kreuzberg, after a look at what the zip says it will become."""

from __future__ import annotations

import importlib
import importlib.util
import zipfile
from typing import Any, BinaryIO

from fleet_rlm.agent.documents.parser.contract import CannotRead, Write

FORMATS = "application/vnd.openxmlformats-officedocument"
TYPES = {
    "word/": f"{FORMATS}.wordprocessingml.document",
    "ppt/": f"{FORMATS}.presentationml.presentation",
    "xl/": f"{FORMATS}.spreadsheetml.sheet",
}
UNPACKED = 400 << 20
"""Bytes all parts of a document may unpack to."""
RATIO = 200
"""Times its packed size a part above 10 MB may unpack to; honest XML stays below 50."""


def parse(file: BinaryIO, write: Write) -> dict[str, Any]:
    """Text of an Office document; metadata: sheets or slides."""
    media_type = _checked(file)
    if importlib.util.find_spec("kreuzberg") is None:
        raise CannotRead("is an Office document, and what reads those is not installed: pip install 'fleet-rlm[docs]'")
    kreuzberg = importlib.import_module("kreuzberg")
    config = kreuzberg.ExtractionConfig(
        disable_ocr=True, use_cache=False, output_format="markdown", pages=kreuzberg.PageConfig(extract_pages=True)
    )
    file.seek(0)
    try:
        result = kreuzberg.extract_bytes_sync(file.read(), media_type, config)
    except kreuzberg.ParsingError as error:
        raise CannotRead(f"is damaged, or not what its name says ({error})"[:300]) from None
    write(result.content)
    metadata = result.metadata or {}
    told: dict[str, Any] = {}
    if sheets := metadata.get("sheet_names"):
        told["sheets"] = sheets
    if slides := (metadata.get("pages") or {}).get("total_count"):
        told["slides"] = slides
    return told


def _checked(file: BinaryIO) -> str:
    try:
        parts = zipfile.ZipFile(file).infolist()
    except zipfile.BadZipFile:
        raise CannotRead("is not an Office document of today's format; save it as docx, pptx or xlsx") from None
    if any(part.flag_bits & 1 for part in parts):
        raise CannotRead("is protected by a password; save a copy without it and load that")
    swollen = [part for part in parts if part.file_size > 10 << 20 and part.file_size > RATIO * part.compress_size]
    if swollen or sum(part.file_size for part in parts) > UNPACKED or len(parts) > 50_000:
        raise CannotRead(f"unpacks to more than a document would ({sum(part.file_size for part in parts):,} bytes)")
    for folder, media_type in TYPES.items():
        if any(part.filename.startswith(folder) for part in parts):
            return media_type
    raise CannotRead("is a zip archive and no Office document; unpack it and load the directory")
