"""How far the sink is, proved against the source: from a marker in the WAL to a version of each Delta table.

Steps 1 and 3 to 5 of the cut (design.md, Parity). What is not reached in time is LAG: nothing is said about loss.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from test_infra.base.deadline import Deadline, StillWaiting, wait_for
from test_infra.base.errors import InfrastructureError, NotReady
from test_infra.base.ids import token
from test_infra.cdc.lake import delta as lake
from test_infra.cdc.pipeline import topics
from test_infra.cdc.pipeline.connector import ConnectClient, ConnectorFailed, ConnectRefused, failure
from test_infra.cdc.pipeline.names import PipelineFolders, PipelineNames
from test_infra.cdc.sources import postgres
from test_infra.cdc.sources.postgres.slot import as_lsn

if TYPE_CHECKING:
    import psycopg

    from test_infra.cdc.pipeline.spec import PipelineSpec
    from test_infra.stack import Stack

DEFAULT_TIMEOUT_S = 90.0
"""After a kill of Connect it took up to 35 s until its offsets moved again (facts/exact-cut.md)."""

STREAM_LOOK_INTERVAL_S = 1.0
RESTARTED_WITHIN_S = 10.0
"""A stream that ended and was not started again by then will not get there."""


class Behind(NotReady):
    """The sink did not get as far as the source in time. That is LAG, never MISSING."""


@dataclass(frozen=True)
class Covered:
    """How far one table's sink is.

    Args:
        watermark: partition -> end offset of the topic; everything up to the marker lies below.
        applied: partition -> end offset that the mirror's version has applied; covers the watermark.
        mirror_version: first version of the mirror that covers the watermark.
        changes_version: first version of the change log that covers ``applied``.
    """

    watermark: dict[int, int]
    applied: dict[int, int]
    mirror_version: int
    changes_version: int

    def below_applied_sql(self) -> str:
        """Condition on ``kafka_partition, kafka_offset``: what the mirror's version has applied, exactly."""
        parts = (f"(kafka_partition = {part} AND kafka_offset < {end})" for part, end in self.applied.items())
        return f"({' OR '.join(parts) or 'false'})"


def wait_streaming(stack: Stack, spec: PipelineSpec, connection: psycopg.Connection, deadline: Deadline) -> None:
    """Wait until the slot exists and the initial snapshot is over; only then may the source be frozen.

    A snapshot of the source that is older than the slot misses changes that the connector never sees, and rows that
    the connector reads later than the cut are of another moment (facts/exact-cut.md: 206-31,000 false).

    Raises:
        Behind: not so in time.
    """
    slot = PipelineNames(stack.id, spec.name).slot
    query = "SELECT confirmed_flush_lsn IS NOT NULL FROM pg_replication_slots WHERE slot_name = %s"
    connector = _ConnectorWatch(stack, spec)

    def slot_there() -> None:
        connector.look()
        row = connection.execute(query, [slot]).fetchone()
        if row != (True,):
            raise StillWaiting("there is no such slot" if row is None else "it has no confirmed position")

    try:
        wait_for(slot_there, deadline, what=f"slot {slot}", awaited="a confirmed position", hint="test-infra status")
    except (NotReady, ConnectorFailed) as error:
        raise Behind(error.what, details=error.details, hint=error.hint) from error
    try:
        streaming = _committed_lsn(stack, spec) is not None
    except InfrastructureError:
        streaming = False
    if not streaming:
        # An offset is committed only with an event, and a message is one: it comes after the initial snapshot.
        wait_committed(stack, spec, postgres.emit_marker(connection, token()), deadline)


def wait_committed(stack: Stack, spec: PipelineSpec, marker_lsn: int, deadline: Deadline) -> None:
    """Wait until Connect has committed an offset at or behind the marker.

    Connect commits an offset only when all earlier records are acknowledged, so everything before the marker is in
    Kafka then.

    Raises:
        Behind: not so in time.
    """
    connector = _ConnectorWatch(stack, spec)

    def committed() -> None:
        connector.look()
        lsn = _committed_lsn(stack, spec)
        if lsn is None:
            raise StillWaiting("no offset of the stream of changes: the initial snapshot runs, or nothing came yet")
        if lsn < marker_lsn:
            raise StillWaiting(f"committed up to {as_lsn(lsn)}")

    name = PipelineNames(stack.id, spec.name).connector
    try:
        wait_for(
            committed,
            deadline,
            what=f"connector {name}",
            awaited=f"a committed offset at {as_lsn(marker_lsn)} or behind",
            interval_s=0.02,
            hint="test-infra logs connect",
            # Connect may be killed and come back while we wait.
            not_yet=(ConnectRefused, NotReady),
        )
    except ConnectorFailed as error:
        raise Behind(error.what, details=error.details, hint=error.hint) from error
    except InfrastructureError as error:
        raise Behind(f"{name}: the source is ahead of Kafka", details=error.details, hint=error.hint) from error


