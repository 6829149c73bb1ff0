"""One micro-batch of Kafka records -> change log and quarantine; the mirrors follow. No Spark here: records are Arrow.

Every commit carries the application transaction (stream, micro-batch), so a micro-batch that Spark runs again after a
crash adds nothing, wherever between the commits of its tables the crash fell.
"""

from __future__ import annotations

import logging
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from test_infra.base.deadline import Deadline, wait_for
from test_infra.base.errors import InfrastructureError
from test_infra.cdc.lake.open import create_table, generation_at
from test_infra.cdc.lake.reshape import reshape_changes, reshape_mirror
from test_infra.cdc.lake.schemas import changes_schema, mirror_schema, quarantine_schema
from test_infra.cdc.lake.versions import Applied
from test_infra.cdc.stream.beats import Beats, with_beats
from test_infra.cdc.stream.change_log import Append, ChangeLog
from test_infra.cdc.stream.merge_workers import MergeWorkers, workers_for
from test_infra.cdc.stream.mirror import Mirror, Pending
from test_infra.cdc.stream.parse import Parsed, memory_db, session_of
from test_infra.cdc.types.generation import unfollowed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa
    from duckdb import DuckDBPyConnection

    from test_infra.cdc.lake.location import Location
    from test_infra.cdc.lake.table import LakeTable
    from test_infra.cdc.stream.follow import Follower
    from test_infra.cdc.types.generation import Generation
    from test_infra.cdc.types.position import Stored
    from test_infra.cdc.types.table import TableSchema

ANSWERS_WITHIN_S = 60.0
MERGED_BEFORE_DDL_S = 300.0

log = logging.getLogger("test_infra.stream")


class CreateTable(Protocol):
    """Opens the table at a location; makes it first when there is none."""

    def __call__(self, where: Location, schema: pa.Schema, applied: Applied, /) -> LakeTable:
        """The table, opened; a new one says in its first version what it contains."""
        ...


@dataclass(frozen=True)
class Targets:
    """Where the tables of one pipeline lie.

    Args:
        changes: table name -> its change log.
        mirror: table name -> its mirror.
        quarantine: the pipeline's quarantine.
    """

    changes: Mapping[str, Location]
    mirror: Mapping[str, Location]
    quarantine: Location


@dataclass(frozen=True)
class BatchReport:
    """What one micro-batch did.

    Args:
        batch_id: of Spark.
        records: Kafka records in it, messages that are no heart-beats left out.
        refused: of these, put into quarantine now.
        seconds: step -> time of the slowest table.
    """

    batch_id: int
    records: int
    refused: int
    seconds: dict[str, float]


