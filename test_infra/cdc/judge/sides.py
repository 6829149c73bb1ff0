"""The relations of one table that a comparison reads: source, mirror, change log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from test_infra.cdc.sources.source import Visibility
    from test_infra.cdc.types.position import Stored


@dataclass(frozen=True)
class Sides:
    """What is compared: names of DuckDB relations, and facts about them.

    Args:
        source: rows at the snapshot; the columns of the table, typed as `test_infra.cdc.types` says.
        mirror: rows of the mirror at its version; the table's columns and ``_lsn, _tx_id, ...``.
        changes: change log up to the offsets that the mirror has applied, exactly; columns of ``changes_schema``.
        snapshot: what the source's rows contain.
        marker_lsn: a position behind everything visible; an ``r`` above it was read later. None: unknown.
        before_images: whether events carry the whole row before the change (REPLICA IDENTITY FULL).
        row_bytes: of a row of the source, on average; 0 where that does not matter.
        source_sums: `test_infra.cdc.judge.sums` of all columns of the source, made while it was read; None: not made.
    """

    source: str
    mirror: str
    changes: str
    snapshot: Visibility
    marker_lsn: Stored | None = None
    before_images: bool = False
    source_sums: str | None = None
    row_bytes: int = 0


def number(connection: DuckDBPyConnection, query: str) -> int:
    """The one number that a query gives."""
    return int(connection.execute(query).fetchall()[0][0])
