"""Where the processes of a stack run."""

from __future__ import annotations

from enum import StrEnum

BACKEND_VARIABLE = "TEST_INFRA_BACKEND"
"""Names the backend for whoever is not told otherwise."""


class Backend(StrEnum):
    """Where the processes of a stack run."""

    LOCAL = "local"
    DOCKER = "docker"
