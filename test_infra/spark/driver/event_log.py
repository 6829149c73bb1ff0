"""What Spark's own event log says of an application: whether its session is up, and whether it works."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

FOLDER = "events"
HEAD_BYTES = 1024 * 1024
"""Enough for the first job: before it Spark logs its environment, once."""


@dataclass(frozen=True)
class EventLogStatus:
    """What was read.

    Args:
        ready: the Spark context is up.
        at_work: it has begun a Spark job.
        application_id: Spark's own id of the application; empty before it is known.
    """

    ready: bool = False
    at_work: bool = False
    application_id: str = ""


def properties(folder: Path) -> dict[str, str]:
    """The Spark properties that have an application write its events below ``folder``, uncompressed, in pieces."""
    return {
        "spark.eventLog.enabled": "true",
        "spark.eventLog.dir": (folder / FOLDER).as_uri(),
        "spark.eventLog.compress": "false",
        "spark.eventLog.rolling.enabled": "true",
        "spark.eventLog.rolling.maxFileSize": "10m",
    }


def heard(folder: Path) -> EventLogStatus:
    """Read what an attempt's application has logged so far."""
    for log in _logs(folder):
        first = next(iter(_pieces(log)), None)
        head = _head(first) if first is not None else b""
        if b'"Event":"SparkListenerApplicationStart"' in head:
            # Streaming queries may run long before their first batch has a Spark job: the rest of the log is asked too.
            at_work = b'"Event":"SparkListenerJobStart"' in head or len(_pieces(log)) > 1
            return EventLogStatus(ready=True, at_work=at_work, application_id=log.name.removeprefix("eventlog_v2_"))
    return EventLogStatus()


def forget_old(folder: Path) -> None:
    """Delete closed pieces but the first: the log of a job that runs for weeks must not fill the disk."""
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
