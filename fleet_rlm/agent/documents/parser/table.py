"""Parquet: the rows as CSV, one batch after the other, so that a small file of many rows stays small in memory."""

from __future__ import annotations

import csv
from itertools import islice
from types import SimpleNamespace
from typing import Any, BinaryIO

from fleet_rlm.agent.documents.parser.contract import CannotRead, Write

ROWS = 10_000
COLUMNS = 100
"""Columns that are told; the text has all."""


def parse(file: BinaryIO, write: Write) -> dict[str, Any]:
    """Text of a Parquet file; metadata: rows, and columns with their types."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    try:
        table = pq.ParquetFile(pa.PythonFile(file, mode="r"), memory_map=False)
    except (pa.ArrowInvalid, OSError) as error:
        raise CannotRead(f"is not a Parquet file that can be read ({str(error).splitlines()[0]})") from None
    schema = table.schema_arrow
    writer = csv.writer(SimpleNamespace(write=write), lineterminator="\n")
    writer.writerow(schema.names)
    for batch in table.iter_batches(batch_size=ROWS, use_threads=False):
        columns = [column.to_pylist() for column in batch.columns]
        writer.writerows(zip(*columns, strict=True))
    told = {field.name: str(field.type) for field in islice(schema, COLUMNS)}
    return {"rows": table.metadata.num_rows, "columns": told}
