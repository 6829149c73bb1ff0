"""What holds for every test: no sockets in unit tests, several workers, and last lines that say what was not run."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
REQUIRE_ALL = "TEST_INFRA_REQUIRE_ALL"
REQUIRE = "TEST_INFRA_REQUIRE"
"""What a test may lack on a user's machine, such as ``docker``; named here, lacking it is red."""
DOCKER = "docker: "
"""Begins the reason of a skip for want of a Docker engine or of our image."""
OPTIONAL = "optional: "
"""Begins the reason of a skip that is listed, and not red where everything is required."""
WITHOUT_CI = "not ci"
"""What `make test` gives to -m."""
USE_THE_ENGINE = frozenset(
    {
        "test_cli_docker",
        "test_compose",
        "test_container_step",
        "test_containers",
        "test_full_disk",
        "test_jar_jobs",
        "test_running_stack",
        "test_testcontainers",
    }
)
"""Files that use the Docker engine. One worker runs them one after the other: a test of them restarts the engine."""


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(_NotRun(config), "test_infra_not_run")
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # A shell that starts us in the background has SIGINT ignored, also in what tests start and then interrupt.
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)  # before -m takes out what is marked
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE / "unit"):
            item.add_marker(pytest.mark.disable_socket)
        if any(not mark.kwargs.get("reason") for mark in item.iter_markers("ci")):
            raise pytest.UsageError(f"{item.nodeid}: the marker ci needs a reason")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """A worker takes whole files, in the order of collection: tests of one file share a stack.

    The order is good as it is: tests that start services come before unit tests, which fill what time is left.
    """
    from xdist.scheduler import LoadFileScheduling

    class ByFile(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            return "engine" if Path(file).stem in USE_THE_ENGINE else file

    config.option.loadscopereorder = False
    return ByFile(config, log)


@pytest.fixture(scope="session")
def fast_starts() -> None:
    """What the command line prepares before its first run: every driver of the session starts in half the time."""
    from test_infra.cdc.stream.control import JAR_GROUPS
    from test_infra.spark.driver.class_archive import archive_of, make_archive

    if not archive_of(JAR_GROUPS).exists():
        make_archive(JAR_GROUPS)


@pytest.fixture(scope="session")
def docker_image() -> str:
    """The image of these sources, on an engine that answers; without them the test is not run, and that is said."""
    from test_infra.base.errors import TestInfraError
    from test_infra.runtime.docker_engine import ImageMissing, engine, has_image
    from test_infra.runtime.image import image_name

    try:
        engine().close()
        if not has_image(image_name()):
            raise ImageMissing(f"the engine has no image {image_name()}", hint="make image")
    except TestInfraError as missing:
        lacking = f"{DOCKER}{missing.what} (try: {missing.hint})"
        if "docker" in os.environ.get(REQUIRE, "").split(","):
            pytest.fail(f"{REQUIRE} names docker, but {lacking}")
        pytest.skip(lacking)
    return image_name()


@pytest.fixture(autouse=True)
def _markers_that_need_a_user(request: pytest.FixtureRequest) -> None:
    root = os.geteuid() == 0
    if request.node.get_closest_marker("needs_root") and not root:
        pytest.skip("needs root")
    if request.node.get_closest_marker("needs_user") and root:
        pytest.skip("needs an ordinary user, and this is root")


class _NotRun:
    """Collects what was left out and says so in the very last lines; red when everything was required.

    With workers (pytest-xdist) each of them tells the process that started it what it did not collect or run.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._skipped: dict[str, str] = {}
        self._left_to_ci: dict[str, str] = {}
        self._deselected: set[str] = set()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.skipped and not hasattr(report, "wasxfail"):
            self._skipped[report.nodeid] = _reason(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.skipped:
            self._skipped[report.nodeid] = _reason(report)

    def pytest_deselected(self, items: Iterable[pytest.Item]) -> None:
        for item in items:
            mark = item.get_closest_marker("ci")
            if mark is not None and self._config.option.markexpr == WITHOUT_CI:
                self._left_to_ci[item.nodeid] = mark.kwargs["reason"]
            else:
                self._deselected.add(item.nodeid)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        told = getattr(node, "workeroutput", {}).get("not_run", {})
        self._skipped |= told.get("skipped", {})
        self._left_to_ci |= told.get("left_to_ci", {})
        self._deselected |= set(told.get("deselected", ()))

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if hasattr(self._config, "workeroutput"):
            self._config.workeroutput["not_run"] = {
                "skipped": self._skipped,
                "left_to_ci": self._left_to_ci,
                "deselected": sorted(self._deselected),
            }
        elif _everything_is_required() and self._left_out() and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    @pytest.hookimpl(trylast=True)
    def pytest_unconfigure(self, config: pytest.Config) -> None:
        reporter = config.pluginmanager.get_plugin("terminalreporter")
        if reporter is None or config.option.collectonly:
            return
        for line in self._last_lines():
            reporter.write_line(line)

    def _left_out(self) -> int:
        required = [reason for reason in self._skipped.values() if not reason.startswith(OPTIONAL)]
        return len(required) + len(self._left_to_ci) + len(self._deselected)

    def _last_lines(self) -> list[str]:
        if not self._skipped and not self._left_out():
            return ["not run: nothing was left out"]
        skipped = sorted(self._skipped.items())
        lines = [f"not run: {nodeid}: {reason}" for nodeid, reason in skipped if not reason.startswith(DOCKER)]
        if without_docker := [reason for _, reason in skipped if reason.startswith(DOCKER)]:
            lines.append(f"not run: {without_docker[0]}: {len(without_docker)} tests")
        if self._deselected:
            lines.append(f"not run: {len(self._deselected)} tests deselected by -k, -m or --deselect")
        if self._left_to_ci:
            by_reason = Counter(self._left_to_ci.values()).most_common()
            lines += [f"left to CI: {count} tests: {reason}" for reason, count in by_reason]
            lines.append(f"left to CI: {len(self._left_to_ci)} tests with the marker ci; with them: make test ALL=1")
        if _everything_is_required() and self._left_out():
            lines.append(f"red: {REQUIRE_ALL} is set and {self._left_out()} tests were not run")
        return lines


def _everything_is_required() -> bool:
    return os.environ.get(REQUIRE_ALL, "") not in {"", "0"}


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    # A skip's long form is (file, line, "Skipped: why").
    text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return text.removeprefix("Skipped: ").strip()
