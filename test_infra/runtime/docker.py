"""The `docker` backend: the same processes, each in a container of its own.

Each container has an attendant (`test_infra.runtime.container_attendant`), a process of the stack's keeper: it makes
the container, passes on signals and output, and ends as it ended. So restarts, logs, exit records and
the end with the last lease are the keeper's, as in the `local` backend; and a container lives as long as its attendant,
because its first process watches a lock that the attendant holds. See docs/decisions/0035.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, ValidationError

from test_infra.base.deadline import Deadline, StillWaiting, wait_for
from test_infra.base.environment import inherited
from test_infra.base.errors import InfrastructureError
from test_infra.base.paths import private_dir, write_private
from test_infra.runtime.image import PYTHON
from test_infra.runtime.local import LocalRuntime
from test_infra.runtime.process import ProcessSpec, ProcessState

if TYPE_CHECKING:
    from docker import DockerClient

STACK_LABEL = "test_infra.stack"
OWNER_LABEL = "test_infra.owner"
EXPIRES_LABEL = "test_infra.expires"
PROCESS_LABEL = "test_infra.process"

STARTED_WITHIN_S = 60.0
LOCK_INSIDE = Path("/run/test_infra/attendant.lock")
"""Where a container sees the lock of its attendant."""
MEMORY_MIB = 4_096
"""Limit of a process that names none."""
PIDS = 2_048
MIB = 1024 * 1024

UNIX = "unix://"
DEFAULT_HOST = f"{UNIX}/var/run/docker.sock"
ENGINE_VARIABLES = ("DOCKER_HOST", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH", "DOCKER_CONFIG", "DOCKER_CONTEXT")
"""How Docker's clients find the engine."""

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
"""Environment that describes this machine; the image has its own."""


class EngineMissing(InfrastructureError):
    """No Docker engine answers."""


class ImageMissing(InfrastructureError):
    """The engine does not have the image."""


class ContainerRefused(InfrastructureError):
    """The engine did not make or start a container."""


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Mount(_Document):
    """A file or folder of this machine, seen in the container.

    Args:
        source: here.
        target: in the container.
        read_only: whether it cannot be written there.
    """

    source: Path
    target: Path
    read_only: bool = False


class ContainerSpec(_Document):
    """One container, as its attendant is told.

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
        mounts: all it sees of this machine.
        labels: by which it is found.
        memory_mib: limit, MiB; swap included.
        stop_timeout_s: patience between a stop signal and SIGKILL, seconds.
        lock: file that the attendant holds locked as long as the container may live.
        state: where the attendant says what became of it.
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


class ContainerState(_Document):
    """What became of a container.

    Args:
        phase: ``starting``, ``running``, ``ended``, or ``refused``: never started.
        id: of the container; empty before it was made.
        pid: its first process as the engine's machine sees it.
        exit_code: of its last end, as the engine told it.
        reason: why it was refused, or how it ended, in words.
    """

    phase: str = "starting"
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
        user: who they run as, never root.
        folders: what a process that names no folders may see: those of the stack's jobs.
    """

    image: str
    network: str
    labels: Mapping[str, str]
    user: tuple[int, int]
    folders: tuple[Path, ...] = ()


