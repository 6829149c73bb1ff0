"""The load's process: ``python -m test_infra.cdc.load.run CONFIG``.

First the bulk as fast as it goes, then the background at a steady rate, until SIGTERM or its limit.
"""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from test_infra.base.deadline import Deadline, wait_for
from test_infra.base.document import Document
from test_infra.base.paths import write_private
from test_infra.base.redaction import redact
from test_infra.cdc.load.beginning import Beginning, beginning, note_used
from test_infra.cdc.load.execute import Executor
from test_infra.cdc.load.history import History, cause
from test_infra.cdc.load.plan import Planner
from test_infra.cdc.load.shape import Shape, shapes_of
from test_infra.cdc.pipeline.spec import ColumnValues
from test_infra.cdc.sources import postgres
from test_infra.cdc.sources.constraints import TableConstraints
from test_infra.cdc.types.table import TableSchema
from test_infra.stack import Endpoint

if TYPE_CHECKING:
    import psycopg

RECONNECT_WITHIN_S = 60.0
MOST_REFUSALS = 50
"""Kinds of refusals that one writer keeps apart."""
STATUS_INTERVAL_S = 0.1


class LoadConfig(Document):
    """What the process is to do.

    Args:
        endpoint: of the source; its secrets stay in their files.
        schemas: tables to write.
        constraints: of each table.
        values: table -> column -> what to write.
        seed: same seed, same transactions.
        operations: of the bulk, all writers together.
        rate_per_s: operations per second of the background; 0 is none.
        limit_s: the background ends by itself after this time, seconds.
        writers: sessions that write at the same time.
        history: where every operation is written down.
        status: where `LoadStatus` is kept.
    """

    endpoint: Endpoint
    schemas: list[TableSchema]
    constraints: list[TableConstraints]
    values: dict[str, dict[str, ColumnValues]] = {}
    seed: int
    operations: int
    rate_per_s: float
    limit_s: float
    writers: int = 2
    history: Path
    status: Path


class Refusals(Document):
    """What the source refused of one table.

    Args:
        words: the source's own, the constraint's name first.
        count: operations that it refused so.
    """

    words: str
    count: int


class LoadStatus(Document):
    """How far the process is.

    Args:
        operations_done: with whatever outcome.
        ok: committed.
        failed: rolled back, most of them on purpose.
        refused: those of the failed ones whose transaction the source refused.
        refusals: table -> the refusals that were seen there first.
        cannot: table -> why no row can be made for it.
        unknown: the connection was lost at the commit.
        transactions: with whatever outcome.
        runs: whole runs of a user's own SQL files or program.
        started_at: epoch seconds of the first transaction; None before.
        bulk_done_at: epoch seconds; None while the bulk runs.
        ended_at: epoch seconds; None while the process runs.
        error: why it ended early; empty when it did not.
    """

    operations_done: int = 0
    ok: int = 0
    failed: int = 0
    refused: int = 0
    refusals: dict[str, list[Refusals]] = {}
    cannot: dict[str, str] = {}
    unknown: int = 0
    transactions: int = 0
    runs: int = 0
    started_at: float | None = None
    bulk_done_at: float | None = None
    ended_at: float | None = None
    error: str = ""

    def write(self, path: Path) -> None:
        """Write it down for whoever follows the load, without secrets in its texts."""
        write_private(path, json.dumps(redact.fields(self.model_dump(mode="json"))))


