"""Source, change log and mirror of one table at one cut: equal, or which row and column is not. Pure; DuckDB inside.

Keys that no invisible event touched are *clean*: their source row must be their mirror row. They are compared by sums
over buckets of rows, and row by row in the buckets whose sums differ. The other keys are *dirty*, because the mirror is
ahead of the source's snapshot there: the change log folded up to the snapshot must be the source row, **and** folded to
its end it must be the mirror row. Comparing only one of the two finds none of the faults of the other side:
docs/parity.md has the experiment.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from test_infra.cdc.judge import fold, log_checks, multisets, sums
from test_infra.cdc.judge.compare_rows import find_differing_rows, find_duplicates, one_row_per_key, suspect_rows
from test_infra.cdc.judge.comparison import ComparedColumns, Comparison
from test_infra.cdc.judge.differences import (
    MOST_DIFFERENCES,
    Compared,
    DifferenceCollector,
    ImageChain,
    TableParity,
)
from test_infra.cdc.judge.sides import number
from test_infra.cdc.judge.verdicts import Verdict
from test_infra.cdc.lake.schemas import mirror_schema
from test_infra.cdc.lake.scratch_db import LARGE_ROW_BYTES
from test_infra.cdc.lake.temporary_tables import TemporaryTables
from test_infra.cdc.types import rule_for
from test_infra.cdc.types.table import ROW_ID

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from test_infra.cdc.judge.sides import Sides
    from test_infra.cdc.types.table import Column, TableSchema

MOST_REPLAYED = 200_000
"""Events of a log that is folded for clean keys as well. That takes a second per million events, so a longer log is
folded for dirty keys only; `TableParity.replayed_keys` is None then."""
MOST_REPLAYED_BYTES = 256 * 1024 * 1024
"""Of the events of such a log, where rows are large: it is sorted in memory."""


def judge(connection: DuckDBPyConnection, sides: Sides, schema: TableSchema) -> TableParity:
    """Compare every column of every row, as typed values.

    NaN equals NaN, 0.0 does not equal -0.0, NULL equals NULL and nothing else.

    Args:
        connection: holds the relations; temporary tables are made in it and dropped again.
        sides: what is compared.
        schema: the table as the source describes it at the cut.
    """
    found = DifferenceCollector(schema)
    columns = _comparable(connection, sides.mirror, schema, found)
    facts = fold.log_facts(connection, sides)
    if not facts.events and _are_empty(connection, sides):
        # Of the many tables of a pipeline, most of what follows would be queries about nothing.
        compared = _Compared(source=0, mirror=0, clean=0, dirty=0, replayed=0)
    elif not schema.key:
        compared = _compare_multisets(connection, sides, schema, columns, facts, found)
    elif all(column in columns for column in schema.key):
        with TemporaryTables(connection) as tables:
            compared = _compare(Comparison(tables, sides, schema, ComparedColumns(columns), facts, found))
    else:
        source, mirror = _rows(connection, sides)
        compared = _Compared(source, mirror, clean=0, dirty=0, replayed=0)
    if facts.events and facts.without_tx_id:
        reason = "events carry no transaction id, so their visibility is unknown"
        found.count_with_reason(Verdict.UNKNOWN, facts.without_tx_id, reason)
    marker, last_read = sides.marker_lsn, facts.last_read_lsn
    if marker is not None and last_read is not None and last_read > marker:
        reason = "the connector repeated its initial snapshot while the cut was taken"
        found.count_with_reason(Verdict.UNKNOWN, 1, reason)
    return TableParity(
        table=schema.qualified,
        counts=found.counts(),
        reason="; ".join(found.reasons),
        clean_keys=compared.clean,
        dirty_keys=compared.dirty,
        replayed_keys=compared.replayed,
        image_chain=compared.chain,
        source_rows=compared.source,
        mirror_rows=compared.mirror,
        changes=facts.events,
        differences=tuple(found.differences[:MOST_DIFFERENCES]),
        left_out=schema.left_out,
    )


def _rows(connection: DuckDBPyConnection, sides: Sides) -> tuple[int, int]:
    """How many rows source and mirror have."""
    source, mirror = (number(connection, f"SELECT count(*) FROM {side}") for side in (sides.source, sides.mirror))
    return source, mirror


def _are_empty(connection: DuckDBPyConnection, sides: Sides) -> bool:
    return _rows(connection, sides) == (0, 0)


@dataclass(frozen=True)
class _Compared:
    """Rows of both sides; keys by the way in which they were compared; events of the chain of before-images."""

    source: int
    mirror: int
    clean: int
    dirty: int
    replayed: int | None
    chain: ImageChain | None = None


def _comparable(
    connection: DuckDBPyConnection, mirror: str, schema: TableSchema, found: DifferenceCollector
) -> tuple[Column, ...]:
    """The columns that both sides have with the same type; every other is a fault."""
    # A column of the source that is called like one of the mirror's own is not in the mirror.
    own = set(mirror_schema(schema).names[len(schema.columns) :])
    described = connection.execute(f"DESCRIBE SELECT * FROM {mirror}").fetchall()
    there = {name: kind for name, kind, *_ in described if name not in own}
    wanted = {column.name: rule_for(column).duckdb for column in schema.columns}
    for name in [*wanted, *(name for name in there if name not in wanted)]:
        if wanted.get(name) != there.get(name):
            found.count(Verdict.SCHEMA)
            found.show(Verdict.SCHEMA, (), name, (wanted.get(name), there.get(name)), Compared.SOURCE_WITH_MIRROR)
    if not schema.key and not set(ROW_ID) <= own & {name for name, *_ in described}:
        # The table had a key when its mirror was made.
        found.count(Verdict.SCHEMA)
        found.show(
            Verdict.SCHEMA,
            (),
            ", ".join(ROW_ID),
            ("a mirror of a table without a key", None),
            Compared.SOURCE_WITH_MIRROR,
        )
        return ()
    if schema.key and set(ROW_ID) <= set(there) - set(wanted):
        return ()
    return tuple(column for column in schema.columns if there.get(column.name) == wanted[column.name])


def _compare_multisets(
    connection: DuckDBPyConnection,
    sides: Sides,
    schema: TableSchema,
    columns: tuple[Column, ...],
    facts: fold.LogFacts,
    found: DifferenceCollector,
) -> _Compared:
    if columns != schema.columns:
        source, mirror = _rows(connection, sides)
        return _Compared(source, mirror, clean=0, dirty=0, replayed=0)
    with TemporaryTables(connection) as tables:
        rows = multisets.compare(Comparison(tables, sides, schema, ComparedColumns(columns), facts, found))
    return _Compared(rows.source, rows.mirror, clean=rows.source, dirty=rows.invisible, replayed=rows.inserts)


def _compare(comparison: Comparison) -> _Compared:
    tables, sides = comparison.tables, comparison.sides
    dirty = fold.dirty_keys(comparison)
    dirty_count = tables.rows(dirty)
    dirty_source = dirty_mirror = None
    if dirty_count:
        of_dirty_keys = f"SEMI JOIN {dirty} USING ({comparison.keys})"
        dirty_source = tables.make("source rows of dirty keys", f"FROM {comparison.source} {of_dirty_keys}")
        dirty_mirror = tables.make("mirror rows of dirty keys", f"FROM {comparison.mirror} {of_dirty_keys}")
    source_sums, mirror_sums = _source_sums(comparison), _mirror_sums(comparison)
    # Dirty rows are compared through the log, so they are taken out of the sums of both sides.
    source_of_dirty = [_sums_of(comparison, dirty_source)] if dirty_source else []
    mirror_of_dirty = [_sums_of(comparison, dirty_mirror)] if dirty_mirror else []
    plus, minus = [source_sums, *mirror_of_dirty], [mirror_sums, *source_of_dirty]
    unequal = tables.make("unequal buckets of mirror", sums.unequal_sql(plus, minus))
    reported, extra = _compare_clean_keys(comparison, unequal, dirty, dirty_mirror)
    replayed = None
    if _is_short(comparison):
        replayed_rows = tables.make("rows of the whole log", fold.rows_of_clean_keys(comparison, dirty))
        minus = [_sums_of(comparison, replayed_rows), *source_of_dirty]
        unequal = tables.make("unequal buckets of log", sums.unequal_sql([source_sums], minus))
        _compare_with_whole_log(comparison, replayed_rows, unequal, dirty, reported)
        replayed = tables.rows(replayed_rows)
    if dirty_source and dirty_mirror:
        _compare_dirty_keys(comparison, fold.events_of_dirty_keys(comparison, dirty), dirty_source, dirty_mirror)
    chain = log_checks.find_broken_chains(comparison) if sides.before_images else None
    source, mirror = (
        tables.number(f"SELECT coalesce(sum(rows), 0) FROM {summed}") for summed in (source_sums, mirror_sums)
    )
    clean = source + extra - (tables.rows(dirty_source) if dirty_source else 0)
    return _Compared(source, mirror, clean, dirty_count, replayed, chain)


def _is_short(comparison: Comparison) -> bool:
    """Whether the log can be folded as a whole."""
    events, row_bytes = comparison.facts.events, comparison.sides.row_bytes
    fits = row_bytes <= LARGE_ROW_BYTES or events * row_bytes <= MOST_REPLAYED_BYTES
    return events <= MOST_REPLAYED and fits


def _source_sums(comparison: Comparison) -> str:
    """Relation of the sums of the source's rows; those that were made while it was read, where they fit."""
    summed = comparison.sides.source_sums
    if summed is not None and comparison.columns.columns == comparison.schema.columns:
        return summed
    return comparison.tables.make("sums of source", sums.sums_sql(comparison.source, comparison.columns.own))


