"""Parsing: the parser sees its file and nothing else, and no bomb takes more than its limits."""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fleet_rlm.agent.documents import DocumentError, parsing
from fleet_rlm.agent.documents.kinds import PARSED
from fleet_rlm.agent.documents.parser import worker
from fleet_rlm.agent.documents.parsing import ParserLimits, parsed
from fleet_rlm.core.loop import run_sync
from fleet_rlm.sandbox.guest import lockdown
from tests.agent.documents import samples


def read(data: bytes, name: str, kind: str, **limits: Any) -> tuple[str, dict[str, Any]]:
    async def text() -> tuple[str, dict[str, Any]]:
        with tempfile.TemporaryFile() as file:
            file.write(data)
            async with parsed(file, name, kind, ParserLimits(**limits)) as (out, metadata):
                return out.read().decode(), metadata

    return run_sync(text())


@pytest.mark.parametrize(
    ("name", "kind", "told"),
    [
        ("paper.pdf", "pdf", {"pages": 2, "reader": "kreuzberg"}),
        ("letter.docx", "docx", {}),
        ("talk.pptx", "pptx", {"slides": 1}),
        ("sheet.xlsx", "xlsx", {"sheets": ["Birds"]}),
        ("work.ipynb", "notebook", {"cells": 2}),
        ("birds.parquet", "parquet", {"rows": 1, "columns": {"bird": "string", "seen": "int64"}}),
        ("page.html", "html", {"title": "Birds"}),
    ],
)
def test_the_limited_process_reads_every_format(name: str, kind: str, told: dict[str, Any]) -> None:
    text, metadata = read(samples.every_format()[name], name, kind)
    assert samples.CANARY in text
    assert metadata == told