class _Writer(threading.Thread):
    """One session: its share of the bulk, then its share of the background."""

    def __init__(
        self,
        config: LoadConfig,
        number: int,
        history: History,
        stop: threading.Event,
        shapes: list[Shape],
        found: Beginning,
    ) -> None:
        super().__init__(name=f"writer-{number}", daemon=True)
        self._config = config
        self._bulk = config.operations // config.writers + (number < config.operations % config.writers)
        self._shapes = shapes
        self.numbers = found.numbers(shapes, number, self._connected)
        self._planner = Planner(
            shapes,
            seed=config.seed,
            writer=number,
            writers=config.writers,
            source=self.numbers,
            rows=found.rows[number],
        )
        self._executor = Executor(shapes, history)
        self._stop_asked = stop
        self.counts = {True: 0, False: 0, None: 0}
        self.refused = 0
        self.refusals: Counter[tuple[str, str]] = Counter()
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
        ran = self._executor.run(connection, planned)
        committed = ran.committed
        self._planner.ended(planned, committed=committed, missed=ran.missed)
        size = len(planned.operations)
        if ran.words:
            self.refused += size
            table = self._shapes[planned.operations[ran.refused or 0].table].schema.qualified
            self._note(table, ran.words)
        undone = sum(operation.undone for operation in planned.operations) if committed is not False else 0
        self.counts[committed] += size - undone
        self.counts[False] += undone
        self.operations += size
        self.transactions += 1
        if connection.closed:
            connection = self._connected()
        return size, connection

    def _connected(self) -> psycopg.Connection:
        return wait_for(
            lambda: postgres.connect(self._config.endpoint, "owner"),
            Deadline(RECONNECT_WITHIN_S),
            what="the load's session",
            awaited="the source accepts it again",
            not_yet=(postgres.SourceUnreachable,),
        )

    def _note(self, table: str, words: str) -> None:
        """Count a refusal under the constraint's name; the values that it names are those of the first one."""
        known = next(
            (one for one in self.refusals if one[0] == table and cause(one[1]) == cause(words)), (table, words)
        )
        if known in self.refusals or len(self.refusals) < MOST_REFUSALS:
            self.refusals[known] += 1

    def cannot(self) -> dict[str, str]:
        """Table -> why no row can be made for it."""
        return {self._shapes[table].schema.qualified: why for table, why in list(self._planner.cannot.items())}


def run(config: LoadConfig, stop: threading.Event) -> LoadStatus:
    """Write until everything is done or ``stop`` is set; the status file follows."""
    shapes = shapes_of(config.schemas, config.constraints, config.values)
    with postgres.connect(config.endpoint, "owner") as connection:
        found = beginning(connection, shapes, config.history, writers=config.writers)
    history = History(config.history)
    writers = [_Writer(config, number, history, stop, shapes, found) for number in range(config.writers)]
    started_at, bulk_done_at = time.time(), None
    for writer in writers:
        writer.start()

    def status(ended_at: float | None = None) -> LoadStatus:
        seen = LoadStatus(
            operations_done=sum(writer.operations for writer in writers),
            ok=sum(writer.counts[True] for writer in writers),
            failed=sum(writer.counts[False] for writer in writers),
            refused=sum(writer.refused for writer in writers),
            refusals=_refusals(writers),
            cannot={table: why for writer in writers for table, why in writer.cannot().items()},
            unknown=sum(writer.counts[None] for writer in writers),
            transactions=sum(writer.transactions for writer in writers),
            started_at=started_at,
            bulk_done_at=bulk_done_at,
            ended_at=ended_at,
            error="; ".join(sorted({writer.error for writer in writers if writer.error})),
        )
        note_used(config.history, shapes, [writer.numbers for writer in writers], ended=ended_at is not None)
        seen.write(config.status)
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


def _refusals(writers: list[_Writer]) -> dict[str, list[Refusals]]:
    counted = sum((Counter(dict(writer.refusals.items())) for writer in writers), Counter[tuple[str, str]]())
    found: dict[str, dict[str, Refusals]] = {}
    for (table, words), count in counted.most_common():
        of_table = found.setdefault(table, {})
        before = of_table.get(cause(words))
        of_table[cause(words)] = Refusals(
            words=before.words if before else words, count=count + (before.count if before else 0)
        )
    return {table: list(of_table.values()) for table, of_table in found.items()}


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
