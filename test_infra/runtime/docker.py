"""The `docker` backend: the same processes, each in a container of its own.

Each container has an attendant (`test_infra.runtime.container_attendant`), a process of the stack's keeper: it makes
the container, passes on signals and output, and ends as it ended. So restarts, logs, exit records and
the end with the last lease are the keeper's, as in the `local` backend; and a container lives as long as its attendant,
because its first process watches a lock that the attendant holds. See docs/decisions/0035.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from pydantic import ValidationError

from test_infra.base.deadline import Deadline, StillWaiting, wait_for
from test_infra.base.environment import inherited
from test_infra.base.paths import private_dir, write_private
from test_infra.runtime.container import (
    ContainerDefaults,
    ContainerFiles,
    ContainerPhase,
    ContainerRefused,
    ContainerState,
    container_name,
    container_of,
    passwd_of,
)
from test_infra.runtime.docker_engine import ENGINE_VARIABLES, ensure_network, require_image
from test_infra.runtime.local import LocalRuntime
from test_infra.runtime.process import ProcessSpec, ProcessState

STARTED_WITHIN_S = 60.0


class DockerRuntime:
    """Processes in containers.

    Args:
        kept: the runtime of the attendants, processes of the stack's keeper.
        control_dir: the keeper's folder.
        defaults: what the containers have in common.
    """

    def __init__(self, kept: LocalRuntime, control_dir: Path, defaults: ContainerDefaults) -> None:
        self._kept = kept
        self._dir = control_dir / "containers"
        self._defaults = defaults

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
        files = self._files(spec.name)
        container = container_of(spec, self._defaults, files)
        files.lock.touch(mode=0o600)
        files.passwd.write_text(passwd_of(self._defaults.user))
        files.passwd.chmod(0o644)
        # A read-only file outside the stack is the user's (an application): its owner is not changed.
        stack = self._dir.parents[1]
        given = [mount for mount in container.mounts if not mount.read_only or mount.source.is_relative_to(stack)]
        self.hand_over(*(mount.source for mount in given))
        files.state.unlink(missing_ok=True)
        write_private(files.spec, container.model_dump_json())
        self._kept.start(
            ProcessSpec(
                name=spec.name,
                argv=(sys.executable, "-m", "test_infra.runtime.container_attendant", str(files.spec)),
                env=_attendant_env(spec.env),
                cwd=self._dir,
                log_path=spec.log_path,
                log_backups=spec.log_backups,
                restart=spec.restart,
                stop_signal=spec.stop_signal,
                # The attendant itself kills the container after this time, and needs a moment to record its end.
                stop_timeout_s=spec.stop_timeout_s + 5.0,
                exit_path=spec.exit_path,
            )
        )

        def started() -> None:
            state = self._state(spec.name)
            if state.phase is ContainerPhase.STARTING and self._kept.observe(spec.name).running:
                raise StillWaiting("the engine has not started it")
            if state.phase in (ContainerPhase.STARTING, ContainerPhase.REFUSED):
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
        """The container's name, its state and how it ended."""
        state = self._state(name)
        text = f"{container_name(name, self._defaults)} {state.phase}"
        if state.exit_code is not None:
            text += f", last exit code {state.exit_code}"
        return {"container": text + (f": {state.reason}" if state.reason else "")}

    def hand_over(self, *paths: Path) -> None:
        """Change the owner of files and folders to the user that containers run as; nothing where that is this user."""
        if os.geteuid() != 0:
            return
        for path in paths:
            for one in (path, *path.rglob("*")):
                with suppress(FileNotFoundError):  # a stream at work removes what it no longer needs
                    os.chown(one, *self._defaults.user, follow_symlinks=False)

    def _seen(self, process: ProcessState) -> ProcessState:
        if not process.running or not self._files(process.name).spec.exists():
            return process
        return process.model_copy(update={"pid": self._state(process.name).pid})

    def _state(self, name: str) -> ContainerState:
        try:
            return ContainerState.model_validate_json(self._files(name).state.read_text())
        except (FileNotFoundError, ValidationError):
            return ContainerState()

    def _files(self, process: str) -> ContainerFiles:
        return ContainerFiles(self._dir, process)


def prepare(defaults: ContainerDefaults) -> None:
    """Make sure of the stack's image, and make its network.

    Raises:
        EngineMissing: no engine answers.
        ImageMissing: it has no such image.
    """
    require_image(defaults.image)
    ensure_network(defaults.network, defaults.labels)


def _attendant_env(env: Mapping[str, str]) -> dict[str, str]:
    """The attendant is a process of this machine; of the container's environment it has only the stack's tag."""
    tags = {name: value for name, value in env.items() if name.endswith("STACK_TAG")}
    own = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path), "PYTHONUNBUFFERED": "1"}
    return {**inherited(*ENGINE_VARIABLES), **tags, **own}