class DockerRuntime:
    """Processes in containers.

    Args:
        kept: the keeper that has the containers' attendants.
        control_dir: the keeper's folder.
        surroundings: what the containers have in common.
    """

    def __init__(self, kept: LocalRuntime, control_dir: Path, surroundings: ContainerDefaults) -> None:
        self._kept = kept
        self._dir = control_dir / "containers"
        self._surroundings = surroundings

    def start(self, spec: ProcessSpec) -> None:
        """Start the process in a container unless it runs already; returns when the engine has started it.

        Raises:
            ContainerRefused: the engine has no such image, or did not make or start the container.
            NotReady: the keeper did not take the request.
        """
        states = self._kept.observe_all()
        if spec.name in states and states[spec.name].running:
            return
        private_dir(self._dir)
        container = self._container(spec)
        container.lock.touch(mode=0o600)
        self._passwd().write_text(_passwd_of(self._surroundings.user))
        self._passwd().chmod(0o644)
        # What lies elsewhere is a file of the user's (an application), and stays his.
        stack = self._dir.parents[1]
        given = [mount for mount in container.mounts if not mount.read_only or mount.source.is_relative_to(stack)]
        self.hand_over(*(mount.source for mount in given))
        container.state.unlink(missing_ok=True)
        write_private(self._path(spec.name), container.model_dump_json())
        self._kept.start(
            ProcessSpec(
                name=spec.name,
                argv=(sys.executable, "-m", "test_infra.runtime.container_attendant", str(self._path(spec.name))),
                env=_attendant_env(spec.env),
                cwd=self._dir,
                log_path=spec.log_path,
                log_backups=spec.log_backups,
                restart=spec.restart,
                stop_signal=spec.stop_signal,
                # The attendant kills the container when the patience is over, and takes note of its end.
                stop_timeout_s=spec.stop_timeout_s + 5.0,
                exit_path=spec.exit_path,
            )
        )

        def started() -> None:
            state = self._state(spec.name)
            if state.phase == "starting" and self._kept.observe(spec.name).running:
                raise StillWaiting("the engine has not started it")
            if state.phase in ("starting", "refused"):
                self._kept.stop(spec.name)
                raise ContainerRefused(
                    f"no container for {spec.name}",
                    details={"image": container.image, "seen": state.reason or "its attendant ended"},
                    log=spec.log_path,
                    hint="make image" if "No such image" in state.reason else "docker info",
                )

        wait_for(
            started,
            Deadline(STARTED_WITHIN_S),
            what=f"the container of {spec.name}",
            awaited="its start",
            log=spec.log_path,
            interval_s=0.05,
        )

    def stop(self, name: str, *, timeout_s: float = 15.0, signum: int | None = None) -> ProcessState:
        """End a process for good: its stop signal (or ``signum``), then SIGKILL. Ending an ended one changes nothing.

        Raises:
            UnknownProcess: never started here.
            NotReady: it still runs after ``timeout_s``.
        """
        if signum == signal.SIGKILL:
            # The attendant cannot pass this one on; it would only die itself.
            self._kept.signal(name, signal.SIGUSR2)
            return self._kept.stop(name, timeout_s=timeout_s)
        return self._kept.stop(name, timeout_s=timeout_s, signum=signum)

    def signal(self, name: str, signum: int) -> None:
        """Send a signal to a process; SIGSTOP and SIGCONT freeze and thaw its whole container.

        Raises:
            UnknownProcess: never started here.
        """
        instead = {signal.SIGKILL: signal.SIGUSR2, signal.SIGSTOP: signal.SIGTSTP}
        self._kept.signal(name, instead.get(signal.Signals(signum), signum))

    def observe(self, name: str) -> ProcessState:
        """What was last seen of a process; its pid is that of the container's first process.

        Raises:
            UnknownProcess: never started here.
        """
        return self._seen(self._kept.observe(name))

    def observe_all(self) -> dict[str, ProcessState]:
        """Every process ever started here, by name."""
        return {name: self._seen(state) for name, state in self._kept.observe_all().items()}

    def describe(self, name: str) -> dict[str, str]:
        """The container, its state, its end."""
        state = self._state(name)
        told = f"{self._name(name)} {state.phase}"
        if state.exit_code is not None:
            told += f", last exit code {state.exit_code}"
        return {"container": told + (f": {state.reason}" if state.reason else "")}

    def hand_over(self, *paths: Path) -> None:
        """Give files and folders to the user that containers run as; where that is this user, nothing is to do."""
        if os.geteuid() != 0:
            return
        for path in paths:
            for one in (path, *path.rglob("*")):
                with suppress(FileNotFoundError):  # a stream at work removes what it no longer needs
                    os.chown(one, *self._surroundings.user, follow_symlinks=False)

    def _container(self, spec: ProcessSpec) -> ContainerSpec:
        around = self._surroundings
        folders = spec.folders or (spec.cwd, *around.folders)
        mounts = [Mount(source=folder, target=folder) for folder in dict.fromkeys((*folders, spec.cwd))]
        mounts += [Mount(source=file, target=file, read_only=True) for file in spec.read_only]
        lock = self._dir / f"{spec.name}.lock"
        mounts += [
            Mount(source=lock, target=LOCK_INSIDE, read_only=True),
            # Programs that ask for the name of their user (PostgreSQL, Hadoop) find one, whoever runs this.
            Mount(source=self._passwd(), target=Path("/etc/passwd"), read_only=True),
        ]
        return ContainerSpec(
            name=self._name(spec.name),
            image=spec.image or around.image,
            # A job that asks for this machine's Python gets the image's.
            argv=(PYTHON if spec.argv[0] == sys.executable else spec.argv[0], *spec.argv[1:]),
            env={name: value for name, value in spec.env.items() if not _is_of_this_machine(name)},
            cwd=spec.cwd,
            user=":".join(map(str, around.user)),
            network=around.network,
            alias=spec.name,
            ports=spec.ports,
            mounts=tuple(mounts),
            labels={**around.labels, PROCESS_LABEL: spec.name},
            memory_mib=spec.memory_limit_mib or MEMORY_MIB,
            stop_timeout_s=spec.stop_timeout_s,
            lock=lock,
            state=self._dir / f"{spec.name}.state.json",
        )

    def _seen(self, process: ProcessState) -> ProcessState:
        if not process.running or not self._path(process.name).exists():
            return process
        return process.model_copy(update={"pid": self._state(process.name).pid})

    def _state(self, name: str) -> ContainerState:
        try:
            return ContainerState.model_validate_json((self._dir / f"{name}.state.json").read_text())
        except (FileNotFoundError, ValidationError):
            return ContainerState()

    def _path(self, name: str) -> Path:
        return self._dir / f"{name}.json"

    def _passwd(self) -> Path:
        return self._dir / "passwd"

    def _name(self, process: str) -> str:
        return f"{self._surroundings.network}-{process}"


