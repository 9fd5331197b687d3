"""Small real files of every format, made from nothing but the format's own rules."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path

CANARY = "the canary is heron-5531"

OFFICE = "application/vnd.openxmlformats-officedocument"
RELATIONS = "http://schemas.openxmlformats.org/package/2006/relationships"
RELATED = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"


def pdf(pages: Sequence[str]) -> bytes:
    """A PDF with one line of text on each page; an empty text is a page without any."""
    kids = " ".join(f"{4 + 2 * index} 0 R" for index in range(len(pages)))
    bodies = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for index, text in enumerate(pages):
        drawn = f"BT /F1 12 Tf 72 700 Td ({text}) Tj ET" if text else "0 0 100 100 re f"
        bodies.append(
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Resources << /Font << /F1 3 0 R >> >> "
            f"/Contents {5 + 2 * index} 0 R >>"
        )
        bodies.append(f"<< /Length {len(drawn)} >>\nstream\n{drawn}\nendstream")
    out, places = b"%PDF-1.4\n", []
    for number, body in enumerate(bodies, 1):
        places.append(len(out))
        out += f"{number} 0 obj\n{body}\nendobj\n".encode()
    table = "".join(f"{place:010d} 00000 n \n" for place in places)
    size = len(bodies) + 1
    end = (
        f"xref\n0 {size}\n0000000000 65535 f \n{table}trailer\n<< /Size {size} /Root 1 0 R >>\nstartxref\n{len(out)}\n"
    )
    return out + f"{end}%%EOF\n".encode()


def locked_pdf(pages: Sequence[str]) -> bytes:
    """The same behind a password."""
    from pypdf import PdfReader, PdfWriter

    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(pdf(pages))))
    writer.encrypt("secret", algorithm="RC4-128")
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def _package(main: str, kind: str, parts: dict[str, str], relations: dict[str, str] | None = None) -> bytes:
    overrides = "".join(f'<Override PartName="/{name}" ContentType="{kind}"/>' for name in [main])
    if "ppt/slides/slide1.xml" in parts:
        overrides += f'<Override PartName="/ppt/slides/slide1.xml" ContentType="{OFFICE}.presentationml.slide+xml"/>'
    if "xl/worksheets/sheet1.xml" in parts:
        overrides += (
            f'<Override PartName="/xl/worksheets/sheet1.xml" ContentType="{OFFICE}.spreadsheetml.worksheet+xml"/>'
        )
    files = {
        "[Content_Types].xml": (
            '<?xml version="1.0"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
            '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
            f'<Default Extension="xml" ContentType="application/xml"/>{overrides}</Types>'
        ),
        "_rels/.rels": (
            f'<?xml version="1.0"?><Relationships xmlns="{RELATIONS}">'
            f'<Relationship Id="r1" Type="{RELATED}/officeDocument" Target="{main}"/></Relationships>'
        ),
        **parts,
    }
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return out.getvalue()


def docx(text: str) -> bytes:
    """A Word document of one paragraph."""
    space = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
    body = f'<w:document xmlns:w="{space}"><w:body><w:p><w:r><w:t>{text}</w:t></w:r></w:p></w:body></w:document>'
    return _package("word/document.xml", f"{OFFICE}.wordprocessingml.document.main+xml", {"word/document.xml": body})


def pptx(text: str) -> bytes:
    """A presentation of one slide."""
    spaces = (
        'xmlns:p="http://schemas.openxmlformats.org/presentationml/2006/main" '
        f'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main" xmlns:r="{RELATED}"'
    )
    slide = (
        f"<p:sld {spaces}><p:cSld><p:spTree><p:sp><p:nvSpPr><p:cNvPr id='2' name='Title'/><p:cNvSpPr/><p:nvPr/>"
        f"</p:nvSpPr><p:spPr/><p:txBody><a:bodyPr/><a:p><a:r><a:t>{text}</a:t></a:r></a:p></p:txBody></p:sp>"
        "</p:spTree></p:cSld></p:sld>"
    )
    parts = {
        "ppt/presentation.xml": (
            f'<p:presentation {spaces}><p:sldIdLst><p:sldId id="256" r:id="r1"/></p:sldIdLst></p:presentation>'
        ),
        "ppt/_rels/presentation.xml.rels": (
            f'<Relationships xmlns="{RELATIONS}"><Relationship Id="r1" Type="{RELATED}/slide" '
            'Target="slides/slide1.xml"/></Relationships>'
        ),
        "ppt/slides/slide1.xml": slide,
    }
    return _package("ppt/presentation.xml", f"{OFFICE}.presentationml.presentation.main+xml", parts)


def xlsx(text: str) -> bytes:
    """A workbook of one sheet with one row."""
    space = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    sheet = (
        f'<worksheet xmlns="{space}"><sheetData><row r="1"><c r="A1" t="inlineStr"><is><t>{text}</t></is></c>'
        '<c r="B1"><v>42</v></c></row></sheetData></worksheet>'
    )
    parts = {
        "xl/workbook.xml": (
            f'<workbook xmlns="{space}" xmlns:r="{RELATED}"><sheets><sheet name="Birds" sheetId="1" r:id="r1"/>'
            "</sheets></workbook>"
        ),
        "xl/_rels/workbook.xml.rels": (
            f'<Relationships xmlns="{RELATIONS}"><Relationship Id="r1" Type="{RELATED}/worksheet" '
            'Target="worksheets/sheet1.xml"/></Relationships>'
        ),
        "xl/worksheets/sheet1.xml": sheet,
    }
    return _package("xl/workbook.xml", f"{OFFICE}.spreadsheetml.sheet.main+xml", parts)


def notebook(text: str) -> bytes:
    """A notebook with a text cell, and a code cell that printed."""
    cells = [
        {"cell_type": "markdown", "metadata": {}, "source": ["# Birds\n", "A note."]},
        {
            "cell_type": "code",
            "metadata": {},
            "execution_count": 1,
            "source": "print(bird)",
            "outputs": [
                {"output_type": "stream", "name": "stdout", "text": [text, "\n"]},
                {"output_type": "display_data", "metadata": {}, "data": {"image/png": "aGVsbG8="}},
            ],
        },
    ]
    return json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": cells}).encode()


def parquet(text: str) -> bytes:
    """A table of one row."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    out = io.BytesIO()
    pq.write_table(pa.table({"bird": [text], "seen": [42]}), out)
    return out.getvalue()


