"""Tables without a key that only take inserts: equal rows are legal, each is counted once, and every fault is found."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from test_infra.cdc.judge.differences import TableParity
from test_infra.cdc.judge.verdicts import Verdict
from test_infra.cdc.lake.location import Location
from test_infra.cdc.lake.open import open_table
from test_infra.cdc.types.table import Column, TableSchema
from test_infra_tests.unit.cdc.events import Message, envelope
from test_infra_tests.unit.cdc.one_table import INVISIBLE, VISIBLE, OneTable

HISTORY = TableSchema("public", "history", (Column("aid", "integer"), Column("delta", "double precision")))

Row = tuple[int | None, float | None]
A, B, EMPTY = (1, 0.5), (2, -0.0), (None, None)


@pytest.fixture
def table(tmp_path: Path) -> Iterator[OneTable]:
    with OneTable(tmp_path, HISTORY) as made:
        yield made


def image(row: Row) -> dict[str, Any]:
    return dict(zip(("aid", "delta"), row, strict=True))


def read(row: Row, lsn: int = 5_000) -> Message:
    return None, envelope("r", lsn, after=image(row))


def insert(row: Row, lsn: int, order: int | None, tx_id: int = VISIBLE, op: str = "c") -> Message:
    event = json.loads(envelope(op, lsn, after=image(row), tx_id=tx_id))
    transaction = None if order is None else {"id": f"{tx_id}:{lsn}", "total_order": order, "data_collection_order": 1}
    return None, json.dumps({**event, "transaction": transaction}).encode()


def truncate(lsn: int, tx_id: int = VISIBLE) -> Message:
    return None, envelope("t", lsn, tx_id=tx_id)


def parity(table: OneTable, *rows: Row) -> TableParity:
    columns = ([row[place] for row in rows] for place in (0, 1))
    return table.parity(pa.table(list(columns), pa.schema([("aid", pa.int32()), ("delta", pa.float64())])))


def mirrored(table: OneTable) -> list[Row]:
    return sorted(((row["aid"], row["delta"]) for row in table.mirror()), key=repr)


def test_equal_rows_are_as_many_rows(table: OneTable) -> None:
    table.feed(read(A), read(A), read(EMPTY))
    # The rows of a COPY share an LSN.
    table.feed(insert(A, 100, 1), insert(A, 100, 2), insert(B, 100, 3), insert(EMPTY, 110, 1, tx_id=VISIBLE + 1))
    rows = [A, A, EMPTY, A, A, B, EMPTY]
    assert mirrored(table) == sorted(rows, key=repr)
    found = parity(table, *rows)
    assert found.green, found
    assert (found.source_rows, found.mirror_rows, found.changes) == (7, 7, 7)


def test_events_delivered_again_count_once(table: OneTable) -> None:
    events = [insert(A, 100, 1), insert(A, 100, 2), insert(B, 110, 3)]
    table.feed(*events, events[0])
    table.feed(*events[1:])
    assert mirrored(table) == [A, A, B]
    assert parity(table, A, A, B).green


def test_message_key_that_debezium_makes_of_some_index_says_nothing(table: OneTable) -> None:
    key = json.dumps({"aid": 1}).encode()
    table.feed((key, insert(A, 100, 1)[1]), (key, insert(A, 100, 2)[1]))
    assert mirrored(table) == [A, A]
    assert table.refused() == []


def test_rows_that_the_cut_does_not_see_are_left_out_of_the_source_and_not_of_the_mirror(table: OneTable) -> None:
    table.feed(read(A), insert(A, 100, 1), insert(A, 200, 1, tx_id=INVISIBLE))
    found = parity(table, A, A)
    assert found.green, found
    assert found.dirty_keys == 1
    assert set(parity(table, A, A, A).counts) == {Verdict.MISSING}


def test_truncate_removes_what_is_older(table: OneTable) -> None:
    table.feed(read(A), insert(A, 100, 1), truncate(110), insert(B, 120, 3))
    assert mirrored(table) == [B]
    assert parity(table, B).green
    table.feed(insert(A, 100, 1), read(B))
    assert mirrored(table) == [B]


def test_invisible_truncate_is_of_the_mirror_only(table: OneTable) -> None:
    table.feed(read(A), insert(A, 100, 1), truncate(200, tx_id=INVISIBLE), insert(B, 210, 2, tx_id=INVISIBLE))
    assert mirrored(table) == [B]
    found = parity(table, A, A)
    assert found.green, found


def test_repeated_snapshot_takes_the_place_of_the_interrupted_one(table: OneTable) -> None:
    table.feed(read(A), read(A), read(B))
    table.feed(read(A, lsn=6_000), read(B, lsn=6_000))
    assert mirrored(table) == [A, B]
    assert parity(table, A, B).green


@pytest.mark.parametrize(
    ("rows", "verdict", "shown"),
    [
        ([A, A, A, B], Verdict.MISSING, ("3 x {'aid': 1, 'delta': 0.5}", "2 x {'aid': 1, 'delta': 0.5}")),
        ([A, B], Verdict.DUPLICATE, ("1 x {'aid': 1, 'delta': 0.5}", "2 x {'aid': 1, 'delta': 0.5}")),
        ([A, A], Verdict.EXTRA, ("0 x {'aid': 2, 'delta': -0.0}", "1 x {'aid': 2, 'delta': -0.0}")),
    ],
)
def test_source_that_has_other_counts_is_found(
    table: OneTable, rows: list[Row], verdict: Verdict, shown: tuple[str, str]
) -> None:
    table.feed(insert(A, 100, 1), insert(A, 100, 2), insert(B, 110, 3))
    found = parity(table, *rows)
    assert found.counts == {verdict: 1}
    (difference,) = found.differences
    assert (difference.source_value, difference.mirror_value) == shown


def test_zero_of_the_wrong_sign_is_another_row(table: OneTable) -> None:
    table.feed(insert(B, 100, 1))
    assert parity(table, (2, 0.0)).counts == {Verdict.MISSING: 1, Verdict.EXTRA: 1}


@pytest.mark.parametrize(
    ("where", "verdict"), [("aid = 1 AND _row_number = 2", Verdict.MISSING), ("aid = 2", Verdict.MISSING)]
)
def test_row_lost_in_the_mirror_is_found(table: OneTable, where: str, verdict: Verdict) -> None:
    table.feed(insert(A, 100, 1), insert(A, 100, 2), insert(B, 110, 3))
    location: Location = table.targets.mirror["history"]
    open_table(location).delete(where, 99)
    assert parity(table, A, A, B).counts == {verdict: 1}


def test_row_that_stands_for_another_equal_one_is_found(table: OneTable) -> None:
    table.feed(insert(A, 100, 1), insert(A, 100, 2))
    mirror = open_table(table.targets.mirror["history"])
    row = next(row for row in table.mirror() if row["_row_number"] == 1)
    mirror.delete("_row_number = 2", 98)
    mirror.append(pa.Table.from_pylist([row], mirror.schema()), mirror.newest_applied())
    assert mirrored(table) == [A, A]
    assert parity(table, A, A).counts == {Verdict.DUPLICATE: 1}


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (insert(A, 100, None), "transaction.total_order is missing or no integer"),
        (insert(A, 100, 1, op="u"), "op is u, and a table without a key can only take inserts"),
        ((None, envelope("d", 100, before=image(A))), "op is d, and a table without a key can only take inserts"),
        ((None, None), "key and value are null"),
        ((b'{"aid": 1}', None), "value is null, in a table without a key"),
        ((None, envelope("c", 100, after={"aid": 1})), "transaction.total_order is missing or no integer"),
        ((None, envelope("r", 100, after={"aid": 1})), "after.delta is missing"),
    ],
)
def test_what_cannot_be_counted_is_refused_by_name(table: OneTable, message: Message, reason: str) -> None:
    table.feed(message)
    assert table.refused() == [reason]
    assert mirrored(table) == []


@pytest.mark.parametrize("had_key", [True, False])
def test_key_that_came_or_went_is_schema(tmp_path: Path, had_key: bool) -> None:
    keyed = replace(HISTORY, columns=(replace(HISTORY.columns[0], key_position=1), *HISTORY.columns[1:]))
    with OneTable(tmp_path, keyed if had_key else HISTORY) as made:
        made.feed((b'{"aid": 1}', insert(A, 100, 1)[1]))
        made.schema = HISTORY if had_key else keyed
        assert set(parity(made, A).counts) == {Verdict.SCHEMA}
