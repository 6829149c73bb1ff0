"""Dagster's home: where the history of runs is kept."""

from __future__ import annotations

import os
from pathlib import Path

from test_infra.base.paths import home, private_dir, write_private
from test_infra.base.project import project_root

VARIABLE = "DAGSTER_HOME"
SETTINGS = "telemetry:\n  enabled: false\nnux:\n  enabled: false\n"
"""What an instance gets where the project has no ``docker/dagster.yaml``."""


def dagster_home() -> Path:
    """``$DAGSTER_HOME``, else ``<home>/dagster``: made with telemetry off, and exported to our children."""
    configured = os.environ.get(VARIABLE)
    folder = private_dir(Path(configured).expanduser().absolute() if configured else home() / "dagster")
    settings = folder / "dagster.yaml"
    if not settings.exists():
        template = project_root() / "docker" / "dagster.yaml"
        write_private(settings, template.read_text() if template.is_file() else SETTINGS)
    os.environ[VARIABLE] = str(folder)
    return folder


if __name__ == "__main__":
    print(dagster_home())
