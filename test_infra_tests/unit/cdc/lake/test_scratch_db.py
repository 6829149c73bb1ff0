"""Delta tables as DuckDB sees them: the version that was asked for, typed, and nothing left behind."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from test_infra.cdc.lake import scratch_db
from test_infra.cdc.lake.open import open_table
from test_infra.cdc.lake.schemas import mirror_schema
from test_infra.cdc.lake.table import TableMissing
from test_infra_tests.unit.cdc.judge.parity_world import SCHEMA, World


def world(rows: int) -> World:
    made = World()
    for number in range(rows):
        made.create(1, (number, f"it's {number}"))
    return made


@pytest.mark.parametrize("folder", ["table", "it's a täble", "a {b} *"])
def test_rows_are_those_of_the_version_and_typed_as_the_mirror(tmp_path: Path, folder: str) -> None:
    table = tmp_path / folder
    write_deltalake(str(table), world(3).mirror_table())
    write_deltalake(str(table), world(2).mirror_table(), mode="append")
    with scratch_db.on_disk(tmp_path) as connection:
        scratch_db.view(connection, "first", open_table(table, 0))
        scratch_db.view(connection, "newest", open_table(table))
        assert connection.sql("FROM first").to_arrow_table().cast(mirror_schema(SCHEMA)) == world(3).mirror_table()
        assert connection.sql("SELECT count(*) FROM newest").fetchall() == [(5,)]


def test_empty_table_has_its_columns(tmp_path: Path) -> None:
    DeltaTable.create(str(tmp_path / "t"), mirror_schema(SCHEMA))
    with scratch_db.on_disk(tmp_path) as connection:
        scratch_db.view(connection, "rows", open_table(tmp_path / "t"))
        assert connection.sql("FROM rows").to_arrow_table().schema == mirror_schema(SCHEMA)


def test_column_that_came_later_is_null_in_older_files(tmp_path: Path) -> None:
    write_deltalake(str(tmp_path / "t"), pa.table({"a": [1]}))
    write_deltalake(str(tmp_path / "t"), pa.table({"a": [2], "b": ["x"]}), mode="append", schema_mode="merge")
    with scratch_db.on_disk(tmp_path) as connection:
        scratch_db.view(connection, "rows", open_table(tmp_path / "t"))
        assert connection.sql("SELECT a, b FROM rows ORDER BY a").fetchall() == [(1, None), (2, "x")]


def test_partitioned_table_has_its_partition_columns(tmp_path: Path) -> None:
    write_deltalake(str(tmp_path / "t"), pa.table({"a": [1, 2], "p": ["x", "y"]}), partition_by=["p"])
    with scratch_db.on_disk(tmp_path) as connection:
        scratch_db.view(connection, "rows", open_table(tmp_path / "t"))
        assert connection.sql("SELECT a, p FROM rows ORDER BY a").fetchall() == [(1, "x"), (2, "y")]


def test_missing_table_is_told(tmp_path: Path) -> None:
    with scratch_db.on_disk(tmp_path) as connection, pytest.raises(TableMissing):
        scratch_db.view(connection, "rows", open_table(tmp_path / "none"))


def test_nothing_is_left_on_disk_also_after_a_fault(tmp_path: Path) -> None:
    with pytest.raises(duckdb.Error), scratch_db.on_disk(tmp_path) as connection:
        connection.execute("CREATE TABLE t AS SELECT * FROM range(1000); SELECT error('a fault')")
    assert list((tmp_path / "scratch").iterdir()) == []
