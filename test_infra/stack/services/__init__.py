"""The services this project knows, one file each."""

from __future__ import annotations

from test_infra.stack.service import ExternalService, ServiceSpec
from test_infra.stack.services.connect import connect
from test_infra.stack.services.kafka import kafka
from test_infra.stack.services.postgres import postgres
from test_infra.stack.spec import StackSpec


def services_of(spec: StackSpec) -> dict[str, ServiceSpec | ExternalService]:
    """Every service of a stack, by name, those without dependencies first."""
    wanted = (postgres(spec.services.postgres), kafka(spec.services.kafka), connect(spec.services.connect))
    return {service.name: service for service in wanted}
