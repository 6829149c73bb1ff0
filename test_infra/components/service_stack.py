"""The YAML form of a stack."""

from dataclasses import dataclass

import dagster as dg

from test_infra.assets.stack import service_stack
from test_infra.components.attributes import attributes_are
from test_infra.components.scaffold import ServiceStackScaffolder
from test_infra.stack.spec import StackSpec


@dg.scaffold_with(ServiceStackScaffolder)
@attributes_are(StackSpec)
@dataclass
class ServiceStack(dg.Component, dg.Resolvable):
    """The services of one test environment, each a local process by default, or external: attached to where it is."""

    spec: StackSpec
    declared_at: str = ""

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:  # noqa: ARG002 - the interface's
        """One asset for each service, made by one step."""
        return dg.Definitions(assets=[service_stack(self.spec)])
