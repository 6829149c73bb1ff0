"""The Spark gateway as a Dagster resource."""

# No `from __future__ import annotations`: pydantic-based resources need real annotations.
from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field

if TYPE_CHECKING:
    from test_infra.spark.gateway.gateway import SparkGateway


class SparkGatewayResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The gateway of a running stack, for what submits Spark jobs. Attaches on request, starts nothing."""

    stack_id: str | None = Field(
        default=None, description="Id of the stack. None: $TEST_INFRA_STACK, else the one of this checkout."
    )

    def attach(self) -> "SparkGateway":
        """The gateway, with the verbs submit, check, cancel, list, logs, follow, describe.

        Raises:
            StackNotRunning: there is no stack with this id.
        """
        from test_infra.spark.gateway.gateway import SparkGateway
        from test_infra.stack import attach

        return SparkGateway(attach(self.stack_id))