def reach(
    stack: Stack, spec: PipelineSpec, tables: list[str], deadline: Deadline
) -> tuple[Mapping[str, Covered], Mapping[str, str]]:
    """Read how far each topic is now, and wait until change log and mirror are there too.

    Returns:
        Table -> how far, and table -> why not, for those that were not there in time.
    """
    names, folders = PipelineNames(stack.id, spec.name), PipelineFolders(stack.dir, spec.name)
    topic_of = {table: names.topic(spec.source.schema_name, table) for table in tables}
    try:
        ends = _end_offsets(stack, topic_of, deadline)
    except NotReady as error:
        return {}, dict.fromkeys(tables, reason(error))
    covered: dict[str, Covered] = {}
    behind: dict[str, str] = {}
    stream = _StreamWatch(stack, spec)

    def look() -> None:
        behind.clear()
        for table, topic in topic_of.items():
            if table not in covered:
                found = _covered(folders, table, ends[topic])
                if isinstance(found, Covered):
                    covered[table] = found
                else:
                    behind[table] = found
        if behind:
            stream.look()
            raise StillWaiting("; ".join(behind.values()))

    try:
        wait_for(look, deadline, what=spec.name, awaited="its tables cover their topics", interval_s=0.03)
    except Behind as error:
        return covered, {table: f"{error.what}; {why}" for table, why in behind.items()}
    except NotReady:
        return covered, dict(behind)
    return covered, {}


def advance(
    stack: Stack, spec: PipelineSpec, tables: list[str], timeout_s: float
) -> tuple[Mapping[str, Covered], Mapping[str, str]]:
    """Everything committed before this call is in the covered tables; for the others, why that could not be shown."""
    deadline = Deadline(timeout_s)
    with postgres.connect(stack.endpoint(spec.source.service), "owner") as connection:
        try:
            wait_streaming(stack, spec, connection, deadline)
            wait_committed(stack, spec, postgres.emit_marker(connection, token()), deadline)
        except Behind as error:
            return {}, dict.fromkeys(tables, reason(error))
    return reach(stack, spec, tables, deadline)


def reason(error: InfrastructureError) -> str:
    """An error in one line."""
    return "; ".join([error.what, *(f"{label}: {text}" for label, text in error.details.items())])


class _ConnectorWatch:
    """Looks once a second whether the connector has failed: then its offset will not move any more."""

    def __init__(self, stack: Stack, spec: PipelineSpec) -> None:
        self._client = ConnectClient(stack.endpoint("connect").url)
        self._name = PipelineNames(stack.id, spec.name).connector
        self._next_look = time.monotonic() + STREAM_LOOK_INTERVAL_S
        self._failed_since: float | None = None

    def look(self) -> None:
        """Look, when it is time.

        Raises:
            ConnectorFailed: it or a task has been FAILED for long enough that nobody will start it again.
        """
        now = time.monotonic()
        if now < self._next_look:
            return
        self._next_look = now + STREAM_LOOK_INTERVAL_S
        try:
            status = self._client.status(self._name)
        except (ConnectRefused, NotReady):
            # A Connect that is away may come back.
            return
        if status is None or not status.failed:
            self._failed_since = None
            return
        self._failed_since = now if self._failed_since is None else self._failed_since
        if now - self._failed_since > RESTARTED_WITHIN_S:
            raise failure(self._name, status)


class _StreamWatch:
    """Looks once a second whether the stream lives: asking the gateway costs more than reading a table's log."""

    def __init__(self, stack: Stack, spec: PipelineSpec) -> None:
        self._stack = stack
        self._spec = spec
        self._next_look = time.monotonic() + STREAM_LOOK_INTERVAL_S

    def look(self) -> None:
        """Look, when it is time.

        Raises:
            Behind: the stream has ended and nobody started it again.
        """
        if time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + STREAM_LOOK_INTERVAL_S
        if ended := _ended_stream(self._stack, self._spec):
            raise Behind(ended)


def _ended_stream(stack: Stack, spec: PipelineSpec) -> str | None:
    """That the stream has ended and nobody starts it again; None while it may still get there."""
    from test_infra.cdc.stream import control

    try:
        newest = control.newest(stack, spec)
    except InfrastructureError as error:
        return error.what
    if newest.ended_at is None or time.time() - newest.ended_at < RESTARTED_WITHIN_S:
        return None
    return f"the stream of {spec.name} is {newest.state.value}"


def _committed_lsn(stack: Stack, spec: PipelineSpec) -> int | None:
    client = ConnectClient(stack.endpoint("connect").url)
    return client.committed_lsn(PipelineNames(stack.id, spec.name).connector)


def _end_offsets(stack: Stack, topic_of: Mapping[str, str], deadline: Deadline) -> dict[str, dict[int, int]]:
    from kafka.errors import KafkaError

    bootstrap = stack.endpoint("kafka").url
    return wait_for(
        lambda: topics.end_offsets_of(bootstrap, topic_of.values()),
        deadline,
        what=f"kafka at {bootstrap}",
        awaited="the end offsets of the pipeline's topics",
        not_yet=(KafkaError,),
    )


def _covered(folders: PipelineFolders, table: str, watermark: dict[int, int]) -> Covered | str:
    """How far one table is; a text when it is not far enough."""
    try:
        # Reading the newest log file is cheap, so what is before it is read only once that is far enough.
        newest = lake.newest_applied(folders.mirror(table))
        if not newest.covers(watermark):
            return f"mirror of {table} has applied {newest.offsets} of {watermark}"
        mirror = lake.first_covering(lake.commits(folders.mirror(table), back_to=watermark), watermark)
        if mirror is None:
            return f"mirror of {table} has no version that covers {watermark}"
        changes = lake.first_covering(lake.commits(folders.changes(table), back_to=mirror.offsets), mirror.offsets)
    except (lake.TableMissing, FileNotFoundError) as error:
        return str(error).splitlines()[0]
    if changes is None:
        return f"change log of {table} does not cover {mirror.offsets}"
    return Covered(watermark, dict(mirror.offsets), mirror.version, changes.version)
