"""What commands print, and when."""

from __future__ import annotations

import io
import json
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
import pytest

from test_infra.base.errors import UsageError
from test_infra.base.redaction import redact
from test_infra.cli import progress as progress_module
from test_infra.cli import tables
from test_infra.cli.durations import Duration, in_words
from test_infra.cli.progress import Progress
from test_infra.cli.reports import find_run, show
from test_infra.verdict.evidence import Evidence, Outcome, unknown, write
from test_infra.verdict.report import report
from test_infra.verdict.run import RunRecord, StepRecord, begin, finish, write_step


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("30m", 1_800), ("8h", 28_800), ("1.5h", 5_400), ("2d", 172_800)]
)
def test_durations_are_read(text: str, seconds: float) -> None:
    assert Duration().convert(text, None, None) == seconds


@pytest.mark.parametrize("text", ["", "8", "h", "-1h", "0s", "8 hours", "1h30m", "nan s"])
def test_other_durations_are_refused_with_the_form(text: str) -> None:
    with pytest.raises(click.BadParameter, match="write 90s, 30m, 8h or 2d"):
        Duration().convert(text, None, None)


@pytest.mark.parametrize(("seconds", "words"), [(45, "45 s"), (720, "12 min"), (12_600, "3.5 h"), (172_800, "2.0 d")])
def test_durations_are_said(seconds: float, words: str) -> None:
    assert in_words(seconds) == words


def test_progress_is_plain_lines_where_there_is_no_terminal() -> None:
    stream = io.StringIO()

    with Progress(stream).doing("starting the stack") as now:
        now("waiting for kafka")

    assert stream.getvalue() == "starting the stack ...\n"


def test_progress_says_that_it_still_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_module, "STILL_EVERY_S", 0.01)
    said = threading.Event()

    class Stream(io.StringIO):
        def write(self, text: str) -> int:
            if "still waiting for kafka (" in text:
                said.set()
            return super().write(text)

    with Progress(Stream()).doing("starting the stack") as now:
        now("waiting for kafka")
        assert said.wait(timeout=10)


def test_progress_shows_no_secret() -> None:
    redact.learn("sesame-open-up")
    stream = io.StringIO()

    Progress(stream).say("connected with sesame-open-up")

    assert "sesame" not in stream.getvalue()


def test_a_table_in_a_log_file_keeps_each_row_on_its_line(capsys: pytest.CaptureFixture) -> None:
    tables.table(["table", "verdict"], [["orders", "VALUE " + "x" * 150], ["customers", ""]], red=[0])

    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("orders") and line.rstrip().endswith("x" * 150) for line in lines)


def test_json_is_all_there_is_on_stdout(capsys: pytest.CaptureFixture) -> None:
    tables.as_json({"at": datetime(2026, 11, 21, tzinfo=UTC), "state": "usable"})

    assert json.loads(capsys.readouterr().out) == {"at": "2026-11-21 00:00:00+00:00", "state": "usable"}


NOW = datetime(2026, 11, 21, tzinfo=UTC)


def run_folder(home: Path, run_id: str, outcome: Outcome) -> Path:
    folder = home / "runs" / run_id
    folder.mkdir(parents=True)
    record = RunRecord(run_id=run_id, job="e2e", expected=("shop/mirror/orders:parity",), started_at=NOW)
    begin(folder, record)
    row = {"key": "id=17", "column": "amount", "source": "9.99", "mirror": "9.98", "verdict": "VALUE"}
    write(
        folder,
        Evidence(
            gate="parity",
            asset="shop/mirror/orders",
            outcome=outcome,
            summary="1 of 1,200 rows differs" if outcome is not Outcome.PASSED else "1,200 rows are equal",
            verdicts=("VALUE",) if outcome is not Outcome.PASSED else (),
            rows=(row,) if outcome is not Outcome.PASSED else (),
            started_at=NOW,
            ended_at=NOW,
        ),
    )
    finish(folder, record, succeeded=outcome is Outcome.PASSED)
    return folder


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TEST_INFRA_HOME", str(tmp_path))
    return tmp_path


def test_a_red_verdict_names_key_column_and_both_values(home: Path, capsys: pytest.CaptureFixture) -> None:
    folder = run_folder(home, "abc-1", Outcome.FAILED)

    show(report(folder), folder, machine=False)

    shown = capsys.readouterr().out
    for part in (
        "shop/mirror/orders",
        "parity",
        "VALUE",
        "id=17",
        "amount",
        "9.99",
        "9.98",
        "exit code 1",
        "report.html",
    ):
        assert part in shown


