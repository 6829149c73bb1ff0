"""Spark's event log of an application: whether its session is up, and whether it has begun to work."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

FOLDER = "events"
HEAD_BYTES = 1024 * 1024
"""Enough to reach the first job: only the application's environment is logged before it."""


@dataclass(frozen=True)
class EventLogStatus:
    """What the log says so far.

    Args:
        ready: the Spark context is up.
        at_work: the application has begun a Spark job.
        application_id: Spark's own id of the application; empty before it is known.
    """

    ready: bool = False
    at_work: bool = False
    application_id: str = ""


def properties(folder: Path) -> dict[str, str]:
    """Spark properties with which an application logs its events below ``folder``, uncompressed, in 10 MiB pieces."""
    return {
        "spark.eventLog.enabled": "true",
        "spark.eventLog.dir": (folder / FOLDER).as_uri(),
        "spark.eventLog.compress": "false",
        "spark.eventLog.rolling.enabled": "true",
        "spark.eventLog.rolling.maxFileSize": "10m",
    }


def read_event_log(folder: Path) -> EventLogStatus:
    """Read what an attempt's application has logged so far."""
    for log in _logs(folder):
        first = next(iter(_pieces(log)), None)
        head = _head(first) if first is not None else b""
        if b'"Event":"SparkListenerApplicationStart"' in head:
            # A streaming query may log much before the first Spark job of a batch, so further pieces count as work too.
            at_work = b'"Event":"SparkListenerJobStart"' in head or len(_pieces(log)) > 1
            return EventLogStatus(ready=True, at_work=at_work, application_id=log.name.removeprefix("eventlog_v2_"))
    return EventLogStatus()


def delete_old_pieces(folder: Path) -> None:
    """Delete all closed pieces but the first and the newest, so that a job of weeks does not fill the disk."""
    for log in _logs(folder):
        for piece in _pieces(log)[1:-2]:
            with suppress(FileNotFoundError):
                piece.unlink()


def _logs(folder: Path) -> list[Path]:
    return sorted((folder / FOLDER).glob("eventlog_v2_*"))


def _pieces(log: Path) -> list[Path]:
    return sorted(log.glob("events_*"), key=lambda path: int(path.name.split("_")[1]))


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(HEAD_BYTES)
    except FileNotFoundError:
        return b""
