"""The seam to where drivers run: what a backend does for one attempt of a Spark job.

`test_infra.spark.gateway.processes` runs drivers as processes of a stack; another cluster plugs in here.
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

    Any other error of `Backend.start` means "unknown": the driver may start nevertheless, and observation decides.
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
        ui_port: where Spark's UI shall listen; None when it shall not.
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


class Backend(Protocol):
    """Where drivers run."""

    name: str

    def start(self, attempt: Attempt) -> None:
        """Ask for the driver's process. Asked again for the same attempt, it starts nothing a second time.

        Raises:
            Refused: it will certainly not start.
        """

    def observe(self, attempts: list[Attempt]) -> list[Observation]:
        """What is seen of each now; never raises for one that is not there."""

    def stop(self, attempt: Attempt, timeout_s: float) -> None:
        """End the driver: asked first, then killed. One that never ran or has ended is left as it is.

        Raises:
            NotReady: it still runs after ``timeout_s``.
        """

    def signal(self, attempt: Attempt, signum: int) -> None:
        """Send a signal to the driver; for fault tests."""

    def logs(self, attempt: Attempt, offset: int, size_bytes: int) -> bytes:
        """Up to ``size_bytes`` of the job's log from a byte offset; empty where there is none yet."""
