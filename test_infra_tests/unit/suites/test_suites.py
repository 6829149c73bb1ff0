"""Suites: whatever was planned and did not pass is red."""

import json
from pathlib import Path

import pytest

from test_infra.suites.read import Ending, finding, read
from test_infra.suites.run import plan, run
from test_infra.suites.spec import SuiteFolder, SuiteSpec
from test_infra.verdict.evidence import Finding, Outcome


def judged(tmp_path: Path, source: str, *, timeout_s: float = 60, planned_only: str | None = None) -> Finding:
    tests = tmp_path / "suite"
    tests.mkdir()
    (tests / "test_it.py").write_text(planned_only or source)
    spec = SuiteSpec(name="it", paths=[tests], timeout_s=timeout_s)
    folder = SuiteFolder(tmp_path / "run", "it")
    plan(spec, folder, "s1")
    (tests / "test_it.py").write_text(source)
    run(spec, folder, "s1")
    return finding(read(folder), folder.log)


def endings(found: Finding) -> dict[str, str]:
    return {row["test"].rpartition("::")[2]: row["outcome"] for row in found.rows}


def test_all_passed_is_green(tmp_path: Path) -> None:
    found = judged(tmp_path, "def test_a(): pass\nclass TestB:\n    def test_b(self): pass\n")
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
        (
            "import os\ndef test_a(): pass\ndef test_b(): os._exit(0)\ndef test_c(): pass\n",
            "UNREPORTED",
            Outcome.UNKNOWN,
        ),
        ("import os, signal\ndef test_a(): os.kill(os.getpid(), signal.SIGKILL)\n", "UNREPORTED", Outcome.UNKNOWN),
    ],
)
def test_everything_else_is_red(tmp_path: Path, source: str, verdict: str, outcome: Outcome) -> None:
    found = judged(tmp_path, source)
    assert verdict in found.verdicts, found
    assert found.outcome is outcome


def test_a_test_that_vanished_between_plan_and_run_is_unreported(tmp_path: Path) -> None:
    found = judged(tmp_path, "def test_a(): pass\n", planned_only="def test_a(): pass\ndef test_gone(): pass\n")
    assert endings(found) == {"test_gone": "unreported", "test_a": "passed"}
    assert found.outcome is Outcome.UNKNOWN


def test_a_suite_that_hangs_is_ended_with_everything_it_started(tmp_path: Path) -> None:
    marker = tmp_path / "pid"
    source = f"""
import subprocess, time
def test_a():
    started = subprocess.Popen(["sleep", "600"])
    open({str(marker)!r}, "w").write(str(started.pid))
    time.sleep(600)
"""
    found = judged(tmp_path, source, timeout_s=5)
    assert "UNREPORTED" in found.verdicts
    assert "timed out" in found.summary
    state = Path(f"/proc/{marker.read_text()}/stat")
    assert not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z"


def test_nothing_is_known_of_a_suite_without_files(tmp_path: Path) -> None:
    found = finding(read(SuiteFolder(tmp_path, "it")), tmp_path)
    assert found.outcome is Outcome.UNKNOWN


def test_a_line_cut_off_by_a_kill_costs_no_other_line(tmp_path: Path) -> None:
    folder = SuiteFolder(tmp_path, "it")
    folder.path.mkdir(parents=True)
    done = {"$report_type": "TestReport", "nodeid": "t::a", "when": "teardown", "outcome": "passed", "duration": 0.1}
    folder.report.write_text(json.dumps(done) + '\n{"$report_type": "TestRep')
    [test] = read(folder).tests
    assert test.ending is Ending.PASSED
