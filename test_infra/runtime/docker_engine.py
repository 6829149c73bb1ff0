"""The Docker engine: a client of it, its images and networks, and what a stack or a run has on it, found by labels."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

from test_infra.base.errors import InfrastructureError

if TYPE_CHECKING:
    from docker import DockerClient

STACK_LABEL = "test_infra.stack"
OWNER_LABEL = "test_infra.owner"
EXPIRES_LABEL = "test_infra.expires"
PROCESS_LABEL = "test_infra.process"

UNIX = "unix://"
DEFAULT_HOST = f"{UNIX}/var/run/docker.sock"
ENGINE_VARIABLES = ("DOCKER_HOST", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH", "DOCKER_CONFIG", "DOCKER_CONTEXT")
"""How Docker's clients find the engine."""


class EngineMissing(InfrastructureError):
    """No Docker engine answers."""


class ImageMissing(InfrastructureError):
    """The engine does not have the image."""


def engine(timeout_s: float = 60.0) -> DockerClient:
    """A client of the Docker engine that this user's environment names.

    Raises:
        EngineMissing: none answers.
    """
    import requests

    import docker

    asked = os.environ.get("DOCKER_HOST") or DEFAULT_HOST
    try:
        if asked.startswith(UNIX):
            # First by ourselves: the client leaves a socket open that could not connect.
            with socket.socket(socket.AF_UNIX) as tried:
                tried.settimeout(timeout_s)
                tried.connect(asked.removeprefix(UNIX))
        client = docker.from_env(timeout=timeout_s)
        try:
            client.ping()
        except BaseException:
            client.close()
            raise
    except (docker.errors.DockerException, requests.RequestException, OSError) as error:
        raise EngineMissing(
            "no Docker engine answers",
            details={"asked": asked, "seen": str(error)[:300]},
            hint="start Docker; root on Debian: .ci/docker",
        ) from error
    return client


def has_image(name: str) -> bool:
    """Whether the engine has an image; nothing is pulled.

    Raises:
        EngineMissing: no engine answers.
    """
    import docker

    with closing(engine()) as client:
        try:
            client.images.get(name)
        except docker.errors.ImageNotFound:
            return False
    return True


def require_image(name: str) -> None:
    """Make sure that the engine has an image.

    Raises:
        EngineMissing: no engine answers.
        ImageMissing: it has no such image.
    """
    if not has_image(name):
        raise ImageMissing(
            f"the Docker engine has no image {name}",
            details={"why": "the image of these very sources is used, so that no container runs old code"},
            hint="make image",
        )


def ensure_network(name: str, labels: Mapping[str, str]) -> None:
    """Make a bridge network unless there is one of that name.

    Raises:
        EngineMissing: no engine answers.
    """
    with closing(engine()) as client:
        if not client.networks.list(names=[name]):
            client.networks.create(name, driver="bridge", labels=dict(labels))


def labels_found(label: str, value: str) -> list[dict[str, str]]:
    """The labels of every container and network that carries one.

    Raises:
        EngineMissing: no engine answers.
    """
    wanted = {"label": f"{label}={value}"}
    with closing(engine()) as client:
        containers = client.containers.list(all=True, filters=wanted, ignore_removed=True)
        networks = client.networks.list(filters=wanted)
        return [one.labels for one in containers] + [one.attrs.get("Labels") or {} for one in networks]


def remove_all(label: str, value: str | None = None) -> int:
    """Remove every container, then every network and volume that carries a label; returns how many containers.

    Raises:
        EngineMissing: no engine answers.
    """
    import docker

    wanted = {"label": label if value is None else f"{label}={value}"}
    with closing(engine()) as client:
        found: list[Any] = client.containers.list(all=True, filters=wanted, ignore_removed=True)
        for container in found:
            _gone(lambda container=container: container.remove(force=True, v=True))
        for network in client.networks.list(filters=wanted):
            with suppress(docker.errors.APIError):  # somebody attached a container of their own
                _gone(network.remove)
        for volume in client.volumes.list(filters=wanted):
            _gone(lambda volume=volume: volume.remove(force=True))
    return len(found)


def _gone(remove: Any) -> None:
    """Remove what another one may be removing at the same time."""
    import docker

    try:
        remove()
    except docker.errors.NotFound:
        return
    except docker.errors.APIError as error:
        if error.status_code != 409:
            raise