class Applier:
    """Applies micro-batches to the tables of one pipeline; the only writer of these tables.

    Args:
        schemas: topic -> captured table.
        targets: where the tables lie; made when missing.
        stream_id: changes when the checkpoint does, so that batch numbers that begin again are not taken for replays.
        tx_id_reference: a 64-bit transaction id of about now.
        mirror_interval_s: shortest time between two merges into a mirror, seconds.
        beats: how heart-beats are known, whose topic is among ``schemas``; None: there are none.
        create: opens or makes a table; Delta tables by default.
        follower: knows the generations of the tables; None: a table stays what ``schemas`` says.
    """

    def __init__(
        self,
        schemas: Mapping[str, TableSchema],
        targets: Targets,
        *,
        stream_id: str,
        tx_id_reference: int,
        mirror_interval_s: float = 0.0,
        beats: Beats | None = None,
        create: CreateTable = create_table,
        follower: Follower | None = None,
    ) -> None:
        self._beats = beats
        self._follower = follower
        self._topics = {schema.label: topic for topic, schema in schemas.items()}
        self._stream_id = stream_id
        self._pool = ThreadPoolExecutor(max_workers=workers_for(len(schemas)), thread_name_prefix="apply")
        self._workers = MergeWorkers(workers_for(len(schemas)))
        self._database = memory_db()
        start = Applied(stream=stream_id, batch=-1, offsets={0: 0})

        def generations(schema: TableSchema) -> tuple[Generation, ...]:
            return (follower.of(schema.label) if follower else ()) or (unfollowed(schema),)

        def change_log(schema: TableSchema, connection: DuckDBPyConnection) -> LakeTable:
            where, known = targets.changes[schema.label], generations(schema)
            old = _stored(where, known)
            table = create(where, changes_schema(old.table), start)
            reshape_changes(connection, table, old, known[-1])
            return table

        def opened_changes(schema: TableSchema) -> ChangeLog:
            session = session_of(self._database)
            return ChangeLog(generations(schema), change_log(schema, session), session, tx_id_reference)

        def opened_mirror(schema: TableSchema) -> Mirror:
            session = session_of(self._database)
            where, known = targets.mirror[schema.label], generations(schema)
            old = _stored(where, known)
            table = create(where, mirror_schema(old.table), start)
            reshape_mirror(session, table, old, known[-1])
            return Mirror(
                known[-1].table,
                table,
                # The change log is opened a second time: another thread reads it.
                change_log(schema, session),
                self._workers,
                session,
                interval_s=mirror_interval_s,
            )

        self._changes = dict(zip(schemas, self._pool.map(opened_changes, schemas.values()), strict=True))
        self._mirrors = dict(zip(schemas, self._pool.map(opened_mirror, schemas.values()), strict=True))
        self._quarantine = create(targets.quarantine, quarantine_schema(), start)

    def apply(self, records: pa.Table, batch_id: int) -> BatchReport:
        """Make one micro-batch, or what is left of it, durable: quarantine, then the change log of every table in it.

        The mirrors follow on their own; `wait_for_mirrors` waits for them.

        Raises:
            BaseException: whatever ended the merging into a mirror.
        """
        return self._apply(records, batch_id, _whole)

    def apply_part(self, records: pa.Table, batch_id: int) -> BatchReport:
        """As `apply`, of a micro-batch that is too large for the memory and goes on: its last part is for `apply`.

        When it is run again after a crash, what is there already is known by the applied offsets.
        """
        return self._apply(records, batch_id, _part)

    def _apply(self, records: pa.Table, batch_id: int, append: Append) -> BatchReport:
        import pyarrow as pa
        import pyarrow.compute as pc

        if self._beats is not None:
            records = with_beats(records, self._beats)
        steps = {"parse": 0.0, "append": 0.0, "hand over": 0.0}

        def timed(step: str, started: float) -> float:
            now = time.monotonic()
            steps[step] = max(steps[step], now - started)
            return now

        def parsed(topic: str) -> Parsed:
            started = time.monotonic()
            of_topic = records.filter(pc.equal(records["topic"], topic))
            result = self._changes[topic].parse(of_topic, batch_id)
            if result.refused.num_rows and self._follow_until_asked(topic):
                result = self._changes[topic].parse(of_topic, batch_id)
            timed("parse", started)
            return result

        def written(topic: str, of_topic: Parsed) -> None:
            applied = self._changes[topic].append(of_topic, self._stream_id, batch_id, append)
            now = timed("append", started)
            if applied is not None:
                self._mirrors[topic].add(Pending(of_topic.changes, applied))
                timed("hand over", now)

        topics = pc.unique(records["topic"]).to_pylist()
        batches = dict(zip(topics, self._pool.map(parsed, topics), strict=True))
        refused = pa.concat_tables([batch.refused for batch in batches.values()]) if batches else None
        # First, so that a record that the change log's offsets cover is never in neither place.
        fresh = self._quarantined(refused, batch_id, append) if refused is not None and refused.num_rows else 0
        started = time.monotonic()
        list(self._pool.map(written, batches.keys(), batches.values()))
        return BatchReport(batch_id, records.num_rows, fresh, steps)

    def follow(self) -> None:
        """Give the lake what DDL did to the source since the last call; never while a micro-batch is applied.

        Raises:
            InfrastructureError: the source does not answer.
            NotReady: a mirror did not get what its change log has; the next start goes on.
        """
        if self._follower is not None:
            self._follower.look()
            for topic in self._topics.values():
                self._reshape(topic)

    def check(self) -> None:
        """Raise what ended the merging into a mirror, if anything did; called also while no records come."""
        for mirror in self._mirrors.values():
            mirror.check()

    def wait_for_mirrors(self, deadline: Deadline) -> None:
        """Return when every mirror has what its change log has.

        Raises:
            NotReady: not so in time; what is missing is merged at the next start.
            BaseException: whatever ended the merging into a mirror.
        """
        for mirror in self._mirrors.values():
            mirror.wait_merged(deadline)

    def forget_deletes(self, committed_lsn: Stored, end_offsets: Mapping[str, dict[int, int]]) -> None:
        """Deletes up to the connector's committed LSN may be forgotten once these end offsets per topic are applied."""
        for topic, ends in end_offsets.items():
            self._mirrors[topic].deleted_keys.forget_after(committed_lsn, ends)

    def close(self) -> None:
        """End the threads and close what they used. Rows that are not merged yet are merged at the next start."""
        self._pool.shutdown()
        self._workers.close()
        for mirror in self._mirrors.values():
            mirror.close()
        for changes in self._changes.values():
            changes.close()
        self._database.close()

    def _follow_until_asked(self, topic: str) -> bool:
        """Ask what the tables are now, because records were refused; whether that of a topic is another one."""
        if self._follower is None:
            return False
        deadline = Deadline(ANSWERS_WITHIN_S)

        def asked(follower: Follower = self._follower) -> None:
            follower.look()

        # Without an answer, a record that only has a new column would be put into quarantine for good.
        wait_for(asked, deadline, what="the source", awaited="its catalogue", not_yet=(InfrastructureError,))
        return self._reshape(topic)

    def _reshape(self, topic: str) -> bool:
        """Bring change log and mirror of a topic to the newest generation; whether they were not."""
        changes, mirror = self._changes[topic], self._mirrors[topic]
        known = self._follower.of(changes.label) if self._follower else ()
        if not known or known[-1].number == changes.generation.number:
            return False
        # Rows that wait for the mirror are of the generation before.
        mirror.wait_merged(Deadline(MERGED_BEFORE_DDL_S))
        before = changes.generation
        changes.reshape(known)
        mirror.reshape(before, known[-1])
        log.info("%s is followed in generation %d: %s", changes.label, known[-1].number, _described(known[-1]))
        return True

    def _quarantined(self, refused: pa.Table, batch_id: int, append: Append) -> int:
        import pyarrow.compute as pc

        self._quarantine.refresh()
        if self._quarantine.has_batch(self._stream_id, batch_id):
            return 0
        # Parts of it may be there from before a crash.
        place = ["topic", "partition", "offset"]
        there = self._quarantine.rows(place, pc.field("batch_id") == batch_id).read_all()
        known = set(zip(*(there[name].to_pylist() for name in place), strict=True))
        found = zip(*(refused[name].to_pylist() for name in place), strict=True)
        fresh = refused.filter([one not in known for one in found])
        append(self._quarantine, fresh, Applied(stream=self._stream_id, batch=batch_id, offsets={}))
        return int(fresh.num_rows)


def _stored(where: Location, known: Sequence[Generation]) -> Generation:
    """The generation of a table in the lake; a driver may have died before it was given a newer one."""
    return known[generation_at(where)] if len(known) > 1 else known[0]


def _described(generation: Generation) -> str:
    return ", ".join(f"{column.name} {column.type}" for column in generation.table.columns)


def _whole(table: LakeTable, rows: pa.Table, applied: Applied) -> None:
    table.append(rows, applied)


def _part(table: LakeTable, rows: pa.Table, applied: Applied) -> None:
    table.append_part(rows, applied)
