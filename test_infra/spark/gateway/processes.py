"""Drivers as processes of a stack's runtime: on this machine, or each in its own container.

Each driver is the child of a small process (`test_infra.runtime.run_child`) that writes its exit code and end time.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import test_infra
from test_infra.base.environment import inherited
from test_infra.base.errors import TestInfraError
from test_infra.base.paths import write_private
from test_infra.runtime.container import ContainerRefused
from test_infra.runtime.local import UnknownProcess
from test_infra.runtime.process import ProcessSpec
from test_infra.spark.driver import container_entrypoint, event_log
from test_infra.spark.driver.command import command, existing, spark_environment, wheel_of
from test_infra.spark.driver.job_folder import JOB_DIR_VARIABLE, SPEC
from test_infra.spark.driver.spark_properties import write_properties
from test_infra.spark.driver.status import read_status
from test_infra.spark.gateway.backend import Attempt, Refused
from test_infra.spark.gateway.environment import values_of
from test_infra.spark.gateway.logs import read_log
from test_infra.spark.gateway.states import DriverState, Observation
from test_infra.spark.job.spec import JobSpec

if TYPE_CHECKING:
    from test_infra.runtime.backend import Runtime
    from test_infra.runtime.process import ProcessState
    from test_infra.stack import Stack

LOG_BACKUPS = 63
"""Old files of a driver's log, 1 GiB together: an offset is valid until one of them is deleted."""
EXIT = "exit.json"
"""File in the attempt's folder with exit code and end time."""


class ProcessBackend:
    """Drivers as processes of one stack.

    Args:
        stack: whose keeper runs them, and whose backend decides whether each is in a container.
    """

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._runtime: Runtime = stack.runtime
        self.name = stack.spec.backend

    def start(self, attempt: Attempt) -> None:
        """Write the driver's files and ask the keeper for its process.

        Raises:
            Refused: a file, a jar, Java, a referenced value, or the image of another Spark version is missing.
            NotReady: the keeper has not confirmed the request; it may still carry it out.
        """
        try:
            for path in _files_of(attempt.spec):
                existing(path)
            write_private(attempt.folder / SPEC, attempt.spec.model_dump_json())
            process = self._driver_process(attempt)
        except (TestInfraError, OSError) as error:
            raise Refused(
                f"the driver of {attempt.spec.name} cannot be started", details={"why": str(error)}
            ) from error
        try:
            self._runtime.start(process)
        except ContainerRefused as error:
            why = str(error)
            if process.image is not None:
                minor = ".".join(attempt.spec.spark_version.split(".")[:2])
                remedy = f"make image SPARK={minor}, if docker/spark has a folder for it"
                why = f"Spark {attempt.spec.spark_version} has an image of its own: {remedy}\n{why}"
            raise Refused(f"no container for {attempt.spec.name}", details={"why": why}) from error

    def observe(self, attempts: list[Attempt]) -> list[Observation]:
        """The states of all of them from one read of the keeper's state."""
        try:
            # All processes of a keeper end with it, so the state that a dead keeper left behind is out of date.
            processes = self._runtime.observe_all() if self._stack.keeper.alive else {}
        except (OSError, ValueError) as error:
            reason = f"the keeper's state cannot be read: {error}"
            return [Observation(DriverState.UNREACHABLE, reason=reason)] * len(attempts)
        return [_observation(attempt, processes.get(attempt.process_name)) for attempt in attempts]

    def stop(self, attempt: Attempt, timeout_s: float) -> None:
        """SIGTERM, and SIGKILL after the spec's ``stop_s``; returns when it has ended."""
        if not self._stack.keeper.alive:  # then none of its processes is
            return
        with suppress(UnknownProcess):
            self._runtime.stop(attempt.process_name, timeout_s=timeout_s)

    def signal(self, attempt: Attempt, signum: int) -> None:
        """Send a signal to the driver; for fault tests."""
        self._runtime.signal(attempt.process_name, signum)

    def logs(self, attempt: Attempt, offset: int, size_bytes: int) -> bytes:
        """A piece of the log, rotated files included."""
        return read_log(attempt.log_path, offset, size_bytes)

    def _driver_process(self, attempt: Attempt) -> ProcessSpec:
        here = self._stack.backend.on_this_machine
        return self._on_this_machine(attempt) if here else self._in_container(attempt)

    def _on_this_machine(self, attempt: Attempt) -> ProcessSpec:
        from test_infra.jvm.java import find_java

        folder, spec = attempt.folder, attempt.spec
        if not _is_ours(spec.spark_version):
            raise Refused(
                f"Spark {spec.spark_version} is asked for and this machine has {version('pyspark')}",
                hint="leave out spark_version, or run it in a container, whose image has a Spark: backend docker",
            )
        values = values_of(spec)
        # Written here, where the user's proxies and certificates are known: the driver's environment lacks them.
        properties = write_properties(spec, folder, ui_port=attempt.ui_port)
        environment = self._stack.process_env() | inherited() | values | spark_environment(properties)
        environment |= {
            JOB_DIR_VARIABLE: str(folder),
            "JAVA_HOME": str(find_java().home),
            "PYTHONPATH": os.pathsep.join(filter(None, (wheel_of(spec), str(Path(test_infra.__file__).parents[1])))),
            "PYTHONUNBUFFERED": "1",
            "PYSPARK_PYTHON": sys.executable,
        }
        return ProcessSpec(argv=command(spec, properties), env=environment, **_common(attempt))

    def _in_container(self, attempt: Attempt) -> ProcessSpec:
        """A container has its own Spark, and sees the job's folder, the lake and the application."""
        folder, spec, driver = attempt.folder, attempt.spec, attempt.spec.resources.driver
        # Everybody who may use the engine can read the environment of its containers, so these values go into a file.
        write_private(folder / container_entrypoint.VALUES, json.dumps(values_of(spec)))
        ui = (attempt.ui_port,) if attempt.ui_port else ()
        return ProcessSpec(
            argv=(sys.executable, "-m", "test_infra.spark.driver.container_entrypoint", str(folder), *map(str, ui)),
            env={**self._stack.process_env(), JOB_DIR_VARIABLE: str(folder), "PYTHONUNBUFFERED": "1"},
            **_common(attempt),
            reads=tuple(Path(path) for path in _files_of(spec)),
            memory_limit_mib=driver.memory_mib + driver.overhead_mib,
            ports=(*ui, *spec.ports),
            image=None if _is_ours(spec.spark_version) else f"{self._stack.spec.image}-{spec.spark_version}",
        )


