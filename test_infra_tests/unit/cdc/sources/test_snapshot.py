"""Which transactions a moment contains."""

from __future__ import annotations

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from test_infra.cdc.sources.postgres import Snapshot

S = Snapshot(10, 20, frozenset({12, 15}))


@pytest.mark.parametrize(
    ("tx_id", "seen"), [(3, True), (9, True), (10, True), (12, False), (13, True), (15, False), (19, True), (20, False)]
)
def test_sees_what_had_ended_and_nothing_else(tx_id: int, seen: bool) -> None:
    assert S.sees(tx_id) is seen


def test_reads_and_writes_postgresql_s_own_form() -> None:
    assert Snapshot.parse("10:20:12,15") == S
    assert str(S) == "10:20:12,15"
    assert Snapshot.parse("10:10:") == Snapshot(10, 10)


def test_ids_are_64_bit() -> None:
    past_wrap_around = Snapshot.parse(f"{2**32 + 5}:{2**32 + 9}:{2**32 + 7}")
    assert past_wrap_around.sees(2**32 - 1)
    assert not past_wrap_around.sees(2**32 + 7)


@settings(deadline=None, max_examples=50)
@given(st.sets(st.integers(5, 15), max_size=6), st.integers(0, 20))
def test_sql_says_the_same(running: set[int], tx_id: int) -> None:
    snapshot = Snapshot(5, 16, frozenset(running))
    with duckdb.connect(":memory:") as connection:
        (said,) = connection.execute(f"SELECT {snapshot.sees_sql('x')} FROM (SELECT {tx_id} AS x)").fetchall()[0]
    assert said is snapshot.sees(tx_id)
