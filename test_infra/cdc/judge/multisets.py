"""A table without a key, whose rows only come: source, change log and mirror as multisets of rows at one cut.

Two equal rows are two rows. The inserts that the source's snapshot contains, each counted once however often it was
delivered, must be the source's rows, and all inserts of the log the mirror's. Both are needed: the first alone does not
look at the mirror, the second alone not at the source. The whole log is counted at each cut.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from test_infra.cdc.judge import sums
from test_infra.cdc.judge.comparison import MOST_CHARACTERS
from test_infra.cdc.judge.differences import MOST_DIFFERENCES, Compared
from test_infra.cdc.judge.verdicts import Verdict
from test_infra.cdc.types import identifier
from test_infra.cdc.types.sql_template import statement
from test_infra.cdc.types.table import ROW_ID

if TYPE_CHECKING:
    from test_infra.cdc.judge.comparison import Comparison

_sql = partial(statement, Path(__file__).with_name("multisets.sql.j2"))


@dataclass(frozen=True)
class ComparedRows:
    """How many rows were compared.

    Args:
        source: rows of the source at the snapshot.
        mirror: rows of the mirror.
        invisible: inserts of the log that the snapshot does not contain.
        inserts: of the log, each once.
    """

    source: int
    mirror: int
    invisible: int
    inserts: int


def compare(comparison: Comparison) -> ComparedRows:
    """Count equal rows of source, log and mirror; all of the mirror's rows must have an identity of their own."""
    tables, sides, facts, columns = comparison.tables, comparison.sides, comparison.facts, comparison.columns
    visible = f"(op = 'r' OR {sides.snapshot.sees_sql('tx_id')})"
    query = _sql(
        "inserts",
        changes=sides.changes,
        of_events=columns.of_events(),
        visible=visible,
        last_read_lsn=facts.last_read_lsn,
    )
    inserts = tables.make("inserts", query)
    names = ", ".join(column.name for column in columns.own)
    at_snapshot, at_end = (
        f"({_sql('rows_of_inserts', inserts=inserts, names=names, truncated_lsn=lsn, only_visible=only_visible)})"
        for lsn, only_visible in ((facts.visibly_truncated_lsn, True), (facts.truncated_lsn, False))
    )
    _find_differing_rows(comparison, comparison.source, at_snapshot, Compared.SOURCE_WITH_LOG)
    _find_differing_rows(comparison, at_end, comparison.mirror, Compared.LOG_WITH_MIRROR)
    _find_rows_twice(comparison)
    return ComparedRows(
        source=tables.rows(sides.source),
        mirror=tables.rows(sides.mirror),
        invisible=tables.number(f"SELECT count(*) FROM {inserts} WHERE NOT visible"),
        inserts=tables.rows(inserts),
    )


def _find_differing_rows(comparison: Comparison, expected: str, found: str, compared: Compared) -> None:
    """Count and show rows of which there are more in one relation; more of one that is expected is DUPLICATE."""
    first_hash, second_hash = sums.row_hashes_sql(comparison.columns.own)
    hashes = {"expected": expected, "found": found, "first_hash": first_hash, "second_hash": second_hash}
    unequal = comparison.tables.make(f"unequal counts, {compared.value}", _sql("unequal_counts", **hashes))
    lacking, more, again = comparison.tables.connection.execute(
        f"""SELECT coalesce(sum(expected - found) FILTER (expected > found), 0)::BIGINT,
            coalesce(sum(found) FILTER (expected = 0), 0)::BIGINT,
            coalesce(sum(found - expected) FILTER (expected BETWEEN 1 AND found), 0)::BIGINT FROM {unequal}"""
    ).fetchall()[0]
    for verdict, count in ((Verdict.MISSING, lacking), (Verdict.EXTRA, more), (Verdict.DUPLICATE, again)):
        comparison.found.count(verdict, count)
    if not lacking + more + again:
        return
    columns = comparison.columns
    query = _sql(
        "shown_rows",
        unequal=unequal,
        columns=[(column.name, own.name) for column, own in zip(columns.columns, columns.own, strict=True)],
        most=MOST_DIFFERENCES,
        most_characters=MOST_CHARACTERS,
        **hashes,
    )
    for wanted, seen, row in comparison.tables.connection.execute(query).fetchall():
        verdict = Verdict.MISSING if wanted > seen else Verdict.DUPLICATE if wanted else Verdict.EXTRA
        values = (f"{wanted} x {row}", f"{seen} x {row}")
        comparison.found.show(verdict, (), "", values, compared)


def _find_rows_twice(comparison: Comparison) -> None:
    """Find identities that the mirror has twice, where another row is lost, so that the counts are right."""
    ids = ", ".join(map(identifier, ROW_ID))
    query = f"SELECT {ids}, count(*) AS rows FROM {comparison.sides.mirror} GROUP BY ALL HAVING count(*) > 1"
    twice = comparison.tables.make("identities that are there twice", query)
    if count := comparison.tables.rows(twice):
        reason = f"{count} inserts are in the mirror more than once"
        comparison.found.count_with_reason(Verdict.DUPLICATE, count, reason)
