"""The backend of a stack: drivers are processes of its runtime, on this machine or in containers.

Each driver has a small keeper of its own (`test_infra.runtime.kept`), which writes exit code and end time.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import test_infra
from test_infra.base.errors import NotReady, TestInfraError
from test_infra.base.paths import write_private
from test_infra.base.redaction import redact
from test_infra.runtime.local import UnknownProcess
from test_infra.runtime.process import ProcessSpec
from test_infra.spark import events
from test_infra.spark.backend import Attempt, Refused
from test_infra.spark.driver import JOB_DIR_VARIABLE, UI_PORT_VARIABLE, driver_jars, read_status
from test_infra.spark.logs import read_log
from test_infra.spark.spec import FromFile, FromVariable, JobSpec, PythonModule
from test_infra.spark.states import Observation

if TYPE_CHECKING:
    from test_infra.runtime.backend import Runtime
    from test_infra.runtime.process import ProcessState
    from test_infra.stack import Stack

LOG_BACKUPS = 63
"""Old files of a driver's log, 1 GiB together: an offset stays valid as long as none was thrown away."""
_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "XDG_CACHE_HOME", "XDG_DATA_HOME")


class LocalBackend:
    """Drivers as kept processes of one stack.

    Args:
        stack: whose runtime starts them and whose keeper keeps them.
    """

    def __init__(self, stack: Stack) -> None:
        self.name = str(stack.spec.backend)
        self._stack = stack
        self._runtime: Runtime = stack.runtime

    def start(self, attempt: Attempt) -> None:
        """Write the driver's files and ask the keeper for its process.

        Raises:
            Refused: a file, a jar, Java or a referenced value is missing, or another Spark version is asked for.
            NotReady: the keeper has not said that it took the request; it may take it later.
        """
        try:
            self._runtime.start(self._process(attempt))
        except NotReady:
            raise
        except (TestInfraError, OSError) as error:
            raise Refused(
                f"the driver of {attempt.spec.name} cannot be started", details={"why": str(error)}
            ) from error

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
        _check_version(spec)
        values = values_of(spec)
        files = _files(spec)
        write_private(folder / "job.json", spec.model_dump_json())
        # Here, where the user's proxies and certificates are known; the driver's environment is bare.
        driver_jars(spec.jar_groups)
        environment = self._stack.process_env()
        environment |= {name: os.environ[name] for name in _INHERITED if name in os.environ}
        environment |= values
        environment |= {
            JOB_DIR_VARIABLE: str(folder),
            "JAVA_HOME": str(find_java().home),
            "PYTHONPATH": str(Path(test_infra.__file__).parents[1]),
            "PYTHONUNBUFFERED": "1",
            "PYSPARK_PYTHON": sys.executable,
            "SPARK_LOCAL_IP": "127.0.0.1",
        }
        if attempt.ui_port is not None:
            environment[UI_PORT_VARIABLE] = str(attempt.ui_port)
        return ProcessSpec(
            name=attempt.process_name,
            argv=_command(spec),
            env=environment,
            cwd=folder,
            log_path=attempt.log_path,
            log_backups=LOG_BACKUPS,
            stop_timeout_s=spec.timeouts.stop_s,
            exit_path=folder / "exit.json",
            read_only=tuple(map(Path, files)),
        )


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


def _command(spec: JobSpec) -> tuple[str, ...]:
    if spec.ready_by == "status" and isinstance(spec.application, PythonModule):
        # One of ours, which takes its properties itself and does without the launcher's start.
        return (sys.executable, "-m", spec.application.module, *spec.args)
    return (sys.executable, "-m", "test_infra.spark.launch")


def _files(spec: JobSpec) -> list[str]:
    """Files that the driver reads.

    Raises:
        Refused: one is not there.
    """
    application = spec.application.model_dump(include={"python_file", "jar", "wheel"}, exclude_none=True)
    files = [*application.values(), *spec.files]
    for path in files:
        if not Path(path).is_file():
            raise Refused(f"there is no file {path} where the driver would run")
    return files


def _check_version(spec: JobSpec) -> None:
    from importlib.metadata import version

    ours = version("pyspark")
    if spec.spark_version and not f"{ours}.".startswith(f"{spec.spark_version}."):
        raise Refused(
            f"Spark {spec.spark_version} is asked for and this backend has {ours}",
            hint="leave out spark_version, or submit to a backend of that version",
        )


def _observation(attempt: Attempt, process: ProcessState | None) -> Observation:
    exit_code, ended_at = _exit(attempt.folder / "exit.json")
    if process is None:
        # A keeper that was just started anew knows no processes of before; what they wrote down still counts.
        return Observation(found=exit_code is not None, exit_code=exit_code, ended_at=ended_at)
    status, heard = read_status(attempt.folder), events.heard(attempt.folder)
    if not process.running and exit_code is None:
        exit_code, ended_at = process.exit_code, process.ended_at
        if exit_code is None:
            # Its keeper has not said how it ended, which it does within a moment.
            return Observation(found=True, unreachable="it is gone, and how it ended is not on record yet")
    events.forget_old(attempt.folder)
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
