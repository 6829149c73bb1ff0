"""Faults that are planted, and whether they were found."""

from __future__ import annotations

from dataclasses import dataclass

from test_infra.cdc.sources.postgres import Snapshot

SNAPSHOT = Snapshot(1_000, 1_000)
VISIBLE, INVISIBLE = 500, 2_000
"""Transactions that the snapshot contains, and that it does not."""


@dataclass(frozen=True)
class Planted:
    """Faults of one kind.

    Args:
        what: type or shape.
        place: where they were planted.
        planted: how many.
        found: how many were found with the right verdict, at the right key, and nothing else was.
        harmless: how many more changed no state at the cut, as an event that a later one overwrites.
    """

    what: str
    place: str
    planted: int
    found: int
    harmless: int = 0
