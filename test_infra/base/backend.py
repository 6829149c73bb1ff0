"""Where the processes of a stack run."""

from __future__ import annotations

from enum import StrEnum

BACKEND_VARIABLE = "TEST_INFRA_BACKEND"
"""Environment variable: the default backend."""


class Backend(StrEnum):
    """Where the processes of a stack run."""

    LOCAL = "local"
    DOCKER = "docker"
