"""What is on record of a stack. Written atomically; a hint only: `status` looks at what really runs."""

from __future__ import annotations

import os
import shutil
from functools import cache
from pathlib import Path
from typing import Literal

import psutil
from pydantic import ValidationError

from test_infra.base.document import Document
from test_infra.base.errors import InfrastructureError
from test_infra.base.ids import slug
from test_infra.base.paths import home, private_dir, reachable_root, write_private
from test_infra.stack.endpoint import Endpoint
from test_infra.stack.spec import StackSpec
from test_infra.stack.sweep import STACK_TAG

SCHEMA_VERSION: Literal[1] = 1


class BadRecord(InfrastructureError):
    """A state file cannot be read: torn, edited, or of another version of this program."""


class ProcessId(Document):
    """A process that cannot be taken for another: its id may be used again, its start time not.

    Args:
        pid: process id.
        started_at: epoch seconds.
        boot_id: the boot it belongs to.
        pid_namespace: in which ``pid`` is its id; empty where the system has none.
    """

    pid: int
    started_at: float
    boot_id: str
    pid_namespace: str = ""

    @classmethod
    def of(cls, pid: int) -> ProcessId:
        """The running process ``pid``."""
        started_at = psutil.Process(pid).create_time()
        return cls(pid=pid, started_at=started_at, boot_id=boot_id(), pid_namespace=pid_namespace())

    @property
    def visible(self) -> bool:
        """Whether it could be seen from here: a process of a stack may see its own PID namespace only."""
        return STACK_TAG not in os.environ or self.pid_namespace in ("", pid_namespace())

    @property
    def alive(self) -> bool:
        """Whether this very process still runs (a zombie does not); one that is not `visible` counts as alive."""
        if self.boot_id != boot_id():
            return False
        if not self.visible:
            return True
        try:
            process = psutil.Process(self.pid)
            return abs(process.create_time() - self.started_at) < 1 and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False


def pid_namespace() -> str:
    """The PID namespace of this process; empty where the system has none."""
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


class StackRecord(Document):
    """``stack.json``.

    Args:
        schema_version: of this file.
        id: the stack's id.
        keeper: the keeper as this machine sees it; None before it runs.
        spec: what was asked for.
        ports: service -> port name -> port.
        endpoints: services that were usable when last seen.
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    id: str
    keeper: ProcessId | None = None
    spec: StackSpec
    ports: dict[str, dict[str, int]] = {}
    endpoints: dict[str, Endpoint] = {}


class StackFolders:
    """The folders and files of a stack."""

    def __init__(self, stack_id: str) -> None:
        self.id = slug(stack_id, what="stack id")
        self.root = home() / "stacks" / self.id
        self.record = self.root / "stack.json"
        self.up_lock = self.root / "up.lock"
        self.leases = self.root / "leases"
        self.control = self.root / "control"
        self.logs = self.root / "logs"
        self.secrets = self.root / "secrets"
        self.services = self.root / "services"
        self.events = self.root / "events.jsonl"
        self.work = [
            self.root / name for name in ("control", "secrets", "services", "jobs", "lake", "checkpoints", "pipelines")
        ]

    @property
    def data(self) -> Path:
        """Data of the services, where the users they drop to can reach it."""
        return reachable_root() / self.id

    def make(self) -> None:
        """Create the folders that every stack has."""
        private_dir(self.root.parent)
        for folder in (self.root, self.leases, self.logs, *self.work, self.control / "requests"):
            private_dir(folder)

    def wipe(self) -> None:
        """Remove what an earlier stack of this id left, except its logs."""
        for folder in (*self.work, self.data):
            shutil.rmtree(folder, ignore_errors=True)
        for file in (self.record, self.events):
            file.unlink(missing_ok=True)


def read_record(folders: StackFolders) -> StackRecord | None:
    """The stack's record; None when there is none.

    Raises:
        BadRecord: the file is torn or of another version.
    """
    try:
        text = folders.record.read_text()
    except FileNotFoundError:
        return None
    try:
        return StackRecord.model_validate_json(text)
    except ValidationError as error:
        raise BadRecord(
            f"the record of stack {folders.id} cannot be read",
            details={"file": str(folders.record), "seen": str(error.errors()[0]["msg"])},
            hint="test-infra reap",
        ) from error


def write_record(folders: StackFolders, record: StackRecord) -> None:
    """Replace the stack's record atomically."""
    write_private(folders.record, record.model_dump_json(indent=1))


@cache
def boot_id() -> str:
    """Names this boot of the machine; a record of another boot describes processes that are gone."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return f"{os.uname().nodename}-{psutil.boot_time():.0f}"
