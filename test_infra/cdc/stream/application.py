"""The Spark application of a stream: ``python -m test_infra.cdc.stream.application CONFIG``.

Loaded in a driver process only. It opens its Spark session at once, runs the code of a micro-batch once while the
source is still being prepared, waits for its release, and then applies micro-batches until SIGTERM. Then it finishes
the running micro-batch, commits its offsets, stops the query and ends with exit code 0.
"""

from __future__ import annotations

import logging
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from test_infra.base.deadline import Deadline, StillWaiting, wait_for
from test_infra.base.errors import InfrastructureError, NotReady, TestInfraError
from test_infra.base.logs import log_to_stderr
from test_infra.base.redaction import redact
from test_infra.cdc.pipeline.connect_client import ConnectClient
from test_infra.cdc.pipeline.topics import LogSizes, end_offsets_of, extents_of, wait_for_topics
from test_infra.cdc.sources import source_class
from test_infra.cdc.stream.apply import Applier
from test_infra.cdc.stream.batch_reader import COLUMNS, AppendedBytes, BatchReader, Part
from test_infra.cdc.stream.checkpoint import make_stream_id
from test_infra.cdc.stream.continuity import check_continuity
from test_infra.cdc.stream.spec import Release, StreamConfig
from test_infra.cdc.stream.warm import warm_up
from test_infra.cdc.stream.writer_lock import hold_writer_locks
from test_infra.spark.driver.job_folder import job_dir
from test_infra.spark.driver.session import session
from test_infra.spark.driver.status import DriverStatus, write_status

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.streaming.query import StreamingQuery

    from test_infra.cdc.stream.follow import Follower
    from test_infra.stack.services.connect_address import ConnectAddress

LOOK_INTERVAL_S = 0.2
FORGET_INTERVAL_S = 30.0
FOLLOW_INTERVAL_S = 1.0
COMMITTED_WITHIN_S = 5.0
FETCHED_RECORDS = 10_000
FETCHED_BYTES = 16 * 1024 * 1024
FETCH_WAIT_MS = 10
MERGED_WITHIN_S = 5.0
TOPICS_WITHIN_S = 120.0

log = logging.getLogger("test_infra.stream")


class Stopping(Exception):
    """A micro-batch, or a part of it, began after the stream was asked to stop; it is left to the next start."""


