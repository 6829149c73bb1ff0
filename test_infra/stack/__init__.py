"""Stacks: the services of a test environment, their leases, their keeper, their end."""

from test_infra.stack.lease import AttachedLease, DetachedLease, Lease
from test_infra.stack.lifecycle import (
    Progress,
    ServiceStatus,
    Stack,
    StackConflict,
    StackNotRunning,
    StackStatus,
    Step,
    attach,
    attach_from_within,
    current_stack_id,
    down,
    up,
)
from test_infra.stack.record import Endpoint, StackFolders
from test_infra.stack.spec import StackSpec

__all__ = [
    "AttachedLease",
    "DetachedLease",
    "Endpoint",
    "Lease",
    "Progress",
    "ServiceStatus",
    "Stack",
    "StackConflict",
    "StackFolders",
    "StackNotRunning",
    "StackSpec",
    "StackStatus",
    "Step",
    "attach",
    "attach_from_within",
    "current_stack_id",
    "down",
    "up",
]
