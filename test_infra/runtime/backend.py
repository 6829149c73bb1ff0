"""What every backend does; all that stacks and Spark jobs know of it."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from test_infra.runtime.process import ProcessSpec, ProcessState


class Runtime(Protocol):
    """Starts, observes, stops and logs processes, wherever they run."""

    def start(self, spec: ProcessSpec) -> None:
        """Start the process unless it runs already.

        Raises:
            InfrastructureError: the backend does not take it (no image, no engine): it never began.
        """

    def stop(self, name: str, *, timeout_s: float = 15.0, signum: int | None = None) -> ProcessState:
        """End a process for good: its stop signal (or ``signum``), then SIGKILL. Ending an ended one changes nothing.

        Raises:
            UnknownProcess: never started here.
            NotReady: it still runs after ``timeout_s``.
        """

    def signal(self, name: str, signum: int) -> None:
        """Send a signal to a process; its restart policy stays in force.

        Raises:
            UnknownProcess: never started here.
        """

    def observe(self, name: str) -> ProcessState:
        """What was last seen of a process.

        Raises:
            UnknownProcess: never started here.
        """

    def observe_all(self) -> dict[str, ProcessState]:
        """Every process ever started here, by name."""

    def describe(self, name: str) -> dict[str, str]:
        """What an error says about a process beyond its state: label -> text."""

    def hand_over(self, *paths: Path) -> None:
        """Let processes of this backend read and write these files and folders, whoever made them."""
