"""The history can be read whatever happened to its writer."""

from __future__ import annotations

import datetime as dt
import stat
import uuid
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from test_infra.cdc.load.history import History, Kind, OperationOutcome, OperationResult, Phase, read, written


def step(key: int | str = 1, outcome: OperationOutcome = OperationOutcome.OK) -> OperationResult:
    return OperationResult("orders", ("id",), (key,), Kind.INSERT, outcome)


def fill(path: Path, transactions: int) -> None:
    history = History(path)
    for number in range(transactions):
        history.add([step(number), step("é\n'")], 100 + number, 1.0, 2.0)
    history.close()


def test_operations_come_back_as_they_were_and_numbered(tmp_path: Path) -> None:
    path = tmp_path / "h.jsonl"
    fill(path, 2)
    operations = list(read(path))
    assert [operation.number for operation in operations] == [0, 1, 2, 3]
    assert [operation.key for operation in operations] == [(0,), ("é\n'",), (1,), ("é\n'",)]
    assert {(operation.table, operation.kind, operation.outcome, operation.phase) for operation in operations} == {
        ("orders", Kind.INSERT, OperationOutcome.OK, Phase.LOAD)
    }
    assert [operation.tx_id for operation in operations] == [100, 100, 101, 101]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=30)
@given(st.integers(0, 400))
def test_killed_writer_leaves_a_readable_file_and_the_next_one_goes_on(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "h.jsonl"
    path.unlink(missing_ok=True)
    fill(path, 2)
    whole = path.read_bytes()
    path.write_bytes(whole[:cut])
    left = len(list(read(path)))
    assert left == whole[:cut].count(b"\n")
    fill(path, 1)
    assert [operation.number for operation in read(path)] == list(range(left + 2))


def test_missing_file_is_an_empty_history(tmp_path: Path) -> None:
    assert list(read(tmp_path / "none")) == []


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (5, 5),
        ("é", "é"),
        (True, "true"),
        (Decimal("1.50"), "1.50"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (b"\x00\xff", "00ff"),
        (dt.date(2026, 1, 2), "2026-01-02"),
        (dt.datetime(2026, 1, 2, 3, tzinfo=dt.UTC), "2026-01-02 03:00:00+00:00"),
    ],
)
def test_keys_are_written_the_same_way_by_load_and_mirror(value: object, text: object) -> None:
    assert written(value) == text
