"""The relations of one table that a comparison reads: source, mirror, change log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


class Visibility(Protocol):
    """Which committed transactions a moment of the source contains, as SQL over a 64-bit transaction id."""

    def sees_sql(self, expr: str) -> str:
        """Whether it is visible."""

    def misses_sql(self, expr: str) -> str:
        """Whether it is not."""


@dataclass(frozen=True)
class Sides:
    """What is compared: names of DuckDB relations, and facts about them.

    Args:
        source: rows at the snapshot; the columns of the table, typed as `test_infra.cdc.types` says.
        mirror: rows of the mirror at its version; the table's columns and ``_lsn, _tx_id, ...``.
        changes: change log up to the offsets that the mirror has applied, exactly; columns of ``changes_schema``.
        snapshot: what the source's rows contain.
        marker_lsn: an LSN behind everything visible; an ``r`` above it was read at a later moment. None: unknown.
        before_images: whether events carry the whole row before the change (REPLICA IDENTITY FULL).
        source_sums: `test_infra.cdc.judge.sums` of all columns of the source, made while it was read; None: not made.
    """

    source: str
    mirror: str
    changes: str
    snapshot: Visibility
    marker_lsn: int | None = None
    before_images: bool = False
    source_sums: str | None = None


def number(connection: DuckDBPyConnection, query: str) -> int:
    """The one number that a query gives."""
    return int(connection.execute(query).fetchall()[0][0])
