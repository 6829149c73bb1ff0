"""Drivers as processes of a stack's runtime: on this machine, or each in a container of its own.

Each driver has a small keeper of its own (`test_infra.runtime.run_child`), which writes exit code and end time.
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
from test_infra.base.backend import Backend
from test_infra.base.environment import inherited
from test_infra.base.errors import TestInfraError
from test_infra.base.paths import write_private
from test_infra.base.redaction import redact
from test_infra.runtime.container import ContainerRefused
from test_infra.runtime.local import UnknownProcess
from test_infra.runtime.process import ProcessSpec
from test_infra.spark.driver import container_entrypoint, event_log
from test_infra.spark.driver.session import (
    JOB_DIR_VARIABLE,
    command,
    existing,
    read_status,
    spark_environment,
    wheel_of,
    write_properties,
)
from test_infra.spark.gateway import connect_servers as connect
from test_infra.spark.gateway.backend import Attempt, Refused
from test_infra.spark.gateway.logs import read_log
from test_infra.spark.gateway.states import Observation
from test_infra.spark.job.spec import FromFile, FromVariable, JobSpec

if TYPE_CHECKING:
    from test_infra.runtime.backend import Runtime
    from test_infra.runtime.process import ProcessState
    from test_infra.stack import Stack

LOG_BACKUPS = 63
"""Old files of a driver's log, 1 GiB together: an offset stays valid as long as none was thrown away."""


class ProcessBackend:
    """Drivers as kept processes of one stack.

    Args:
        stack: whose keeper keeps them, and whose backend says whether each is in a container.
    """

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._runtime: Runtime = stack.runtime
        self.name = stack.spec.backend.value

    def start(self, attempt: Attempt) -> None:
        """Write the driver's files and ask the keeper for its process.

        Raises:
            Refused: a file, a jar, Java, a referenced value, or the image of another Spark version is missing.
            NotReady: the keeper has not said that it took the request; it may take it later.
        """
        try:
            for path in _files_of(attempt.spec):
                existing(path)
            write_private(attempt.folder / "job.json", attempt.spec.model_dump_json())
            process = self._contained(attempt) if self._stack.spec.backend is Backend.DOCKER else self._process(attempt)
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
                way = f"make image SPARK={minor}, if docker/spark has a folder for it"
                why = f"Spark {attempt.spec.spark_version} has an image of its own: {way}\n{why}"
            raise Refused(f"no container for {attempt.spec.name}", details={"why": why}) from error

    def observe(self, attempts: list[Attempt]) -> list[Observation]:
        """One look at the keeper's state for all of them."""
        try:
            # The end of a keeper is the end of all its processes; its last word on them is no observation.
            processes = self._runtime.observe_all() if self._stack.keeper.alive else {}
        except (OSError, ValueError) as error:
            return [Observation(found=False, unreachable=f"the keeper's state cannot be read: {error}")] * len(attempts)
        return [_observation(attempt, processes.get(attempt.process_name)) for attempt in attempts]

    def stop(self, attempt: Attempt, timeout_s: float) -> None:
        """SIGTERM, and SIGKILL after the spec's patience; returns when it has ended."""
        if not self._stack.keeper.alive:  # and so is nothing that it kept
            return
        with suppress(UnknownProcess):
            self._runtime.stop(attempt.process_name, timeout_s=timeout_s)

    def signal(self, attempt: Attempt, signum: int) -> None:
        """Send a signal to the driver; for fault tests."""
        self._runtime.signal(attempt.process_name, signum)

    def logs(self, attempt: Attempt, offset: int, size_bytes: int) -> bytes:
        """A piece of the log, rotated files included."""
        return read_log(attempt.log_path, offset, size_bytes)

    def _process(self, attempt: Attempt) -> ProcessSpec:
        from test_infra.jvm.java import find_java

        folder, spec = attempt.folder, attempt.spec
        if not _is_ours(spec.spark_version):
            raise Refused(
                f"Spark {spec.spark_version} is asked for and this machine has {version('pyspark')}",
                hint="leave out spark_version, or run it in a container, whose image has a Spark: backend docker",
            )
        values = values_of(spec)
        # Here, where the user's proxies and certificates are known; the driver's environment is bare.
        properties = write_properties(spec, folder, ui_port=attempt.ui_port)
        environment = self._stack.process_env() | inherited() | values | spark_environment(properties)
        environment |= {
            JOB_DIR_VARIABLE: str(folder),
            "JAVA_HOME": str(find_java().home),
            "PYTHONPATH": os.pathsep.join(filter(None, (wheel_of(spec), str(Path(test_infra.__file__).parents[1])))),
            "PYTHONUNBUFFERED": "1",
            "PYSPARK_PYTHON": sys.executable,
        }
        return ProcessSpec(argv=command(spec, properties), env=environment, **_kept(attempt))

    def _contained(self, attempt: Attempt) -> ProcessSpec:
        """The driver's container: it has its own Spark, and sees the job's folder, the lake and the application."""
        folder, spec, driver = attempt.folder, attempt.spec, attempt.spec.resources.driver
        # An engine shows the environment of its containers to whoever asks, so these come in a file.
        write_private(folder / container_entrypoint.VALUES, json.dumps(values_of(spec)))
        ui, connect_port = (attempt.ui_port,) if attempt.ui_port else (), spec.labels.get(connect.LABEL)
        return ProcessSpec(
            argv=(sys.executable, "-m", "test_infra.spark.driver.container_entrypoint", str(folder), *map(str, ui)),
            env={**self._stack.process_env(), JOB_DIR_VARIABLE: str(folder), "PYTHONUNBUFFERED": "1"},
            **_kept(attempt),
            reads=tuple(Path(path) for path in _files_of(spec)),
            memory_limit_mib=driver.memory_mib + driver.overhead_mib,
            ports=(*ui, int(connect_port)) if connect_port else ui,
            image=None if _is_ours(spec.spark_version) else f"{self._stack.spec.image}-{spec.spark_version}",
        )


