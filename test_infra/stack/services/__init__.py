"""The services this project knows, one file each."""

from __future__ import annotations

from test_infra.base.errors import UsageError
from test_infra.stack.service import ExternalService, ServiceSpec
from test_infra.stack.services.connect import connect
from test_infra.stack.services.gateway import gateway
from test_infra.stack.services.kafka import kafka
from test_infra.stack.services.postgres import postgres
from test_infra.stack.spec import StackSpec


def services_of(spec: StackSpec) -> dict[str, ServiceSpec | ExternalService]:
    """Every service of a stack, by name, those without dependencies first.

    Raises:
        UsageError: a service is left out that another one needs.
    """
    services: dict[str, ServiceSpec | ExternalService] = {}
    if spec.services.postgres is not None:
        services["postgres"] = postgres(spec.services.postgres)
    if spec.services.kafka is not None:
        services["kafka"] = kafka(spec.services.kafka)
    if spec.services.connect is not None:
        services["connect"] = connect(spec.services.connect)
    if spec.services.gateway is not None:
        services["gateway"] = gateway(spec.services.gateway)
    for service in services.values():
        for needed in service.depends_on:
            if needed not in services:
                raise UsageError(f"service {service.name} needs {needed}, which the stack leaves out")
    return services
