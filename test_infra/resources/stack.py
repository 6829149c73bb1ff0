"""The stack as a Dagster resource."""

# No `from __future__ import annotations`: pydantic-based resources need real annotations.
import os
from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field

if TYPE_CHECKING:
    from test_infra.stack import AttachedLease, DetachedLease, Stack

LEASE_VARIABLE = "TEST_INFRA_LEASE"
ATTACHED = "attached"


class StackResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Which stack a run uses. Attaches on request; Dagster may enter and leave it as often as it likes."""

    stack_id: str | None = Field(
        default=None, description="Id of the stack. None: $TEST_INFRA_STACK, else the one of this checkout."
    )
    ttl_s: float = Field(
        default=3_600.0,
        gt=0,
        description="A stack made by a run outside the command line ends by itself after this time, seconds.",
    )

    @property
    def resolved_id(self) -> str:
        """The id of the stack, whether it runs or not."""
        from test_infra.stack import current_stack_id

        return self.stack_id or current_stack_id()

    def attach(self) -> "Stack":
        """The running stack.

        Raises:
            StackNotRunning: there is none with this id.
        """
        from test_infra.stack import attach

        return attach(self.stack_id)

    def lease(self) -> "AttachedLease | DetachedLease":
        """The lease for a stack that a step of this run makes.

        The command line says through ``TEST_INFRA_LEASE=attached`` that it holds the stack and ends it; anywhere
        else (``dagster job execute``, the UI, a schedule) nobody would, so the stack gets an expiry.
        """
        from test_infra.stack import AttachedLease, DetachedLease

        if os.environ.get(LEASE_VARIABLE) == ATTACHED:
            return AttachedLease()
        return DetachedLease(ttl_s=self.ttl_s)
