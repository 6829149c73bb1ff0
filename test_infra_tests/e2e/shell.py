"""`test-infra` as a shell sees it: arguments and environment in, exit code and output out."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

COMMAND = (sys.executable, "-c", "from test_infra.cli import main; main()")
PROJECT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Shell:
    """One home and one stack for every command.

    Args:
        home: TEST_INFRA_HOME.
        stack: TEST_INFRA_STACK.
        cwd: the project's folder.
        more: further variables.
    """

    home: Path
    stack: str
    cwd: Path = PROJECT
    more: dict[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "TEST_INFRA_HOME": str(self.home),
            "TEST_INFRA_STACK": self.stack,
            "DAGSTER_HOME": str(self.home / "dagster"),
            **self.more,
        }

    def run(self, *arguments: str, timeout_s: float = 400) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, *arguments],
            cwd=self.cwd,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
        )

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """In a session of its own, so that a signal meant for it reaches nobody else."""
        return subprocess.Popen(
            [*COMMAND, *arguments],
            cwd=self.cwd,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
