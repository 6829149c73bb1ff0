"""The SQLite file of the record: its schema, its version, its transactions."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from test_infra.base.errors import InfrastructureError

VERSION = 3
"""Counted up with every change of the schema or of what a column means; a record of another version is not read."""

_SCHEMA = (
    """
    CREATE TABLE job (
        execution_id TEXT PRIMARY KEY, idempotency_key TEXT NOT NULL UNIQUE, fingerprint TEXT NOT NULL,
        spec TEXT NOT NULL, name TEXT NOT NULL, team TEXT NOT NULL, backend TEXT NOT NULL, state TEXT NOT NULL,
        attempt INTEGER NOT NULL, submitted_at REAL NOT NULL, due_at REAL, cancel_at REAL, ended_at REAL,
        exit_code INTEGER, error TEXT, removed_at REAL
    )
    """,
    """
    CREATE TABLE attempt (
        execution_id TEXT NOT NULL REFERENCES job, number INTEGER NOT NULL, requested_at REAL NOT NULL,
        started_at REAL, ready_at REAL, running_at REAL, ended_at REAL, exit_code INTEGER, outcome TEXT,
        reason TEXT NOT NULL DEFAULT '', ui_port INTEGER, PRIMARY KEY (execution_id, number)
    )
    """,
    """
    CREATE TABLE history (
        execution_id TEXT NOT NULL REFERENCES job, state TEXT NOT NULL, at REAL NOT NULL, attempt INTEGER NOT NULL,
        reason TEXT NOT NULL
    )
    """,
    "CREATE INDEX job_by_time ON job (submitted_at)",
    "CREATE INDEX history_by_job ON history (execution_id)",
)


class RecordUnusable(InfrastructureError):
    """The record cannot be read or written now, most likely because the disk is full; nothing was half written."""


class RecordOfAnotherVersion(InfrastructureError):
    """The record was written by another version of this program."""


class RecordFile:
    """One SQLite file of mode 0600.

    Args:
        path: the file; created when missing.

    Raises:
        RecordOfAnotherVersion: it has another schema.
        RecordUnusable: it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        with self.reading() as database:
            # Set once: the mode stays with the file, and to set it again would wait for every reader.
            database.execute("PRAGMA journal_mode = WAL")
            if _version(database) == VERSION:
                return
        with self.writing() as database:
            _create(database, path)

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection outside any transaction.

        Raises:
            RecordUnusable: SQLite cannot use the file.
        """
        try:
            with closing(sqlite3.connect(self._path, timeout=30.0, isolation_level=None)) as database:
                database.row_factory = sqlite3.Row
                yield database
        except sqlite3.OperationalError as error:
            raise RecordUnusable(
                "the record of Spark jobs cannot be used",
                details={"file": str(self._path), "seen": str(error)},
                hint="make room on its disk; the jobs go on, and nothing that was recorded is lost",
            ) from error

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A connection in a transaction that excludes all other writers; rolled back on any exception.

        Raises:
            RecordUnusable: SQLite cannot use the file.
        """
        with self.reading() as database:
            database.execute("BEGIN IMMEDIATE")
            try:
                yield database
            except BaseException:
                if database.in_transaction:  # a full disk has ended it already
                    database.execute("ROLLBACK")
                raise
            database.execute("COMMIT")


def _version(database: sqlite3.Connection) -> int:
    return int(database.execute("PRAGMA user_version").fetchone()[0])


def _create(database: sqlite3.Connection, path: Path) -> None:
    """Make the tables of a new file; another process may have been faster."""
    found = _version(database)
    if found == VERSION:
        return
    if found or database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        raise RecordOfAnotherVersion(
            "the record of Spark jobs is of another version",
            details={"file": str(path), "found": str(found), "known": str(VERSION)},
            hint="use the test_infra that made this stack, or end the stack with test-infra down",
        )
    for statement in _SCHEMA:
        database.execute(statement)
    database.execute(f"PRAGMA user_version = {VERSION}")
