"""What a slot and the committed position say of each other; the server itself is asked in the integration tests."""

from __future__ import annotations

from typing import Any

import pytest

from test_infra.cdc.sources.postgres import slot
from test_infra.cdc.sources.postgres.lsn import Lsn
from test_infra.cdc.sources.source import CaptureNames

NAMES = CaptureNames("shop", "ti-1-shop", "ti_1_shop")


def test_break_tells_the_position_by_which_it_was_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    there = slot.Slot(
        active=True,
        plugin="pgoutput",
        of_this_database=True,
        wal_status="reserved",
        invalidation_reason="",
        restart_lsn=Lsn(1),
        confirmed_lsn=Lsn(9),
    )
    monkeypatch.setattr(slot, "find_slot", lambda _connection, _name: there)
    monkeypatch.setattr(slot, "COMMITTED_WITHIN_S", 0.0)
    # A Connect that is asked once more than is judged by would tell another position, or not answer.
    answers = iter([Lsn(5), Lsn(6)])
    connection: Any = None
    (found,) = slot.slot_breaks(connection, NAMES, lambda: next(answers))
    assert found.part == "slot"
    assert "begins at 0/9, but ti-1-shop has read up to 0/6: it was dropped and made again" in found.what
