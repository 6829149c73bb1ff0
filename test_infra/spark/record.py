"""The record of Spark jobs: SQLite, so that it survives a restart and many processes may use it at once."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from test_infra.base.errors import UsageError
from test_infra.spark.spec import JobSpec
from test_infra.spark.states import JobState, transition

_SCHEMA = """
CREATE TABLE IF NOT EXISTS job (
    execution_id TEXT PRIMARY KEY, idempotency_key TEXT NOT NULL UNIQUE, fingerprint TEXT NOT NULL,
    spec TEXT NOT NULL, state TEXT NOT NULL, submitted_at REAL NOT NULL, ended_at REAL, exit_code INTEGER, error TEXT
);
CREATE TABLE IF NOT EXISTS history (
    execution_id TEXT NOT NULL REFERENCES job, state TEXT NOT NULL, at REAL NOT NULL
);
"""


class UnknownJob(UsageError):
    """No Spark job has this execution id."""


class KeyConflict(UsageError):
    """An idempotency key was used again for another spec."""


@dataclass(frozen=True)
class Execution:
    """One submission of a Spark job.

    Args:
        execution_id: unique.
        idempotency_key: the caller's key; the same key and spec is the same execution.
        spec: what was submitted.
        state: last recorded state.
        submitted_at: epoch seconds.
        ended_at: epoch seconds; None while it is not terminal.
        exit_code: of the driver; None when it has none.
        error: what went wrong, in words; empty when nothing did.
    """

    execution_id: str
    idempotency_key: str
    spec: JobSpec
    state: JobState
    submitted_at: float
    ended_at: float | None = None
    exit_code: int | None = None
    error: str = ""


class JobRecord:
    """Executions and their state history in one SQLite file of mode 0600.

    Args:
        path: the file; made when missing.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        with self._writing() as database:
            for statement in filter(str.strip, _SCHEMA.split(";")):
                database.execute(statement)

    def add(self, execution_id: str, idempotency_key: str, spec: JobSpec) -> Execution:
        """Record a submission, or return the one that this key already made.

        Raises:
            KeyConflict: the key belongs to another spec.
        """
        with self._writing() as database:
            known = database.execute("SELECT * FROM job WHERE idempotency_key = ?", [idempotency_key]).fetchone()
            if known is None:
                now = time.time()
                database.execute(
                    "INSERT INTO job (execution_id, idempotency_key, fingerprint, spec, state, submitted_at)"
                    " VALUES (?, ?, ?, ?, ?, ?)",
                    [execution_id, idempotency_key, spec.fingerprint, spec.model_dump_json(), JobState.SUBMITTED, now],
                )
                database.execute("INSERT INTO history VALUES (?, ?, ?)", [execution_id, JobState.SUBMITTED, now])
                return Execution(execution_id, idempotency_key, spec, JobState.SUBMITTED, now)
        if known["fingerprint"] != spec.fingerprint:
            raise KeyConflict(
                f"idempotency key {idempotency_key!r} belongs to another job",
                details={"execution": known["execution_id"]},
                hint="use a new key for a new spec",
            )
        return _execution(known)

    def get(self, execution_id: str) -> Execution:
        """One execution.

        Raises:
            UnknownJob: there is none of this id.
        """
        with self._reading() as database:
            row = database.execute("SELECT * FROM job WHERE execution_id = ?", [execution_id]).fetchone()
        if row is None:
            raise UnknownJob(f"no Spark job {execution_id!r}")
        return _execution(row)

    def all(self) -> list[Execution]:
        """Every execution, oldest first."""
        with self._reading() as database:
            return [_execution(row) for row in database.execute("SELECT * FROM job ORDER BY submitted_at, rowid")]

    def move(self, execution_id: str, new: JobState, *, exit_code: int | None = None, error: str = "") -> Execution:
        """Record a new state; the state that another process recorded meanwhile counts.

        Raises:
            UnknownJob: there is none of this id.
            IllegalTransition: the recorded state does not lead there.
        """
        now = time.time()
        with self._writing() as database:
            row = database.execute("SELECT state FROM job WHERE execution_id = ?", [execution_id]).fetchone()
            if row is None:
                raise UnknownJob(f"no Spark job {execution_id!r}")
            transition(JobState(row["state"]), new)
            database.execute(
                "UPDATE job SET state = ?, ended_at = ?, exit_code = coalesce(?, exit_code),"
                " error = coalesce(nullif(?, ''), error) WHERE execution_id = ?",
                [new, now if new.terminal else None, exit_code, error, execution_id],
            )
            database.execute("INSERT INTO history VALUES (?, ?, ?)", [execution_id, new, now])
        return self.get(execution_id)

    def history(self, execution_id: str) -> list[tuple[JobState, float]]:
        """States of one execution with their epoch seconds, oldest first."""
        query = "SELECT state, at FROM history WHERE execution_id = ? ORDER BY rowid"
        with self._reading() as database:
            return [(JobState(row["state"]), row["at"]) for row in database.execute(query, [execution_id])]

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self._path, timeout=30.0, isolation_level=None)) as database:
            database.row_factory = sqlite3.Row
            database.execute("PRAGMA journal_mode = WAL")
            yield database

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._reading() as database:
            database.execute("BEGIN IMMEDIATE")
            try:
                yield database
            except BaseException:
                database.execute("ROLLBACK")
                raise
            database.execute("COMMIT")


def _execution(row: sqlite3.Row) -> Execution:
    return Execution(
        execution_id=row["execution_id"],
        idempotency_key=row["idempotency_key"],
        spec=JobSpec.model_validate_json(row["spec"]),
        state=JobState(row["state"]),
        submitted_at=row["submitted_at"],
        ended_at=row["ended_at"],
        exit_code=row["exit_code"],
        error=row["error"] or "",
    )
