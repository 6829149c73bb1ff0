"""The mirror of one table, merged from its change log on a cadence of its own.

A micro-batch is done when the change log has it. The mirror follows in a thread: whatever came while the last merge ran
is folded into the next one. So the change log's lag does not depend on the size of the mirror, and a backlog is merged
in few, large steps. After a crash the change log says what the mirror lacks.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from test_infra.base.errors import NotReady
from test_infra.cdc.lake import delta as lake
from test_infra.cdc.lake.unchanged_values import with_unchanged_values
from test_infra.cdc.stream.order import DELETED, NEWER, DeletedKeys
from test_infra.cdc.stream.parse import connect
from test_infra.cdc.types import identifier

if TYPE_CHECKING:
    import pyarrow as pa
    from deltalake import CommitProperties, DeltaTable
    from pyarrow.dataset import Expression

    from test_infra.base.deadline import Deadline
    from test_infra.cdc.types.table import TableSchema

MOST_PENDING_BYTES = 64 * 1024 * 1024
"""Rows that wait for a merge; beyond it the stream waits, so that its memory is bounded."""
CATCH_UP_RECORDS = 60_000
"""Records that a mirror which lags behind its change log takes from it at once."""


@dataclass(frozen=True)
class Pending:
    """Rows that the change log has and the mirror has not.

    Args:
        changes: rows of the change log.
        applied: what the change log contained when it had them.
    """

    changes: pa.Table
    applied: lake.Applied


class Mirror:
    """Follows one change log; the only writer of its table.

    Args:
        schema: the captured table.
        mirror_dir: folder of the mirror; made when missing.
        changes_dir: folder of the change log, which is there.
        start: what an empty mirror contains.
        interval_s: shortest time between two merges, seconds.
    """

    def __init__(
        self, schema: TableSchema, mirror_dir: Path, changes_dir: Path, start: lake.Applied, *, interval_s: float = 0.0
    ) -> None:
        self._schema = schema
        self._table = lake.create_table(mirror_dir, lake.mirror_schema(schema), start)
        self._interval_s = interval_s
        self._connection = connect()
        changes = lake.open_table(changes_dir)
        self.deleted_keys = DeletedKeys(self._connection, _graves_in(changes), _generation_in(changes))
        self._generation = -1
        self._lacks = lacking(changes_dir, lake.newest_applied(mirror_dir))
        self._changes = changes
        self._changed = threading.Condition()
        self._pending: list[Pending] = []
        self._busy = bool(self._lacks)
        self._closed = False
        self._merges = 0
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._follow, name=f"mirror of {schema.name}", daemon=True)
        self._thread.start()

    def add(self, pending: Pending) -> None:
        """Hand over rows that the change log has; waits while too many are pending.

        Raises:
            BaseException: whatever ended the merging.
        """
        with self._changed:
            while self._failure is None and sum(part.changes.nbytes for part in self._pending) > MOST_PENDING_BYTES:
                self._changed.wait()
            self._check()
            self._pending.append(pending)
            self._changed.notify_all()

    def check(self) -> None:
        """Raise what ended the merging, if anything did."""
        with self._changed:
            self._check()

    def settle(self, deadline: Deadline) -> None:
        """Return when the mirror has all that was handed over, and all that the change log had at the start.

        Raises:
            NotReady: not so in time.
            BaseException: whatever ended the merging.
        """
        with self._changed:
            idle = self._changed.wait_for(
                lambda: self._failure is not None or not (self._busy or self._pending), deadline.remaining_s
            )
            self._check()
            if not idle:
                raise NotReady(
                    f"the mirror of {self._schema.name} is behind its change log after {deadline.timeout_s:.0f} s",
                    details={"pending": f"{len(self._pending)} micro-batches"},
                    hint="what is missing is merged at the stream's next start",
                )

    def close(self) -> None:
        """End the thread after the running merge; what is pending is left to the next start."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()
        self._connection.close()

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _follow(self) -> None:
        try:
            for part in self._behind():
                self._merge([part])
                if self._closed:
                    return
            while True:
                with self._changed:
                    self._idle()
                    while not self._pending and not self._closed:
                        self._changed.wait()
                    if self._closed:
                        return
                    self._busy, taken, self._pending = True, self._pending, []
                    self._changed.notify_all()
                started = time.monotonic()
                self._merge(taken)
                self._rest(started + self._interval_s)
        except BaseException as error:
            with self._changed:
                self._failure = error
                self._changed.notify_all()

    def _rest(self, until: float) -> None:
        with self._changed:
            self._idle()
            while not self._closed and (left := until - time.monotonic()) > 0:
                self._changed.wait(left)

    def _idle(self) -> None:
        self._busy = False
        self._changed.notify_all()

    def _behind(self) -> Iterator[Pending]:
        """What the change log had at the start and the mirror had not, in pieces."""
        import pyarrow as pa

        for applied, where in self._lacks:
            wanted = lake.changes_schema(self._schema)
            rows = lake.dataset_of(self._changes).to_table(columns=wanted.names, filter=where)
            yield Pending(pa.table(rows.columns, names=rows.column_names).cast(wanted), applied)

    def _merge(self, parts: list[Pending]) -> None:
        """Bring the newest event of each key into the mirror."""
        import pyarrow as pa
        from deltalake import write_deltalake

        changes = pa.concat_tables([part.changes for part in parts])
        self._table.update_incremental()
        changes = with_unchanged_values(self._connection, changes, self._schema, lambda: lake.dataset_of(self._table))
        newest = self.deleted_keys.newest(changes, self._schema)
        applied = parts[-1].applied
        if "t" in changes["op"].unique().to_pylist():
            # A commit of its own; a crash after it is harmless, as the same rows come again and delete the same.
            self._delete(f"_snapshot OR _lsn < {self.deleted_keys.truncated_lsn}", applied.batch)
        self._end_older_generations(applied.batch)
        properties = lake.commit_properties(applied, applied.stream)
        if newest.num_rows:
            self._merged(newest, properties)
        if not lake.has_batch(self._table, applied.stream, applied.batch):
            # A merge that changes no row makes no commit; the applied offsets must advance all the same.
            empty = lake.mirror_schema(self._schema).empty_table()
            write_deltalake(self._table, empty, mode="append", commit_properties=properties)
        self._merges += 1
        if self._merges % lake.COMPACT_EVERY == 0:
            lake.compact(self._table)
        self.deleted_keys.forget(applied.offsets)

    def _end_older_generations(self, batch_id: int) -> None:
        """When the initial snapshot was repeated: what only the interrupted one has read was deleted meanwhile."""
        import pyarrow.compute as pc

        # Also at the first merge of a start: the driver before may have died between change log and mirror.
        if self._generation == self.deleted_keys.generation:
            return
        self._generation = self.deleted_keys.generation
        older = pc.field("_snapshot") & (pc.field("_lsn") < self._generation)
        if lake.dataset_of(self._table).count_rows(filter=older):
            self._delete(f"_snapshot AND _lsn < {self._generation}", batch_id)

    def _delete(self, where: str, batch_id: int) -> None:
        properties = lake.begins_batch(batch_id)
        self._table.delete(where, commit_properties=properties, writer_properties=lake.written_as())

    def _merged(self, newest: pa.Table, properties: CommitProperties) -> None:
        same_key = " AND ".join(f"t.{name} = s.{name}" for name in map(identifier, self._schema.key_names))
        touched = " AND ".join([*_ranges(newest, self._schema), same_key])
        values = {identifier(name): f"s.{identifier(name)}" for name in lake.mirror_schema(self._schema).names}
        for attempt in lake.despite_foreign_commits(self._table):
            with attempt:
                merge = self._table.merge(
                    newest,
                    touched,
                    source_alias="s",
                    target_alias="t",
                    commit_properties=properties,
                    writer_properties=lake.written_as(),
                )
                merge = merge.when_matched_delete(f"s.{DELETED} AND {NEWER}")
                merge = merge.when_matched_update(values, f"NOT s.{DELETED} AND {NEWER}")
                merge.when_not_matched_insert(values, f"NOT s.{DELETED}").execute()