def _mirror_sums(comparison: Comparison) -> str:
    return comparison.tables.make("sums of mirror", sums.sums_sql(comparison.mirror, comparison.columns.own))


def _sums_of(comparison: Comparison, rows: str) -> str:
    return f"({sums.sums_sql(rows, comparison.columns.own)})"


def _compare_clean_keys(
    comparison: Comparison, unequal: str, dirty: str, dirty_mirror: str | None
) -> tuple[str | None, int]:
    """Compare source and mirror row by row in unequal buckets, and look for keys that the mirror has twice.

    Returns:
        A relation of the keys that were reported, None when the sums are equal; how many keys only the mirror has.
    """
    of_dirty_keys = [dirty_mirror] if dirty_mirror else []
    if not comparison.tables.rows(unequal):
        if of_dirty_keys:
            find_duplicates(comparison, of_dirty_keys)
        return None, 0
    expected = suspect_rows(comparison, "suspect source rows", comparison.source, unequal, dirty)
    found = suspect_rows(comparison, "suspect mirror rows", comparison.mirror, unequal, dirty)
    find_duplicates(comparison, [found, *of_dirty_keys])
    differing = find_differing_rows(
        comparison, expected, one_row_per_key(comparison, found), Compared.SOURCE_WITH_MIRROR
    )
    return differing.keys, differing.extra


