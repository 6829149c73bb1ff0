"""A second kind of table, in memory: the stream writes it and a comparison reads it as they do Delta tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds
import pytest

from test_infra.base.deadline import Deadline
from test_infra.cdc.lake import scratch_db
from test_infra.cdc.lake.location import Location
from test_infra.cdc.lake.open import create_table
from test_infra.cdc.lake.schemas import changes_schema, mirror_schema, quarantine_schema
from test_infra.cdc.lake.versions import BEGINS, Applied, Commit, Noted, commits_of, first_covering, newest_of
from test_infra.cdc.stream.apply import Applier, CreateTable, Targets
from test_infra.cdc.types import UNAVAILABLE
from test_infra_tests.unit.cdc.events import ORDERS, TOPIC, Message, delete, records, tombstone, truncate, upsert

if TYPE_CHECKING:
    from test_infra.cdc.lake.table import LakeTable, MergeRule

PART = "part"
Versions = list[tuple[pa.Table, Mapping[str, str]]]


class MemoryTable:
    """A table whose versions are a list of rows and metadata; DuckDB merges and deletes."""

    def __init__(self, location: Location, versions: Versions) -> None:
        self.location, self._versions = location, versions

    version = property(lambda self: len(self._versions) - 1)
    _rows = property(lambda self: self._versions[-1][0])

    def schema(self) -> pa.Schema:
        return self._rows.schema

    def refresh(self) -> None:
        pass

    def compact(self) -> None:
        pass

    def files(self) -> None:
        return None

    def commits(self, back_to: Mapping[int, int] | None = None) -> list[Commit]:
        return commits_of(self._log(), back_to)

    def newest_applied(self) -> Applied:
        return newest_of(self._log())

    def has_batch(self, stream: str, batch: int) -> bool:
        whole = [Applied.of(metadata) for _, metadata in self._versions if PART not in metadata]
        return any(one.stream == stream and one.batch >= batch for one in whole if one is not None)

    def dataset(self) -> ds.Dataset:
        return ds.dataset(self._rows)

    def rows(self, columns: Sequence[str] | None = None, where: ds.Expression | None = None) -> pa.RecordBatchReader:
        return self.dataset().scanner(columns=columns, filter=where).to_reader()

    def append(self, rows: pa.Table, applied: Applied) -> None:
        self._versions.append((pa.concat_tables([self._rows, rows]), applied.metadata()))

    def append_part(self, rows: pa.Table, applied: Applied) -> None:
        self._versions.append((pa.concat_tables([self._rows, rows]), {**applied.metadata(), PART: ""}))

    def merge(self, rows: pa.Table, rule: MergeRule, applied: Applied) -> None:
        columns, values = ", ".join(rule.values), ", ".join(rule.values.values())
        changed = ", ".join(f"{column} = {value}" for column, value in rule.values.items())
        merged = self._after(
            f"""MERGE INTO t USING s ON {rule.same} WHEN MATCHED AND {rule.delete} THEN DELETE
            WHEN MATCHED AND {rule.update} THEN UPDATE SET {changed}
            WHEN NOT MATCHED AND {rule.insert} THEN INSERT ({columns}) VALUES ({values})""",
            rows,
        )
        self._versions.append((merged, applied.metadata()))

    def delete(self, where: str, begins: int) -> None:
        self._versions.append((self._after(f"DELETE FROM t WHERE {where}"), {BEGINS: str(begins)}))

    def _after(self, statement: str, given: pa.Table | None = None) -> pa.Table:
        with duckdb.connect() as database:
            database.register("now", self._rows)
            database.execute("CREATE TABLE t AS FROM now")
            if given is not None:
                database.register("s", given)
            database.execute(statement)
            return database.sql("FROM t").to_arrow_table().cast(self.schema())

    def _log(self) -> Iterator[Noted]:
        for version in reversed(range(len(self._versions))):
            yield Noted(version, datetime.now(UTC), self._versions[version][1])


class Memory:
    """A store of tables that live as long as it does."""

    def __init__(self) -> None:
        self._tables: dict[str, Versions] = {}

    def create_table(self, where: Location, schema: pa.Schema, applied: Applied) -> MemoryTable:
        versions = self._tables.setdefault(where.uri, [(schema.empty_table(), applied.metadata())])
        return MemoryTable(where, versions)


EVENTS: list[list[Message]] = [
    [upsert("r", 1, 90, "read"), upsert("c", 2, 10, "created"), upsert("c", 3, 11, "other")],
    [upsert("u", 2, 12, UNAVAILABLE), delete(3, 13), tombstone(3), (b"x", b"x")],
    [upsert("u", 2, 11, "older, again"), upsert("c", 3, 11, "deleted, again")],
    [truncate(20), upsert("c", 4, 21, "after")],
    [upsert("c", 5, 30, "a"), upsert("u", 4, 31, "b")],
]
START = Applied("s", -1, {0: 0})
SCHEMAS = {"changes": changes_schema(ORDERS), "mirror": mirror_schema(ORDERS), "quarantine": quarantine_schema()}


def written(create: CreateTable, folder: Path) -> dict[str, LakeTable]:
    """The tables after all events; each micro-batch begins with a restart and is replayed."""
    places = {name: Location.of(folder / name) for name in SCHEMAS}
    targets = Targets({"orders": places["changes"]}, {"orders": places["mirror"]}, places["quarantine"])
    offset = 0
    for batch, messages in enumerate(EVENTS):
        applier = Applier({TOPIC: ORDERS}, targets, stream_id="s", tx_id_reference=1, create=create)
        with closing(applier):
            for _ in ("first", "replayed"):
                applier.apply(records(messages, start=offset), batch)
                applier.wait_for_mirrors(Deadline(30))
        offset += len(messages)
    return {name: create(places[name], schema, START) for name, schema in SCHEMAS.items()}


@pytest.fixture(scope="module")
def in_memory(tmp_path_factory: pytest.TempPathFactory) -> dict[str, LakeTable]:
    return written(Memory().create_table, tmp_path_factory.mktemp("memory"))


@pytest.fixture(scope="module")
def in_delta(tmp_path_factory: pytest.TempPathFactory) -> dict[str, LakeTable]:
    return written(create_table, tmp_path_factory.mktemp("delta"))


@pytest.mark.parametrize(("name", "order"), [("changes", "kafka_offset"), ("mirror", "id"), ("quarantine", "offset")])
def test_the_stream_writes_the_same_rows_into_both_kinds(
    in_memory: dict[str, LakeTable], in_delta: dict[str, LakeTable], name: str, order: str
) -> None:
    ours, delta = (tables[name].rows().read_all().sort_by(order) for tables in (in_memory, in_delta))
    assert ours.num_rows
    assert ours.equals(delta.cast(ours.schema))


def test_versions_of_both_kinds_cover_the_same_offsets(
    in_memory: dict[str, LakeTable], in_delta: dict[str, LakeTable]
) -> None:
    for name in ("changes", "mirror"):
        ours, delta = in_memory[name].commits(), in_delta[name].commits()
        for end in (1, 3, 7, 9, 11, 13):
            covering = first_covering(ours, {0: end}), first_covering(delta, {0: end})
            assert len({commit and (commit.batch, tuple(commit.offsets.items())) for commit in covering}) == 1
        assert in_memory[name].newest_applied() == in_delta[name].newest_applied()


def test_a_comparison_reads_the_other_kind(in_memory: dict[str, LakeTable], tmp_path: Path) -> None:
    with scratch_db.on_disk(tmp_path) as connection:
        scratch_db.view(connection, "mirror", in_memory["mirror"])
        assert connection.sql("SELECT id, note FROM mirror ORDER BY id").fetchall() == [(4, "b"), (5, "a")]
