"""How a stack's services and jobs become containers: their place, their user, their labels."""

from __future__ import annotations

import getpass
import hashlib
import os
import time
from dataclasses import replace
from pathlib import Path

from test_infra.base.backend import BACKEND_VARIABLE, Backend
from test_infra.base.errors import UsageError
from test_infra.base.paths import home
from test_infra.runtime.backend import Runtime
from test_infra.runtime.container import ContainerDefaults
from test_infra.runtime.docker_engine import EXPIRES_LABEL, OWNER_LABEL, STACK_LABEL, labels_found
from test_infra.runtime.image import PYTHON, image_name
from test_infra.runtime.process import ProcessSpec
from test_infra.stack import serve
from test_infra.stack.lease import live_leases
from test_infra.stack.record import StackFolders, StackRecord
from test_infra.stack.service import Place, ServiceSpec, unprivileged_user
from test_infra.stack.spec import StackSpec
from test_infra.stack.sweep import stack_tag

HOME_LABEL = "test_infra.home"
"""By which `reap` finds the containers of stacks whose folders are gone."""


def with_backend(spec: StackSpec) -> StackSpec:
    """The spec with the backend of ``$TEST_INFRA_BACKEND`` where that is set, and the image that it means today.

    Raises:
        UsageError: there is no such backend.
    """
    asked = os.environ.get(BACKEND_VARIABLE)
    if asked and asked not in set(Backend):
        raise UsageError(
            f"there is no backend {asked!r}", details={"known": ", ".join(Backend), "named by": BACKEND_VARIABLE}
        )
    backend = Backend(asked) if asked else spec.backend
    image = (spec.image or image_name()) if backend is Backend.DOCKER else spec.image
    return spec.model_copy(update={"backend": backend, "image": image})


def stacks_with_containers() -> list[str]:
    """Ids of the stacks of this home that have a container or a network on the Docker engine.

    Raises:
        EngineMissing: no engine answers.
    """
    labels = labels_found(HOME_LABEL, str(home()))
    return sorted({found[STACK_LABEL].partition("@")[0] for found in labels if STACK_LABEL in found})


def surroundings(folders: StackFolders, record: StackRecord) -> ContainerDefaults:
    """What all containers of a stack have in common."""
    place = hashlib.sha256(str(home()).encode()).hexdigest()[:6]
    user = unprivileged_user()
    return ContainerDefaults(
        image=record.spec.image or image_name(),
        network=f"ti-{folders.id}-{place}",
        labels={
            STACK_LABEL: stack_tag(folders.id),
            HOME_LABEL: str(home()),
            OWNER_LABEL: getpass.getuser(),
            EXPIRES_LABEL: _expiry(folders),
        },
        user=(user.uid, user.gid) if user is not None else (os.getuid(), os.getgid()),
        folders=tuple(folders.root / name for name in ("lake", "checkpoints", "pipelines")),
    )


def place(local: Place, service: str) -> Place:
    """The place of a service in a container: it listens everywhere in it, and meets the others by their names."""
    return replace(
        local,
        listen=serve.EVERY_ADDRESS,
        network_name=service,
        endpoints={name: endpoint.inside for name, endpoint in local.endpoints.items()},
    )


def process(spec: StackSpec, service: ServiceSpec, place: Place, log_path: Path, runtime: Runtime) -> ProcessSpec:
    """The container of a service: it prepares the service inside, then becomes its process.

    It sees its own folders and the secrets it is given, nothing else of this machine.
    """
    service.endpoint(place)  # makes the stack's secrets
    secrets = tuple(place.secrets / name for name in service.secrets)
    told = place.config / "place.json"
    serve.write(
        serve.Served(
            spec=spec,
            service=service.name,
            stack_id=place.stack_id,
            config=place.config,
            data=place.data,
            secrets=place.secrets,
            ports=dict(place.ports),
            endpoints=dict(place.endpoints),
        ),
        told,
    )
    runtime.hand_over(place.config, place.data)
    return ProcessSpec(
        name=service.name,
        argv=(PYTHON, "-m", "test_infra.stack.serve", str(told)),
        cwd=place.data,
        log_path=log_path,
        restart=service.restart,
        stop_signal=service.stop_signal,
        stop_timeout_s=service.stop_timeout_s,
        memory_limit_mib=service.memory_limit_mib,
        reads=secrets,
        writes=(place.config, place.data),
        ports=(place.ports[service.ports[0]],),
    )


def _expiry(folders: StackFolders) -> str:
    """When the stack ends by itself, epoch seconds; ``attached`` while it lives as long as its holder."""
    expiries = [lease.expires_at for lease in live_leases(folders.leases, time.time()) if lease.expires_at]
    return f"{max(expiries):.0f}" if expiries else "attached"
