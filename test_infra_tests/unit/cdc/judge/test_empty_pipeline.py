"""A pipeline in which nothing has a row or a change is green only where a heart-beat arrived."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from test_infra.cdc.judge import heartbeat, offsets, parity
from test_infra.cdc.judge.differences import TableParity
from test_infra.cdc.judge.heartbeat import Heartbeat
from test_infra.cdc.judge.offsets import OffsetAccount
from test_infra.cdc.judge.verdicts import Verdict

if TYPE_CHECKING:
    from test_infra.cdc.pipeline.running import RunningPipeline

PIPELINE: RunningPipeline = SimpleNamespace()  # type: ignore[assignment]
EMPTY = TableParity("public.t", mirror_version=0)
NO_RECORD = OffsetAccount("t", upto={0: 0})
ARRIVED = Heartbeat(slowest_s=0.4)
LATE = Heartbeat(behind="a heart-beat did not arrive in the mirror in 90 s")


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[Heartbeat]:
    """The next heart-beats, taken as they are sent."""
    coming: list[Heartbeat] = []
    monkeypatch.setattr(heartbeat, "prove", lambda *_: coming.pop())
    return coming


@pytest.mark.parametrize(("proof", "counts"), [(ARRIVED, {}), (LATE, {Verdict.LAG: 1})])
def test_all_tables_empty_is_what_the_heart_beat_says(
    sent: list[Heartbeat], proof: Heartbeat, counts: dict[Verdict, int]
) -> None:
    sent += [proof, proof]
    compared = parity.shown_to_move(PIPELINE, {"t": EMPTY, "u": EMPTY}, 90)
    accounted = offsets.shown_to_move(PIPELINE, {"t": NO_RECORD}, 90)
    assert [table.counts for table in compared.values()] == [counts, counts]
    assert accounted["t"].verdicts == counts
    assert proof.said in (compared["t"].moved or compared["t"].reason)
    assert proof.said in (accounted["t"].moved or accounted["t"].reason)


@pytest.mark.parametrize(
    "other",
    [
        replace(EMPTY, source_rows=1, mirror_rows=1),
        replace(EMPTY, changes=1),
        replace(EMPTY, counts={Verdict.MISSING: 1}, source_rows=1),
        TableParity("public.u", counts={Verdict.LAG: 1}, reason="behind"),
    ],
    ids=["rows", "changes", "missing", "not compared"],
)
def test_table_with_rows_or_a_fault_needs_no_heart_beat(sent: list[Heartbeat], other: TableParity) -> None:
    judged = {"t": EMPTY, "u": other}
    assert parity.shown_to_move(PIPELINE, judged, 90) == judged
    assert not sent


def test_table_that_was_not_compared_is_not_called_empty() -> None:
    assert not TableParity("public.t", counts={Verdict.UNKNOWN: 1}).empty
