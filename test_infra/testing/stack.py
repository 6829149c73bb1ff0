"""A stack of its own for the time of a block."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from test_infra.runtime.factory import backend_of
from test_infra.stack import AttachedLease, Stack, StackSpec, down, up


@contextmanager
def running_stack(
    spec: StackSpec | None = None, *, backend: str | None = None, timeout_s: float = 180.0
) -> Iterator[Stack]:
    """Bring a stack up, with an id and ports of its own, and take it down after the block, however that ends.

    Args:
        spec: the services; None: PostgreSQL, Kafka and Connect.
        backend: ``local`` or ``docker``; None: the spec's.
        timeout_s: until every service answered a real request, seconds.

    Raises:
        NotReady: a service did not become usable in time; carries its last log lines.
        ServiceFailed: a service died while starting; carries how, and its last log lines.
    """
    wanted = spec or StackSpec()
    if backend is not None:
        backend_of(backend)  # refuses a name that there is not
        wanted = wanted.model_copy(update={"backend": backend})
    stack_id, lease = f"block-{uuid.uuid4().hex[:8]}", AttachedLease()
    try:
        yield up(wanted, lease=lease, stack_id=stack_id, timeout_s=timeout_s)
    finally:
        lease.release()  # else its file would stay open as long as this process
        down(stack_id)