def engine(timeout_s: float = 60.0) -> DockerClient:
    """A client of the Docker engine that this user's environment names.

    Raises:
        EngineMissing: none answers.
    """
    import requests

    import docker

    asked = os.environ.get("DOCKER_HOST") or DEFAULT_HOST
    try:
        if asked.startswith(UNIX):
            # First by ourselves: the client leaves a socket open that could not connect.
            with socket.socket(socket.AF_UNIX) as tried:
                tried.settimeout(timeout_s)
                tried.connect(asked.removeprefix(UNIX))
        client = docker.from_env(timeout=timeout_s)
        try:
            client.ping()
        except BaseException:
            client.close()
            raise
    except (docker.errors.DockerException, requests.RequestException, OSError) as error:
        raise EngineMissing(
            "no Docker engine answers",
            details={"asked": asked, "seen": str(error)[:300]},
            hint="start Docker; root on Debian: .ci/docker",
        ) from error
    return client


def has_image(name: str) -> bool:
    """Whether the engine has an image; nothing is pulled.

    Raises:
        EngineMissing: no engine answers.
    """
    import docker

    with closing(engine()) as client:
        try:
            client.images.get(name)
        except docker.errors.ImageNotFound:
            return False
    return True


def prepare(surroundings: ContainerDefaults) -> None:
    """Make sure of the image, and make the stack's network.

    Raises:
        EngineMissing: no engine answers.
        ImageMissing: it has no such image.
    """
    if not has_image(surroundings.image):
        raise ImageMissing(
            f"the Docker engine has no image {surroundings.image}",
            details={"why": "the image of these very sources is used, so that no container runs old code"},
            hint="make image",
        )
    with closing(engine()) as client:
        if not client.networks.list(names=[surroundings.network]):
            client.networks.create(surroundings.network, driver="bridge", labels=dict(surroundings.labels))


def sandbox_options(memory_mib: int) -> dict[str, Any]:
    """How every container of ours is made: no capability, no new rights, bounded memory and processes.

    Args:
        memory_mib: limit, MiB; swap included.
    """
    return {
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
        "mem_limit": memory_mib * MIB,
        "memswap_limit": memory_mib * MIB,
        "pids_limit": PIDS,
        # The same probe asks from outside, and knows what it asks for.
        "healthcheck": {"test": ["NONE"]},
    }


def labels_found(label: str, value: str) -> list[dict[str, str]]:
    """The labels of every container and network that carries one.

    Raises:
        EngineMissing: no engine answers.
    """
    wanted = {"label": f"{label}={value}"}
    with closing(engine()) as client:
        containers = client.containers.list(all=True, filters=wanted, ignore_removed=True)
        networks = client.networks.list(filters=wanted)
        return [one.labels for one in containers] + [one.attrs.get("Labels") or {} for one in networks]


def remove_all(label: str, value: str | None = None) -> int:
    """Remove every container, then every network and volume that carries a label; returns how many containers.

    Raises:
        EngineMissing: no engine answers.
    """
    import docker

    wanted = {"label": label if value is None else f"{label}={value}"}
    with closing(engine()) as client:
        found: list[Any] = client.containers.list(all=True, filters=wanted, ignore_removed=True)
        for container in found:
            _gone(lambda container=container: container.remove(force=True, v=True))
        for network in client.networks.list(filters=wanted):
            with suppress(docker.errors.APIError):  # somebody attached a container of their own
                _gone(network.remove)
        for volume in client.volumes.list(filters=wanted):
            _gone(lambda volume=volume: volume.remove(force=True))
    return len(found)


def _gone(remove: Any) -> None:
    """Remove what another one may be removing at the same time."""
    import docker

    try:
        remove()
    except docker.errors.NotFound:
        return
    except docker.errors.APIError as error:
        if error.status_code != 409:
            raise


def _is_of_this_machine(name: str) -> bool:
    return name in _OF_THIS_MACHINE or name.startswith("XDG_") or name.endswith("STACK_TAG")


def _attendant_env(env: Mapping[str, str]) -> dict[str, str]:
    """The attendant is a process of this machine; of the container's environment it has only the stack's tag."""
    tags = {name: value for name, value in env.items() if name.endswith("STACK_TAG")}
    own = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path), "PYTHONUNBUFFERED": "1"}
    return {**inherited(*ENGINE_VARIABLES), **tags, **own}


def _passwd_of(user: tuple[int, int]) -> str:
    uid, gid = user
    return f"root:x:0:0::/root:/usr/sbin/nologin\ntest_infra:x:{uid}:{gid}::/tmp:/usr/sbin/nologin\n"
