"""A small world for parity tests: a history of transactions, and the source, change log and mirror that follow from it.

Its rules are written down here a second time, as plain dictionaries, so that they check the SQL of the comparison.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

import duckdb
import pyarrow as pa

from test_infra.cdc.judge.compare import judge
from test_infra.cdc.judge.differences import TableParity
from test_infra.cdc.judge.sides import Sides
from test_infra.cdc.lake.schemas import changes_schema, mirror_schema
from test_infra.cdc.sources.postgres import Snapshot
from test_infra.cdc.types.table import Column, TableSchema

SCHEMA = TableSchema(
    "public",
    "things",
    (
        Column("id", "bigint", nullable=False, key_position=1),
        Column("kind", "text", nullable=False, key_position=2),
        Column("small", "smallint"),
        Column("amount", "numeric(12,2)"),
        Column("ratio", "double precision"),
        Column("ok", "boolean"),
        Column("ref", "uuid"),
        Column("day", "date"),
        Column("at", "timestamp without time zone"),
        Column("at_tz", "timestamp with time zone"),
        Column("doc", "jsonb"),
        Column("raw", "bytea"),
    ),
)

ROW = {
    "small": 7,
    "amount": Decimal("10.50"),
    "ratio": 0.5,
    "ok": True,
    "ref": "6f1f1f6e-8f5a-4b0e-9a43-7a1b0b8f0c11",
    "day": dt.date(2026, 11, 21),
    "at": dt.datetime(2026, 11, 21, 3, 4, 5, 6),
    "at_tz": dt.datetime(2026, 11, 21, 3, 4, 5, 7, tzinfo=dt.UTC),
    "doc": '{"a": 1}',
    "raw": b"\x00\xff",
}

Key = tuple[int, str]


@dataclass(frozen=True)
class Event:
    op: str
    key: Key | None
    after: dict[str, Any] | None
    before: dict[str, Any] | None
    lsn: int
    tx_id: int | None
    offset: int
    unchanged: tuple[str, ...] | None = None


def row(key: Key, **values: Any) -> dict[str, Any]:
    return {"id": key[0], "kind": key[1], **ROW, **values}


@dataclass
class World:
    """Builds the three sides one committed transaction at a time."""

    snapshot: Snapshot = Snapshot(1000, 1000)
    source: dict[Key, dict[str, Any]] = field(default_factory=dict)
    mirror: dict[Key, dict[str, Any]] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    extra_mirror_rows: list[dict[str, Any]] = field(default_factory=list)
    before_images: bool = False
    marker_lsn: int | None = None
    lsn: int = 10_000
    generation: int = 50_000
    schema: TableSchema = SCHEMA

    def read(self, key: Key, **values: Any) -> World:
        """A row of the initial snapshot; all have one LSN, as high as Debezium makes it."""
        return self._event("r", key, row(key, **values), None)

    def create(self, tx_id: int, key: Key, **values: Any) -> World:
        return self._event("c", key, row(key, **values), tx_id)

    def update(self, tx_id: int, key: Key, **values: Any) -> World:
        return self._event("u", key, {**self.mirror.get(key, row(key)), **values}, tx_id)

    def left_out(self, *columns: str) -> World:
        """The event just written left out these columns, because they had not changed (TOAST)."""
        event = self.events[-1]
        after = {**(event.after or {}), **dict.fromkeys(columns)}
        self.events[-1] = replace(event, after=after, unchanged=columns)
        return self

    def move(self, tx_id: int, old: Key, new: Key) -> World:
        """A key change: a delete and a create at one LSN."""
        values = {name: value for name, value in self.mirror[old].items() if name not in ("id", "kind")}
        self.delete(tx_id, old)
        self.lsn -= 10
        return self.create(tx_id, new, **values)

    def delete(self, tx_id: int, key: Key) -> World:
        return self._event("d", key, None, tx_id)

    def repeat_snapshot(self) -> World:
        """The initial snapshot was interrupted and begins again: what it does not read again is not there any more."""
        self.generation += 1_000
        self.source.clear()
        self.mirror.clear()
        return self

    def truncate(self, tx_id: int) -> World:
        return self._event("t", None, None, tx_id)

    def redeliver(self, index: int) -> World:
        self.events.append(replace(self.events[index], offset=len(self.events)))
        return self

    def _event(self, op: str, key: Key | None, after: dict[str, Any] | None, tx_id: int | None) -> World:
        self.lsn += 10
        # A streamed event may have a lower LSN than the snapshot's reads.
        lsn = self.generation if op == "r" else self.lsn
        before = self.mirror.get(key) if key is not None and op in "ud" else None
        self.events.append(Event(op, key, after, before, lsn, tx_id, len(self.events)))
        visible = op == "r" or (tx_id is not None and self.snapshot.sees(tx_id))
        for side in (self.mirror, *([self.source] if visible else [])):
            if op == "t":
                side.clear()
            elif key is not None and after is None:
                side.pop(key, None)
            elif key is not None and after is not None:
                side[key] = dict(after)
        return self

    def judge(self) -> TableParity:
        with duckdb.connect(":memory:") as connection:
            connection.execute("SET TimeZone = 'UTC'")
            connection.register("source", self.source_table())
            connection.register("mirror", self.mirror_table())
            connection.register("changes", self.changes_table())
            sides = Sides("source", "mirror", "changes", self.snapshot, self.marker_lsn, self.before_images)
            return judge(connection, sides, self.schema)

    def source_table(self) -> pa.Table:
        wanted = mirror_schema(self.schema)
        names = [column.name for column in self.schema.columns]
        return pa.Table.from_pylist(list(self.source.values()), pa.schema([wanted.field(name) for name in names]))

    def mirror_table(self) -> pa.Table:
        return pa.Table.from_pylist([*self.mirror.values(), *self.extra_mirror_rows], mirror_schema(self.schema))

    def changes_table(self) -> pa.Table:
        rows = []
        for event in self.events:
            rows.append(
                {
                    "op": event.op,
                    "key": None if event.key is None else {"id": event.key[0], "kind": event.key[1]},
                    "before": event.before if self.before_images else None,
                    "after": event.after,
                    "unchanged": event.unchanged,
                    "lsn": event.lsn,
                    "tx_id": event.tx_id,
                    "snapshot": event.op == "r",
                    "kafka_partition": 0,
                    "kafka_offset": event.offset,
                    "batch_id": 0,
                }
            )
            if event.op == "d":
                rows.append(
                    {
                        "op": "tombstone",
                        "key": rows[-1]["key"],
                        "kafka_partition": 0,
                        "kafka_offset": 10_000 + event.offset,
                    }
                )
        return pa.Table.from_pylist(rows, changes_schema(self.schema))
