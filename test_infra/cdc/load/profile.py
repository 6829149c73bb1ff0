"""The history of a load over time: how many operations ended how, in a bounded number of buckets."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from test_infra.cdc.load import history
from test_infra.cdc.load.history import OperationOutcome, Phase
from test_infra.verdict.measures import Series, bucket_s, series

MOST_BUCKETS = 120
TICK_S = 0.1
"""Every bucket is made of whole ticks, so a long history is counted while it is read and never held."""


@dataclass(frozen=True)
class Profile:
    """What became of the operations after the initial snapshot.

    Args:
        outcomes: outcome -> operations, all of them.
        over_time: the same by the time of their end; None when there was none.
    """

    outcomes: dict[str, int]
    over_time: Series | None


def profile(path: Path) -> Profile:
    """Read a history; a missing one is an empty one. Rows of before the connector are no load."""
    ticks = Counter((int(item.done / TICK_S), item.outcome) for item in history.read(path) if item.phase is Phase.LOAD)
    outcomes = dict.fromkeys((outcome.value for outcome in OperationOutcome), 0)
    for (_, outcome), count in ticks.items():
        outcomes[outcome.value] += count
    if not ticks:
        return Profile(outcomes, None)
    first, last = min(tick for tick, _ in ticks), max(tick for tick, _ in ticks)
    length_s = bucket_s((last - first) * TICK_S, MOST_BUCKETS)
    ticks_of_bucket = round(length_s / TICK_S)
    rows = {
        place: {outcome.value: 0.0 for outcome in OperationOutcome}
        for place in range((last - first) // ticks_of_bucket + 1)
    }
    for (tick, outcome), count in ticks.items():
        rows[(tick - first) // ticks_of_bucket][outcome.value] += count
    return Profile(outcomes, series("load", datetime.fromtimestamp(first * TICK_S, UTC), length_s, rows))