def _common(attempt: Attempt) -> dict[str, Any]:
    """What is the same wherever the driver runs."""
    return {
        "name": attempt.process_name,
        "cwd": attempt.folder,
        "log_path": attempt.log_path,
        "log_backups": LOG_BACKUPS,
        "stop_timeout_s": attempt.spec.timeouts.stop_s,
        "exit_path": attempt.folder / EXIT,
    }


def _files_of(spec: JobSpec) -> tuple[str, ...]:
    return (*spec.application_files.values(), *spec.files)


def _is_ours(spark_version: str) -> bool:
    """Whether the Spark that is installed here, and in the image of these sources, has this version."""
    return not spark_version or f"{version('pyspark')}.".startswith(f"{spark_version}.")


def _observation(attempt: Attempt, process: ProcessState | None) -> Observation:
    exit_code, ended_at = _exit(attempt.folder / EXIT)
    if process is None:
        # A restarted keeper does not know the processes of the former one, but how they ended is in their files.
        state = DriverState.ABSENT if exit_code is None else DriverState.ENDED
        return Observation(state, exit_code=exit_code, ended_at=ended_at)
    if not process.running and exit_code is None:
        exit_code, ended_at = process.exit_code, process.ended_at
        if exit_code is None:
            # The process that waited for it writes its exit code within a moment.
            return Observation(DriverState.UNREACHABLE, reason="it is gone, and how it ended is not recorded yet")
    status, events = read_status(attempt.folder), event_log.read_event_log(attempt.folder)
    event_log.delete_old_pieces(attempt.folder)
    return Observation(
        DriverState.RUNNING if process.running else DriverState.ENDED,
        exit_code=exit_code,
        ended_at=ended_at,
        driver_ready=status.driver_ready_at is not None or events.ready,
        at_work=status.ready_at is not None or events.at_work,
    )


def _exit(path: Path) -> tuple[int | None, float | None]:
    try:
        written = json.loads(path.read_text())
    except FileNotFoundError:
        return None, None
    return int(written["exit_code"]), float(written["ended_at"])
