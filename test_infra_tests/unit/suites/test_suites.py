"""Suites: whatever was planned and did not pass is red."""

import json
import subprocess
import sys
import time
from pathlib import Path
from textwrap import dedent

import psutil
import pytest

from test_infra.base.deadline import Deadline, StillWaiting, wait_for
from test_infra.stack import Stack
from test_infra.suites.read import TestOutcome, finding, read
from test_infra.suites.run import plan, run
from test_infra.suites.spec import SuiteFolder, SuiteSpec
from test_infra.verdict.evidence import Finding, Outcome


def suite_of(tmp_path: Path, source: str, *, timeout_s: float = 60, conftest: str = "") -> SuiteSpec:
    tests = tmp_path / "suite"
    tests.mkdir(exist_ok=True)
    (tests / "test_it.py").write_text(dedent(source))
    (tests / "conftest.py").write_text(dedent(conftest))
    return SuiteSpec(name="it", paths=[tests], timeout_s=timeout_s)


def folder_of(tmp_path: Path) -> SuiteFolder:
    """Of a run: its name is unique in the stack that the tests share."""
    return SuiteFolder(tmp_path / f"run-{tmp_path.name}", "it")


def judged(stack: Stack, tmp_path: Path, source: str, *, timeout_s: float = 60, conftest: str = "") -> Finding:
    spec, folder = suite_of(tmp_path, source, timeout_s=timeout_s, conftest=conftest), folder_of(tmp_path)
    plan(spec, folder, stack)
    run(spec, folder, stack)
    return finding(read(folder), folder.log)


def endings(found: Finding) -> dict[str, str]:
    return {row["test"].rpartition("::")[2]: row["outcome"] for row in found.rows}


def sleeping(unique_s: str) -> list[int]:
    """Processes ``sleep <unique_s>`` of this machine that are alive."""
    return [
        process.pid
        for process in psutil.process_iter(["cmdline", "status"])
        if process.info["cmdline"] == ["sleep", unique_s] and process.info["status"] != psutil.STATUS_ZOMBIE
    ]


def wait_until_gone(unique_s: str) -> None:
    def gone() -> None:
        if alive := sleeping(unique_s):
            raise StillWaiting(f"{alive} live")

    wait_for(gone, Deadline(20), what="what the test started", awaited="its end")


def wait_until_there(path: Path) -> None:
    def there() -> None:
        if not path.exists():
            raise StillWaiting

    wait_for(there, Deadline(30), what=path.name, awaited="the file")


def test_all_passed_is_green(stack: Stack, tmp_path: Path) -> None:
    found = judged(stack, tmp_path, "def test_a(): pass\nclass TestB:\n    def test_b(self): pass\n")
    assert found.outcome is Outcome.PASSED, found
    assert endings(found) == {"test_a": "passed", "test_b": "passed"}
    assert found.numbers["tests_passed"] == 2


@pytest.mark.parametrize(
    ("source", "verdict", "outcome"),
    [
        ("def test_a(): assert 1 == 2\n", "FAILED", Outcome.FAILED),
        (
            "import pytest\n@pytest.fixture\ndef broken(): raise OSError('no')\ndef test_a(broken): pass\n",
            "FAILED",
            Outcome.FAILED,
        ),
        (
            "import pytest\n@pytest.mark.skip(reason='later')\ndef test_a(): pass\ndef test_b(): pass\n",
            "SKIPPED",
            Outcome.UNKNOWN,
        ),
        ("import pytest\n@pytest.mark.xfail\ndef test_a(): assert False\n", "SKIPPED", Outcome.UNKNOWN),
        ("", "NO TESTS", Outcome.UNKNOWN),
        ("import nothing_of_this_name\ndef test_a(): pass\n", "COLLECTION", Outcome.UNKNOWN),
        ("import os\nos._exit(0)\ndef test_a(): pass\n", "NO TESTS", Outcome.UNKNOWN),
        (
            "import os\ndef test_a(): pass\ndef test_b(): os._exit(0)\ndef test_c(): pass\n",
            "UNREPORTED",
            Outcome.UNKNOWN,
        ),
        ("import os, signal\ndef test_a(): os.kill(os.getpid(), signal.SIGKILL)\n", "UNREPORTED", Outcome.UNKNOWN),
    ],
)
def test_everything_else_is_red(stack: Stack, tmp_path: Path, source: str, verdict: str, outcome: Outcome) -> None:
    found = judged(stack, tmp_path, source)
    assert verdict in found.verdicts, found
    assert found.outcome is outcome


def test_a_test_that_was_collected_and_never_ran_is_unreported(stack: Stack, tmp_path: Path) -> None:
    found = judged(
        stack,
        tmp_path,
        "def test_a(): pass\ndef test_gone(): pass\n",
        conftest="def pytest_collection_finish(session): del session.items[1:]\n",
    )
    assert endings(found) == {"test_gone": "unreported", "test_a": "passed"}
    assert found.outcome is Outcome.UNKNOWN


def test_a_conftest_that_cannot_be_imported_is_red(stack: Stack, tmp_path: Path) -> None:
    found = judged(stack, tmp_path, "def test_a(): pass\n", conftest="import nothing_of_this_name\n")
    assert found.verdicts == ("NO TESTS",)
    assert "pytest ended with: 4" in found.summary


def test_the_plan_is_there_before_the_tests_have_ended(stack: Stack, tmp_path: Path) -> None:
    go = tmp_path / "go"
    source = f"""
        import pathlib, time
        def test_a():
            while not pathlib.Path({str(go)!r}).exists(): time.sleep(0.01)
    """
    spec, folder = suite_of(tmp_path, source), folder_of(tmp_path)
    plan(spec, folder, stack)
    assert json.loads(folder.planned.read_text()) == "test_it.py::test_a"
    assert not folder.exit.exists()
    go.touch()
    run(spec, folder, stack)
    assert finding(read(folder), folder.log).passed


