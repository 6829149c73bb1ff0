"""The `docker` backend: how a stack lies on the Docker engine."""

from __future__ import annotations

import getpass
import hashlib
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from test_infra.base.paths import home
from test_infra.runtime import docker, docker_engine
from test_infra.runtime.backend import Runtime
from test_infra.runtime.container import ContainerDefaults
from test_infra.runtime.docker import DockerRuntime
from test_infra.runtime.docker_engine import EngineMissing
from test_infra.runtime.factory import Readiness, StackIdentity
from test_infra.runtime.image import image_name
from test_infra.runtime.local import LocalRuntime

HOME_LABEL = "test_infra.home"
"""By which `reap` finds the containers of stacks whose folders are gone."""


class DockerBackend:
    """Each process in a container, each stack in a network of its own."""

    on_this_machine = False
    client_variables = docker_engine.ENGINE_VARIABLES

    def image(self, asked: str | None) -> str:
        """The image that is asked for, else the one of the installed sources."""
        return asked or image_name()

    def prepare(self, identity: Callable[[], StackIdentity]) -> None:
        """Make sure of the image, and make the stack's network.

        Raises:
            EngineMissing: no engine answers.
            ImageMissing: it has no such image.
        """
        docker.prepare(container_defaults(identity()))

    def runtime(self, kept: LocalRuntime, identity: Callable[[], StackIdentity]) -> Runtime:
        """Containers, each with an attendant among the keeper's processes."""
        stack = identity()
        return DockerRuntime(kept, stack.control, container_defaults(stack))

    def remove_all(self, tag: str) -> int:
        """Remove a stack's containers, their volumes and its network; returns how many containers.

        Raises:
            EngineMissing: no engine answers.
        """
        return docker_engine.remove_all(docker_engine.STACK_LABEL, tag)

    def stacks(self, home: Path) -> list[str]:
        """Ids of the stacks of a home that have a container or a network on the engine."""
        try:
            labels = docker_engine.labels_found(HOME_LABEL, str(home))
        except EngineMissing:  # then there is nothing on it either
            return []
        return sorted(
            {
                found[docker_engine.STACK_LABEL].partition("@")[0]
                for found in labels
                if docker_engine.STACK_LABEL in found
            }
        )

    def readiness(self) -> Readiness:
        """Whether an engine answers, and has the image of these sources."""
        try:
            with closing(docker_engine.engine(timeout_s=5)) as client:
                version = client.version()["Version"]
        except EngineMissing as missing:
            return Readiness(
                ready=False, seen=f"{missing.what}; only --backend docker needs one", hint=missing.hint or ""
            )
        if not docker_engine.has_image(image_name()):
            return Readiness(ready=False, seen=f"{version}, without the image of these sources", hint="make image")
        return Readiness(ready=True, seen=f"{version}, with the image of these sources")


def container_defaults(stack: StackIdentity) -> ContainerDefaults:
    """What all containers of a stack have in common."""
    place = hashlib.sha256(str(home()).encode()).hexdigest()[:6]
    return ContainerDefaults(
        image=stack.image or image_name(),
        network=f"ti-{stack.id}-{place}",
        labels={
            docker_engine.STACK_LABEL: stack.tag,
            HOME_LABEL: str(home()),
            docker_engine.OWNER_LABEL: getpass.getuser(),
            docker_engine.EXPIRES_LABEL: stack.expires,
        },
        user=stack.user,
        folders=stack.job_folders,
    )
