"""The seam to where drivers run: what a backend does for one attempt of a Spark job.

`test_infra.spark.gateway.processes` runs drivers as processes of a stack; a cluster is another implementation.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from test_infra.base.errors import InfrastructureError
from test_infra.spark.gateway.states import Observation
from test_infra.spark.job.spec import JobSpec


class Refused(InfrastructureError):
    """A backend will certainly not start this driver.

    Any other error of `DriverBackend.start` means that nobody knows: the driver may start, and observations decide.
    """


@dataclass(frozen=True)
class Attempt:
    """One start of a job's driver.

    Args:
        execution_id: of the job.
        number: 1 is the first.
        spec: what was submitted.
        folder: of this attempt alone: status, event log, exit record, scratch.
        log_path: stdout and stderr of all attempts of the job.
        ui_port: port of Spark's UI; None when the UI is off.
    """

    execution_id: str
    number: int
    spec: JobSpec
    folder: Path
    log_path: Path
    ui_port: int | None = None

    @property
    def process_name(self) -> str:
        """Unique among the processes of a stack."""
        return f"spark-{self.execution_id}" + ("" if self.number == 1 else f"-{self.number}")


class DriverBackend(Protocol):
    """Where drivers run."""

    name: str

    def start(self, attempt: Attempt) -> None:
        """Request the driver's process. A second request for the same attempt starts nothing.

        Raises:
            Refused: it will certainly not start.
        """

    def observe(self, attempts: list[Attempt]) -> list[Observation]:
        """The present state of each driver, in the order of ``attempts``; an absent one is no error."""

    def stop(self, attempt: Attempt, timeout_s: float) -> None:
        """End the driver: SIGTERM first, then SIGKILL. Does nothing to one that never ran or has ended.

        Raises:
            NotReady: it still runs after ``timeout_s``.
        """

    def signal(self, attempt: Attempt, signum: int) -> None:
        """Send a signal to the driver; for fault tests."""

    def logs(self, attempt: Attempt, offset: int, size_bytes: int) -> bytes:
        """Up to ``size_bytes`` of the job's log from a byte offset; empty where there is none yet."""
