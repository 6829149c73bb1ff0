"""One table of any shape, from Debezium's messages to the verdict no services: parse, change log, mirror, judge."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from test_infra.base.deadline import Deadline
from test_infra.cdc.judge import read_source_rows
from test_infra.cdc.judge.compare import judge
from test_infra.cdc.judge.sides import Sides
from test_infra.cdc.lake import scratch_db
from test_infra.cdc.lake.location import Location
from test_infra.cdc.lake.open import open_table
from test_infra.cdc.sources.postgres import Snapshot
from test_infra.cdc.stream.apply import Applier, Targets
from test_infra.cdc.stream.follow import Follower
from test_infra_tests.unit.cdc.events import TOPIC, Message, envelope, records

if TYPE_CHECKING:
    import pyarrow as pa

    from test_infra.cdc.judge.differences import TableParity
    from test_infra.cdc.stream.follow import Catalogue
    from test_infra.cdc.types.table import TableSchema

SNAPSHOT = Snapshot(1_000, 1_000)
VISIBLE, INVISIBLE = 700, 2_000


class OneTable:
    """The lake of one table, fed with messages, and its parity with rows of a source.

    Args:
        folder: takes the tables.
        schema: of the table.
        follow: the catalogue whose DDL is followed; None: it is not.
    """

    def __init__(self, folder: Path, schema: TableSchema, follow: Catalogue | None = None) -> None:
        self.schema = schema
        self.folder = folder
        changes, mirror, quarantine = (Location.of(folder / name) for name in ("changes", "mirror", "quarantine"))
        self.targets = Targets({schema.label: changes}, {schema.label: mirror}, quarantine)
        self._follow = follow
        self._began_as = schema
        self._applier = self._started()
        self._offset = self._batch = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._applier.close()

    def restart(self) -> None:
        """End as a killed driver does, and start again."""
        self._applier.close()
        self._applier = self._started()

    def _started(self) -> Applier:
        follower = Follower(self._follow, self.folder, [self._began_as]) if self._follow else None
        return Applier({TOPIC: self._began_as}, self.targets, stream_id="s", tx_id_reference=1, follower=follower)

    def feed(self, *messages: Message) -> None:
        """Apply the next micro-batch, and wait for the mirror."""
        self._applier.apply(records(messages, start=self._offset), self._batch)
        self._applier.wait_for_mirrors(Deadline(60))
        self._offset += len(messages)
        self._batch += 1

    def event(
        self, op: str, lsn: int, row: dict[str, Any], *, before: dict[str, Any] | None = None, tx_id: int = VISIBLE
    ) -> Message:
        """An event of a row, as Debezium writes it; of a delete only the key is used."""
        after = None if op == "d" else row
        return self.key(row), envelope(op, lsn, before=before, after=after, tx_id=tx_id)

    def key(self, row: dict[str, Any]) -> bytes:
        """Message key of a row."""
        return json.dumps({name: row[name] for name in self.schema.key_names}).encode()

    def rewritten(
        self, lsn: int, old: dict[str, Any], new: dict[str, Any], *, tx_id: int = VISIBLE, tombstone: bool = True
    ) -> tuple[Message, ...]:
        """A key change: a delete of the old key and a create of the new one at one LSN."""
        gone = self.event("d", lsn, old, before={**dict.fromkeys(old), **old}, tx_id=tx_id)
        between = [(self.key(old), None)] if tombstone else []
        return (gone, *between, self.event("c", lsn, new, tx_id=tx_id))

    def mirror(self) -> list[dict[str, Any]]:
        """Rows of the mirror."""
        return open_table(self.targets.mirror[self.schema.label]).rows().read_all().to_pylist()

    def refused(self) -> list[str]:
        """Reasons of the quarantined records."""
        return [row["reason"] for row in open_table(self.targets.quarantine).rows().read_all().to_pylist()]

    def parity(self, source: pa.Table, *, before_images: bool = False) -> TableParity:
        """What the judge says of these rows of the source, whose columns have the types in which it sends them."""
        with scratch_db.on_disk(self.folder) as connection, scratch_db.folder_below(self.folder) as folder:
            read_source_rows.read_source_rows(_Frozen(self.schema, source), folder, connection)
            scratch_db.view(connection, "mirror", open_table(self.targets.mirror[self.schema.label]))
            scratch_db.view(connection, "changes", open_table(self.targets.changes[self.schema.label]))
            sides = Sides(
                source=read_source_rows.rows_of(self.schema.label),
                mirror="mirror",
                changes="changes",
                snapshot=SNAPSHOT,
                before_images=before_images,
                source_sums=read_source_rows.sums_of(self.schema.label),
            )
            return judge(connection, sides, self.schema)


@dataclass(frozen=True)
class _Table:
    schema: TableSchema
    before_images: bool = False


class _Frozen:
    """A source that holds one table."""

    snapshot = SNAPSHOT
    sessions = (None,)

    def __init__(self, schema: TableSchema, source: pa.Table) -> None:
        self.tables = [_Table(schema)]
        self._source = source

    def parts(self) -> Sequence[_Table]:
        return self.tables

    @contextmanager
    def rows(self, _part: Any, _session: Any) -> Iterator[pa.RecordBatchReader]:
        yield self._source.to_reader()