def _compare_with_whole_log(
    comparison: Comparison, replayed: str, unequal: str, dirty: str, already_reported: str | None
) -> None:
    """Compare source and the folded log row by row in unequal buckets; keys that were reported are left out."""
    if not comparison.tables.rows(unequal):
        return
    expected = suspect_rows(comparison, "suspect source rows", comparison.source, unequal, dirty)
    found = suspect_rows(comparison, "suspect log rows", replayed, unequal, dirty)
    if already_reported:
        unreported = f"ANTI JOIN {already_reported} USING ({comparison.keys})"
        expected, found = (f"(FROM {side} {unreported})" for side in (expected, found))
    find_differing_rows(comparison, expected, found, Compared.SOURCE_WITH_LOG)


def _compare_dirty_keys(comparison: Comparison, events: str, dirty_source: str, dirty_mirror: str) -> None:
    """Compare what the log says of dirty keys with the source up to the snapshot, and with the mirror at its end."""
    without_base = log_checks.keys_without_base(comparison, events)
    log_checks.find_disorder(comparison, events)
    with_base = f"ANTI JOIN {without_base} USING ({comparison.keys})"
    expected = f"(FROM {dirty_source} {with_base})"
    found = f"(FROM ({fold.rows_at_snapshot(comparison, events)}) {with_base})"
    find_differing_rows(comparison, expected, found, Compared.SOURCE_WITH_LOG)
    expected, found = f"({fold.rows_at_end(comparison, events)})", one_row_per_key(comparison, dirty_mirror)
    find_differing_rows(comparison, expected, found, Compared.LOG_WITH_MIRROR)
