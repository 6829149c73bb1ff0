"""DDL on a table without a key is followed: its rows are known by the events that they came from, not by a column."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from test_infra.cdc.judge.verdicts import Verdict
from test_infra.cdc.types.generation import Generation, not_followed
from test_infra.cdc.types.table import Column
from test_infra_tests.unit.cdc.changing import ID, Changing, V, generation
from test_infra_tests.unit.cdc.events import Message, envelope
from test_infra_tests.unit.cdc.one_table import INVISIBLE, VISIBLE

A = replace(ID, key_position=None)
N = Column("n", "integer")
BEGIN = generation((1, A), (2, V))
FILLED = generation((1, A), (2, V), (3, N), n="'7'")
FOLLOWED: dict[str, tuple[Generation, dict[str, Any], list[dict[str, Any]]]] = {
    "added": (generation((1, A), (2, V), (3, N)), {"id": 2, "v": 2, "n": 3}, [{"id": 1, "v": 1, "n": None}] * 2),
    "added with a default": (FILLED, {"id": 2, "v": 2, "n": 3}, [{"id": 1, "v": 1, "n": 7}] * 2),
    "dropped": (generation((1, A)), {"id": 2}, [{"id": 1}] * 2),
    "renamed": (generation((1, A), (2, replace(V, name="w"))), {"id": 2, "w": 2}, [{"id": 1, "w": 1}] * 2),
    "widened": (
        generation((1, replace(A, type="bigint")), (2, replace(V, type="bigint"))),
        {"id": 2**40, "v": 2},
        [{"id": 1, "v": 1}] * 2,
    ),
}
"""What happens -> what the table is then, a row that comes after it, and the two equal rows from before."""


@pytest.fixture
def table(tmp_path: Path) -> Iterator[Changing]:
    with Changing(tmp_path, BEGIN) as made:
        made.feed(read({"id": 1, "v": 1}), insert({"id": 1, "v": 1}, 100, 1))
        yield made


def read(row: dict[str, Any]) -> Message:
    return None, envelope("r", 50, after=row)


def insert(row: dict[str, Any], lsn: int, order: int, tx_id: int = VISIBLE) -> Message:
    event = json.loads(envelope("c", lsn, after=row, tx_id=tx_id))
    return None, json.dumps({**event, "transaction": {"id": f"{tx_id}:{lsn}", "total_order": order}}).encode()


def inserts(table: Changing) -> list[dict[str, Any]]:
    """What the mirror knows the rows by."""
    return sorted(
        ({name: row[name] for name in ("_row_tx_id", "_row_number")} for row in table.mirror()),
        key=str,
    )


@pytest.mark.parametrize("what", list(FOLLOWED))
def test_each_kind_of_ddl_is_followed(table: Changing, what: str) -> None:
    now, row, before = FOLLOWED[what]
    known_by = inserts(table)
    table.alter(now)
    table.look()
    assert inserts(table) == known_by
    table.feed(insert(row, 200, 2), insert(row, 200, 3))
    table.feed(insert(row, 200, 3))
    found = table.parity(table.source(*before, row, row))
    assert found.green, found
    assert table.refused() == []
    assert not table.parity(table.source(*before, row)).green


def test_an_idle_table_gets_its_new_column_with_the_default_of_old_rows(table: Changing) -> None:
    table.alter(FILLED)
    table.look()
    assert [row["n"] for row in table.mirror()] == [7, 7]
    assert table.parity(table.source(*[{"id": 1, "v": 1, "n": 7}] * 2)).green
    wrong = table.parity(table.source(*[{"id": 1, "v": 1, "n": 8}] * 2))
    assert wrong.counts == {Verdict.MISSING: 2, Verdict.EXTRA: 2}


def test_inserts_of_the_old_generation_still_come_and_count_once(table: Changing) -> None:
    table.alter(FILLED)
    table.feed(insert({"id": 2, "v": 2, "n": 1}, 200, 2), insert({"id": 3, "v": 3}, 150, 3))
    table.feed(insert({"id": 1, "v": 1}, 100, 1), insert({"id": 3, "v": 3}, 150, 3))
    rows = [*[{"id": 1, "v": 1, "n": 7}] * 2, {"id": 2, "v": 2, "n": 1}, {"id": 3, "v": 3, "n": 7}]
    found = table.parity(table.source(*rows))
    assert found.green, found
    assert table.refused() == []


def test_rows_that_the_cut_does_not_see_are_told_apart_across_generations(table: Changing) -> None:
    table.feed(insert({"id": 1, "v": 1}, 300, 1, tx_id=INVISIBLE))
    table.alter(FILLED)
    table.look()
    found = table.parity(table.source(*[{"id": 1, "v": 1, "n": 7}] * 2))
    assert found.green, found
    assert found.dirty_keys == 1


def test_truncate_after_ddl_and_a_restart(table: Changing) -> None:
    table.alter(FILLED)
    table.look()
    table.restart()
    table.feed((None, envelope("t", 300)), insert({"id": 5, "v": 5, "n": 5}, 310, 2))
    table.feed(insert({"id": 1, "v": 1}, 100, 1))
    assert table.parity(table.source({"id": 5, "v": 5, "n": 5})).green


def test_a_key_that_comes_is_not_followed() -> None:
    assert not_followed(BEGIN, generation((1, ID), (2, V))) == ["the key is (id), and was ()"]


def test_an_update_is_refused_after_ddl_as_before(table: Changing) -> None:
    table.alter(FILLED)
    table.feed((None, envelope("u", 200, after={"id": 1, "v": 1, "n": 9})))
    assert table.refused() == ["op is u, and a table without a key can only take inserts"]
