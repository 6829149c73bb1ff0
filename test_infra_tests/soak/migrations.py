"""DDL of every kind that is followed, on tables that are written, at moments of its own."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING

from test_infra.base.deadline import Deadline, wait_for

if TYPE_CHECKING:
    import psycopg

    from test_infra.cdc.pipeline.running import RunningPipeline

LATEST_S = 6.0
"""After the beginning of a cut: the moment may be in any part of it, or between it and the next."""
LOCKED_WITHIN_S = 60.0
LOCK_TIMEOUT_MS = 1_000
"""DDL that waits for a reader has a transaction id already, and a slot is not made before that transaction ends."""

STEPS: dict[str, tuple[str, ...]] = {
    "column added": ("ALTER TABLE {table} ADD COLUMN plain_{number} integer",),
    "values of the column": ("ALTER TABLE {table} ALTER plain_{number} SET DEFAULT (random() * 100)::integer",),
    "column added with a default": (
        "ALTER TABLE {table} ADD COLUMN filled_{number} text NOT NULL DEFAULT 'it''s {number}'",
    ),
    "column renamed": ("ALTER TABLE {table} RENAME plain_{number} TO renamed_{number}",),
    "column widened": ("ALTER TABLE {table} ALTER renamed_{number} TYPE bigint",),
    "several in a transaction": (
        "ALTER TABLE {table} ADD COLUMN second_{number} numeric(8,2) DEFAULT 1.5",
        "ALTER TABLE {table} RENAME filled_{number} TO told_{number}",
        "ALTER TABLE {table} ALTER second_{number} TYPE numeric(12,2)",
        "INSERT INTO visits (account, page) VALUES (1, 'beside DDL')",
    ),
    "columns dropped": (
        "ALTER TABLE {table} DROP COLUMN renamed_{number}, DROP COLUMN told_{number}, DROP COLUMN second_{number}",
    ),
}
"""What is done to a table, one after the other and then again with other names -> statements of one transaction."""
KEYS_WIDENED = {
    "accounts": "ALTER TABLE accounts ALTER id TYPE bigint",
    "sales.orders": "ALTER TABLE sales.orders ALTER id TYPE bigint",
}
"""Table -> what is done to it first."""


class Migrations:
    """One thing at a time, of a random table.

    Args:
        pipeline: whose captured tables are changed.
        random_: chooses tables and moments.
        done: counts what was done.
    """

    def __init__(self, pipeline: RunningPipeline, random_: random.Random, done: Counter[str]) -> None:
        self._pipeline = pipeline
        self._random = random_
        self._done = done
        self._steps: Counter[str] = Counter()
        self._widened = dict(KEYS_WIDENED)
        self._thread: threading.Thread | None = None
        self._failures: list[BaseException] = []

    def begin(self) -> None:
        """Do the next thing within `LATEST_S`; what was begun before has ended by then."""
        self.end()
        what, statements = self._next(self._random.choice(self._pipeline.tables))
        after_s = self._random.uniform(0.0, LATEST_S)
        self._thread = threading.Thread(target=self._run, args=(what, statements, after_s), name="ddl")
        self._thread.start()

    def end(self) -> None:
        """Wait for the end of what was begun.

        Raises:
            BaseException: whatever made it fail.
        """
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        for failure in self._failures:
            raise failure

    def _next(self, table: str) -> tuple[str, list[str]]:
        if table in self._widened:
            return "key widened", [self._widened.pop(table)]
        number, place = divmod(self._steps[table], len(STEPS))
        self._steps[table] += 1
        what, qualified = list(STEPS)[place], self._pipeline.table_ids[table].qualified
        return what, [statement.format(table=qualified, number=number) for statement in STEPS[what]]

    def _run(self, what: str, statements: list[str], after_s: float) -> None:
        import psycopg

        def done(session: psycopg.Connection) -> None:
            with session.transaction():
                for statement in statements:
                    session.execute(statement.encode())

        time.sleep(after_s)
        not_yet = (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected)
        try:
            with self._pipeline.source.session() as session:
                session.execute(f"SET lock_timeout = {LOCK_TIMEOUT_MS}")
                deadline = Deadline(LOCKED_WITHIN_S)
                wait_for(lambda: done(session), deadline, what="DDL", awaited="its locks", not_yet=not_yet)
            self._done[what] += 1
        except BaseException as error:
            # Raised to whoever waits for the end.
            self._failures.append(error)
