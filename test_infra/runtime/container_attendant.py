"""The attendant of one container: ``python -m test_infra.runtime.container_attendant SPEC``.

Makes the container, copies its output to stdout, passes signals on to it, waits for its end, removes it and ends with
the same exit code or signal. Its own messages go to the same log. It survives a restart of the engine.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from test_infra.base.deadline import Deadline, StillWaiting, wait_for
from test_infra.base.errors import InfrastructureError, TestInfraError
from test_infra.base.file_lock import wait_for_lock
from test_infra.base.paths import write_private
from test_infra.runtime.container import (
    LOCK_INSIDE,
    ContainerPhase,
    ContainerRefused,
    ContainerSpec,
    ContainerState,
    sandbox_options,
)
from test_infra.runtime.docker_engine import EngineMissing, engine
from test_infra.runtime.image import PYTHON, ROOT

if TYPE_CHECKING:
    from docker import DockerClient

ENGINE_BACK_WITHIN_S = 60.0
REFUSED = 125
"""Exit code of a container that never started, as the docker command has it."""
LOST = 1
CHECK_EVERY_S = 0.5
SHARED_MEMORY = "256m"
RUN_CHILD = ROOT / "code" / "test_infra" / "runtime" / "run_child.py"


class Attendant:
    """One container from its creation to its removal."""

    def __init__(self, spec: ContainerSpec) -> None:
        self._spec = spec
        self._client: DockerClient = _engine_back()
        self._container: Any = None
        self._copied_until = 0
        self._pending: list[int] = []
        self._woken = threading.Event()
        self._kill_at: float | None = None
        self._unwritten = False
        self._state = _former(spec.state)

    def run(self) -> int:
        """Attend the container; returns how it ended, a signal as 128 + its number."""
        try:
            self._start()
        except ContainerRefused as refused:
            self._record(phase=ContainerPhase.REFUSED, reason=refused.details["seen"])
            _say(str(refused))
            return REFUSED
        exit_code, reason = self._until_ended()
        if reason:
            _say(reason)
        self._record(phase=ContainerPhase.ENDED, exit_code=exit_code, reason=reason, pid=None)
        return exit_code

    def on_signal(self, signum: int, _frame: object) -> None:
        """Note a signal; the waiting loop passes it on."""
        self._pending.append(signum)
        self._woken.set()

    def _start(self) -> None:
        import docker

        spec = self._spec
        self._remove(spec.name)
        try:
            container = self._client.containers.create(
                spec.image,
                [PYTHON, "-I", str(RUN_CHILD), "-", *self._lock_options(), "--", *spec.argv],
                name=spec.name,
                hostname=spec.alias,
                environment=spec.env,
                working_dir=str(spec.cwd),
                user=spec.user,
                labels=spec.labels,
                network=spec.network,
                networking_config={
                    spec.network: self._client.api.create_endpoint_config(aliases=[spec.alias])
                },
                ports={f"{port}/tcp": ("127.0.0.1", port) for port in spec.ports},
                volumes=[f"{m.source}:{m.target}:{'ro' if m.read_only else 'rw'}" for m in spec.mounts],
                shm_size=SHARED_MEMORY,
                log_config=docker.types.LogConfig(type="json-file", config={"max-size": "16m", "max-file": "2"}),
                **sandbox_options(spec.memory_mib),
            )  # fmt: skip
        except docker.errors.APIError as error:
            raise _refused(spec, error) from error
        try:
            container.start()
            container.reload()
        except docker.errors.APIError as error:
            self._remove(spec.name)  # made, not started: that is a failure, and nothing stays
            raise _refused(spec, error) from error
        self._container = container
        self._record(phase=ContainerPhase.RUNNING, id=container.id, pid=container.attrs["State"]["Pid"] or None)

    def _lock_options(self) -> tuple[str, ...]:
        """Has the container end when we do, by our lock; an engine in another kernel does not share our locks."""
        engine_info, here = self._client.info(), os.uname()
        shared = (engine_info.get("KernelVersion"), engine_info.get("Name")) == (here.release, here.nodename)
        return ("--while-locked", str(LOCK_INSIDE)) if shared else ()

    def _until_ended(self) -> tuple[int, str]:
        """Pass output and signals on until the container ends; returns its exit code and a reason, or ""."""
        follower = self._follow()
        while True:
            if self._unwritten:
                self._record()
            self._pass_signals_on()
            if not follower.is_alive():
                seen = self._inspect()
                if seen is None:
                    return LOST, "the engine no longer knows this container: somebody removed it"
                if seen["Status"] in ("exited", "dead"):
                    self._patiently(lambda: self._remove(self._spec.name))
                    return int(seen["ExitCode"]), self._reason(seen)
                follower = self._follow()
            self._woken.wait(CHECK_EVERY_S)
            self._woken.clear()

    def _follow(self) -> threading.Thread:
        """Copy the container's output to ours until it ends, or the engine goes away."""
        thread = threading.Thread(target=self._copy_output, daemon=True)
        thread.start()
        return thread

    def _copy_output(self) -> None:
        import requests

        import docker

        since = {"since": self._copied_until} if self._copied_until else {}
        gone = (docker.errors.DockerException, requests.RequestException, OSError)
        with suppress(*gone):
            for chunk in self._container.logs(stream=True, follow=True, **since):
                sys.stdout.buffer.write(chunk)
                sys.stdout.buffer.flush()
        self._copied_until = int(time.time())
        self._woken.set()

    def _inspect(self) -> dict[str, Any] | None:
        """The container's state as the engine has it; None when it is unknown there."""
        state: dict[str, Any] | None = self._patiently(
            lambda: self._client.api.inspect_container(self._spec.name)["State"]
        )
        return state

    def _patiently(self, ask: Callable[[], Any]) -> Any:
        """The engine's answer, waiting for an engine that is restarting; None where nothing is found."""
        import requests

        import docker

        def answered() -> Any:
            try:
                return ask()
            except docker.errors.NotFound:
                return None
            except (docker.errors.DockerException, requests.RequestException, OSError) as error:
                raise StillWaiting(f"{type(error).__name__}: {error}") from error

        return wait_for(
            answered, Deadline(ENGINE_BACK_WITHIN_S), what="the Docker engine", awaited=f"word of {self._spec.name}"
        )

    def _pass_signals_on(self) -> None:
        import requests

        import docker

        while self._pending:
            signum = self._pending.pop(0)
            # It has just ended, or the engine has: then the container ends with it.
            with suppress(docker.errors.APIError, requests.RequestException):
                self._pass_on(signum)
        if self._kill_at is not None and time.monotonic() > self._kill_at:
            self._kill_at = None
            _say(f"it does not end within {self._spec.stop_timeout_s:.0f} s: killed")
            with suppress(docker.errors.APIError, requests.RequestException):
                self._client.api.kill(self._spec.name, "SIGKILL")

    def _pass_on(self, signum: int) -> None:
        api, name = self._client.api, self._spec.name
        if signum == signal.SIGTSTP:
            api.pause(name)
        elif signum == signal.SIGCONT:
            api.unpause(name)
        elif signum == signal.SIGUSR2:  # stands for SIGKILL, which we could not catch
            api.kill(name, "SIGKILL")
        else:
            with suppress(Exception):
                api.unpause(name)  # a paused one would not receive it
            api.kill(name, signal.Signals(signum).name)
            if signum in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
                self._kill_at = time.monotonic() + self._spec.stop_timeout_s

    def _reason(self, seen: dict[str, Any]) -> str:
        if seen.get("OOMKilled"):
            return f"the container was killed: it used more than its limit of {self._spec.memory_mib} MiB"
        return str(seen.get("Error") or "")

    def _remove(self, name: str) -> None:
        import docker

        with suppress(docker.errors.NotFound):
            self._client.api.remove_container(name, force=True, v=True)

    def _record(self, **changed: object) -> None:
        self._state = self._state.model_copy(update=changed)
        try:
            write_private(self._spec.state, self._state.model_dump_json())
            self._unwritten = False
        except OSError:  # the disk is full: tried again with every check; our own exit code says how it ended
            self._unwritten = True


