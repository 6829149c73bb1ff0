"""Versions of the record's SQLite schema, and the way from each to the next."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from typing import Any

from test_infra.base.errors import InfrastructureError
from test_infra.spark.job.spec import JobSpec

Migration = Callable[[sqlite3.Connection], None]


class RecordTooNew(InfrastructureError):
    """The record was written by a newer version of this program."""


def migrate(database: sqlite3.Connection) -> None:
    """Bring the schema up to date, inside the caller's transaction.

    Raises:
        RecordTooNew: it is of a version that this program does not know.
    """
    found = int(database.execute("PRAGMA user_version").fetchone()[0])
    if found > len(_MIGRATIONS):
        raise RecordTooNew(
            "the record of Spark jobs is of a newer version",
            details={"found": str(found), "known": str(len(_MIGRATIONS))},
            hint="use the newer test_infra, or test-infra down",
        )
    for step in _MIGRATIONS[found:]:
        step(database)
    database.execute(f"PRAGMA user_version = {len(_MIGRATIONS)}")


def current(database: sqlite3.Connection) -> bool:
    """Whether there is nothing to migrate."""
    return int(database.execute("PRAGMA user_version").fetchone()[0]) == len(_MIGRATIONS)


def _run(database: sqlite3.Connection, script: str) -> None:
    # Not executescript: that commits the transaction around us.
    for statement in filter(str.strip, script.split(";")):
        database.execute(statement)


def _first(database: sqlite3.Connection) -> None:
    """The schema before versions were counted; a record without a version may have it already."""
    _run(
        database,
        """
        CREATE TABLE IF NOT EXISTS job (
            execution_id TEXT PRIMARY KEY, idempotency_key TEXT NOT NULL UNIQUE, fingerprint TEXT NOT NULL,
            spec TEXT NOT NULL, state TEXT NOT NULL, submitted_at REAL NOT NULL, ended_at REAL, exit_code INTEGER,
            error TEXT
        );
        CREATE TABLE IF NOT EXISTS history (
            execution_id TEXT NOT NULL REFERENCES job, state TEXT NOT NULL, at REAL NOT NULL
        )
        """,
    )


_NEW_STATES = {"starting": "driver_started", "failed": "application_failed", "start_timed_out": "ready_timed_out"}


def _attempts_and_reasons(database: sqlite3.Connection) -> None:
    """Attempts, reasons, teams; states and specs in their new words."""
    _run(
        database,
        """
        ALTER TABLE job ADD COLUMN name TEXT NOT NULL DEFAULT '';
        ALTER TABLE job ADD COLUMN team TEXT NOT NULL DEFAULT '';
        ALTER TABLE job ADD COLUMN backend TEXT NOT NULL DEFAULT 'local';
        ALTER TABLE job ADD COLUMN attempt INTEGER NOT NULL DEFAULT 1;
        ALTER TABLE job ADD COLUMN due_at REAL;
        ALTER TABLE job ADD COLUMN cancel_at REAL;
        ALTER TABLE job ADD COLUMN removed_at REAL;
        ALTER TABLE history ADD COLUMN attempt INTEGER NOT NULL DEFAULT 1;
        ALTER TABLE history ADD COLUMN reason TEXT NOT NULL DEFAULT '';
        CREATE TABLE attempt (
            execution_id TEXT NOT NULL REFERENCES job, number INTEGER NOT NULL, requested_at REAL NOT NULL,
            started_at REAL, ready_at REAL, running_at REAL, ended_at REAL, exit_code INTEGER, outcome TEXT,
            reason TEXT NOT NULL DEFAULT '', ui_port INTEGER, PRIMARY KEY (execution_id, number)
        );
        CREATE INDEX job_by_time ON job (submitted_at);
        CREATE INDEX history_by_job ON history (execution_id)
        """,
    )
    for execution_id, text in database.execute("SELECT execution_id, spec FROM job").fetchall():
        spec = JobSpec.model_validate(_spec_of_today(json.loads(text)))
        database.execute(
            "UPDATE job SET spec = ?, fingerprint = ?, name = ?, team = ? WHERE execution_id = ?",
            [spec.model_dump_json(), spec.fingerprint, spec.name, spec.team, execution_id],
        )
    for old, new in _NEW_STATES.items():
        database.execute("UPDATE job SET state = ? WHERE state = ?", [new, old])
        database.execute("UPDATE history SET state = ? WHERE state = ?", [new, old])
    # A driver was asked for as soon as it was submitted; when it ran was not written down.
    _run(
        database,
        """
        INSERT INTO attempt (execution_id, number, requested_at, started_at, ended_at, exit_code, outcome)
        SELECT execution_id, 1, submitted_at, submitted_at, ended_at, exit_code,
               CASE WHEN ended_at IS NULL THEN NULL ELSE state END
        FROM job WHERE state <> 'submitted'
        """,
    )


def _spec_of_today(old: dict[str, Any]) -> dict[str, Any]:
    spec = {name: old[name] for name in ("name", "team", "args", "conf", "jar_groups") if name in old}
    return spec | {
        "application": {"module": old["module"]},
        "resources": {"driver": {"memory_mib": old.get("driver_memory_mib", 1_024)}},
        "timeouts": {"ready_s": old.get("start_timeout_s", 180.0), "stop_s": old.get("stop_timeout_s", 30.0)},
        "ready_by": "status",
    }


_MIGRATIONS: tuple[Migration, ...] = (_first, _attempts_and_reasons)
