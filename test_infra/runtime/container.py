"""The spec of a container, made from a process's spec and what all containers of a stack have in common."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from test_infra.base.document import Document
from test_infra.base.errors import InfrastructureError
from test_infra.runtime.docker_engine import PROCESS_LABEL
from test_infra.runtime.image import PYTHON
from test_infra.runtime.process import ProcessSpec

LOCK_INSIDE = Path("/run/test_infra/attendant.lock")
"""Path of the attendant's lock inside the container."""
MEMORY_MIB = 4_096
"""Memory limit of a process that sets none."""
PIDS = 2_048
MIB = 1024 * 1024

_OF_THIS_MACHINE = frozenset(
    {
        "PATH",
        "HOME",
        "JAVA_HOME",
        "LD_LIBRARY_PATH",
        "PYSPARK_DRIVER_PYTHON",
        "PYSPARK_PYTHON",
        "PYTHONPATH",
        "SPARK_HOME",
        "TEST_INFRA_HOME",
        "TMPDIR",
        "VIRTUAL_ENV",
    }
)
"""Variables that describe this machine; the image has its own."""


class ContainerRefused(InfrastructureError):
    """The engine did not make or start a container."""


class Mount(Document):
    """A file or folder of this machine, seen in the container.

    Args:
        source: here.
        target: in the container.
        read_only: whether it cannot be written there.
    """

    source: Path
    target: Path
    read_only: bool = False


class ContainerSpec(Document):
    """One container, as its attendant makes it.

    Args:
        name: of the container, unique on the engine.
        image: name or digest; it is never pulled.
        argv: program and arguments.
        env: environment beyond the image's.
        cwd: working folder.
        user: ``uid:gid``.
        network: the stack's.
        alias: name in that network.
        ports: published on loopback under the same number.
        mounts: all that it sees of this machine's files.
        labels: by which it is found.
        memory_mib: limit, MiB; swap included.
        stop_timeout_s: patience between a stop signal and SIGKILL, seconds.
        lock: file that the attendant holds locked as long as the container may live.
        state: file in which the attendant keeps `ContainerState`.
    """

    name: str
    image: str
    argv: tuple[str, ...]
    env: dict[str, str]
    cwd: Path
    user: str
    network: str
    alias: str
    ports: tuple[int, ...]
    mounts: tuple[Mount, ...]
    labels: dict[str, str]
    memory_mib: int
    stop_timeout_s: float
    lock: Path
    state: Path


class ContainerPhase(StrEnum):
    """How far a container has come."""

    STARTING = "starting"
    RUNNING = "running"
    ENDED = "ended"
    REFUSED = "refused"
    """The engine did not make or start it."""


class ContainerState(Document):
    """What became of a container.

    Args:
        phase: how far it has come.
        id: of the container; empty before it was made.
        pid: its first process as the engine's machine sees it.
        exit_code: of its last end, as the engine told it.
        reason: why it was refused, or how it ended, in words.
    """

    phase: ContainerPhase = ContainerPhase.STARTING
    id: str = ""
    pid: int | None = None
    exit_code: int | None = None
    reason: str = ""


@dataclass(frozen=True)
class ContainerDefaults:
    """What all containers of a stack have in common.

    Args:
        image: their image.
        network: name of the stack's network; containers are named after it.
        labels: of everything the stack makes on the engine.
        user: ``(uid, gid)`` they run as, never root.
        folders: read and written by a process that names no folders: those of the stack's jobs.
    """

    image: str
    network: str
    labels: Mapping[str, str]
    user: tuple[int, int]
    folders: tuple[Path, ...] = ()


@dataclass(frozen=True)
class ContainerFiles:
    """Where the files of one container lie, in the folder of a stack's containers.

    Args:
        folder: of all containers of the stack.
        process: name of the process.
    """

    folder: Path
    process: str

    @property
    def spec(self) -> Path:
        """What the attendant is told."""
        return self.folder / f"{self.process}.json"

    @property
    def state(self) -> Path:
        """Where the attendant says what became of the container."""
        return self.folder / f"{self.process}.state.json"

    @property
    def lock(self) -> Path:
        """Held by the attendant as long as the container may live."""
        return self.folder / f"{self.process}.lock"

    @property
    def passwd(self) -> Path:
        """The containers' ``/etc/passwd``, one for all."""
        return self.folder / "passwd"


def container_of(spec: ProcessSpec, defaults: ContainerDefaults, files: ContainerFiles) -> ContainerSpec:
    """The container in which a process runs.

    Args:
        spec: the process.
        defaults: what all containers of the stack have in common.
        files: where this container's files lie.
    """
    folders = spec.writes or (spec.cwd, *defaults.folders)
    mounts = [Mount(source=folder, target=folder) for folder in dict.fromkeys((*folders, spec.cwd))]
    mounts += [Mount(source=file, target=file, read_only=True) for file in spec.reads]
    mounts += [
        Mount(source=files.lock, target=LOCK_INSIDE, read_only=True),
        Mount(source=files.passwd, target=Path("/etc/passwd"), read_only=True),
    ]
    return ContainerSpec(
        name=container_name(spec.name, defaults),
        image=spec.image or defaults.image,
        # A job that asks for this machine's Python gets the image's.
        argv=(PYTHON if spec.argv[0] == sys.executable else spec.argv[0], *spec.argv[1:]),
        env={name: value for name, value in spec.env.items() if not _is_of_this_machine(name)},
        cwd=spec.cwd,
        user=":".join(map(str, defaults.user)),
        network=defaults.network,
        alias=spec.name,
        ports=spec.ports,
        mounts=tuple(mounts),
        labels={**defaults.labels, PROCESS_LABEL: spec.name},
        memory_mib=spec.memory_limit_mib or MEMORY_MIB,
        stop_timeout_s=spec.stop_timeout_s,
        lock=files.lock,
        state=files.state,
    )


def container_name(process: str, defaults: ContainerDefaults) -> str:
    """The name of a process's container, unique on the engine."""
    return f"{defaults.network}-{process}"


def sandbox_options(memory_mib: int) -> dict[str, Any]:
    """Engine options of every container of ours: no capability, no new rights, bounded memory and processes.

    Args:
        memory_mib: limit, MiB; swap included.
    """
    return {
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
        "mem_limit": memory_mib * MIB,
        "memswap_limit": memory_mib * MIB,
        "pids_limit": PIDS,
        # The stack probes its services from outside.
        "healthcheck": {"test": ["NONE"]},
    }


def passwd_of(user: tuple[int, int]) -> str:
    """A ``passwd`` file with root and the user that containers run as.

    Programs that ask for the name of their user (PostgreSQL, Hadoop) find one, whoever runs this.
    """
    uid, gid = user
    return f"root:x:0:0::/root:/usr/sbin/nologin\ntest_infra:x:{uid}:{gid}::/tmp:/usr/sbin/nologin\n"


def _is_of_this_machine(name: str) -> bool:
    return name in _OF_THIS_MACHINE or name.startswith("XDG_") or name.endswith("STACK_TAG")
