"""Makes the services of a stack usable: start what does not run, wait until each answers a real request."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from pathlib import Path

from test_infra.base.deadline import Deadline, wait_for
from test_infra.base.errors import NotReady
from test_infra.runtime.backend import Runtime
from test_infra.runtime.local import UnknownProcess
from test_infra.runtime.process import ProcessSpec, ended_as
from test_infra.stack import containers, registry
from test_infra.stack.attached import Stack
from test_infra.stack.endpoint import Endpoint
from test_infra.stack.progress import OnUpProgress, UpProgress
from test_infra.stack.reach import ANSWERS_WITHIN_S, once_it_answers
from test_infra.stack.record import StackFolders, StackRecord, read_record, write_record
from test_infra.stack.service import ExternalService, ServiceFailed, ServicePlace, ServiceSpec
from test_infra.stack.sweep import STACK_TAG, stack_tag


def ensure_services(
    stack: Stack,
    folders: StackFolders,
    record: StackRecord,
    deadline: Deadline,
    say: OnUpProgress,
    alongside: Callable[[Stack], None] | None,
) -> None:
    """Make every service of a stack usable, each as soon as those it depends on are, and write their endpoints down.

    Args:
        stack: with a running keeper.
        folders: of the stack.
        record: what was asked for, and the ports.
        deadline: for everything together.
        say: called with every step.
        alongside: called at the same time; what it raises is raised here.

    Raises:
        NotReady: a service did not become usable in time.
        ServiceFailed: a service died while starting.
    """
    services = registry.services_of(record.spec)
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
    say: OnUpProgress,
) -> Endpoint:
    if isinstance(service, ExternalService):
        endpoint = service.endpoint(folders.secrets)
        say(UpProgress(service.name, f"external at {endpoint.host}:{endpoint.port}"))
        return once_it_answers(service, endpoint, deadline.within(ANSWERS_WITHIN_S))
    place = ServicePlace(
        stack_id=folders.id,
        config=folders.services / service.name,
        data=folders.data / service.name,
        secrets=folders.secrets,
        ports=record.ports[service.name],
        endpoints=endpoints,
    )
    here = service.on_host or stack.backend.on_this_machine
    if not here:
        place = containers.place_inside(place, service.name)
    runtime: Runtime = stack.host_runtime if here else stack.runtime
    log_path = folders.logs / f"{service.name}.log"
    known = record.endpoints.get(service.name)
    started = time.monotonic()
    if not _runs(runtime, service.name):
        say(UpProgress(service.name, "starting"))
        _make_folders(place)
        process = (
            _prepared_process(service, place, log_path)
            if here
            else containers.serving_process(record.spec, service, place, log_path, runtime)
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
    say(UpProgress(service.name, f"usable at {endpoint.host}:{endpoint.port} ({version}) after {start_s:.1f} s"))
    return endpoint.model_copy(update={"version": version, "start_s": round(start_s, 3), "usable_at": usable_at})


def _make_folders(place: ServicePlace) -> None:
    place.config.mkdir(mode=0o700, exist_ok=True)
    place.data.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
    place.data.mkdir(mode=0o700, exist_ok=True)


def _prepared_process(service: ServiceSpec, place: ServicePlace, log_path: Path) -> ProcessSpec:
    """The process of a service that was prepared here."""
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
