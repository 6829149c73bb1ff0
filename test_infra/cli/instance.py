"""Dagster's home: where the history of runs is kept."""

from __future__ import annotations

import os
from pathlib import Path

from test_infra.base.paths import home, private_dir, write_private

VARIABLE = "DAGSTER_HOME"
SETTINGS = """\
# Written once by test-infra; yours to edit. `dagster instance migrate` after a new version of Dagster.
telemetry:
  enabled: false
"""


def dagster_home() -> Path:
    """``$DAGSTER_HOME``, else ``<home>/dagster``; made with telemetry off when it is not there, and exported to this process's children."""
    configured = os.environ.get(VARIABLE)
    folder = private_dir(Path(configured).expanduser().absolute() if configured else home() / "dagster")
    settings = folder / "dagster.yaml"
    if not settings.exists():
        write_private(settings, SETTINGS)
    os.environ[VARIABLE] = str(folder)
    return folder


if __name__ == "__main__":
    print(dagster_home())