def _kept(attempt: Attempt) -> dict[str, Any]:
    """How a driver is kept, wherever it runs."""
    return {
        "name": attempt.process_name,
        "cwd": attempt.folder,
        "log_path": attempt.log_path,
        "log_backups": LOG_BACKUPS,
        "stop_timeout_s": attempt.spec.timeouts.stop_s,
        "exit_path": attempt.folder / "exit.json",
    }


def values_of(spec: JobSpec) -> dict[str, str]:
    """What a job's environment references stand for now; from now on masked in every output of this process.

    Raises:
        Refused: a variable is not set, a file cannot be read or others may read it too.
    """
    values = {name: _value(name, reference) for name, reference in spec.environment.items()}
    for value in values.values():
        redact.learn(value)
    return values


def _value(name: str, reference: FromVariable | FromFile) -> str:
    if isinstance(reference, FromVariable):
        value = os.environ.get(reference.from_variable)
        if value is None:
            raise Refused(
                f"environment.{name} refers to variable {reference.from_variable}, which the gateway does not have"
            )
        return value
    path = Path(reference.from_file)
    try:
        if path.stat().st_mode & 0o077:
            raise Refused(f"environment.{name} refers to {path}, which others may read", hint=f"chmod 600 {path}")
        return path.read_text().strip()
    except OSError as error:
        raise Refused(f"environment.{name} refers to {path}: {error.strerror}") from error


def _files_of(spec: JobSpec) -> tuple[str, ...]:
    return (*spec.application_files.values(), *spec.files)


def _is_ours(spark_version: str) -> bool:
    """Whether the Spark that is installed here, and in the image of these sources, is one of this version."""
    return not spark_version or f"{version('pyspark')}.".startswith(f"{spark_version}.")


def _observation(attempt: Attempt, process: ProcessState | None) -> Observation:
    exit_code, ended_at = _exit(attempt.folder / "exit.json")
    if process is None:
        # A keeper that was just started anew knows no processes of before; what they wrote down still counts.
        return Observation(found=exit_code is not None, exit_code=exit_code, ended_at=ended_at)
    status, heard = read_status(attempt.folder), event_log.heard(attempt.folder)
    if not process.running and exit_code is None:
        exit_code, ended_at = process.exit_code, process.ended_at
        if exit_code is None:
            # Its keeper has not said how it ended, which it does within a moment.
            return Observation(found=True, unreachable="it is gone, and how it ended is not on record yet")
    event_log.forget_old(attempt.folder)
    return Observation(
        found=True,
        running=process.running,
        exit_code=exit_code,
        ended_at=ended_at,
        driver_ready=status.driver_ready_at is not None or heard.ready,
        at_work=status.ready_at is not None or heard.at_work,
    )


def _exit(path: Path) -> tuple[int | None, float | None]:
    try:
        written = json.loads(path.read_text())
    except FileNotFoundError:
        return None, None
    return int(written["exit_code"]), float(written["ended_at"])