def _ranges(newest: pa.Table, schema: TableSchema) -> list[str]:
    """Where the keys of a merge lie, as conditions on the mirror: files that end before or begin after are left alone.

    Only for integers, which is what most growing keys are: of other types the statistics of a file are rounded or cut.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    ranges = []
    for name in schema.key_names:
        if pa.types.is_integer(newest.schema.field(name).type):
            bounds = pc.min_max(newest[name]).as_py()
            ranges.append(f"t.{identifier(name)} BETWEEN {bounds['min']} AND {bounds['max']}")
    return ranges


def lacking(changes_dir: Path, applied: lake.Applied) -> list[tuple[lake.Applied, Expression]]:
    """What a mirror that has ``applied`` lacks of its change log: pieces to merge one after the other.

    Returns:
        What the change log contained at the end of a piece, and the condition on its rows.
    """
    pieces: list[tuple[lake.Applied, Expression]] = []
    begin = dict(applied.offsets)
    behind = [commit.applied for commit in lake.commits(changes_dir) if not applied.covers(commit.offsets)]
    for place, upto in enumerate(behind):
        records = sum(upto.offsets.values()) - sum(begin.values())
        if records < CATCH_UP_RECORDS and place + 1 < len(behind):
            continue
        pieces.append((upto, _between(begin, upto.offsets)))
        begin = dict(upto.offsets)
    return pieces


def _between(begin: dict[int, int], end: dict[int, int]) -> Expression:
    import pyarrow.compute as pc

    where = pc.scalar(False)
    for partition, upto in end.items():
        offset = pc.field("kafka_offset")
        at_least, below = offset >= begin.get(partition, 0), offset < upto
        where = where | ((pc.field("kafka_partition") == partition) & at_least & below)
    return where


def _graves_in(changes: DeltaTable) -> pa.Table:
    import pyarrow.compute as pc

    rows = lake.dataset_of(changes)
    return rows.to_table(columns=["op", "key", "lsn"], filter=pc.field("op").isin(["d", "t"]))


def _generation_in(changes: DeltaTable) -> int:
    import pyarrow.compute as pc

    reads = lake.dataset_of(changes).to_table(columns=["lsn"], filter=pc.field("op") == "r")
    newest = pc.max(reads["lsn"]).as_py()
    return -1 if newest is None else int(newest)
