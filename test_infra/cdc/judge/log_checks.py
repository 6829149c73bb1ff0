"""What the events of a change log say against each other: no base to fold on, wrong order, a broken chain."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from test_infra.cdc.judge import sums
from test_infra.cdc.judge.comparison import MOST_CHARACTERS
from test_infra.cdc.judge.differences import MOST_DIFFERENCES, Compared, ImageChain
from test_infra.cdc.judge.verdicts import Verdict
from test_infra.cdc.lake.schemas import TOMBSTONE
from test_infra.cdc.types.sql_template import statement

if TYPE_CHECKING:
    from test_infra.cdc.judge.comparison import Comparison

MOST_CHAINED = 200_000
"""Newest events of a log whose before-images are looked at. Looking at all takes seconds per million events, at each
cut; `TableParity.image_chain` says how many were looked at."""

_sql = partial(statement, Path(__file__).with_name("log_checks.sql.j2"))


def keys_without_base(comparison: Comparison, events: str) -> str:
    """A table of dirty keys with an event that needs a row before it which the log does not have: UNKNOWN."""
    query = _sql("keys_without_base", events=events, keys=comparison.keys)
    found = comparison.tables.make("keys without base", query)
    if count := comparison.tables.rows(found):
        reason = f"{count} keys have no base in the change log to fold their events on"
        comparison.found.count_with_reason(Verdict.UNKNOWN, count, reason)
        shown = f"SELECT {comparison.key_texts}, op FROM {found} ORDER BY {comparison.keys}"
        for *key, op in comparison.first(shown, MOST_DIFFERENCES):
            values = (None, f"first event is {op!r}")
            comparison.found.show(Verdict.UNKNOWN, key, "", values, Compared.SOURCE_WITH_LOG)
    return found


def find_disorder(comparison: Comparison, events: str) -> None:
    """Find keys with a visible event after an invisible one; row locks make that impossible in the source."""
    query = _sql(
        "keys_out_of_order",
        events=events,
        keys=comparison.keys,
        visibly_truncated_lsn=comparison.facts.visibly_truncated_lsn,
    )
    found = comparison.tables.make("keys out of order", query)
    comparison.found.count(Verdict.ORDER, comparison.tables.rows(found))
    shown = f"SELECT {comparison.key_texts}, first_invisible, last_visible FROM {found} ORDER BY {comparison.keys}"
    for *key, invisible, visible in comparison.first(shown, MOST_DIFFERENCES):
        values = (f"visible event before lsn {invisible}", f"visible event at lsn {visible}")
        comparison.found.show(Verdict.ORDER, key, "", values, Compared.LOG)


def find_broken_chains(comparison: Comparison) -> ImageChain:
    """Find events whose row before is not the row after the event before: an event between was lost.

    Only for logs whose events have the whole row before the change.

    Returns:
        Which events were looked at.
    """
    sides, columns = comparison.sides, comparison.columns
    chain = _looked_at(comparison)
    before, after = (sums.row_hash_sql(image, columns.columns) for image in ("before", "after"))
    query = _sql(
        "broken_chains",
        changes=sides.changes,
        key_of_events=columns.key_of_events(),
        keys=comparison.keys,
        before_hash=before,
        after_hash=after,
        tombstone=TOMBSTONE,
        since_lsn=chain.since_lsn,
    )
    chains = comparison.tables.make("broken chains", query)
    if not (count := comparison.tables.rows(chains)):
        return chain
    comparison.found.count(Verdict.MISSING, count)
    shown = _sql(
        "rows_of_broken_chains",
        chains=chains,
        changes=sides.changes,
        keys=columns.keys,
        key_of_events=columns.key_of_events(),
        most=MOST_DIFFERENCES,
        most_characters=MOST_CHARACTERS,
    )
    for *key, lsn, before_image, previous in comparison.first(shown, MOST_DIFFERENCES):
        found = f"{previous} before the event at lsn {lsn}"
        comparison.found.show(Verdict.MISSING, key, "", (before_image, found), Compared.LOG)
    return chain


def _looked_at(comparison: Comparison) -> ImageChain:
    events = comparison.facts.events
    if events <= MOST_CHAINED:
        return ImageChain(events, events)
    query = _sql("newest_events", changes=comparison.sides.changes, tombstone=TOMBSTONE, most=MOST_CHAINED)
    ((looked_at, since_lsn),) = comparison.tables.connection.execute(query).fetchall()
    return ImageChain(looked_at, events, since_lsn)
