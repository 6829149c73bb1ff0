"""up, down, attach: the only place where services begin and end."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from test_infra.base.backend import Backend
from test_infra.base.deadline import Deadline, StillWaiting, wait_for
from test_infra.base.environment import inherited
from test_infra.base.errors import InfrastructureError, NotReady, last_lines
from test_infra.base.file_lock import FileLock, LockHeld, take_lock
from test_infra.base.ids import stack_id_of
from test_infra.base.paths import HOME_VARIABLE, STACK_VARIABLE, home, project_root
from test_infra.runtime import docker, docker_engine, namespace
from test_infra.runtime.backend import Runtime
from test_infra.runtime.docker import DockerRuntime
from test_infra.runtime.docker_engine import ENGINE_VARIABLES
from test_infra.runtime.local import LocalRuntime, UnknownProcess
from test_infra.runtime.process import ProcessSpec, ended_as
from test_infra.stack import containers
from test_infra.stack.lease import Lease, LeaseRecord, live_leases
from test_infra.stack.ports import claim, free_ports
from test_infra.stack.record import Endpoint, ProcessId, StackFolders, StackRecord, read_record, write_record
from test_infra.stack.service import ExternalService, Place, ServiceFailed, ServiceSpec
from test_infra.stack.services import services_of
from test_infra.stack.spec import StackSpec
from test_infra.stack.stability import USABLE, ServiceState
from test_infra.stack.sweep import STACK_TAG, kill_leftovers, stack_tag

KEEPER_INHERITS = ("USER", "LOGNAME", "TMPDIR", "LD_LIBRARY_PATH", "XDG_RUNTIME_DIR", *ENGINE_VARIABLES)
"""What a keeper takes over from its caller beyond what everybody does; it lives for hours."""


KEEPER_MODULE = "test_infra.stack.keeper"


class StackNotRunning(InfrastructureError):
    """There is no stack to attach to."""


class StackConflict(InfrastructureError):
    """The running stack is not the one that was asked for."""


@dataclass(frozen=True)
class Step:
    """Progress of `up`.

    Args:
        service: which service, or ``stack``.
        text: what it does now.
    """

    service: str
    text: str


Progress = Callable[[Step], None]


@dataclass(frozen=True)
class ServiceStatus:
    """What was seen of a service just now.

    Args:
        name: the service.
        state: what was seen.
        detail: why, where it is not usable.
        pid: its process.
        restarts: how often it came back after it ended by itself.
        endpoint: how it is reached; None before it was usable once.
    """

    name: str
    state: ServiceState
    detail: str
    pid: int | None
    restarts: int
    endpoint: Endpoint | None


@dataclass(frozen=True)
class StackStatus:
    """What was seen of a stack just now.

    Args:
        id: the stack.
        running: whether its keeper runs.
        services: one entry a service.
        leases: why it goes on living.
    """

    id: str
    running: bool
    services: tuple[ServiceStatus, ...]
    leases: tuple[LeaseRecord, ...]

    @property
    def usable(self) -> bool:
        """Whether every service answered."""
        return self.running and all(service.state in USABLE for service in self.services)


class Stack:
    """A running stack, attached to."""

    def __init__(self, folders: StackFolders, record: StackRecord) -> None:
        if record.keeper is None:
            raise StackNotRunning(f"stack {folders.id} has no keeper", hint="test-infra up")
        self._folders = folders
        self._record = record
        self.host_runtime = LocalRuntime(folders.control, record.keeper.pid)
        self.runtime: Runtime = self.host_runtime
        if record.spec.backend is Backend.DOCKER:
            self.runtime = DockerRuntime(self.host_runtime, folders.control, containers.surroundings(folders, record))

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

    def expected_address(self, service: str) -> str:
        """``host:port`` where a service is, or will be once it is usable: ports are known before any service starts."""
        known = services_of(self._record.spec)[service]
        if isinstance(known, ExternalService):
            endpoint = known.endpoint(self._folders.secrets)
            return f"{endpoint.host}:{endpoint.port}"
        return f"127.0.0.1:{self._record.ports[service][known.ports[0]]}"

    def hand_over(self, *paths: Path) -> None:
        """Let the stack's Spark jobs use files and folders that were made for them after their start."""
        self.runtime.hand_over(*paths)

    def remove_containers(self) -> None:
        """Remove whatever the stack has on a Docker engine; nothing where it never had any."""
        if self._record.spec.backend is Backend.DOCKER:
            docker_engine.remove_all(docker_engine.STACK_LABEL, stack_tag(self.id))

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

    def status(self) -> StackStatus:
        """Look at every service now."""
        return _status(self._folders, read_record(self._folders) or self._record)


