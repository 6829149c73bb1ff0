"""Containers that run to completion, with Dagster Pipes: for steps of yours that need an environment of their own."""

# No `from __future__ import annotations`: pydantic-based resources need real annotations.
import uuid
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field

if TYPE_CHECKING:
    from dagster._core.pipes.client import PipesClientCompletedInvocation

RUN_LABEL = "test_infra.dagster_run"


class ContainerStep(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Runs one command in a container and waits for its end; what it reports through Pipes becomes the step's.

    dagster-docker's client streams logs and raises when the command fails, but leaves every container behind; this one
    shuts the container in as the `docker` backend does, labels it with the run, and removes it however the step ends.
    """

    image: str | None = Field(default=None, description="Image; None: the one of the `docker` backend.")
    memory_mib: int = Field(default=2_048, ge=16, description="Memory limit, MiB; swap included.")
    network: str | None = Field(default=None, description="Docker network; None: the engine's default.")

    def run(
        self,
        context: dg.OpExecutionContext | dg.AssetExecutionContext,
        command: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        extras: Mapping[str, Any] | None = None,
    ) -> "PipesClientCompletedInvocation":
        """Run the command to its end.

        Args:
            context: of the step.
            command: program and arguments; never a shell line.
            env: environment beyond the image's.
            extras: what the command reads with ``PipesContext.get().extras``.

        Raises:
            DagsterPipesError: the command failed.
            EngineMissing: no engine answers.
        """
        from dagster_docker import PipesDockerClient

        from test_infra.runtime import docker_engine
        from test_infra.runtime.container import sandbox_options
        from test_infra.runtime.image import image_name

        docker_engine.engine().close()
        label = f"{context.run.run_id}/{uuid.uuid4().hex[:12]}"
        try:
            return PipesDockerClient().run(
                context=context,
                image=self.image or image_name(),
                command=list(command),
                env=dict(env or {}),
                extras=dict(extras or {}),
                container_kwargs={
                    **sandbox_options(self.memory_mib),
                    "labels": {RUN_LABEL: label},
                    **({"network": self.network} if self.network else {}),
                },
            )
        finally:
            docker_engine.remove_all(RUN_LABEL, label)
