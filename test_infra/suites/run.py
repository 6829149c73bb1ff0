"""Plan and run a suite: pytest in a process of its own, reporting through pytest-reportlog."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import test_infra
from test_infra.base.paths import HOME_VARIABLE, STACK_VARIABLE, home, private_dir, write_private
from test_infra.suites.spec import SuiteFolder, SuiteSpec

PIPELINE_VARIABLE = "TEST_INFRA_PIPELINE"
PARENT_VARIABLE = "TEST_INFRA_SUITE_PARENT"
PLANNED_VARIABLE = "TEST_INFRA_SUITE_PLANNED"
PLUGIN = "test_infra.testing.plugin"
PLAN_TIMEOUT_S = 60.0
TIMED_OUT = "timed out"
CONFIG = """[pytest]
addopts = --strict-markers --import-mode=importlib -p no:cacheprovider
xfail_strict = true
"""


def plan(spec: SuiteSpec, folder: SuiteFolder, stack_id: str | None) -> None:
    """Collect the suite; afterwards ``folder.planned`` says what there is to run, ``folder.plan`` what could not be
    collected.
    """
    _prepare(folder)
    folder.plan.unlink(missing_ok=True)
    folder.planned.unlink(missing_ok=True)
    _pytest(
        ["--collect-only", "--quiet", *_arguments(spec, folder, folder.plan)], spec, folder, stack_id, PLAN_TIMEOUT_S
    )


def run(spec: SuiteSpec, folder: SuiteFolder, stack_id: str | None) -> None:
    """Run the suite; afterwards ``folder.report`` holds every test that reported, and ``folder.exit`` how pytest ended.

    Nothing is judged here, and a failing suite raises nothing. The process and what it started are gone when this
    returns.
    """
    _prepare(folder)
    folder.report.unlink(missing_ok=True)
    ended = _pytest(
        [f"--timeout={spec.test_timeout_s}", "-rA", *_arguments(spec, folder, folder.report)],
        spec,
        folder,
        stack_id,
        spec.timeout_s,
    )
    write_private(folder.exit, ended)


def _prepare(folder: SuiteFolder) -> None:
    private_dir(folder.path)
    write_private(folder.config, CONFIG)


def _arguments(spec: SuiteSpec, folder: SuiteFolder, report_log: Path) -> list[str]:
    root = Path(os.path.commonpath([path.resolve() for path in spec.paths]))
    return [
        f"--report-log={report_log}",
        f"--config-file={folder.config}",
        f"--rootdir={root if root.is_dir() else root.parent}",
        "-p",
        PLUGIN,
        *(str(path) for path in spec.paths),
    ]


def _pytest(
    arguments: Sequence[str], spec: SuiteSpec, folder: SuiteFolder, stack_id: str | None, timeout_s: float
) -> str:
    """Run pytest to its end; the exit code as text, or that it was ended for its time."""
    with folder.log.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "pytest", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=folder.path,
            env=_environment(os.environ, spec, folder, stack_id),
            start_new_session=True,  # so that what a test started ends with it
        )
        try:
            return str(process.wait(timeout_s))
        except subprocess.TimeoutExpired:
            return f"{TIMED_OUT} after {timeout_s:g} s"
        finally:
            _end_group(process)


def _end_group(process: "subprocess.Popen[bytes]") -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _environment(
    inherited: Mapping[str, str], spec: SuiteSpec, folder: SuiteFolder, stack_id: str | None
) -> dict[str, str]:
    # A suite may itself be started by a test: pytest's own variables are not meant for it.
    environment = {name: value for name, value in inherited.items() if not name.startswith("PYTEST_")}
    environment[HOME_VARIABLE] = str(home())
    environment[PLANNED_VARIABLE] = str(folder.planned)
    environment[PARENT_VARIABLE] = str(os.getpid())
    # The suite must import this very package, also where it is not installed.
    package_root = str(Path(test_infra.__file__).resolve().parent.parent)
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [package_root, inherited.get("PYTHONPATH")]))
    if stack_id:
        environment[STACK_VARIABLE] = stack_id
    if spec.pipeline:
        environment[PIPELINE_VARIABLE] = spec.pipeline
    return environment
