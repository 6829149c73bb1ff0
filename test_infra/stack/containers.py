"""How a stack's services run on a backend that has programs, paths and addresses of its own."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

from test_infra.base.backend import BACKEND_VARIABLE
from test_infra.base.errors import UsageError
from test_infra.runtime.backend import Runtime
from test_infra.runtime.factory import StackIdentity, backend_names, backend_of
from test_infra.runtime.image import PYTHON
from test_infra.runtime.process import ProcessSpec
from test_infra.stack import serve
from test_infra.stack.lease import live_leases
from test_infra.stack.record import StackFolders, StackRecord
from test_infra.stack.service import ServicePlace, ServiceSpec, unprivileged_user
from test_infra.stack.spec import StackSpec
from test_infra.stack.sweep import stack_tag


def with_backend(spec: StackSpec) -> StackSpec:
    """The spec with the backend of ``$TEST_INFRA_BACKEND`` where that is set, and the image that it means today.

    Raises:
        UsageError: there is no such backend.
    """
    asked = os.environ.get(BACKEND_VARIABLE)
    if asked and asked not in backend_names():
        raise UsageError(
            f"there is no backend {asked!r}",
            details={"known": ", ".join(backend_names()), "named by": BACKEND_VARIABLE},
        )
    name = asked or spec.backend
    return spec.model_copy(update={"backend": name, "image": backend_of(name).image(spec.image)})


def identity(folders: StackFolders, record: StackRecord) -> StackIdentity:
    """What the stack's backend is told of it."""
    user = unprivileged_user()
    return StackIdentity(
        id=folders.id,
        tag=stack_tag(folders.id),
        control=folders.control,
        image=record.spec.image,
        user=(user.uid, user.gid) if user is not None else (os.getuid(), os.getgid()),
        job_folders=tuple(folders.root / name for name in ("lake", "checkpoints", "pipelines")),
        expires=_expiry(folders),
    )


def place_inside(local: ServicePlace, service: str) -> ServicePlace:
    """The place of a service in a container: it listens everywhere in it, and meets the others by their names."""
    return replace(
        local,
        listen=serve.EVERY_ADDRESS,
        network_name=service,
        endpoints={name: endpoint.inside for name, endpoint in local.endpoints.items()},
    )


def serving_process(
    spec: StackSpec, service: ServiceSpec, place: ServicePlace, log_path: Path, runtime: Runtime
) -> ProcessSpec:
    """The process that prepares the service where it runs, then becomes it.

    It sees its own folders and the secrets it is given, nothing else of this machine.
    """
    service.endpoint(place)  # makes the stack's secrets
    secrets = tuple(place.secrets / name for name in service.secrets)
    document = place.config / "place.json"
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
        document,
    )
    runtime.hand_over(place.config, place.data)
    return ProcessSpec(
        name=service.name,
        argv=(PYTHON, "-m", "test_infra.stack.serve", str(document)),
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
    expiries = [lease.expires_at for lease in live_leases(folders.leases, time.time()) if lease.expires_at]
    return f"{max(expiries):.0f}" if expiries else "attached"