def _former(path: Path) -> ContainerState:
    """How the container of the former start ended; kept until the next one ends."""
    try:
        former = ContainerState.model_validate_json(path.read_text())
    except (FileNotFoundError, ValidationError):
        return ContainerState()
    return ContainerState(exit_code=former.exit_code, reason=former.reason)


def _engine_back() -> DockerClient:
    """The engine; waits for one that is restarting."""

    def answering() -> DockerClient:
        try:
            return engine()
        except EngineMissing as error:
            raise StillWaiting(error.details.get("seen", error.what)) from error

    return wait_for(answering, Deadline(ENGINE_BACK_WITHIN_S), what="the Docker engine", awaited="an answer")


def _refused(spec: ContainerSpec, error: Exception) -> ContainerRefused:
    explanation = getattr(error, "explanation", None) or str(error)
    return ContainerRefused(f"no container {spec.name}", details={"image": spec.image, "seen": str(explanation)})


def _say(text: str) -> None:
    sys.stdout.write(f"[container] {text}\n")
    sys.stdout.flush()


def _end_as(exit_code: int) -> int:
    """End this process as the container's ended: by the same signal where it was one."""
    signum = exit_code - 128
    if signum in (signal.SIGTERM, signal.SIGINT, signal.SIGKILL, signal.SIGABRT, signal.SIGSEGV):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if signum != signal.SIGKILL:
            signal.signal(signum, signal.SIG_DFL)
        os.kill(os.getpid(), signum)
    return exit_code


def main(argv: list[str]) -> int:
    """Hold the lock, attend the container."""
    spec = ContainerSpec.model_validate_json(Path(argv[0]).read_text())
    with wait_for_lock(spec.lock):
        try:
            attendant = Attendant(spec)
            for signum in (
                signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT,
                signal.SIGUSR1, signal.SIGUSR2, signal.SIGTSTP, signal.SIGCONT,
            ):  # fmt: skip
                signal.signal(signum, attendant.on_signal)
            exit_code = attendant.run()
        except TestInfraError as error:
            _say(str(error))
            return LOST if isinstance(error, InfrastructureError) else REFUSED
    return _end_as(exit_code)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