def test_a_green_verdict_ends_with_the_report(home: Path, capsys: pytest.CaptureFixture) -> None:
    folder = run_folder(home, "abc-1", Outcome.PASSED)

    show(report(folder), folder, machine=False)

    assert capsys.readouterr().out.splitlines()[-2:] == [
        "GREEN  e2e: 1 gates passed",
        f"report: {folder / 'report.html'}",
    ]


def test_a_verdict_for_machines_is_the_result(home: Path, capsys: pytest.CaptureFixture) -> None:
    folder = run_folder(home, "abc-1", Outcome.FAILED)

    show(report(folder), folder, machine=True)

    assert json.loads(capsys.readouterr().out)["exit_code"] == 1


def test_a_run_is_found_by_the_start_of_its_id(home: Path) -> None:
    folder = run_folder(home, "abc-1", Outcome.PASSED)
    run_folder(home, "xyz-1", Outcome.PASSED)

    assert find_run("abc") == folder
    assert find_run("abc-1") == folder


@pytest.mark.parametrize("wanted", ["nothing", "abc", "../abc-1", ""])
def test_a_run_that_is_not_the_only_one_is_refused(wanted: str, home: Path) -> None:
    run_folder(home, "abc-1", Outcome.PASSED)
    run_folder(home, "abc-2", Outcome.PASSED)

    with pytest.raises(UsageError, match="run"):
        find_run(wanted)


ERROR = """the SQL file of pipeline billing failed
  file:      billing.sql:3
  seen:      column "x" does not exist
  try:       mend the statement"""


def run_with_a_failed_step(home: Path, passed: int = 0) -> Path:
    folder = home / "runs" / "r"
    folder.mkdir(parents=True)
    behind = [f"billing/mirror/t{number}:parity" for number in range(24)]
    begin(folder, RunRecord(run_id="r", job="e2e", expected=tuple(behind), started_at=NOW))
    for number in range(passed):
        write(
            folder,
            Evidence(
                gate="parity",
                asset=f"shop/mirror/p{number}",
                outcome=Outcome.PASSED,
                summary="equal",
                started_at=NOW,
                ended_at=NOW,
            ),
        )
    write_step(
        folder,
        StepRecord(
            step="billing__source",
            assets=("billing/source/t0",),
            started_at=NOW,
            ended_at=NOW,
            exit_code=2,
            error=ERROR,
        ),
    )
    return folder


def test_a_failed_step_is_shown_whole_above_the_verdict(home: Path, capsys: pytest.CaptureFixture) -> None:
    folder = run_with_a_failed_step(home)

    show(report(folder), folder, machine=False)

    assert capsys.readouterr().out.splitlines() == [
        "  24 gates did not look, because billing__source failed",
        "step billing__source failed 0 s after the start:",
        *(f"  {line}" for line in ERROR.splitlines()),
        "RED  e2e: exit code 2",
        f"report: {folder / 'report.html'}",
    ]


@pytest.mark.parametrize(("every_gate", "lines"), [(False, 0), (True, 40)])
def test_many_gates_that_passed_are_folded(
    home: Path, capsys: pytest.CaptureFixture, every_gate: bool, lines: int
) -> None:
    folder = run_with_a_failed_step(home, passed=40)

    show(report(folder), folder, machine=False, every_gate=every_gate)

    shown = capsys.readouterr().out
    assert sum(line.startswith("shop/mirror/p") for line in shown.splitlines()) == lines
    assert ("40 gates passed: parity 40 (--all shows them)" in shown) is not every_gate


def test_a_gate_that_raised_shows_its_error_whole(home: Path, capsys: pytest.CaptureFixture) -> None:
    folder = run_folder(home, "abc-1", Outcome.FAILED)
    found = unknown(UsageError("table t is gone", hint="create it"))
    write(
        folder,
        Evidence(
            gate="lag",
            asset="shop/mirror/orders",
            started_at=NOW - timedelta(seconds=1),
            ended_at=NOW - timedelta(seconds=1),
            **found.model_dump(),
        ),
    )

    show(report(folder), folder, machine=False)

    assert "  try:       create it" in "\n".join(capsys.readouterr().out.splitlines()[-5:])
