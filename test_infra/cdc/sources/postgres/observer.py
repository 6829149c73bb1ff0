"""A session beside the ones that read: it sees what is committed now, and writes messages into the WAL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from test_infra.cdc.sources.postgres.catalogue import SourceTable, tables
from test_infra.cdc.sources.postgres.slot import find_slot
from test_infra.cdc.sources.postgres.snapshot import emit_marker, emit_message

if TYPE_CHECKING:
    import psycopg

    from test_infra.cdc.sources.postgres.lsn import Lsn
    from test_infra.cdc.types.table_id import CapturedTable


class PostgresObserver:
    """A session of the owner beside the ones that read.

    Args:
        connection: in autocommit.
        captured: label -> captured table.
        slot_name: of the pipeline.
        beat_prefix: of the pipeline's heart-beats.
    """

    def __init__(
        self,
        connection: psycopg.Connection,
        captured: Mapping[str, CapturedTable],
        slot_name: str,
        beat_prefix: str,
    ) -> None:
        self._connection = connection
        self._captured = captured
        self._slot = slot_name
        self._beat_prefix = beat_prefix

    def not_capturing(self) -> str:
        """Why the slot has no confirmed position yet; empty when it has one."""
        found = find_slot(self._connection, self._slot)
        if found is None:
            return "there is no such slot"
        return "it has no confirmed position" if found.confirmed_lsn is None else ""

    def emit_marker(self) -> Lsn:
        """Write a message into the WAL and return its LSN; whatever was committed before lies below it."""
        return emit_marker(self._connection)

    def emit_beat(self, text: str) -> Lsn:
        """Commit a heart-beat: a message that goes on to the stream."""
        return emit_message(self._connection, self._beat_prefix, text)

    def tables(self, labels: Sequence[str]) -> list[SourceTable]:
        """The captured tables as they are now."""
        return tables(self._connection, [self._captured[label] for label in labels])
