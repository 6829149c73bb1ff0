"""The status file of a driver: what its application reports while it runs."""

from __future__ import annotations

from pathlib import Path

from test_infra.base.document import Document
from test_infra.base.paths import write_private

FILE = "status.json"


class DriverStatus(Document):
    """What a driver reports of itself, in ``status.json`` of its folder.

    Args:
        driver_ready_at: epoch seconds when its Spark session answered; None before.
        ready_at: epoch seconds of the application's first progress; None before.
        last_batch_id: last micro-batch of a streaming application.
        last_progress_at: epoch seconds of the last progress.
        records: Kafka records applied since the driver started.
        refused: how many of these were put into quarantine.
        error: why it ended; empty when it did not fail.
    """

    driver_ready_at: float | None = None
    ready_at: float | None = None
    last_batch_id: int | None = None
    last_progress_at: float | None = None
    records: int = 0
    refused: int = 0
    error: str = ""


def read_status(job_dir: Path) -> DriverStatus:
    """The last status that the driver wrote; an empty one before the first."""
    try:
        return DriverStatus.model_validate_json((job_dir / FILE).read_text())
    except FileNotFoundError:
        return DriverStatus()


def write_status(job_dir: Path, status: DriverStatus) -> None:
    """Replace the driver's status file atomically."""
    write_private(job_dir / FILE, status.model_dump_json())
