"""The mirror of one table, merged from its change log beside the micro-batches.

A micro-batch is done when the change log has it. Rows that come while a merge runs are merged together by the next
one. So the change log's lag does not depend on the size of the mirror, and a backlog is merged in few, large steps.
After a crash, what the mirror lacks is read from the change log. The threads are few, and shared by all mirrors.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from test_infra.base.errors import NotReady
from test_infra.cdc.lake.reshape import reshape_mirror
from test_infra.cdc.lake.schemas import changes_schema, mirror_schema
from test_infra.cdc.lake.table import MergeRule
from test_infra.cdc.lake.unchanged_values import with_unchanged_values
from test_infra.cdc.stream.order import DELETED, NEWER, DeletedKeys
from test_infra.cdc.types import identifier
from test_infra.cdc.types.position import Stored, position

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection
    from pyarrow.dataset import Dataset, Expression

    from test_infra.base.deadline import Deadline
    from test_infra.cdc.lake.table import LakeTable
    from test_infra.cdc.lake.versions import Applied
    from test_infra.cdc.stream.merge_workers import MergeWorkers
    from test_infra.cdc.types.generation import Generation
    from test_infra.cdc.types.table import TableSchema

MOST_PENDING_BYTES = 64 * 1024 * 1024
"""Most rows that wait for a merge; the stream waits when there are more, so that its memory is bounded."""
CATCH_UP_RECORDS = 60_000
"""Records that are merged at once when a mirror is behind its change log at a start."""
COMPACT_EVERY = 64
"""Merges between two compactions: small files make every later merge and read slower."""


@dataclass(frozen=True)
class Pending:
    """Rows that the change log has and the mirror has not.

    Args:
        changes: rows of the change log.
        applied: what the change log contained when it had them.
    """

    changes: pa.Table
    applied: Applied


class Mirror:
    """Follows one change log; the only writer of its table.

    Args:
        schema: the captured table.
        table: the mirror.
        changes: the change log, opened for this mirror alone: another thread reads it.
        workers: do the merges, this mirror's one after the other.
        connection: DuckDB for this mirror alone.
        interval_s: shortest time between two merges, seconds.
    """

    def __init__(
        self,
        schema: TableSchema,
        table: LakeTable,
        changes: LakeTable,
        workers: MergeWorkers,
        connection: DuckDBPyConnection,
        *,
        interval_s: float = 0.0,
    ) -> None:
        self._schema = schema
        self._table = table
        self._workers = workers
        self._interval_s = interval_s
        self._connection = connection
        self.deleted_keys = DeletedKeys(self._connection, _deletes_in(changes), _generation_in(changes))
        self._generation: Stored | None = None
        self._lacks = deque(lacking(changes, table.newest_applied()))
        self._changes = changes
        self._changed = threading.Condition()
        self._pending: list[Pending] = []
        self._busy = False
        self._due_at = time.monotonic()
        self._merges = 0
        self._failure: BaseException | None = None
        with self._changed:
            self._request_merge()

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
            self._request_merge()

    def check(self) -> None:
        """Raise what ended the merging, if anything did."""
        with self._changed:
            self._check()

    def wait_merged(self, deadline: Deadline) -> None:
        """Return when the mirror has all that was handed over, and all that the change log had at the start.

        Raises:
            NotReady: not so in time.
            BaseException: whatever ended the merging.
        """
        with self._changed:
            idle = self._changed.wait_for(
                lambda: self._failure is not None or not (self._busy or self._lacks or self._pending),
                deadline.remaining_s,
            )
            self._check()
            if not idle:
                raise NotReady(
                    f"the mirror of {self._schema.label} is behind its change log after {deadline.timeout_s:.0f} s",
                    details={"pending": f"{len(self._pending)} micro-batches"},
                    hint="what is missing is merged at the stream's next start",
                )

    def reshape(self, old: Generation, new: Generation) -> None:
        """Go on from one generation of the table to another; only while nothing waits to be merged."""
        reshape_mirror(self._connection, self._table, old, new)
        self._schema = new.table
        self._changes.refresh()
        self.deleted_keys.retype(new.table)

    def close(self) -> None:
        """Close its DuckDB, when the workers have ended. Rows that are not merged yet are merged at the next start."""
        self._connection.close()

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _request_merge(self) -> None:
        """Have the next merge done, unless one runs or is requested already; the lock is held."""
        if not self._busy and self._failure is None and (self._lacks or self._pending):
            self._busy = True
            self._workers.call(self._follow, self._due_at)

    def _follow(self) -> None:
        """One merge: the next piece of what was lacking at the start, and then of all that is pending."""
        try:
            taken = self._taken()
            self._due_at = time.monotonic() + (0.0 if self._lacks else self._interval_s)
            self._merge(taken)
        except BaseException as error:
            # Raised to whoever looks next; a worker goes on with other mirrors.
            self._failure = error
        with self._changed:
            self._busy = False
            self._request_merge()
            self._changed.notify_all()

    def _taken(self) -> list[Pending]:
        import pyarrow as pa

        with self._changed:
            if not self._lacks:
                taken, self._pending = self._pending, []
                self._changed.notify_all()
                return taken
            applied, where = self._lacks.popleft()
        wanted = changes_schema(self._schema)
        rows = self._changes.rows(wanted.names, where).read_all()
        return [Pending(pa.table(rows.columns, names=rows.column_names).cast(wanted), applied)]

    def _merge(self, parts: list[Pending]) -> None:
        """Bring the newest event of each key into the mirror."""
        import pyarrow as pa

        changes = pa.concat_tables([part.changes for part in parts])
        self._table.refresh()
        changes = with_unchanged_values(
            self._connection, changes, self._schema, self._table.dataset, self._refreshed_log
        )
        newest = self.deleted_keys.newest(changes, self._schema)
        applied = parts[-1].applied
        if "t" in changes["op"].unique().to_pylist():
            # A commit of its own; a crash after it is harmless, as the same rows come again and delete the same.
            self._table.delete(f"_snapshot OR _lsn < {position(self.deleted_keys.truncated_lsn)}", applied.batch)
        self._end_older_generations(applied.batch)
        if newest.num_rows:
            self._table.merge(newest, _merge_rule(newest, self._schema.in_lake), applied)
        if not self._table.newest_applied().covers(applied.offsets):
            # A merge that changes no row makes no commit; the applied offsets must advance all the same.
            self._table.append(mirror_schema(self._schema).empty_table(), applied)
        self._merges += 1
        if self._merges % COMPACT_EVERY == 0:
            self._table.compact()
        self.deleted_keys.forget(applied.offsets)

    def _refreshed_log(self) -> Dataset:
        self._changes.refresh()
        return self._changes.dataset()

    def _end_older_generations(self, batch_id: int) -> None:
        """After a repeated initial snapshot, remove rows that only the interrupted one has read: they were deleted."""
        import pyarrow.compute as pc

        # Also at the first merge of a start: the driver before may have died between change log and mirror.
        if self._generation == self.deleted_keys.generation:
            return
        self._generation = self.deleted_keys.generation
        if self._generation is None:
            return
        older = pc.field("_snapshot") & (pc.field("_lsn") < self._generation)
        if self._table.dataset().count_rows(filter=older):
            self._table.delete(f"_snapshot AND _lsn < {position(self._generation)}", batch_id)


def _merge_rule(newest: pa.Table, schema: TableSchema) -> MergeRule:
    """The newest event ``s`` of a key replaces or removes the mirror's row ``t``, unless that is newer."""
    deleted = f"s.{identifier(DELETED)}"
    same_key = [f"t.{name} = s.{name}" for name in map(identifier, schema.key_names)]
    return MergeRule(
        same=" AND ".join([*_ranges(newest, schema), *same_key]),
        delete=f"{deleted} AND {NEWER}",
        update=f"NOT {deleted} AND {NEWER}",
        insert=f"NOT {deleted}",
        values={identifier(name): f"s.{identifier(name)}" for name in mirror_schema(schema).names},
    )


def _ranges(newest: pa.Table, schema: TableSchema) -> list[str]:
    """The range of the merged keys, as conditions on the mirror: files without a key of the range are not rewritten.

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


def lacking(changes: LakeTable, applied: Applied) -> list[tuple[Applied, Expression]]:
    """What a mirror that has ``applied`` lacks of its change log: pieces to merge one after the other.

    Returns:
        What the change log contained at the end of a piece, and the condition on its rows.
    """
    pieces: list[tuple[Applied, Expression]] = []
    begin = dict(applied.offsets)
    behind = [commit.applied for commit in changes.commits() if not applied.covers(commit.offsets)]
    for number, upto in enumerate(behind, 1):
        records = sum(upto.offsets.values()) - sum(begin.values())
        if records < CATCH_UP_RECORDS and number < len(behind):
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


def _deletes_in(changes: LakeTable) -> pa.Table:
    import pyarrow.compute as pc

    return changes.rows(["op", "key", "lsn"], pc.field("op").isin(["d", "t"])).read_all()


def _generation_in(changes: LakeTable) -> Stored | None:
    import pyarrow.compute as pc

    lsns = changes.rows(["lsn"], pc.field("op") == "r").read_all()["lsn"]
    return pc.max(lsns).as_py()
