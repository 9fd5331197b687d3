"""HTML to text one can read: headings as `#`, links with their address, lists, tables as rows, no scripts."""

from __future__ import annotations

import codecs
import re
from html.parser import HTMLParser
from typing import Any, BinaryIO

from fleet_rlm.agent.documents.parser.contract import Write
from fleet_rlm.agent.documents.reading import MARKS, encoding_of, pieces

UNSEEN = frozenset({"script", "style", "noscript", "template", "svg"})
BLOCKS = frozenset(
    {"address", "article", "aside", "blockquote", "dd", "details", "div", "dl", "dt", "fieldset", "figcaption"}
    | {"figure", "footer", "form", "header", "hr", "main", "nav", "ol", "p", "section", "summary", "table", "ul", "pre"}
)
HEADINGS = {f"h{level}": "#" * level for level in range(1, 7)}
DEEP = 200


def parse(file: BinaryIO, write: Write) -> dict[str, Any]:
    """Text of a page; metadata: its title."""
    reader = _Reader(write)
    for piece in pieces(file, _encoding(file)):
        reader.feed(piece)
    reader.close()
    reader.finish()
    return {"title": reader.title.strip()} if reader.title.strip() else {}


def _encoding(file: BinaryIO) -> str:
    head = file.read(4096)
    file.seek(0)
    if any(map(head.startswith, MARKS)):
        return encoding_of(file)
    named = re.search(rb"charset=[\"']?([\w-]+)", head)
    try:
        return codecs.lookup(named.group(1).decode()).name if named else encoding_of(file)
    except LookupError:
        return encoding_of(file)


class _Reader(HTMLParser):
    """Collects one block at a time, and writes it when the next begins."""

    def __init__(self, write: Write) -> None:
        super().__init__(convert_charrefs=True)
        self.write = write
        self.title = ""
        self._block: list[str] = []
        self._prefix = ""
        self._links: list[str] = []
        self._unseen = self._pre = self._title = 0
        self._row: list[str] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in UNSEEN:
            self._unseen += 1
        elif tag == "title":
            self._title += 1
        elif tag in HEADINGS:
            self._begin(f"{HEADINGS[tag]} ")
        elif tag == "li":
            self._begin("- ")
        elif tag == "tr":
            self._end_row()
            self._begin()
            self._row = []
        elif tag in ("td", "th"):
            self._cell()
        elif tag == "br":
            self._block.append("\n")
        elif tag == "a":
            if len(self._links) < DEEP:
                self._links.append(dict(attrs).get("href") or "")
        elif tag == "img" and (alt := dict(attrs).get("alt")):
            self._block.append(f"[image: {alt}]")
        elif tag in BLOCKS:
            self._begin()
            self._pre += tag == "pre"

    def handle_endtag(self, tag: str) -> None:
        if tag in UNSEEN:
            self._unseen = max(0, self._unseen - 1)
        elif tag == "title":
            self._title = max(0, self._title - 1)
        elif tag == "a" and self._links:
            address = self._links.pop()
            if address and not address.startswith(("#", "javascript:")):
                self._block.append(f" ({address})")
        elif tag in ("td", "th"):
            self._cell()
        elif tag in ("tr", "table"):
            self._end_row()
        elif tag in BLOCKS or tag in HEADINGS or tag == "li":
            self._begin()
            self._pre = max(0, self._pre - (tag == "pre"))

    def handle_data(self, data: str) -> None:
        if self._title:
            self.title += data[: 500 - len(self.title)]
        elif not self._unseen:
            self._block.append(data)

    def finish(self) -> None:
        """Write what is still collected."""
        self._end_row()
        self._flush()

    def _flush(self) -> None:
        text = "".join(self._block)
        self._block.clear()
        text = text.strip("\n") if self._pre else re.sub(r"[^\S\n]+", " ", text.replace("\r", "")).strip()
        if not self._pre:
            text = re.sub(r"\s*\n\s*", "\n", text)
        if text:
            self.write(f"{self._prefix}{text}\n{'' if self._prefix == '- ' else chr(10)}")
        self._prefix = ""

    def _begin(self, prefix: str = "") -> None:
        if self._row is not None:
            self._block.append(" ")  # blocks inside a cell stay in their row
            return
        self._flush()
        self._prefix = prefix

    def _end_row(self) -> None:
        if self._row is not None:
            self._cell()
            row, self._row = self._row, None
            if row:
                self.write(f"| {' | '.join(row)} |\n")

    def _cell(self) -> None:
        text = " ".join("".join(self._block).split())
        self._block.clear()
        if text and self._row is not None:
            self._row.append(text.replace("|", "\\|"))
        elif text:
            self.write(f"{text}\n")
