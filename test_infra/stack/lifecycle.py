"""up and down: the only place where stacks begin and end."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from test_infra.base.deadline import Deadline, StillWaiting, wait_for
from test_infra.base.errors import InfrastructureError, NotReady, UsageError
from test_infra.base.file_lock import FileLock, LockHeld, take_lock
from test_infra.runtime.factory import backend_of
from test_infra.stack import containers, registry
from test_infra.stack.attached import Stack, current_stack_id, with_keeper_seen_from_here
from test_infra.stack.ensure import ensure_services
from test_infra.stack.lease import Lease
from test_infra.stack.ports import free_ports, require_free
from test_infra.stack.progress import OnUpProgress, UpProgress
from test_infra.stack.record import StackFolders, StackRecord, read_record, write_record
from test_infra.stack.service import ServiceSpec
from test_infra.stack.spec import StackSpec
from test_infra.stack.start_keeper import start_keeper
from test_infra.stack.sweep import kill_leftovers, stack_tag


class StackConflict(InfrastructureError):
    """The running stack is not the one that was asked for."""


def up(
    spec: StackSpec,
    *,
    lease: Lease,
    stack_id: str | None = None,
    progress: OnUpProgress | None = None,
    timeout_s: float = 120.0,
    alongside: Callable[[Stack], None] | None = None,
) -> Stack:
    """Make every service of the stack usable, and hold it alive with ``lease``. Done again, it changes nothing.

    Args:
        spec: the services.
        lease: why the stack lives on.
        stack_id: which stack; None is this checkout's.
        progress: called with every step.
        timeout_s: for everything together, seconds.
        alongside: called once the keeper runs and ports are known, while the services start.

    Returns:
        The stack, attached to.

    Raises:
        NotReady: a service did not become usable in time.
        ServiceFailed: a service died while starting; carries its last log lines.
        PortTaken: a fixed port is in use by another program.
        StackConflict: a stack of other services runs under this id.
    """
    say = progress or (lambda _: None)
    deadline = Deadline(timeout_s)
    folders = StackFolders(stack_id or current_stack_id())
    folders.make()
    spec = containers.with_backend(spec)
    with _up_lock(folders, deadline, say):
        record = read_record_or_none(folders)
        alive = record is not None and record.keeper is not None and record.keeper.alive
        if record is not None and alive and record.spec != spec:
            raise StackConflict(
                f"stack {folders.id} runs with other settings",
                hint="test-infra down, or set TEST_INFRA_STACK to another name",
            )
        if record is None or not alive:
            _sweep(folders, record, spec)
            folders.wipe()
            folders.make()
            record = StackRecord(id=folders.id, spec=spec, ports=_choose_ports(spec))
            backend_of(spec.backend).prepare(partial(containers.identity, folders, record))
            write_record(folders, record)
            lease.take(folders.leases)
            say(UpProgress("stack", "starting the keeper"))
            record = record.model_copy(update={"keeper": start_keeper(folders, deadline)})
            write_record(folders, record)
        else:
            lease.take(folders.leases)
        stack = Stack(folders, record)
        try:
            ensure_services(stack, folders, record, deadline, say, alongside)
        except BaseException:
            lease.release()
            if not alive:
                down(folders.id)
            raise
    return stack


def down(stack_id: str | None = None, *, timeout_s: float = 20.0) -> bool:
    """End a stack: every process, then its data. Logs stay.

    Returns:
        Whether there was one to end.

    Raises:
        UsageError: this process is a part of another stack, from where the keeper cannot be seen.
    """
    folders = StackFolders(stack_id or current_stack_id())
    record = read_record_or_none(folders)
    if record is not None and record.keeper is not None and record.keeper.alive and not record.keeper.visible:
        raise UsageError(
            f"stack {folders.id} cannot be ended from inside another stack",
            hint="tests of a suite see the processes of their own stack only: run this outside of it",
        )
    for path in folders.leases.glob("*.json"):
        path.unlink(missing_ok=True)
    ran = record is not None and record.keeper is not None and record.keeper.alive
    if ran and record is not None and record.keeper is not None:
        keeper = record.keeper
        os.kill(keeper.pid, signal.SIGTERM)

        def gone() -> None:
            if keeper.alive:
                raise StillWaiting(f"keeper {keeper.pid} runs")

        try:
            wait_for(gone, Deadline(timeout_s), what=f"stack {folders.id}", awaited="its end")
        except NotReady:
            os.kill(keeper.pid, signal.SIGKILL)
    _sweep(folders, record)
    _clear_data(folders)
    return ran


def _sweep(folders: StackFolders, record: StackRecord | None, spec: StackSpec | None = None) -> None:
    """End what a dead keeper left: processes, and what the backend has where the stack has, had or is to have any."""
    kill_leftovers(stack_tag(folders.id))
    for backend in {one.backend for one in (record.spec if record else None, spec) if one is not None}:
        backend_of(backend).remove_all(stack_tag(folders.id))


def read_record_or_none(folders: StackFolders) -> StackRecord | None:
    """The record; None also where it cannot be read: then what the sweep finds decides."""
    try:
        record = read_record(folders)
    except InfrastructureError:
        return None
    return record and with_keeper_seen_from_here(record)


def _clear_data(folders: StackFolders) -> None:
    if folders.data.exists():
        shutil.rmtree(folders.data, ignore_errors=True)


@contextmanager
def _up_lock(folders: StackFolders, deadline: Deadline, say: OnUpProgress) -> Iterator[None]:
    said = False

    def locked() -> FileLock:
        nonlocal said
        try:
            return take_lock(folders.up_lock)
        except LockHeld as error:
            if not said:
                say(UpProgress("stack", "waiting for another `up` or the end of the former stack"))
                said = True
            raise StillWaiting("another process starts or ends this stack") from error

    with wait_for(locked, deadline, what=f"stack {folders.id}", awaited="its lock", hint="test-infra status"):
        yield


def _choose_ports(spec: StackSpec) -> dict[str, dict[str, int]]:
    local = [service for service in registry.services_of(spec).values() if isinstance(service, ServiceSpec)]
    free = iter(free_ports(sum(len(service.ports) for service in local)))
    ports: dict[str, dict[str, int]] = {}
    for service in local:
        ports[service.name] = {name: next(free) for name in service.ports}
        if service.fixed_port is not None:
            ports[service.name][service.ports[0]] = require_free(service.fixed_port, service.name)
    return ports
