"""The change log of one table: which keys are dirty, and which rows the log says that there are.

A key is dirty when an event touched it that the source's snapshot does not contain; the mirror is ahead of the snapshot
there. *Folding* events gives the rows that they leave behind.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from test_infra.cdc.lake.schemas import TOMBSTONE
from test_infra.cdc.lake.unchanged_values import add_former_keys, fill_unchanged_values, keys_with_unchanged_values
from test_infra.cdc.types.sql_template import statement

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from test_infra.cdc.judge.comparison import Comparison
    from test_infra.cdc.judge.sides import Sides

_sql = partial(statement, Path(__file__).with_name("fold.sql.j2"))


@dataclass(frozen=True)
class LogFacts:
    """What one look over the whole change log counts; LSNs are -1 where there is none.

    Args:
        events: all but tombstones.
        without_tx_id: streamed events whose transaction is not known.
        last_read_lsn: of the newest initial snapshot.
        truncated_lsn: of the newest truncate.
        visibly_truncated_lsn: of the newest truncate that the source's snapshot contains.
        invisible_truncates: truncates that it does not contain.
        with_unchanged_values: events that left out a value because it had not changed.
    """

    events: int
    without_tx_id: int
    last_read_lsn: int
    truncated_lsn: int
    visibly_truncated_lsn: int
    invisible_truncates: int
    with_unchanged_values: int


def log_facts(connection: DuckDBPyConnection, sides: Sides) -> LogFacts:
    """Count what a change log holds."""
    query = _sql("log_facts", changes=sides.changes, sees=sides.snapshot.sees_sql("tx_id"), tombstone=TOMBSTONE)
    return LogFacts(*connection.execute(query).fetchall()[0])


def dirty_keys(comparison: Comparison) -> str:
    """A table of the keys with an invisible event; after an invisible truncate, of all keys there are."""
    sides, columns = comparison.sides, comparison.columns
    named = {"key_of_events": columns.key_of_events(), "keys": comparison.keys, "tombstone": TOMBSTONE}
    if comparison.facts.invisible_truncates:
        query = _sql(
            "every_key",
            changes=sides.changes,
            source=sides.source,
            mirror=sides.mirror,
            key_of_rows=columns.key_of_rows(),
            **named,
        )
    else:
        misses = sides.snapshot.misses_sql("tx_id")
        query = _sql("keys_with_invisible_event", changes=sides.changes, misses=misses, **named)
    return comparison.tables.make("dirty keys", query)


def events_of_dirty_keys(comparison: Comparison, dirty: str) -> str:
    """A table of all events of the dirty keys, each once, with the values that they left out."""
    tables, facts, keys = comparison.tables, comparison.facts, comparison.keys
    if not facts.with_unchanged_values:
        return tables.make("events of dirty keys", _events_of_keys(comparison, dirty))
    # A value that was left out may be in an event of the key that the row had before.
    names = list(zip(comparison.columns.keys, comparison.schema.key_names, strict=True))
    structs = tables.make("dirty and former keys as structs", _sql("keys_as_structs", keys=dirty, names=names))
    add_former_keys(tables, structs, comparison.sides.changes)
    query = f"SELECT {comparison.columns.key_of_events()} FROM {structs}"
    events = tables.make(
        "events of dirty and former keys",
        _events_of_keys(comparison, tables.make("dirty and former keys", query)),
    )
    fill_unchanged_values(tables, events, comparison.schema)
    return tables.make("events of dirty keys", f"SELECT * FROM {events} SEMI JOIN {dirty} USING ({keys})")


def rows_at_snapshot(comparison: Comparison, events: str) -> str:
    """Query of the rows of the dirty keys as the log says that the snapshot has them."""
    visible = f"(SELECT * FROM {events} WHERE visible)"
    return _folded(comparison, visible, comparison.facts.visibly_truncated_lsn)


def rows_at_end(comparison: Comparison, events: str) -> str:
    """Query of the rows of the dirty keys as the log says that the mirror has them."""
    return _folded(comparison, events, comparison.facts.truncated_lsn)


def rows_of_clean_keys(comparison: Comparison, dirty: str) -> str:
    """Query of the rows of all keys but the dirty ones, as the whole log says that the source has them."""
    facts, changes = comparison.facts, comparison.sides.changes
    structs = filled = ""
    named = {
        "changes": changes,
        "key_of_events": comparison.columns.key_of_events(),
        "last_read_lsn": facts.last_read_lsn,
        "tombstone": TOMBSTONE,
    }
    if facts.with_unchanged_values:
        structs = keys_with_unchanged_values(comparison.tables, changes)
        filled = comparison.tables.make(
            "events with unchanged values", _sql("events_of_structs", structs=structs, **named)
        )
        fill_unchanged_values(comparison.tables, filled, comparison.schema)
    events = _sql("events_of_clean_keys", dirty=dirty, keys=comparison.keys, structs=structs, filled=filled, **named)
    return _folded(comparison, f"({events})", facts.truncated_lsn)


def _events_of_keys(comparison: Comparison, of_keys: str) -> str:
    return _sql(
        "events_of_keys",
        changes=comparison.sides.changes,
        of_keys=of_keys,
        key_of_events=comparison.columns.key_of_events(),
        keys=comparison.keys,
        visible=f"(op = 'r' OR {comparison.sides.snapshot.sees_sql('tx_id')})",
        last_read_lsn=comparison.facts.last_read_lsn,
        tombstone=TOMBSTONE,
    )


def _folded(comparison: Comparison, events: str, truncated_lsn: int) -> str:
    return _sql(
        "folded",
        events=events,
        of_events=comparison.columns.of_events(),
        keys=comparison.keys,
        truncated_lsn=truncated_lsn,
    )