def current_stack_id() -> str:
    """``$TEST_INFRA_STACK``, else the id of the checkout around the working folder."""
    return os.environ.get(STACK_VARIABLE) or stack_id_of(project_root())


def attach(stack_id: str | None = None) -> Stack:
    """The running stack; starts nothing.

    Raises:
        StackNotRunning: its keeper does not run.
    """
    folders = StackFolders(stack_id or current_stack_id())
    record = read_record(folders)
    if record is None or record.keeper is None or not record.keeper.alive:
        raise StackNotRunning(f"stack {folders.id} is not running", hint="test-infra up")
    return Stack(folders, record)


def attach_from_within(stack_id: str) -> Stack:
    """The stack that this very process is a part of; for services that start others.

    A keeper's record holds its process id as the machine sees it. Within its PID namespace it has another one, by which
    it is the ancestor of whoever asks.

    Raises:
        StackNotRunning: this process belongs to no stack of that id.
    """
    folders = StackFolders(stack_id)
    record = read_record(folders)
    keepers = [process for process in psutil.Process().parents() if KEEPER_MODULE in process.cmdline()]
    if record is None or not keepers:
        raise StackNotRunning(f"this process is no part of stack {stack_id}", hint="test-infra up")
    # The innermost of several: `unshare`, which started it, names the module too.
    return Stack(folders, record.model_copy(update={"keeper": ProcessId.of(keepers[0].pid)}))


