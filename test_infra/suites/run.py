"""Plan and run a suite: one pytest, as a process of the stack, reporting through pytest-reportlog."""

import fcntl
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import test_infra
from test_infra.base.deadline import Deadline, StillWaiting, wait_for
from test_infra.base.errors import NotReady
from test_infra.base.paths import HOME_VARIABLE, STACK_VARIABLE, private_dir, write_private
from test_infra.runtime.local import UnknownProcess
from test_infra.runtime.process import ProcessSpec
from test_infra.stack.sweep import STACK_TAG
from test_infra.suites.process import PLANNING, RUNNING
from test_infra.suites.spec import PIPELINE_VARIABLE, PLANNED_VARIABLE, SuiteFolder, SuiteSpec

if TYPE_CHECKING:
    from test_infra.stack import Stack

PLUGIN = "test_infra.testing.plugin"
PLAN_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 10.0
END_MARGIN_S = 30.0
"""The process ends itself after the suite's own timeout; only this much later it is no longer waited for."""
OBSERVE_EVERY_S = 1.0
CONFIG = """[pytest]
addopts = --strict-markers --import-mode=importlib -p no:cacheprovider
xfail_strict = true
"""


def plan(spec: SuiteSpec, folder: SuiteFolder, stack: "Stack") -> None:
    """Start the suite and wait until ``folder.planned`` says which tests there are.

    Also returns when the suite has ended without a plan (nothing could be collected), or has none after 60 s; `run`
    waits for the end in any case.
    """
    private_dir(folder.path)
    with _waiting_step(folder, PLANNING), _stopped_on_error(spec, folder, stack):
        _start(spec, folder, stack)
        ended = _observer(spec, folder, stack)
        _wait(lambda: folder.planned.exists() or ended(), min(PLAN_TIMEOUT_S, spec.timeout_s))


def run(spec: SuiteSpec, folder: SuiteFolder, stack: "Stack") -> None:
    """Wait for the end of the suite; afterwards ``folder.report`` holds every test that reported, and ``folder.exit``
    how pytest ended.

    Nothing is judged here, and a failing suite raises nothing. The process and what it started are gone when this
    returns. A suite that was not planned in this run is started.
    """
    private_dir(folder.path)
    with _waiting_step(folder, RUNNING), _stopped_on_error(spec, folder, stack):
        try:
            stack.host_runtime.observe(_name(spec, folder))
        except UnknownProcess:
            _start(spec, folder, stack)
        _wait(_observer(spec, folder, stack), spec.timeout_s + END_MARGIN_S)
        _stop(spec, folder, stack)


def _start(spec: SuiteSpec, folder: SuiteFolder, stack: "Stack") -> None:
    for former in (folder.planned, folder.report, folder.exit):
        former.unlink(missing_ok=True)
    write_private(folder.config, CONFIG)
    own = [sys.executable, "-m", "test_infra.suites.process", str(folder.exit), str(folder.lock), f"{spec.timeout_s:g}"]
    stack.host_runtime.start(
        ProcessSpec(
            name=_name(spec, folder),
            argv=(*own, "--", sys.executable, "-m", "pytest", *_arguments(spec, folder)),
            env=_environment(os.environ, spec, folder, stack),
            cwd=folder.path,
            log_path=folder.log,
            stop_timeout_s=STOP_TIMEOUT_S,
        )
    )


def _stop(spec: SuiteSpec, folder: SuiteFolder, stack: "Stack") -> None:
    if stack.keeper.alive:  # else everything it kept has ended with it
        with suppress(UnknownProcess):
            stack.host_runtime.stop(_name(spec, folder))


@contextmanager
def _waiting_step(folder: SuiteFolder, step: str) -> Iterator[None]:
    """Hold the lock by which the suite's process knows that a step waits for it; without one it ends."""
    with folder.lock.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write(step)
        lock.flush()
        yield


@contextmanager
def _stopped_on_error(spec: SuiteSpec, folder: SuiteFolder, stack: "Stack") -> Iterator[None]:
    """End the suite when its step is interrupted or fails."""
    try:
        yield
    except BaseException:
        _stop(spec, folder, stack)
        raise


def _observer(spec: SuiteSpec, folder: SuiteFolder, stack: "Stack") -> Callable[[], bool]:
    """Whether the suite has ended. Its exit file says so at once; the keeper, asked once a second, also when the
    process was killed before it could write one.
    """
    asked = Deadline(OBSERVE_EVERY_S)

    def ended() -> bool:
        nonlocal asked
        if folder.exit.exists():
            return True
        if not asked.expired:
            return False
        asked = Deadline(OBSERVE_EVERY_S)
        return not stack.keeper.alive or not stack.host_runtime.observe(_name(spec, folder)).running

    return ended


def _wait(until: Callable[[], bool], timeout_s: float) -> None:
    """Wait until a condition holds, at most for a time; what follows is read from files either way."""

    def observe() -> None:
        if not until():
            raise StillWaiting

    with suppress(NotReady):
        wait_for(observe, Deadline(timeout_s), what="the suite", awaited="its end")


def _name(spec: SuiteSpec, folder: SuiteFolder) -> str:
    """Of the process; two runs on one stack may run the same suite at the same time."""
    return f"suite-{spec.name}-{folder.run_dir.name}"


def _arguments(spec: SuiteSpec, folder: SuiteFolder) -> list[str]:
    root = Path(os.path.commonpath([path.resolve() for path in spec.paths]))
    return [
        f"--timeout={spec.test_timeout_s}",
        "-rA",
        f"--report-log={folder.report}",
        f"--config-file={folder.config}",
        f"--rootdir={root if root.is_dir() else root.parent}",
        "-p",
        PLUGIN,
        *(str(path) for path in spec.paths),
    ]


def _environment(inherited: Mapping[str, str], spec: SuiteSpec, folder: SuiteFolder, stack: "Stack") -> dict[str, str]:
    """The caller's whole environment, which users' tests may need, and what identifies the stack."""
    # A suite may itself be started by a test: pytest's own variables are not meant for it.
    environment = {name: value for name, value in inherited.items() if not name.startswith("PYTEST_")}
    identity = stack.process_env()
    environment |= {name: identity[name] for name in (HOME_VARIABLE, STACK_VARIABLE, STACK_TAG)}
    environment[PLANNED_VARIABLE] = str(folder.planned)
    # The suite must import this very package, also where it is not installed.
    package_root = str(Path(test_infra.__file__).resolve().parent.parent)
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [package_root, inherited.get("PYTHONPATH")]))
    if spec.pipeline:
        environment[PIPELINE_VARIABLE] = spec.pipeline
    return environment
