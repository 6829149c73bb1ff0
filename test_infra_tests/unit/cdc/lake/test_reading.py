"""Tables that Spark wrote, read by us: the same rows that Spark reads, or a refusal that names the feature."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import deltalake
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from test_infra.cdc.lake import scratch_db
from test_infra.cdc.lake.open import open_table
from test_infra.cdc.lake.table import TableUnreadable
from test_infra_tests.unit.cdc.lake.spark_rows import REFUSED, SCANNED, as_json, expected, unpack
from test_infra_tests.unit.cdc.lake.spark_tables import OLD_LOG_FILES_GONE, TABLES

READABLE = sorted(set(TABLES) - set(REFUSED))


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unpack(tmp_path_factory.mktemp("spark"))


@pytest.mark.parametrize("name", READABLE)
def test_rows_are_those_that_spark_reads(tables: Path, name: str) -> None:
    table = open_table(tables / name)
    rows = table.rows().read_all()
    assert as_json(rows) == expected(tables, name)
    assert rows.schema == table.schema()


@pytest.mark.parametrize("name", READABLE)
def test_a_comparison_sees_the_rows_that_spark_reads(tables: Path, tmp_path: Path, name: str) -> None:
    with scratch_db.on_disk(tmp_path) as connection:
        scratch_db.view(connection, "seen", open_table(tables / name))
        assert as_json(connection.sql("FROM seen").to_arrow_table()) == expected(tables, name)


@pytest.mark.parametrize("name", READABLE)
def test_chosen_rows_and_columns_are_those_of_the_whole(tables: Path, name: str) -> None:
    whole = expected(tables, name)
    last = list(whole[0])[-1]
    chosen = open_table(tables / name).rows(["id", last], pc.field("id") > 1).read_all()
    assert as_json(chosen) == [{"id": row["id"], last: row[last]} for row in whole if row["id"] > 1]
    [column] = open_table(tables / name).rows([last]).read_all().column_names
    assert column == last


@pytest.mark.parametrize(("name", "feature"), REFUSED.items())
def test_a_table_that_cannot_be_read_right_is_refused_by_name(
    tables: Path, tmp_path: Path, name: str, feature: str
) -> None:
    table = open_table(tables / name)
    for read in (table.rows, table.dataset, table.files):
        with pytest.raises(TableUnreadable, match=feature) as refused:
            read()
        assert str(tables / name) in str(refused.value)
        assert f"DROP FEATURE {feature}" in str(refused.value)
    with scratch_db.on_disk(tmp_path) as connection, pytest.raises(TableUnreadable, match=feature):
        scratch_db.view(connection, "seen", table)


@pytest.mark.parametrize("name", READABLE)
def test_an_arrow_dataset_has_the_same_rows_or_is_refused(tables: Path, name: str) -> None:
    """Arrow would read a column that is mapped as NULL, and rows that are deleted as if they were there."""
    table = open_table(tables / name)
    if name in SCANNED:
        with pytest.raises(TableUnreadable, match=SCANNED[name]):
            table.dataset()
        assert table.files() is None
    else:
        assert as_json(table.dataset().to_table()) == expected(tables, name)


@pytest.mark.parametrize("name", sorted(SCANNED))
def test_an_older_version_is_read_as_it_was(tables: Path, name: str) -> None:
    assert open_table(tables / name, version=0).rows().read_all().num_rows == 0
    first = open_table(tables / name, version=1)
    assert first.rows().read_all().num_rows in {1, 2, 10}


@pytest.mark.parametrize(("name", "first"), OLD_LOG_FILES_GONE.items())
def test_versions_begin_where_the_log_was_cleaned_up(tables: Path, name: str, first: int) -> None:
    table = open_table(tables / name)
    assert [commit.version for commit in table.commits()] == list(range(first, table.version + 1))


def test_a_version_could_be_seen_when_its_commit_says_so(tables: Path) -> None:
    noted = deltalake.DeltaTable(tables / "commit_times").history(1)[0]["inCommitTimestamp"]
    newest = open_table(tables / "commit_times").commits()[-1]
    assert newest.visible_at == datetime.fromtimestamp(noted / 1e3, tz=UTC)


@pytest.mark.parametrize("feature", ["catalogManaged", "somethingNew", "vacuumProtocolCheck"])
def test_a_feature_that_came_after_us_is_refused_by_name(tmp_path: Path, feature: str) -> None:
    deltalake.write_deltalake(str(tmp_path), pa.table({"id": [1]}))
    [log] = (tmp_path / "_delta_log").glob("*.json")
    features = {"readerFeatures": [feature], "writerFeatures": [feature]}
    protocol = json.dumps({"protocol": {"minReaderVersion": 3, "minWriterVersion": 7, **features}})
    others = [line for line in log.read_text().splitlines() if not line.startswith('{"protocol"')]
    log.write_text("\n".join([protocol, *others]))
    with pytest.raises(TableUnreadable, match=feature):
        open_table(tmp_path).rows()
