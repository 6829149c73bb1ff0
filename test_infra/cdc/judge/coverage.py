"""How far the sink is, proved against the source: from a marker in the source to a version of each table.

Steps 1 and 3 to 5 of the cut. What is not reached in time is LAG: nothing is said about loss.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from test_infra.base.deadline import Deadline, StillWaiting, wait_for
from test_infra.base.errors import InfrastructureError, NotReady
from test_infra.cdc.pipeline import topics
from test_infra.cdc.pipeline.connect_client import ConnectRefused
from test_infra.cdc.pipeline.connector import ConnectorFailed, failure
from test_infra.cdc.stream.stream import Covered, stream_of

if TYPE_CHECKING:
    from test_infra.cdc.pipeline.running import RunningPipeline
    from test_infra.cdc.sources.source import Position, SourceObserver
    from test_infra.stack.services.kafka_clients import Brokers

DEFAULT_TIMEOUT_S = 90.0
"""After a kill of Connect it took up to 35 s until its offsets moved again."""

LOOK_INTERVAL_S = 1.0
ENDED_BEFORE_S = 60.0
"""A service that ended so long before a wait may be the reason why it was in vain."""
RESTARTED_WITHIN_S = 10.0
"""What has ended or failed and was not started again by then will not get there."""


class Behind(NotReady):
    """The sink did not get as far as the source in time. That is LAG, never MISSING."""


def wait_streaming(pipeline: RunningPipeline, observer: SourceObserver, deadline: Deadline) -> None:
    """Wait until the connector captures and the initial snapshot is over; only then may the source be frozen.

    A snapshot of the source that is older than the slot misses changes that the connector never sees, and rows that
    the connector reads later than the cut are of another moment: measured, hundreds to thousands of false differences.

    Raises:
        Behind: not so in time.
    """
    connector = _ConnectorWatch(pipeline)

    def capturing() -> None:
        connector.look()
        if why := observer.not_capturing():
            raise StillWaiting(why)

    what = f"capture by {pipeline.names.connector}"
    try:
        wait_for(capturing, deadline, what=what, awaited="a confirmed position", hint="test-infra status")
    except (NotReady, ConnectorFailed) as error:
        raise Behind(_with_cause(pipeline, error.what, deadline), details=error.details, hint=error.hint) from error
    try:
        streaming = pipeline.committed() is not None
    except InfrastructureError:
        streaming = False
    if not streaming:
        # An offset is committed only with an event, and a marker is one: it comes after the initial snapshot.
        wait_committed(pipeline, observer.emit_marker(), deadline)


def wait_committed(pipeline: RunningPipeline, marker: Position, deadline: Deadline) -> None:
    """Wait until Connect has committed an offset at or behind the marker.

    Connect commits an offset only when all earlier records are acknowledged, so everything before the marker is in
    Kafka then.

    Raises:
        Behind: not so in time.
    """
    connector = _ConnectorWatch(pipeline)

    def committed() -> None:
        connector.look()
        position = pipeline.committed()
        if position is None:
            raise StillWaiting("no offset of the stream of changes: the initial snapshot runs, or nothing came yet")
        if position < marker:
            raise StillWaiting(f"committed up to {position}")

    name = pipeline.names.connector
    try:
        wait_for(
            committed,
            deadline,
            what=f"connector {name}",
            awaited=f"a committed offset at {marker} or behind",
            interval_s=0.02,
            hint="test-infra logs connect",
            # Connect may be killed and come back while we wait.
            not_yet=(ConnectRefused, NotReady),
        )
    except ConnectorFailed as error:
        raise Behind(error.what, details=error.details, hint=error.hint) from error
    except InfrastructureError as error:
        what = _with_cause(pipeline, f"{name}: the source is ahead of Kafka", deadline)
        raise Behind(what, details=error.details, hint=error.hint) from error


def _with_cause(pipeline: RunningPipeline, what: str, deadline: Deadline) -> str:
    """What is behind, and before it that Kafka Connect does not stay up, where that is so: nothing else explains it."""
    since = time.time() - deadline.elapsed_s - ENDED_BEFORE_S
    return "; ".join(filter(None, [pipeline.stack.ended_unasked("connect", since), what]))


def reach(
    pipeline: RunningPipeline, tables: Sequence[str], deadline: Deadline
) -> tuple[Mapping[str, Covered], Mapping[str, str]]:
    """Read how far each topic is now, and wait until change log and mirror are there too.

    Returns:
        Table -> how far, and table -> why not, for those that were not there in time.
    """
    topic_of = {table: pipeline.topic(table) for table in tables}
    try:
        ends = _end_offsets(pipeline.bootstrap, topic_of, deadline)
    except NotReady as error:
        return {}, dict.fromkeys(tables, one_line(error))
    covered: dict[str, Covered] = {}
    behind: dict[str, str] = {}
    stream, watch = stream_of(pipeline), StreamWatch(pipeline)

    def look() -> None:
        behind.clear()
        for table, topic in topic_of.items():
            if table not in covered:
                found = stream.covered(table, ends[topic])
                if isinstance(found, Covered):
                    covered[table] = found
                else:
                    behind[table] = found
        if behind:
            watch.look()
            raise StillWaiting("; ".join(behind.values()))

    try:
        wait_for(look, deadline, what=pipeline.spec.name, awaited="its tables cover their topics", interval_s=0.03)
    except Behind as error:
        return covered, {table: f"{error.what}; {why}" for table, why in behind.items()}
    except NotReady:
        return covered, dict(behind)
    return covered, {}


def advance(
    pipeline: RunningPipeline, tables: Sequence[str], timeout_s: float
) -> tuple[Mapping[str, Covered], Mapping[str, str]]:
    """Everything committed before this call is in the covered tables; for the others, why that could not be shown."""
    deadline = Deadline(timeout_s)
    with pipeline.source.observe() as observer:
        try:
            wait_streaming(pipeline, observer, deadline)
            wait_committed(pipeline, observer.emit_marker(), deadline)
        except Behind as error:
            return {}, dict.fromkeys(tables, one_line(error))
    return reach(pipeline, tables, deadline)


def one_line(error: InfrastructureError) -> str:
    """An error with its details in one line."""
    return "; ".join([error.what, *(f"{label}: {text}" for label, text in error.details.items())])


class _ConnectorWatch:
    """Looks once a second whether the connector has failed: then its offset will not move any more."""

    def __init__(self, pipeline: RunningPipeline) -> None:
        self._pipeline = pipeline
        self._next_look = time.monotonic() + LOOK_INTERVAL_S
        self._failed_since: float | None = None

    def look(self) -> None:
        """Look, when it is time.

        Raises:
            ConnectorFailed: it or a task has been FAILED for long enough that nobody will start it again.
        """
        now = time.monotonic()
        if now < self._next_look:
            return
        self._next_look = now + LOOK_INTERVAL_S
        try:
            status = self._pipeline.connect.status(self._pipeline.names.connector)
        except (ConnectRefused, NotReady):
            # A Connect that is away may come back.
            return
        if status is None or not status.failed:
            self._failed_since = None
            return
        self._failed_since = now if self._failed_since is None else self._failed_since
        if now - self._failed_since > RESTARTED_WITHIN_S:
            raise failure(self._pipeline, status)


class StreamWatch:
    """Looks once a second whether the stream lives: asking the gateway costs more than reading a table's log."""

    def __init__(self, pipeline: RunningPipeline) -> None:
        self._pipeline = pipeline
        self._next_look = time.monotonic() + LOOK_INTERVAL_S

    def look(self) -> None:
        """Look, when it is time.

        Raises:
            Behind: the stream has ended and nobody started it again.
        """
        if time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + LOOK_INTERVAL_S
        if ended := _ended_stream(self._pipeline):
            raise Behind(ended)


def _ended_stream(pipeline: RunningPipeline) -> str | None:
    """That the stream has ended and nobody starts it again; None while it may still get there."""
    try:
        newest = stream_of(pipeline).newest()
    except InfrastructureError as error:
        return error.what
    if newest.ended_at is None or time.time() - newest.ended_at < RESTARTED_WITHIN_S:
        return None
    return f"the stream of {pipeline.spec.name} is {newest.state.value}"


def _end_offsets(bootstrap: Brokers, topic_of: Mapping[str, str], deadline: Deadline) -> dict[str, dict[int, int]]:
    from kafka.errors import KafkaError

    return wait_for(
        lambda: topics.end_offsets_of(bootstrap, topic_of.values()),
        deadline,
        what=f"kafka at {bootstrap}",
        awaited="the end offsets of the pipeline's topics",
        not_yet=(KafkaError,),
    )