def test_a_suite_that_was_not_planned_is_run_all_the_same(stack: Stack, tmp_path: Path) -> None:
    spec, folder = suite_of(tmp_path, "def test_a(): pass\n"), folder_of(tmp_path)
    run(spec, folder, stack)
    assert finding(read(folder), folder.log).passed


def test_pytest_starts_once_for_plan_and_run(stack: Stack, tmp_path: Path) -> None:
    starts = tmp_path / "starts"
    conftest = f"with open({str(starts)!r}, 'a') as file: file.write('.')\n"
    assert judged(stack, tmp_path, "def test_a(): pass\n", conftest=conftest).passed
    assert starts.read_text() == "."


def test_suites_of_several_runs_share_a_stack(stack: Stack, tmp_path: Path) -> None:
    """Each waits for the other: they run at the same time."""
    folders, specs = [], []
    for mine, other in (("a", "b"), ("b", "a")):
        (tmp_path / mine).mkdir()
        source = f"""
            import pathlib, time
            def test_meets():
                pathlib.Path({str(tmp_path / f"met-{mine}")!r}).touch()
                while not pathlib.Path({str(tmp_path / f"met-{other}")!r}).exists(): time.sleep(0.01)
        """
        specs.append(suite_of(tmp_path / mine, source))
        folders.append(SuiteFolder(tmp_path / f"run-{mine}-{tmp_path.name}", "it"))
    for step in (plan, run):
        for spec, folder in zip(specs, folders, strict=True):
            step(spec, folder, stack)
    assert [finding(read(folder), folder.log).outcome for folder in folders] == [Outcome.PASSED, Outcome.PASSED]


def test_a_suite_sees_the_environment_of_the_run_and_the_stack(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_OWN", "it's $HOME {and} $(more)")
    source = """
        import os
        def test_environment(stack):
            assert os.environ["MY_OWN"] == "it's $HOME {and} $(more)"
            assert os.environ["TEST_INFRA_STACK"] == stack.id == "suites"
            assert stack.keeper.alive
            assert stack.status().running
            assert stack.host_runtime.observe_all()
    """
    found = judged(stack, tmp_path, source)
    assert found.passed, (found, folder_of(tmp_path).log.read_text())


def test_a_suite_that_hangs_is_ended_with_everything_it_started(stack: Stack, tmp_path: Path) -> None:
    unique_s = f"600.{time.time_ns()}"
    source = f"""
        import subprocess, time
        def test_a():
            subprocess.Popen(["sleep", "{unique_s}"])
            time.sleep(600)
    """
    found = judged(stack, tmp_path, source, timeout_s=15)
    assert "UNREPORTED" in found.verdicts
    assert "timed out" in found.summary
    wait_until_gone(unique_s)


def test_what_a_passing_test_left_running_is_ended(stack: Stack, tmp_path: Path) -> None:
    unique_s = f"600.{time.time_ns()}"
    source = f"import subprocess\ndef test_a(): subprocess.Popen(['sleep', '{unique_s}'])\n"
    assert judged(stack, tmp_path, source).passed
    wait_until_gone(unique_s)


def test_a_step_that_is_killed_takes_its_suite_with_it(stack: Stack, tmp_path: Path) -> None:
    """The stack runs on: only the lock tells the suite that nobody waits for it."""
    unique_s, started = f"600.{time.time_ns()}", tmp_path / "started"
    source = f"""
        import pathlib, subprocess, time
        def test_a():
            subprocess.Popen(["sleep", "{unique_s}"])
            pathlib.Path({str(started)!r}).touch()
            time.sleep(600)
    """
    spec, folder = suite_of(tmp_path, source), folder_of(tmp_path)
    program = f"""
from pathlib import Path
from test_infra.stack import attach
from test_infra.suites.run import run
from test_infra.suites.spec import SuiteFolder, SuiteSpec
spec = SuiteSpec(name="it", paths=[Path({str(spec.paths[0])!r})])
run(spec, SuiteFolder(Path({str(folder.run_dir)!r}), "it"), attach("suites"))
"""
    step = subprocess.Popen([sys.executable, "-c", program])
    wait_until_there(started)
    step.kill()
    step.wait()
    wait_until_gone(unique_s)
    wait_until_there(folder.exit)
    assert folder.exit.read_text() == "ended because the Dagster step that waited for it was gone"


def test_an_interrupted_step_ends_its_suite(stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unique_s = f"600.{time.time_ns()}"
    source = f"""
        import subprocess, time
        def test_a():
            subprocess.Popen(["sleep", "{unique_s}"])
            time.sleep(600)
    """
    spec, folder = suite_of(tmp_path, source), folder_of(tmp_path)
    plan(spec, folder, stack)

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("test_infra.suites.run._wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(spec, folder, stack)
    wait_until_gone(unique_s)
    assert folder.exit.read_text() == "stopped before its end"


def test_nothing_is_known_of_a_suite_without_files(tmp_path: Path) -> None:
    found = finding(read(SuiteFolder(tmp_path, "it")), tmp_path)
    assert found.outcome is Outcome.UNKNOWN


def test_a_line_cut_off_by_a_kill_costs_no_other_line(tmp_path: Path) -> None:
    folder = SuiteFolder(tmp_path, "it")
    folder.path.mkdir(parents=True)
    done = {"$report_type": "TestReport", "nodeid": "t::a", "when": "teardown", "outcome": "passed", "duration": 0.1}
    folder.report.write_text(json.dumps(done) + '\n{"$report_type": "TestRep')
    [test] = read(folder).tests
    assert test.outcome is TestOutcome.PASSED
