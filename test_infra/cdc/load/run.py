"""The load's process: ``python -m test_infra.cdc.load.run CONFIG``.

First the bulk as fast as it goes, then the background at a steady rate, until SIGTERM or its limit.
"""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from test_infra.base.deadline import Deadline, wait_for
from test_infra.base.document import Document
from test_infra.base.paths import write_private
from test_infra.base.redaction import redact
from test_infra.cdc.load.execute import Executor
from test_infra.cdc.load.history import History
from test_infra.cdc.load.plan import Planner
from test_infra.cdc.sources import postgres
from test_infra.cdc.types.table import TableSchema
from test_infra.stack import Endpoint

if TYPE_CHECKING:
    import psycopg

RECONNECT_WITHIN_S = 60.0
STATUS_INTERVAL_S = 0.1


class LoadConfig(Document):
    """What the process is to do.

    Args:
        endpoint: of the source; its secrets stay in their files.
        schemas: tables to write.
        seed: same seed, same transactions.
        operations: of the bulk, all writers together.
        rate_per_s: operations per second of the background; 0 is none.
        limit_s: the background ends by itself after this time, seconds.
        writers: sessions that write at the same time.
        first_key: numbers of keys from here on are free.
        adopted_keys: numbers below are rows that are there already.
        history: where every operation is written down.
        status: where `LoadStatus` is kept.
    """

    endpoint: Endpoint
    schemas: list[TableSchema]
    seed: int
    operations: int
    rate_per_s: float
    limit_s: float
    writers: int = 2
    first_key: int = 0
    adopted_keys: int = 0
    history: Path
    status: Path


class LoadStatus(Document):
    """How far the process is.

    Args:
        operations_done: with whatever outcome.
        ok: committed.
        failed: rolled back, most of them on purpose.
        unknown: the connection was lost at the commit.
        transactions: with whatever outcome.
        started_at: epoch seconds of the first transaction; None before.
        bulk_done_at: epoch seconds; None while the bulk runs.
        ended_at: epoch seconds; None while the process runs.
        error: why it ended early; empty when it did not.
    """

    operations_done: int = 0
    ok: int = 0
    failed: int = 0
    unknown: int = 0
    transactions: int = 0
    started_at: float | None = None
    bulk_done_at: float | None = None
    ended_at: float | None = None
    error: str = ""


class _Writer(threading.Thread):
    """One session: its share of the bulk, then its share of the background."""

    def __init__(self, config: LoadConfig, number: int, history: History, stop: threading.Event) -> None:
        super().__init__(name=f"writer-{number}", daemon=True)
        self._config = config
        self._bulk = config.operations // config.writers + (number < config.operations % config.writers)
        self._planner = Planner(
            config.schemas,
            seed=config.seed,
            writer=number,
            writers=config.writers,
            first_key=config.first_key,
            adopted_keys=config.adopted_keys,
        )
        self._executor = Executor(config.schemas, history)
        self._stop_asked = stop
        self.counts = {True: 0, False: 0, None: 0}
        self.operations = 0
        self.transactions = 0
        self.bulk_done = threading.Event()
        self.error = ""

    def run(self) -> None:
        try:
            self._write()
        except Exception as error:
            self.error = redact(str(error))
            self._stop_asked.set()

    def _write(self) -> None:
        connection = postgres.connect(self._config.endpoint, "owner")
        try:
            left = self._bulk
            while left > 0 and not self._stop_asked.is_set():
                size, connection = self._transaction(connection, left)
                left -= size
            self.bulk_done.set()
            rate_per_s = self._config.rate_per_s / self._config.writers
            ends_at = due = time.monotonic()
            ends_at += self._config.limit_s if rate_per_s else 0.0
            while due < ends_at and not self._stop_asked.wait(max(0.0, due - time.monotonic())):
                size, connection = self._transaction(connection, sys.maxsize)
                # After a time without a connection the rate goes on; what was not written then is not made up for.
                due = max(due + size / rate_per_s, time.monotonic() - 1.0)
        finally:
            connection.close()

    def _transaction(self, connection: psycopg.Connection, most: int) -> tuple[int, psycopg.Connection]:
        """Run one; returns its size and the session to go on with."""
        planned = self._planner.next(most)
        committed = self._executor.run(connection, planned)
        self._planner.ended(planned, committed=committed)
        size = len(planned.operations)
        undone = sum(operation.undone for operation in planned.operations) if committed is not False else 0
        self.counts[committed] += size - undone
        self.counts[False] += undone
        self.operations += size
        self.transactions += 1
        if connection.closed:
            connection = wait_for(
                lambda: postgres.connect(self._config.endpoint, "owner"),
                Deadline(RECONNECT_WITHIN_S),
                what="the load's session",
                awaited="the source accepts it again",
                not_yet=(postgres.SourceUnreachable,),
            )
        return size, connection


def run(config: LoadConfig, stop: threading.Event) -> LoadStatus:
    """Write until everything is done or ``stop`` is set; the status file follows."""
    history = History(config.history)
    writers = [_Writer(config, number, history, stop) for number in range(config.writers)]
    started_at, bulk_done_at = time.time(), None
    for writer in writers:
        writer.start()

    def status(ended_at: float | None = None) -> LoadStatus:
        seen = LoadStatus(
            operations_done=sum(writer.operations for writer in writers),
            ok=sum(writer.counts[True] for writer in writers),
            failed=sum(writer.counts[False] for writer in writers),
            unknown=sum(writer.counts[None] for writer in writers),
            transactions=sum(writer.transactions for writer in writers),
            started_at=started_at,
            bulk_done_at=bulk_done_at,
            ended_at=ended_at,
            error="; ".join(sorted({writer.error for writer in writers if writer.error})),
        )
        write_private(config.status, seen.model_dump_json())
        return seen

    while any(writer.is_alive() for writer in writers):
        if bulk_done_at is None and all(writer.bulk_done.is_set() for writer in writers):
            bulk_done_at = time.time()
        status()
        for writer in writers:
            writer.join(STATUS_INTERVAL_S / len(writers))
    if bulk_done_at is None and all(writer.bulk_done.is_set() for writer in writers):
        bulk_done_at = time.time()
    history.close()
    return status(time.time())


def main(arguments: list[str]) -> int:
    """Run the load of a configuration file; 0 when it ended as asked."""
    config = LoadConfig.model_validate_json(Path(arguments[0]).read_bytes())
    stop = threading.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, lambda *_: stop.set())
    done = run(config, stop)
    print(json.dumps(redact.document(done.model_dump(mode="json"))), file=sys.stderr)  # noqa: T201 - the process's log
    return 1 if done.error else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