class Stream:
    """Micro-batches of one run of the driver."""

    def __init__(self, config: StreamConfig, folder: Path) -> None:
        self._config = config
        self._folder = folder
        self._status = DriverStatus()
        self._written: DriverStatus | None = None
        self._stop = threading.Event()
        self._batch = threading.Lock()
        self._applied_batch: int | None = None

    def request_stop(self, signum: int, _frame: object) -> None:
        """Signal handler: end after the running micro-batch."""
        log.info("%s: stopping", signal.Signals(signum).name)
        self._stop.set()

    def run(self) -> None:
        """Open the session, wait for the release, apply until asked to stop.

        Raises:
            Exception: whatever ended the query.
        """
        spark = session(self._folder)
        self._report(driver_ready_at=time.time())
        log.info("driver ready")
        try:
            if not self._config.release_path.exists():
                # A stream that is started again has records to warm up with.
                warm_up(spark)
            if (release := self._released()) is not None:
                self._stream(spark, release)
        finally:
            spark.stop()

    def fail(self, error: BaseException) -> None:
        """Leave the reason of the end in the status file."""
        text = str(error) if isinstance(error, TestInfraError) else f"{type(error).__name__}: {error}"
        self._report(error=redact(text)[:4_000])

    def _released(self) -> Release | None:
        """The release, or None when the stop comes first."""

        def given() -> Release | None:
            if self._stop.is_set():
                return None
            if not self._config.release_path.exists():
                raise StillWaiting("there is none")
            return Release.model_validate_json(self._config.release_path.read_text())

        deadline = Deadline(self._config.release_timeout_s)
        return wait_for(given, deadline, what="the stream", awaited=f"its release, {self._config.release_path}")

    def _stream(self, spark: SparkSession, release: Release) -> None:
        wait_for_topics(release.bootstrap, _topics(release), Deadline(TOPICS_WITHIN_S))
        with hold_writer_locks(release):
            check_continuity(release, extents_of(release.bootstrap, release.schemas))
            self._apply_all(spark, release)

    def _apply_all(self, spark: SparkSession, release: Release) -> None:
        applier = Applier(
            {entry.topic: entry.table for entry in release.written},
            release.targets(),
            beats=release.beats,
            stream_id=make_stream_id(release.checkpoint),
            tx_id_reference=release.tx_id_reference,
            mirror_interval_s=self._config.mirror_interval_ms / 1_000,
            follower=_follower(release),
        )
        query = self._start(spark, release, applier)
        log.info("query started: %s", ", ".join(release.schemas))
        try:
            self._watch(query, release, applier)
        finally:
            applier.close()

    def _start(self, spark: SparkSession, release: Release, applier: Applier) -> StreamingQuery:
        options: dict[str, str | int] = {
            **release.bootstrap.java_client("kafka."),
            # The defaults fetch 500 records and 1 MiB at a time: a backlog would wait for round trips.
            "kafka.max.poll.records": FETCHED_RECORDS,
            "kafka.max.partition.fetch.bytes": FETCHED_BYTES,
            # After each fetch, Spark asks for the ends of a topic. That leaves a fetch open at the broker for an offset
            # without data, and the next micro-batch would wait behind it for Kafka's default of 500 ms.
            "kafka.fetch.max.wait.ms": FETCH_WAIT_MS,
        }
        records = (
            spark.readStream.format("kafka")
            .options(**options)
            .option("subscribe", ",".join(_topics(release)))
            .option("startingOffsets", "earliest")
            .option("failOnDataLoss", "true")
            .option("maxOffsetsPerTrigger", self._config.max_offsets_per_trigger)
            .load()
            .select(*COLUMNS)
        )
        sizes = LogSizes(release.bootstrap, release.schemas)
        reader = BatchReader(spark, options, AppendedBytes(sizes.total, self._config.max_offsets_per_trigger))

        def on_batch(batch: DataFrame, batch_id: int) -> None:
            with self._batch:
                if self._stop.is_set():
                    raise Stopping
                self._apply(reader.parts(batch), batch_id, applier)

        return (
            records.writeStream.foreachBatch(on_batch)
            .option("checkpointLocation", str(release.checkpoint))
            .trigger(processingTime=f"{self._config.trigger_interval_ms} milliseconds")
            .start()
        )

    def _apply(self, parts: Iterator[Part], batch_id: int, applier: Applier) -> None:
        started = time.monotonic()
        for part in parts:
            records, read_s = part.records, time.monotonic() - started
            if not records.num_rows:
                continue
            if self._stop.is_set():
                raise Stopping
            report = applier.apply(records, batch_id) if part.last else applier.apply_part(records, batch_id)
            if report.records:
                steps = ", ".join(f"{step} {seconds:.3f}" for step, seconds in report.seconds.items())
                log.info("batch %d: %d records, read %.3f s, %s", batch_id, report.records, read_s, steps)
            self._status = self._status.model_copy(
                update={
                    "records": self._status.records + report.records,
                    "refused": self._status.refused + report.refused,
                    "last_batch_id": batch_id,
                    "last_progress_at": time.time(),
                    "ready_at": self._status.ready_at or time.time(),
                }
            )
            started = time.monotonic()
        self._applied_batch = batch_id

    def _watch(self, query: StreamingQuery, release: Release, applier: Applier) -> None:
        asked_at = followed_at = time.monotonic()
        while not self._stop.wait(LOOK_INTERVAL_S):
            applier.check()
            if not query.isActive:
                failure = query.exception()
                raise failure if failure is not None else RuntimeError("the query ended by itself")
            if self._status.ready_at is None and "Waiting for data" in query.status["message"]:
                # Nothing to read yet: the query has looked at the topics and is ready for the first record.
                self._status = self._status.model_copy(update={"ready_at": time.time()})
            self._report()
            if time.monotonic() - followed_at > FOLLOW_INTERVAL_S:
                self._follow(applier)
                followed_at = time.monotonic()
            if release.connect is not None and time.monotonic() - asked_at > FORGET_INTERVAL_S:
                asked_at = time.monotonic()
                forget_old_deletes(applier, release, release.connect)
        self._finish(query, release.checkpoint)
        try:
            applier.wait_for_mirrors(Deadline(MERGED_WITHIN_S))
        except NotReady as error:
            log.info("%s; the next start merges it", error.what)
        self._report()

    def _follow(self, applier: Applier) -> None:
        """Give the lake what DDL did, to tables without traffic as well; tried again while the source is away."""
        with self._batch:
            try:
                applier.follow()
            except InfrastructureError as error:
                log.info("DDL is followed later: %s", error.what)

    def _finish(self, query: StreamingQuery, checkpoint: Path) -> None:
        with self._batch:
            last = self._applied_batch

        def committed() -> None:
            if last is not None and query.isActive and not (checkpoint / "commits" / str(last)).exists():
                raise StillWaiting(f"micro-batch {last} is applied but not committed")

        # A stop between the two is no loss, only a replay at the next start; so it is waited for, not insisted on.
        wait_for(committed, Deadline(COMMITTED_WITHIN_S), what="checkpoint", awaited=f"the commit of {last}")
        query.stop()
        log.info("stopped after micro-batch %s", last)

    def _report(self, **changed: object) -> None:
        self._status = self._status.model_copy(update=changed)
        if self._status != self._written:
            write_status(self._folder, self._status)
            self._written = self._status


def _follower(release: Release) -> Follower | None:
    """Follows the DDL of the source; without an answer of it at the first start, DDL is refused, and so never green."""
    try:
        return release.follower()
    except TestInfraError as error:
        log.warning("schema changes are not followed: %s", error.what)
        return None


def _topics(release: Release) -> list[str]:
    return [entry.topic for entry in release.written]


def forget_old_deletes(applier: Applier, release: Release, connect: ConnectAddress) -> None:
    """Let the applier forget deletes that no older event can undo any more; tried again later when Connect is away."""
    try:
        offset = ConnectClient(connect).offsets(release.connector)
        committed = source_class(release.source_kind).committed_position(offset)
        if committed is not None:
            applier.forget_deletes(committed.stored, end_offsets_of(release.bootstrap, release.schemas))
    except TestInfraError as error:
        log.info("deletes are remembered longer: %s", error.what)


def main(argv: list[str]) -> int:
    """Run the stream that the config file describes; 0 after a requested stop, 1 after a failure."""
    log_to_stderr("kafka", "py4j", "httpx")
    stream = Stream(StreamConfig.model_validate_json(Path(argv[0]).read_text()), job_dir())
    signal.signal(signal.SIGTERM, stream.request_stop)
    try:
        stream.run()
    except Exception as error:
        # Nothing above this catches it: say why, then exit 1.
        traceback.print_exc()
        stream.fail(error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
