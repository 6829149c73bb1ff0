"""A running stack, attached to; nothing here starts or ends anything but what its caller names."""

from __future__ import annotations

import json
import os
from functools import partial
from pathlib import Path

import psutil

from test_infra.base.errors import InfrastructureError
from test_infra.base.ids import stack_id_of
from test_infra.base.paths import HOME_VARIABLE, STACK_VARIABLE, home
from test_infra.base.project import project_root
from test_infra.runtime.backend import Runtime
from test_infra.runtime.factory import backend_of
from test_infra.runtime.local import LocalRuntime
from test_infra.stack import containers
from test_infra.stack.endpoint import Endpoint
from test_infra.stack.record import ProcessId, StackFolders, StackRecord, read_record
from test_infra.stack.spec import StackSpec
from test_infra.stack.stability import happened_at
from test_infra.stack.start_keeper import KEEPER_MODULE
from test_infra.stack.status import StackStatus, stack_status
from test_infra.stack.sweep import STACK_TAG, stack_tag
from test_infra.stack.unasked_ends import said_of


class StackNotRunning(InfrastructureError):
    """There is no stack to attach to."""


class Stack:
    """A running stack, attached to: where everything of it is, and what it looks like now.

    Attributes:
        backend: runs its services and Spark jobs.
        runtime: their processes.
        host_runtime: processes of this machine that the stack's keeper has, whatever the backend is.
    """

    def __init__(self, folders: StackFolders, record: StackRecord) -> None:
        if record.keeper is None:
            raise StackNotRunning(f"stack {folders.id} has no keeper", hint="test-infra up")
        self._folders = folders
        self._record = record
        self.backend = backend_of(record.spec.backend)
        self.host_runtime = LocalRuntime(folders.control, record.keeper.pid)
        self.runtime: Runtime = self.backend.runtime(self.host_runtime, partial(containers.identity, folders, record))

    @property
    def id(self) -> str:
        """Which stack."""
        return self._folders.id

    @property
    def spec(self) -> StackSpec:
        """The services it was made with."""
        return self._record.spec

    @property
    def dir(self) -> Path:
        """The stack's folder, 0700."""
        return self._folders.root

    @property
    def logs(self) -> Path:
        """Logs of its processes, one file each."""
        return self._folders.logs

    @property
    def keeper(self) -> ProcessId:
        """The process that owns every other one."""
        assert self._record.keeper is not None
        return self._record.keeper

    @property
    def endpoints(self) -> dict[str, Endpoint]:
        """Services that are usable, by name."""
        record = read_record(self._folders)
        return record.endpoints if record is not None else {}

    def endpoint(self, service: str) -> Endpoint:
        """How a service is reached.

        Raises:
            StackNotRunning: the service was never usable in this stack.
        """
        endpoints = self.endpoints
        if service not in endpoints:
            raise StackNotRunning(
                f"stack {self.id} has no usable service {service!r}",
                details={"usable": ", ".join(sorted(endpoints)) or "none"},
                hint="test-infra status",
            )
        return endpoints[service]

    def hand_over(self, *paths: Path) -> None:
        """Let the stack's Spark jobs use files and folders that were made for them after their start."""
        self.runtime.hand_over(*paths)

    def remove_from_backend(self) -> None:
        """Remove whatever the stack has beyond this machine's processes; nothing where it never had any."""
        self.backend.remove_all(stack_tag(self.id))

    def process_env(self) -> dict[str, str]:
        """Environment by which any process of this stack finds it, and a sweep finds the process."""
        return {
            HOME_VARIABLE: str(home()),
            STACK_VARIABLE: self.id,
            STACK_TAG: stack_tag(self.id),
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "LC_ALL": "C.UTF-8",
        }

    def events(self) -> list[dict[str, object]]:
        """What happened to the stack's processes: ``time, service, event, detail``, oldest first."""
        try:
            text = self._folders.events.read_text()
        except FileNotFoundError:
            return []
        whole, _, _ = text.rpartition("\n")  # a full disk may hold back the rest of the last line
        return [json.loads(line) for line in whole.splitlines()]

    def ended_unasked(self, service: str, since: float = 0.0) -> str:
        """How often a service ended by itself, and why as far as its log tells; empty when it did not.

        Args:
            service: its name.
            since: epoch seconds; what was before does not count.
        """
        events = [event for event in self.events() if happened_at(event) >= since]
        return said_of(service, events, self.logs / f"{service}.log")

    def status(self) -> StackStatus:
        """Look at every service now; the stack may have been ended and started again since it was attached to."""
        record = with_keeper_seen_from_here(read_record(self._folders) or self._record)
        now = self if record.keeper in (None, self.keeper) else Stack(self._folders, record)
        return stack_status(self._folders, record, now.runtime)


def current_stack_id() -> str:
    """``$TEST_INFRA_STACK``, else the id of the project around the working folder, or of the folder itself."""
    return os.environ.get(STACK_VARIABLE) or stack_id_of(project_root())


def attach(stack_id: str | None = None) -> Stack:
    """The running stack; starts nothing.

    Raises:
        StackNotRunning: its keeper does not run.
    """
    folders = StackFolders(stack_id or current_stack_id())
    record = read_record(folders)
    record = record and with_keeper_seen_from_here(record)
    if record is None or record.keeper is None or not record.keeper.alive:
        raise StackNotRunning(f"stack {folders.id} is not running", hint="test-infra up")
    return Stack(folders, record)


def attach_from_within(stack_id: str) -> Stack:
    """The stack that this very process is a part of; for services that start others.

    A keeper's record holds its process id as the machine sees it. Within its PID namespace it has another one, by which
    it is an ancestor of the process that asks.

    Raises:
        StackNotRunning: this process belongs to no stack of that id.
    """
    folders = StackFolders(stack_id)
    record = read_record(folders)
    keeper = _keeper_above()
    if record is None or keeper is None:
        raise StackNotRunning(f"this process is no part of stack {stack_id}", hint="test-infra up")
    return Stack(folders, record.model_copy(update={"keeper": keeper}))


def with_keeper_seen_from_here(record: StackRecord) -> StackRecord:
    """The record with the keeper's process id as this process sees it: a process of the stack (a test of a suite) is in
    the keeper's PID namespace.
    """
    if os.environ.get(STACK_TAG) != stack_tag(record.id):
        return record
    return record.model_copy(update={"keeper": _keeper_above() or record.keeper})


def _keeper_above() -> ProcessId | None:
    """The keeper from which this process descends; None outside of any stack."""
    keepers = [process for process in psutil.Process().parents() if KEEPER_MODULE in process.cmdline()]
    # The innermost of several: `unshare`, which started it, names the module too.
    return ProcessId.of(keepers[0].pid) if keepers else None