@pytest.mark.parametrize(
    ("data", "kind", "told"),
    [
        (samples.pdf(["", ""]), "pdf", "has 2 pages and no text in them"),
        (samples.locked_pdf(["secret"]), "pdf", "protected by a password"),
        (b"%PDF-1.4 nonsense", "pdf", "damaged"),
        (b"PK\x03\x04 nonsense", "docx", "not an Office document"),
        (samples.docx("x")[:-30], "docx", "not an Office document"),
        (b"PAR1 nonsense PAR1", "parquet", "not a Parquet file"),
        (b"{}", "notebook", "not a notebook"),
        (b'{"cells": [1]}', "notebook", "damaged"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_sentence_that_begins_with_its_name(
    data: bytes, kind: str, told: str
) -> None:
    with pytest.raises(DocumentError, match=f"^the.file .*{told}") as caught:
        read(data, "the.file", kind)
    assert "\n" not in str(caught.value)


def swollen(name: str = "word/document.xml", size: int = 100 << 20) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        with archive.open(name, "w", force_zip64=True) as part:
            for _ in range(size >> 20):
                part.write(bytes(1 << 20))
    return out.getvalue()


def entities() -> bytes:
    """A document whose XML doubles itself thirty times when it is read naively."""
    levels = "".join(f'<!ENTITY e{level} "&e{level - 1};&e{level - 1};">' for level in range(1, 30))
    head = f'<?xml version="1.0"?><!DOCTYPE w:document [<!ENTITY e0 "lol">{levels}]>'
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(samples.docx("&e29;"))) as given, zipfile.ZipFile(out, "w") as made:
        for part in given.infolist():
            text = given.read(part).decode()
            made.writestr(part.filename, head + text if part.filename == "word/document.xml" else text)
    return out.getvalue()


def lying(data: bytes) -> bytes:
    """The zip with sizes that claim its parts are tiny."""
    made = bytearray(data)
    start = 0
    while (start := made.find(b"PK\x01\x02", start)) >= 0:
        made[start + 24 : start + 28] = (100).to_bytes(4, "little")
        start += 4
    return bytes(made)


def many_rows() -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    out = io.BytesIO()
    row = pa.array(["x" * 1_000]).dictionary_encode()
    column = pa.DictionaryArray.from_arrays(pa.array([0] * 5_000_000, pa.int32()), row.dictionary)
    pq.write_table(pa.table({"a": column}), out)
    return out.getvalue()


def outcome(data: bytes, kind: str) -> str:
    """The text of a file called "bomb", or what is said of it."""
    try:
        return read(data, "bomb", kind, cpu=2, seconds=20, file_size=64 << 20)[0]
    except DocumentError as error:
        return str(error)


@pytest.mark.parametrize(
    ("bomb", "kind", "told"),
    [
        (swollen, "docx", r"bomb unpacks to more than a document would \(104,857,\d+ bytes\)$"),
        (lambda: lying(swollen(size=64 << 20)), "docx", "bomb |$"),
        (entities, "docx", "bomb |$|&e29"),
        (many_rows, "parquet", "bomb becomes too much text"),
        (lambda: b"<div>" * 4_000_000, "html", "bomb took more than the 2 s of processor time"),
        (lambda: b"[" * 5_000_000, "notebook", "bomb is damaged"),
    ],
    ids=["zip bomb", "zip bomb that lies", "entities", "rows", "tags", "nesting"],
)
def test_a_bomb_ends_soon_and_in_a_sentence(bomb: Callable[[], bytes], kind: str, told: str) -> None:
    data = bomb()
    assert len(data) < 25 << 20
    begun = time.perf_counter()
    assert re.match(told, outcome(data, kind))
    assert time.perf_counter() - begun < 30


@pytest.mark.parametrize(
    ("limits", "told"),
    [
        ({"file_size": 1_000}, "too much text"),
        ({"seconds": 0.001}, "took longer than the 0.001 s"),
        ({"memory": 150 << 20}, "needs more than the 150 MB of memory"),
    ],
)
def test_each_limit_is_kept_and_told(limits: dict[str, Any], told: str) -> None:
    cells = json.dumps({"cells": [{"source": "x" * 100}] * 700_000}).encode()
    with pytest.raises(DocumentError, match=told):
        read(cells, "work.ipynb", "notebook", **limits)


def test_a_parser_that_computes_without_end_is_ended() -> None:
    with pytest.raises(DocumentError, match="took more than the 1 s of processor time"):
        read(b"<p>" + b"x <b>" * 8_000_000, "page.html", "html", cpu=1)


def test_what_runs_in_the_parser_sees_no_secrets_no_files_and_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary")
    monkeypatch.setattr(parsing, "WORKER", "tests.agent.documents.spy")
    _, seen = read(b"<p>", "page.html", "html")
    assert "OPENAI_API_KEY" not in seen.pop("environment")
    assert {power for power, had in seen.items() if had} == {"write where it may"}


def test_where_nothing_can_be_confined_the_other_limits_still_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lockdown, "unconfinable", lambda: ("no Landlock",))
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary")
    assert samples.CANARY in read(samples.every_format()["paper.pdf"], "paper.pdf", "pdf")[0]
    with pytest.raises(DocumentError, match="too much text"):
        read(b"<p>word</p>" * 1_000, "page.html", "html", file_size=1_000)
    monkeypatch.setattr(parsing, "WORKER", "tests.agent.documents.spy")
    assert "OPENAI_API_KEY" not in read(b"<p>", "page.html", "html")[1]["environment"]


def test_the_parser_is_gone_when_its_caller_gives_up() -> None:
    async def give_up() -> None:
        with tempfile.TemporaryFile() as file:
            file.write(b"<p>" + b"x <b>" * 8_000_000)
            async with asyncio.timeout(1):
                async with parsed(file, "page.html", "html"):
                    pass

    before = parsers()
    with pytest.raises(TimeoutError):
        run_sync(give_up())
    assert parsers() <= before


def parsers() -> set[str]:
    """Ids of the parser processes of this one; tests beside it have some, too."""
    found = set()
    for entry in os.listdir("/proc"):
        if entry.isdecimal():
            try:
                mine = f"PPid:\t{os.getpid()}\n" in Path("/proc", entry, "status").read_text()
                if mine and b"documents.parser.worker" in Path("/proc", entry, "cmdline").read_bytes():
                    found.add(entry)
            except OSError:
                continue
    return found


def test_every_parsed_kind_has_its_parser() -> None:
    assert set(worker.PARSERS) == PARSED
