"""Rows of a table as `spark_tables` writes down what Spark reads: JSON values, by id."""

from __future__ import annotations

import json
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa

from test_infra.jvm.unpack import unpack as unpack_archive

ARCHIVE = Path(__file__).with_name("spark_tables.tar.gz")
"""What one run of `spark_tables` wrote."""
REFUSED = {"widened": "typeWidening", "variant": "variantType"}
"""Table -> the feature that it is refused for."""
SCANNED = {
    "mapped_by_name": "columnMapping",
    "mapped_by_id": "columnMapping",
    "mapped_later": "columnMapping",
    "mapped_partitioned": "columnMapping",
    "deleted": "deletionVectors",
    "mapped_and_deleted": "columnMapping and deletionVectors",
    "checkpoint_2": "v2Checkpoint",
}
"""Table that Arrow and DuckDB do not read right from its files -> the feature that is why."""


def unpack(folder: Path) -> Path:
    """The folder with the tables of the archive in it."""
    unpack_archive(ARCHIVE, folder / "tables")
    return folder / "tables"


def expected(folder: Path, name: str) -> list[dict[str, Any]]:
    """What Spark read."""
    rows: list[dict[str, Any]] = json.loads((folder / f"{name}.json").read_text())
    return rows


def as_json(rows: pa.Table) -> list[dict[str, Any]]:
    """What we read, in the same form."""
    text = json.dumps(sorted(rows.to_pylist(), key=lambda row: row["id"]), default=_value)
    read: list[dict[str, Any]] = json.loads(text)
    return read


def _value(value: object) -> object:
    match value:
        case datetime():
            return value.strftime("%Y-%m-%d %H:%M:%S.%f")
        case date():
            return value.isoformat()
        case Decimal():
            return float(value)
    raise TypeError(value)
