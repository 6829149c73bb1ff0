"""The services that stacks can have: the built-in ones, one file each, and those that installed packages add.

A package adds a service by an entry point of the group ``test_infra.services`` whose object is a `ServiceDefinition`.
"""

from __future__ import annotations

import re
from functools import cache
from importlib import metadata
from typing import TYPE_CHECKING

from pydantic import BaseModel

from test_infra.base.errors import UsageError
from test_infra.stack.service import ExternalService, ServiceDefinition, ServiceSpec
from test_infra.stack.services import connect, gateway, kafka, postgres

if TYPE_CHECKING:
    from test_infra.stack.spec import StackSpec

GROUP = "test_infra.services"
"""Entry point group by which packages add services."""

BUILT_IN = (postgres.SERVICE, kafka.SERVICE, connect.SERVICE, gateway.SERVICE)
NAME = re.compile(r"[a-z][a-z0-9_]*")


@cache
def known_services() -> dict[str, ServiceDefinition]:
    """Every service that a stack can name: built-in ones first, then those of installed packages by name.

    Raises:
        UsageError: a package's entry point cannot be loaded, is no service, or takes a name that is in use.
    """
    known = {service.name: service for service in BUILT_IN}
    for point in sorted(metadata.entry_points(group=GROUP), key=lambda point: point.name):
        service = _loaded(point)
        if service.name in known:
            raise _refused(point, f"there is a service {service.name!r} already")
        known[service.name] = service
    return known


def services_of(spec: StackSpec) -> dict[str, ServiceSpec | ExternalService]:
    """Every service of a stack, by name, in the registry's order.

    Raises:
        UsageError: a service is left out that another one needs.
    """
    known = known_services()
    services = {name: known[name].build(settings) for name, settings in spec.services if settings is not None}
    for service in services.values():
        for needed in service.depends_on:
            if needed not in services:
                raise UsageError(f"service {service.name} needs {needed}, which the stack leaves out")
    return services


def _loaded(point: metadata.EntryPoint) -> ServiceDefinition:
    try:
        service = point.load()
    except Exception as error:
        raise _refused(point, f"{type(error).__name__}: {error}") from error
    if not isinstance(service, ServiceDefinition):
        raise _refused(point, f"it is a {type(service).__name__}, not a ServiceDefinition")
    if not NAME.fullmatch(service.name) or hasattr(BaseModel, service.name):
        raise _refused(point, f"{service.name!r} cannot be a service's name: take other lower-case letters")
    return service


def _refused(point: metadata.EntryPoint, why: str) -> UsageError:
    package = point.dist.name if point.dist is not None else "unknown"
    return UsageError(
        f"the service {point.name!r} of package {package} cannot be used",
        details={"entry point": f"{point.value} in group {GROUP}", "seen": why},
        hint="repair the package, or uninstall it",
    )
