"""How Delta tables are read, and written beside others."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import CommitFailedError
from pyarrow.fs import LocalFileSystem, SubTreeFileSystem

from test_infra.cdc.lake import delta, delta_log
from test_infra.cdc.lake.location import Location
from test_infra.cdc.lake.open import create_table, open_table
from test_infra.cdc.lake.versions import Applied, commits_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "a lake, \u00fc & co"
    write_deltalake(str(folder), pa.table({"id": [1, 2]}))
    write_deltalake(str(folder), pa.table({"id": [3]}), mode="append")
    return folder


def test_arrow_reads_the_files_without_python_so_no_thread_ends_the_process_with_134(folder: Path) -> None:
    rows = open_table(folder).dataset()
    assert isinstance(rows.filesystem, SubTreeFileSystem)
    assert isinstance(rows.filesystem.base_fs, LocalFileSystem)
    assert sorted(rows.to_table()["id"].to_pylist()) == [1, 2, 3]
    assert open_table(folder, version=0).dataset().count_rows() == 2


def test_a_write_that_was_overtaken_is_tried_again_at_the_newest_version(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = open_table(folder, version=0)
    seen = []

    def overtaken_once(target: DeltaTable, *_: object, **__: object) -> None:
        seen.append(target.version())
        if len(seen) == 1:
            raise CommitFailedError("overtaken")

    monkeypatch.setattr("deltalake.write_deltalake", overtaken_once)
    table.append(pa.table({"id": [4]}), Applied("s", 0, {}))
    assert seen == [0, 1]


def test_a_write_that_is_overtaken_every_time_is_given_up_with_its_own_error(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    def overtaken(*_: object, **__: object) -> None:
        tried.append(1)
        raise CommitFailedError("overtaken")

    monkeypatch.setattr("deltalake.write_deltalake", overtaken)
    with pytest.raises(CommitFailedError, match="overtaken"):
        open_table(folder).append(pa.table({"id": [4]}), Applied("s", 0, {}))
    assert len(tried) == delta.ATTEMPTS


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """A table of eleven versions: 0 made it, 1 to 9 applied a record each, 10 is a compaction."""
    table = create_table(tmp_path / "t", pa.schema([("id", pa.int64())]), Applied("s", -1, {0: 0}))
    for batch in range(9):
        table.append(pa.table({"id": [batch]}), Applied("s", batch, {0: batch + 1}))
    DeltaTable(tmp_path / "t").optimize.compact()
    return tmp_path / "t"


def test_the_history_of_an_object_store_says_what_the_log_files_on_disk_say(written: Path) -> None:
    def without_time(history: list[delta.Commit]) -> list[tuple[object, ...]]:
        return [(commit.version, commit.applied, commit.wrote, commit.begins) for commit in history]

    for back_to in (None, {0: 3}, {0: 9}, {0: 10}):
        asked = commits_of(delta_log.of_history(DeltaTable(written)), back_to)
        on_disk = open_table(written).commits(back_to)
        assert without_time(asked) == without_time(on_disk)
        # The writer's clock and the file's time are of one moment.
        assert all(abs((a.visible_at - b.visible_at).total_seconds()) < 60 for a, b in zip(asked, on_disk, strict=True))


def test_only_as_much_of_a_history_is_asked_for_as_is_needed(written: Path) -> None:
    asked = []

    class Watched:
        def history(self, limit: int) -> list[dict[str, object]]:
            asked.append(limit)
            return DeltaTable(written).history(limit)

    next(delta_log.of_history(Watched()))  # type: ignore[arg-type]
    assert asked == [delta_log.FIRST_PIECE]


def test_a_log_of_which_only_the_checkpoint_is_left_is_a_table_without_known_versions(written: Path) -> None:
    DeltaTable(written).create_checkpoint()
    for log in (written / "_delta_log").glob("*.json"):
        log.unlink()
    assert open_table(written).commits() == []
    assert open_table(written).newest_applied().batch == -1
    assert open_table(written).rows().read_all().num_rows == 9


def test_application_transactions_survive_a_checkpoint(written: Path) -> None:
    DeltaTable(written).create_checkpoint()
    for log in sorted((written / "_delta_log").glob("*.json"))[:-1]:
        log.unlink()
    assert open_table(written).has_batch("s", 8)
    assert not open_table(written).has_batch("s", 9)
    assert not open_table(written).has_batch("other", 0)


def test_a_location_keeps_no_secret_and_reads_it_when_it_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "key").write_text("from file\n")
    given = {"uri": "s3://b/t", "storage": {"A": {"env": "LAKE_KEY"}, "B": {"file": str(tmp_path / "key")}}}
    location = Location.model_validate(given)
    monkeypatch.setenv("LAKE_KEY", "from env")
    assert location.storage_options() == {"A": "from env", "B": "from file"}
    assert "from" not in location.model_dump_json()
    assert location.folder is None


@pytest.mark.parametrize("storage", [{"A": {}}, {"A": {"env": "X", "file": "/x"}}, {"A": "a value"}])
def test_a_storage_option_is_one_reference(storage: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="A"):
        Location.model_validate({"uri": "s3://b/t", "storage": storage})


@pytest.mark.parametrize("option", [{"env": "NOT_THERE"}, {"file": "/not/there"}])
def test_a_storage_option_that_is_missing_is_named(option: dict[str, str]) -> None:
    location = Location.model_validate({"uri": "s3://b/t", "storage": {"A": option}})
    with pytest.raises(Exception, match=r"NOT_THERE|/not/there"):
        location.storage_options()


def test_a_folder_can_be_given_as_a_file_uri(written: Path) -> None:
    assert Location.of(written.as_uri()).folder == written
    assert open_table(written.as_uri()).rows().read_all().num_rows == 9
