"""What a measurement leaves behind: every run, and the machine it ran on."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from test_infra.resources.run_folder import versions

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Target:
    """What a figure is held against; a bench reports it, it never fails on it.

    Args:
        figure: name of the figure, with its unit.
        limit: the bound.
        at_least: whether more is better.
    """

    figure: str
    limit: float
    at_least: bool = False

    def met(self, value: float) -> bool:
        """Whether ``value`` keeps the bound."""
        return value >= self.limit if self.at_least else value <= self.limit

    def __str__(self) -> str:
        return f"{'>=' if self.at_least else '<='} {self.limit:,.9g}"


@dataclass
class Measurement:
    """Runs of one measurement, in the order they were made.

    Args:
        name: file name of the results.
        what: what is measured, from where to where.
        targets: bounds of single figures.
        runs: figures of each run, with what the machine was like before it.
    """

    name: str
    what: str
    targets: tuple[Target, ...]
    runs: list[dict[str, Any]] = field(default_factory=list)

    def add(self, before: dict[str, float], figures: dict[str, float]) -> None:
        """Keep one run and what the machine was like before it."""
        rounded = {name: round(value, 4) for name, value in {**before, **figures}.items()}
        self.runs.append(rounded)

    def median(self, figure: str) -> float:
        """Median of a figure over all runs."""
        return statistics.median(run[figure] for run in self.runs)

    def write(self) -> Path:
        """Write ``results/<name>.json``."""
        RESULTS.mkdir(exist_ok=True)
        path = RESULTS / f"{self.name}.json"
        document = {
            "name": self.name,
            "what": self.what,
            "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "commit": _git("rev-parse", "HEAD"),
            "changed_files": len(_git("status", "--porcelain", "--", "test_infra", "bench/*.py").splitlines()),
            "machine": {
                "cores": os.cpu_count(),
                "memory_mib": psutil.virtual_memory().total // 2**20,
                "system": f"{platform.system()} {platform.machine()}",
            },
            "versions": versions(),
            "targets": {target.figure: str(target) for target in self.targets},
            "runs": self.runs,
        }
        path.write_text(json.dumps(document, indent=1) + "\n")
        return path


BEFORE = ("load_1min_before", "yardstick_before_s")
"""What `machine` tells."""


def machine() -> dict[str, float]:
    """The load average of the last minute, and how long a fixed piece of Python takes on one core now, seconds.

    The machines that run this are not equally fast, the same one not always: figures of two runs are to be compared by
    their yardsticks.
    """
    load, began, total = os.getloadavg()[0], time.perf_counter(), 0
    for number in range(3_000_000):
        total += number
    return dict(zip(BEFORE, (load, time.perf_counter() - began), strict=True))


def _git(*arguments: str) -> str:
    told = subprocess.run(["git", *arguments], cwd=RESULTS.parent, capture_output=True, text=True, timeout=30)
    return told.stdout.strip()
