"""The compose file of a stack: ``python -m test_infra.stack.compose docker/compose.yaml``.

For people who want plain ``docker compose up`` with the same services: no keeper, no leases, fixed ports.
"""

from __future__ import annotations

import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

from test_infra.runtime.container import PIDS
from test_infra.runtime.image import IMAGE_VARIABLE, PYTHON, REPOSITORY
from test_infra.stack.endpoint import Endpoint
from test_infra.stack.ports import LOOPBACK
from test_infra.stack.registry import services_of
from test_infra.stack.serve import EVERY_ADDRESS, PLACE_VARIABLE, Served
from test_infra.stack.service import ServicePlace, ServiceSpec
from test_infra.stack.spec import StackSpec

STACK_ID = "compose"
DATA = Path("/var/lib/test_infra")
"""In the containers. The image has these folders, so that a new volume belongs to the image's user."""

SECRETS = DATA / "secrets"
FIRST_PORT = 35_432
HEADER = """\
# Written by `make compose` from the specs that `test-infra up` uses; do not edit. `make image` builds the image.
#   docker compose -f docker/compose.yaml up --detach
#   docker compose -f docker/compose.yaml exec postgres cat /var/lib/test_infra/secrets/owner_password
#   docker compose -f docker/compose.yaml down --volumes
"""


def compose(spec: StackSpec) -> str:
    """The compose file of a stack's services, without external ones and those that must run on this machine."""
    services = {
        name: one for name, one in services_of(spec).items() if isinstance(one, ServiceSpec) and not one.on_host
    }
    ports = _ports(services)
    endpoints: dict[str, Endpoint] = {}
    for name, service in services.items():
        with tempfile.TemporaryDirectory() as scratch:  # a service makes its secrets when it is asked for its endpoint
            place = _place(name, ports[name], endpoints, secrets=Path(scratch))
            endpoint = service.endpoint(place).inside
        endpoints[name] = endpoint.model_copy(
            update={"secret_files": {secret: SECRETS / secret for secret in endpoint.secret_files}}
        )
    document = {
        "services": {name: _service(spec, service, ports[name], endpoints) for name, service in services.items()},
        "volumes": {name: {} for name in (*services, "secrets")},
    }
    return HEADER + yaml.safe_dump(document, sort_keys=False, width=10_000)


def _ports(services: dict[str, ServiceSpec]) -> dict[str, dict[str, int]]:
    """Fixed ports, counted up from one number: a broker must know the port by which its clients find it."""
    free = iter(range(FIRST_PORT, FIRST_PORT + 1_000))
    return {name: {port: next(free) for port in service.ports} for name, service in services.items()}


def _place(name: str, ports: dict[str, int], endpoints: dict[str, Endpoint], secrets: Path) -> ServicePlace:
    folder = DATA / name
    return ServicePlace(
        STACK_ID, folder / "config", folder / "data", secrets, ports, endpoints, listen=EVERY_ADDRESS, network_name=name
    )


def _service(
    spec: StackSpec, service: ServiceSpec, ports: dict[str, int], endpoints: dict[str, Endpoint]
) -> dict[str, Any]:
    name = service.name
    place = _place(name, ports, endpoints, SECRETS)
    needed = {other: endpoints[other] for other in service.depends_on if other in endpoints}
    served = Served(
        spec=spec,
        service=name,
        stack_id=STACK_ID,
        config=place.config,
        data=place.data,
        secrets=place.secrets,
        ports=ports,
        endpoints=needed,
    )
    client = ports[service.ports[0]]
    volumes = [f"{name}:{DATA / name}"]
    if service.secrets:
        # A service that others depend on makes the secrets; the others read them.
        volumes.append(f"secrets:{SECRETS}" + (":ro" if needed else ""))
    return {
        "image": f"${{{IMAGE_VARIABLE}:-{REPOSITORY}:latest}}",
        "command": [PYTHON, "-m", "test_infra.stack.serve"],
        "environment": {PLACE_VARIABLE: served.model_dump_json(exclude_defaults=True)},
        "ports": [f"{LOOPBACK}:{client}:{client}"],
        "volumes": volumes,
        "depends_on": {other: {"condition": "service_healthy"} for other in needed},
        "healthcheck": {
            "test": ["CMD", PYTHON, "-m", "test_infra.stack.serve", "--healthy"],
            "interval": "5s",
            "timeout": "20s",
            "retries": 24,
        },
        "restart": "unless-stopped",
        "stop_signal": signal.Signals(service.stop_signal).name,
        "stop_grace_period": f"{service.stop_timeout_s:.0f}s",
        "mem_limit": f"{service.memory_limit_mib}m",
        "pids_limit": PIDS,
        "shm_size": "256m",
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
    }


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(compose(StackSpec()))
