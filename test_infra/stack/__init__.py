"""Stacks: the services of a test environment, their leases, their keeper, their end."""

from test_infra.stack.attached import Stack, StackNotRunning, attach, attach_from_within, current_stack_id
from test_infra.stack.endpoint import Endpoint
from test_infra.stack.lease import AttachedLease, DetachedLease, Lease
from test_infra.stack.lifecycle import StackConflict, down, up
from test_infra.stack.progress import UpProgress
from test_infra.stack.record import StackFolders
from test_infra.stack.spec import StackSpec
from test_infra.stack.status import ServiceStatus, StackStatus

__all__ = [
    "AttachedLease",
    "DetachedLease",
    "Endpoint",
    "Lease",
    "ServiceStatus",
    "Stack",
    "StackConflict",
    "StackFolders",
    "StackNotRunning",
    "StackSpec",
    "StackStatus",
    "UpProgress",
    "attach",
    "attach_from_within",
    "current_stack_id",
    "down",
    "up",
]