def html(text: str) -> bytes:
    """A page with a heading, a link, a table and a script."""
    return (
        "<html><head><title>Birds</title><style>p {color: red}</style><script>alert('no')</script></head><body>"
        f"<h2>Sightings</h2><p>{text}, see <a href='https://example.org/list'>the list</a>.</p>"
        "<ul><li>one</li><li>two</li></ul><table><tr><th>bird</th><th>n</th></tr><tr><td>heron</td><td>3</td></tr>"
        "</table><pre>a  b\n  c</pre></body></html>"
    ).encode()


def every_format(text: str = CANARY) -> dict[str, bytes]:
    """File name to content of one file per format."""
    return {
        "notes.txt": f"first line\n{text}\n".encode(),
        "notes.md": f"# Birds\n\n{text}\n".encode(),
        "page.html": html(text),
        "birds.csv": f"bird,note\nheron,{text}\n".encode(),
        "birds.json": json.dumps({"birds": [{"note": text}]}).encode(),
        "birds.parquet": parquet(text),
        "work.ipynb": notebook(text),
        "paper.pdf": pdf(["an introduction", text]),
        "letter.docx": docx(text),
        "talk.pptx": pptx(text),
        "sheet.xlsx": xlsx(text),
    }


def written(folder: Path, name: str, data: bytes | str) -> Path:
    """A file of this name and content, with the folders above it."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path
