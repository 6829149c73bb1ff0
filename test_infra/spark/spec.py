"""What is submitted to Spark."""

from __future__ import annotations

import hashlib
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

JobName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_.-]{0,99}$")]
Module = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$")]


class JobSpec(BaseModel):
    """One Spark application, independent of where it runs."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: JobName = Field(description="Name of the job; several submissions may share it.")
    team: str = Field(default="test_infra", min_length=1, description="Who may cancel it.")
    module: Module = Field(description="Python module that is run as the driver.")
    args: tuple[str, ...] = Field(default=(), description="Arguments of the module.")
    conf: dict[str, str] = Field(default_factory=dict, description="Spark properties; they win over ours.")
    jar_groups: tuple[str, ...] = Field(default=(), description="Groups of the jar lock on the driver's class path.")
    driver_memory_mib: int = Field(default=1_024, ge=512, description="Heap of the driver, MiB.")
    start_timeout_s: float = Field(default=180.0, gt=0, description="Longest time until the driver is ready, seconds.")
    stop_timeout_s: float = Field(default=30.0, gt=0, description="Patience between SIGTERM and SIGKILL, seconds.")

    @property
    def fingerprint(self) -> str:
        """The same for the same spec, whatever order its fields were given in."""
        ordered = self.model_copy(update={"conf": dict(sorted(self.conf.items()))})
        return hashlib.sha256(ordered.model_dump_json().encode()).hexdigest()
