"""The verdict is a pure function of a run's folder, and the report shows it as it is."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from test_infra.base.errors import UsageError
from test_infra.base.redaction import redact
from test_infra.verdict import evidence, run
from test_infra.verdict.evidence import Evidence, Outcome
from test_infra.verdict.junit import junit
from test_infra.verdict.page.render import html
from test_infra.verdict.report import report
from test_infra.verdict.result import MISSING, Result, judge
from test_infra.verdict.run import RunRecord, ServiceRecord, StepRecord

NOW = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)


def an_evidence(gate: str = "parity", asset: str = "shop/mirror/orders", **more: Any) -> Evidence:
    given_or = {
        "outcome": Outcome.PASSED,
        "summary": "equal",
        "started_at": NOW,
        "ended_at": NOW + timedelta(seconds=1.5),
    }
    return Evidence(gate=gate, asset=asset, **given_or | more)


def a_record(*expected: str, **more: Any) -> RunRecord:
    return RunRecord(run_id="r1", job="e2e", stack_id="s1", expected=expected, started_at=NOW, **more)


def a_step(exit_code: int | None, error: str = "") -> StepRecord:
    return StepRecord(
        step="shop__connector",
        assets=("shop/connector",),
        started_at=NOW,
        ended_at=NOW,
        exit_code=exit_code,
        error=error,
    )


FAILED = an_evidence(
    outcome=Outcome.FAILED,
    summary="1 row differs",
    verdicts=("VALUE",),
    numbers={"mirror_p95_s": 0.31, "rows": 20_000},
    rows=({"key": "id=7", "column": "amount", "source": "<script>alert(1)</script>", "mirror": "2 & 3\x00"},),
)
PARITY = "shop/mirror/orders:parity"


@pytest.mark.parametrize(
    ("record", "found", "steps", "exit_code"),
    [
        (a_record(PARITY), [an_evidence()], [], 0),
        (a_record(PARITY), [FAILED], [], 1),
        (a_record(PARITY), [an_evidence(outcome=Outcome.UNKNOWN)], [], 1),
        (a_record(PARITY), [], [], 1),
        (a_record(PARITY, "shop/mirror/orders:lag"), [an_evidence()], [], 1),
        (a_record(), [FAILED], [], 1),
        (a_record(), [], [], 1),
        (a_record(PARITY, succeeded=False), [an_evidence()], [], 1),
        (a_record(PARITY), [], [a_step(3, "kafka is not usable after 30.0 s")], 3),
        (a_record(PARITY), [], [a_step(2, "table nosuch does not exist")], 2),
        (a_record(PARITY), [], [a_step(1, "KeyError: 'x'")], 1),
        (a_record(PARITY), [FAILED], [a_step(3)], 1),
        (a_record(PARITY), [an_evidence()], [a_step(3)], 3),
        (a_record(PARITY), [an_evidence()], [a_step(None)], 0),
    ],
)
def test_exit_code(record: RunRecord, found: list[Evidence], steps: list[StepRecord], exit_code: int) -> None:
    result = judge(record, found, steps)
    assert result.exit_code == exit_code
    assert bool(result.reasons) == (exit_code != 0)
    assert result.green == (exit_code == 0)


@given(st.sets(st.sampled_from("abcdef")), st.sets(st.sampled_from("abcdef")), st.sets(st.sampled_from("abcdef")))
def test_green_only_when_every_expected_gate_passed(expected: set[str], found: set[str], red: set[str]) -> None:
    kept = [
        an_evidence(gate=name, asset="x", outcome=Outcome.FAILED if name in red else Outcome.PASSED)
        for name in sorted(found)
    ]
    result = judge(a_record(*(f"x:{name}" for name in expected)), kept)
    assert result.green == bool(found and expected <= found and not found & red)


def written(folder: Path, *items: Evidence, expected: tuple[str, ...] = (PARITY,)) -> Path:
    run.begin(folder, a_record(*expected, versions={"python": "3.11"}))
    for item in items:
        evidence.write(folder, item)
    run.write_services(folder, [ServiceRecord(name="kafka", version="4.3.1", url="127.0.0.1:9", start_s=1.8)])
    run.write_step(folder, a_step(None))
    return folder


def test_evidence_survives_the_folder(tmp_path: Path) -> None:
    evidence.write(tmp_path, an_evidence())
    evidence.write(tmp_path, an_evidence(asset="shop/mirror/a b/../c", gate="lag"))
    assert {item.gate_id for item in evidence.read(tmp_path)} == {PARITY, "shop/mirror/a b/../c:lag"}


def test_a_torn_evidence_file_is_a_missing_evaluation(tmp_path: Path) -> None:
    folder = written(tmp_path, an_evidence())
    [path] = (folder / "evidence").glob("*.json")
    path.write_text(path.read_text()[:50])
    result = report(folder)
    assert result.exit_code == 1
    assert [gate.outcome for gate in result.gates] == [MISSING]


def test_report_writes_three_files_that_agree(tmp_path: Path) -> None:
    folder = written(tmp_path, FAILED, expected=(PARITY, "shop/mirror/orders:lag"))
    result = report(folder)
    assert Result.model_validate_json((folder / "result.json").read_bytes(), extra="ignore").exit_code == 1
    root = ET.parse(folder / "junit.xml").getroot()
    [suite] = root.findall("testsuite")
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("2", "1", "1")
    assert MISSING in (folder / "report.html").read_text()
    assert result.counts == {"FAILED": 1, MISSING: 1}


def test_nothing_in_the_page_is_alive(tmp_path: Path) -> None:
    page = html(report(written(tmp_path, FAILED)))
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "http://" not in page.replace("http-equiv", "")
    assert "https://" not in page


def test_junit_holds_the_tests_of_a_suite() -> None:
    rows = (
        {"test": "t.py::a", "outcome": "passed", "seconds": "0.1", "message": ""},
        {"test": "t.py::b", "outcome": "failed", "seconds": "0.2", "message": "assert \x1b[1m1 == 2"},
    )
    item = an_evidence("suite", "suites/cdc_e2e", outcome=Outcome.FAILED, rows=rows)
    root = ET.fromstring(junit(judge(a_record(), [item])))
    assert [suite.get("name") for suite in root.findall("testsuite")] == ["gates", "suites/cdc_e2e"]
    assert [case.get("name") for case in root.findall("testsuite/testcase/failure/..")] == ["suite", "t.py::b"]


def test_secrets_are_masked_in_every_file(tmp_path: Path) -> None:
    redact.learn("s3cr3t-value")
    folder = written(
        tmp_path,
        an_evidence(
            summary="s3cr3t-value", rows=({"a": "s3cr3t-value"},), details={"error": 'password="s3cr3t-value"'}
        ),
    )
    run.write_step(folder, a_step(3, "s3cr3t-value"))
    run.finish(folder, a_record(), succeeded=False, failures=["s3cr3t-value"])
    report(folder)
    assert all("s3cr3t-value" not in path.read_text() for path in folder.rglob("*") if path.is_file())


def test_the_record_of_the_first_step_holds(tmp_path: Path) -> None:
    run.begin(tmp_path, a_record(PARITY))
    assert run.begin(tmp_path, a_record()).expected == (PARITY,)
    assert run.expect(tmp_path, ["x:y"]).expected == (PARITY, "x:y")


def test_a_folder_of_no_run_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        report(tmp_path)


def test_a_run_id_cannot_leave_the_folder_of_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_INFRA_HOME", str(tmp_path))
    with pytest.raises(UsageError):
        run.run_dir("../../etc")


REFUSED = """the SQL file of pipeline billing failed
  file:      billing.sql:3
  seen:      column "x" does not exist
  try:       mend the statement"""


def test_gates_behind_a_failed_step_are_one_line_everywhere(tmp_path: Path) -> None:
    expected = [f"billing/mirror/t{number}:{gate}" for number in range(12) for gate in ("lag", "parity")]
    run.begin(tmp_path, a_record(*expected, PARITY))
    evidence.write(tmp_path, an_evidence())
    source = StepRecord(
        step="billing__source", assets=("billing/source/t0",), started_at=NOW, ended_at=NOW, exit_code=2, error=REFUSED
    )
    run.write_step(tmp_path, source)

    result = report(tmp_path)

    line = "24 gates did not look, because billing__source failed"
    assert result.exit_code == 2
    assert result.reasons == ("step billing__source failed: the SQL file of pipeline billing failed", line)
    [group] = json.loads((tmp_path / "result.json").read_text())["not_judged"]
    assert (group["summary"], set(group["gates"])) == (line, set(expected))
    page = (tmp_path / "report.html").read_text()
    assert line in page
    assert page.count("MISSING EVALUATION</span>") == 1
    steps, gates = ET.parse(tmp_path / "junit.xml").getroot().findall("testsuite")
    assert [fault.text for fault in steps.findall("testcase/error")] == [REFUSED]
    assert [fault.get("message") for fault in gates.findall("testcase/error")] == [line]
    assert (gates.get("tests"), gates.get("errors")) == ("2", "1")


def test_a_gate_did_not_look_because_of_the_step_of_its_own_pipeline() -> None:
    first = a_step(3, "kafka").model_copy(update={"step": "stack", "assets": ("stack/kafka",)})
    own = a_step(2, "refused").model_copy(update={"ended_at": NOW + timedelta(seconds=9)})
    result = judge(a_record(PARITY, "hr/mirror/people:parity"), [], [own, first])
    assert {group.because: group.gates for group in result.not_judged} == {
        "because shop__connector failed": (PARITY,),
        "because stack failed": ("hr/mirror/people:parity",),
    }


def test_a_gate_without_evidence_and_without_a_failed_step_says_so() -> None:
    [group] = judge(a_record(PARITY), []).not_judged
    assert group.summary.startswith("1 gate did not look, and no step failed")


def test_many_gates_that_passed_are_folded_on_the_page(tmp_path: Path) -> None:
    red = an_evidence(asset="shop/mirror/bad", outcome=Outcome.FAILED, summary="1 row differs")
    items = [an_evidence(asset=f"shop/mirror/t{number}") for number in range(100)]
    page = html(report(written(tmp_path, red, *items, expected=())))
    assert "100 gates passed" in page
    assert page.index('id="shop/mirror/bad:parity"') < page.index("100 gates passed") < page.index("shop/mirror/t0:")
