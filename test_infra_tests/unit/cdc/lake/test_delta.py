"""How Delta tables are read, and written beside others."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import CommitFailedError
from pyarrow.fs import LocalFileSystem, SubTreeFileSystem

from test_infra.cdc.lake import delta as lake


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "a lake, \u00fc & co"
    write_deltalake(str(folder), pa.table({"id": [1, 2]}))
    write_deltalake(str(folder), pa.table({"id": [3]}), mode="append")
    return folder


def test_arrow_reads_the_files_without_python_so_no_thread_ends_the_process_with_134(folder: Path) -> None:
    rows = lake.dataset(folder)
    assert isinstance(rows.filesystem, SubTreeFileSystem)
    assert isinstance(rows.filesystem.base_fs, LocalFileSystem)
    assert sorted(rows.to_table()["id"].to_pylist()) == [1, 2, 3]
    assert lake.dataset(folder, version=0).count_rows() == 2


def test_a_write_that_was_overtaken_is_tried_again_at_the_newest_version(folder: Path) -> None:
    table = DeltaTable(str(folder), version=0)
    seen = []
    for attempt in lake.despite_foreign_commits(table):
        with attempt:
            seen.append(table.version())
            if len(seen) == 1:
                raise CommitFailedError("overtaken")
    assert seen == [0, 1]


def test_a_write_that_is_overtaken_every_time_is_given_up_with_its_own_error(folder: Path) -> None:
    tried = []

    def write() -> None:
        tried.append(1)
        raise CommitFailedError("overtaken")

    with pytest.raises(CommitFailedError, match="overtaken"):
        lake.despite_foreign_commits(DeltaTable(str(folder)))(write)
    assert len(tried) == 5
