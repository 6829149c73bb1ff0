"""The YAML form of a stack."""

from dataclasses import dataclass
from typing import Self

import dagster as dg
from pydantic import BaseModel

from test_infra.assets.stack import service_stack
from test_infra.components.resolved import resolved
from test_infra.stack.spec import StackSpec


@dataclass
class ServiceStack(dg.Component, dg.Resolvable):
    """The services of one test environment, each a local process by default, or external: attached to where it is."""

    spec: StackSpec

    @classmethod
    def model(cls) -> type[BaseModel]:
        """The attributes in YAML are the stack's own model."""
        return StackSpec

    @classmethod
    def resolve_from_model(cls, context: dg.ResolutionContext, model: StackSpec) -> Self:  # type: ignore[override]
        """The component that the attributes describe."""
        return cls(resolved(model, context))

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:  # noqa: ARG002 - the interface's
        """One asset for each service, made by one step."""
        return dg.Definitions(assets=[service_stack(self.spec)])
