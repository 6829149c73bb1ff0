"""What a stack's services look like now: each is observed and probed, the record is never taken for granted."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from test_infra.base.deadline import StillWaiting
from test_infra.base.errors import InfrastructureError, last_lines
from test_infra.runtime.backend import Runtime
from test_infra.runtime.local import UnknownProcess
from test_infra.runtime.process import ended_as
from test_infra.stack import registry
from test_infra.stack.endpoint import Endpoint
from test_infra.stack.lease import LeaseRecord, live_leases
from test_infra.stack.record import StackFolders, StackRecord
from test_infra.stack.service import ExternalService, ServiceSpec


class ServiceState(StrEnum):
    """What was seen of a service."""

    USABLE = "usable"
    EXTERNAL = "external"
    """Usable, and not ours to start or end."""
    NOT_ANSWERING = "not answering"
    RESTARTING = "restarting"
    ENDED = "ended"
    NOT_STARTED = "not started"


USABLE = frozenset({ServiceState.USABLE, ServiceState.EXTERNAL})


@dataclass(frozen=True)
class ServiceStatus:
    """What was seen of a service just now.

    Args:
        name: the service.
        state: whether it can be used.
        detail: why, where it is not usable.
        pid: its process.
        restarts: how often it came back after it ended by itself.
        endpoint: how it is reached; None before it was usable once.
    """

    name: str
    state: ServiceState
    detail: str
    pid: int | None
    restarts: int
    endpoint: Endpoint | None


@dataclass(frozen=True)
class StackStatus:
    """What was seen of a stack just now.

    Args:
        id: the stack.
        running: whether its keeper runs.
        services: one entry a service.
        leases: why it goes on living.
    """

    id: str
    running: bool
    services: tuple[ServiceStatus, ...]
    leases: tuple[LeaseRecord, ...]

    @property
    def usable(self) -> bool:
        """Whether every service answered."""
        return self.running and all(service.state in USABLE for service in self.services)


def stack_status(folders: StackFolders, record: StackRecord, runtime: Runtime) -> StackStatus:
    """Look at every service of a stack now, all at once.

    Args:
        folders: of the stack.
        record: what it wrote down.
        runtime: its processes; not asked when the keeper does not run.
    """
    running = record.keeper is not None and record.keeper.alive
    leases = tuple(live_leases(folders.leases, time.time())) if running else ()
    asked = runtime if running else None
    services = registry.services_of(record.spec)
    with ThreadPoolExecutor(len(services)) as pool:
        seen = pool.map(
            lambda service: _service_status(service, record.endpoints.get(service.name), asked),
            services.values(),
        )
        return StackStatus(folders.id, running, tuple(seen), leases)


def _service_status(
    service: ServiceSpec | ExternalService, endpoint: Endpoint | None, runtime: Runtime | None
) -> ServiceStatus:
    if runtime is None:
        return ServiceStatus(service.name, ServiceState.ENDED, "the stack is not running", None, 0, endpoint)
    pid, restarts = None, 0
    if isinstance(service, ServiceSpec):
        try:
            process = runtime.observe(service.name)
        except UnknownProcess:
            return ServiceStatus(service.name, ServiceState.NOT_STARTED, "", None, 0, endpoint)
        pid, restarts = process.pid, process.restarts
        if not process.running or process.pid is None:
            state = ServiceState.RESTARTING if process.running else ServiceState.ENDED
            detail = ended_as(process.exit_code) if process.exit_code is not None else ""
            return ServiceStatus(service.name, state, detail, None, restarts, endpoint)
    if endpoint is None:
        return ServiceStatus(service.name, ServiceState.NOT_STARTED, "never usable yet", pid, restarts, None)
    try:
        service.probe(endpoint)
    except (StillWaiting, InfrastructureError) as error:
        lines = str(error).splitlines() or last_lines(endpoint.log_path or Path("/nonexistent"), 1)
        return ServiceStatus(
            service.name, ServiceState.NOT_ANSWERING, lines[0] if lines else "", pid, restarts, endpoint
        )
    return ServiceStatus(
        service.name,
        ServiceState.EXTERNAL if isinstance(service, ExternalService) else ServiceState.USABLE,
        "",
        pid,
        restarts,
        endpoint,
    )