def up(
    spec: StackSpec,
    *,
    lease: Lease,
    stack_id: str | None = None,
    progress: Progress | None = None,
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
        PortTaken: a fixed port belongs to somebody else.
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
            if spec.backend is Backend.DOCKER:
                docker.prepare(containers.surroundings(folders, record))
            write_record(folders, record)
            lease.take(folders.leases)
            say(Step("stack", "starting the keeper"))
            record = record.model_copy(update={"keeper": _start_keeper(folders, deadline)})
            write_record(folders, record)
        else:
            lease.take(folders.leases)
        stack = Stack(folders, record)
        try:
            _ensure_services(stack, folders, record, deadline, say, alongside)
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
    """
    folders = StackFolders(stack_id or current_stack_id())
    record = read_record_or_none(folders)
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
    """End what a dead keeper left: processes, and containers where the stack has, had or is to have any."""
    kill_leftovers(stack_tag(folders.id))
    known = [one for one in (record.spec if record else None, spec) if one is not None]
    if any(one.backend is Backend.DOCKER for one in known):
        docker_engine.remove_all(docker_engine.STACK_LABEL, stack_tag(folders.id))


def read_record_or_none(folders: StackFolders) -> StackRecord | None:
    """The record; None also where it cannot be read, because reality (the keeper, the sweep) decides what follows."""
    try:
        return read_record(folders)
    except InfrastructureError:
        return None


def _clear_data(folders: StackFolders) -> None:
    if folders.data.exists():
        shutil.rmtree(folders.data, ignore_errors=True)


@contextmanager
def _up_lock(folders: StackFolders, deadline: Deadline, say: Progress) -> Iterator[None]:
    told = False

    def locked() -> FileLock:
        nonlocal told
        try:
            return take_lock(folders.up_lock)
        except LockHeld as error:
            if not told:
                say(Step("stack", "waiting for another `up` or the end of the former stack"))
                told = True
            raise StillWaiting("another process starts or ends this stack") from error

    with wait_for(locked, deadline, what=f"stack {folders.id}", awaited="its lock", hint="test-infra status"):
        yield


def _choose_ports(spec: StackSpec) -> dict[str, dict[str, int]]:
    local = [service for service in services_of(spec).values() if isinstance(service, ServiceSpec)]
    free = iter(free_ports(sum(len(service.ports) for service in local)))
    ports: dict[str, dict[str, int]] = {}
    for service in local:
        ports[service.name] = {name: next(free) for name in service.ports}
        if service.fixed_port is not None:
            ports[service.name][service.ports[0]] = claim(service.fixed_port, service.name)
    return ports


def _start_keeper(folders: StackFolders, deadline: Deadline) -> ProcessId:
    prefix = namespace.entering()
    command = [
        *prefix,
        sys.executable,
        "-m",
        KEEPER_MODULE,
        folders.id,
        *(["--namespaced"] if prefix else []),
    ]
    log_path = folders.logs / "keeper.log"
    with log_path.open("ab") as log:
        started = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd="/",
            env={
                **inherited(*KEEPER_INHERITS),
                HOME_VARIABLE: str(home()),
                STACK_TAG: stack_tag(folders.id),
                "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
            },
        )

    def supervising() -> None:
        if started.poll() is not None:
            raise ServiceFailed(
                "the keeper ended at once", details={"seen": ended_as(started.returncode)}, log=log_path
            )
        if not (folders.control / "processes.json").exists():
            raise StillWaiting("it has not written its state")

    wait_for(
        supervising,
        deadline.within(20),
        what="the keeper",
        awaited="its first state",
        log=log_path,
        interval_s=0.02,
    )
    # Reaped in the background, so that an ended keeper is no zombie of a long-lived caller.
    threading.Thread(target=started.wait, daemon=True, name="reap-keeper").start()
    if not prefix:
        return ProcessId.of(started.pid)
    return ProcessId.of(psutil.Process(started.pid).children()[0].pid)


def _ensure_services(
    stack: Stack,
    folders: StackFolders,
    record: StackRecord,
    deadline: Deadline,
    say: Progress,
    alongside: Callable[[Stack], None] | None,
) -> None:
    services = services_of(record.spec)
    usable: dict[str, threading.Event] = {name: threading.Event() for name in services}
    endpoints: dict[str, Endpoint] = {}
    writing = threading.Lock()

    def ensure(service: ServiceSpec | ExternalService) -> None:
        for dependency in service.depends_on:
            while not usable[dependency].wait(0.05):
                if failed.is_set() or deadline.expired:
                    return
        endpoint = _ensure_one(stack, folders, record, service, endpoints, deadline, say)
        with writing:
            endpoints[service.name] = endpoint
            current = read_record(folders) or record
            write_record(folders, current.model_copy(update={"endpoints": {**current.endpoints, **endpoints}}))
        usable[service.name].set()

    failed = threading.Event()
    with ThreadPoolExecutor(len(services) + 1, thread_name_prefix="up") as pool:
        futures: list[Future[None]] = [pool.submit(ensure, service) for service in services.values()]
        if alongside is not None:
            futures.append(pool.submit(alongside, stack))
        try:
            done, _ = wait(futures, return_when=FIRST_EXCEPTION)
        finally:
            failed.set()
        for future in done:
            future.result()
    missing = set(services) - set(endpoints)
    if missing:
        raise NotReady(
            f"{', '.join(sorted(missing))} not usable after {deadline.elapsed_s:.1f} s",
            hint="test-infra doctor",
        )


def _ensure_one(
    stack: Stack,
    folders: StackFolders,
    record: StackRecord,
    service: ServiceSpec | ExternalService,
    endpoints: dict[str, Endpoint],
    deadline: Deadline,
    say: Progress,
) -> Endpoint:
    if isinstance(service, ExternalService):
        endpoint = service.endpoint(folders.secrets)
        say(Step(service.name, f"external at {endpoint.host}:{endpoint.port}"))
        version = wait_for(
            lambda: service.probe(endpoint),
            deadline.within(15),
            what=service.name,
            awaited=f"an answer from {endpoint.url}",
        )
        return endpoint.model_copy(update={"version": version})
    place = Place(
        stack_id=folders.id,
        config=folders.services / service.name,
        data=folders.data / service.name,
        secrets=folders.secrets,
        ports=record.ports[service.name],
        endpoints=endpoints,
    )
    contained = record.spec.backend is Backend.DOCKER and not service.on_host
    if contained:
        place = containers.place(place, service.name)
    runtime = stack.runtime if contained else stack.host_runtime
    log_path = folders.logs / f"{service.name}.log"
    known = record.endpoints.get(service.name)
    started = time.monotonic()
    if not _runs(runtime, service.name):
        say(Step(service.name, "starting"))
        _make_folders(place)
        process = (
            containers.process(record.spec, service, place, log_path, runtime)
            if contained
            else _process(service, place, log_path)
        )
        runtime.start(process.model_copy(update={"env": {**process.env, STACK_TAG: stack_tag(stack.id)}}))
    endpoint = service.endpoint(place).model_copy(update={"log_path": log_path})

    def usable() -> str:
        _raise_if_ended(runtime, service.name, log_path)
        return service.probe(endpoint)

    version = wait_for(
        usable,
        deadline,
        what=service.name,
        awaited=f"an answer from {endpoint.url}",
        log=log_path,
        hint="test-infra doctor",
    )
    start_s = known.start_s if known is not None else time.monotonic() - started
    usable_at = known.usable_at if known is not None else time.time()
    say(Step(service.name, f"usable at {endpoint.host}:{endpoint.port} ({version}) after {start_s:.1f} s"))
    return endpoint.model_copy(update={"version": version, "start_s": round(start_s, 3), "usable_at": usable_at})


def _make_folders(place: Place) -> None:
    place.config.mkdir(mode=0o700, exist_ok=True)
    place.data.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
    place.data.mkdir(mode=0o700, exist_ok=True)


def _process(service: ServiceSpec, place: Place, log_path: Path) -> ProcessSpec:
    service.prepare(place)
    command = service.command(place)
    return ProcessSpec(
        name=service.name,
        argv=command.argv,
        env=dict(command.env),
        cwd=place.data,
        log_path=log_path,
        uid=command.user.uid if command.user else None,
        gid=command.user.gid if command.user else None,
        restart=service.restart,
        stop_signal=service.stop_signal,
        stop_timeout_s=service.stop_timeout_s,
        end_signal=service.end_signal,
        memory_limit_mib=service.memory_limit_mib,
    )


def _runs(runtime: Runtime, name: str) -> bool:
    try:
        return runtime.observe(name).running
    except UnknownProcess:
        return False


def _raise_if_ended(runtime: Runtime, name: str, log_path: Path) -> None:
    state = runtime.observe(name)
    if state.exit_code is not None and (not state.running or state.restarts > 1):
        lived_s = (state.ended_at or 0) - state.started_at if state.started_at is not None else 0.0
        raise ServiceFailed(
            f"{name} died while starting",
            details={
                "seen": f"process {ended_as(state.exit_code)}" + (f" after {lived_s:.1f} s" if lived_s > 0 else ""),
                **runtime.describe(name),
            },
            log=log_path,
            hint="test-infra doctor",
        )


def _status(folders: StackFolders, record: StackRecord) -> StackStatus:
    running = record.keeper is not None and record.keeper.alive
    leases = tuple(live_leases(folders.leases, time.time())) if running else ()
    runtime = Stack(folders, record).runtime if running else None
    services = services_of(record.spec)
    with ThreadPoolExecutor(len(services)) as pool:
        seen = pool.map(
            lambda service: _service_status(service, record.endpoints.get(service.name), runtime),
            services.values(),
        )
        return StackStatus(folders.id, running, tuple(seen), leases)


def _service_status(
    service: ServiceSpec | ExternalService, endpoint: Endpoint | None, runtime: Runtime | None
) -> ServiceStatus:
    if runtime is None:
        return ServiceStatus(service.name, ServiceState.ENDED, "the stack is not running", None, 0, endpoint)
    pid, restarts = None, 0
    if isinstance(service, ServiceSpec):
        try:
            process = runtime.observe(service.name)
        except UnknownProcess:
            return ServiceStatus(service.name, ServiceState.NOT_STARTED, "", None, 0, endpoint)
        pid, restarts = process.pid, process.restarts
        if not process.running or process.pid is None:
            state = ServiceState.RESTARTING if process.running else ServiceState.ENDED
            detail = ended_as(process.exit_code) if process.exit_code is not None else ""
            return ServiceStatus(service.name, state, detail, None, restarts, endpoint)
    if endpoint is None:
        return ServiceStatus(service.name, ServiceState.NOT_STARTED, "never usable yet", pid, restarts, None)
    try:
        service.probe(endpoint)
    except (StillWaiting, InfrastructureError) as error:
        lines = str(error).splitlines() or last_lines(endpoint.log_path or Path("/nonexistent"), 1)
        detail = lines[0] if lines else ""
        return ServiceStatus(service.name, ServiceState.NOT_ANSWERING, detail, pid, restarts, endpoint)
    return ServiceStatus(
        service.name,
        ServiceState.EXTERNAL if isinstance(service, ExternalService) else ServiceState.USABLE,
        "",
        pid,
        restarts,
        endpoint,
    )
