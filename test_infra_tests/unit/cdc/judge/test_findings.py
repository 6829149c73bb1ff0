"""From what `cdc` found out to evidence: nothing red is shown as green, and the place is named."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from test_infra.cdc.judge import findings, witness
from test_infra.cdc.judge.differences import Difference, TableParity
from test_infra.cdc.judge.lag import Hop, LagReport
from test_infra.cdc.judge.offsets import OffsetAccount, OffsetFault
from test_infra.cdc.judge.verdicts import Verdict
from test_infra.cdc.pipeline.connect_client import ConnectorStatus
from test_infra.cdc.pipeline.spec import LagThresholds
from test_infra.cdc.sources.source import CaptureState
from test_infra.spark.gateway.execution import Execution
from test_infra.spark.gateway.states import JobState
from test_infra.spark.job.spec import JobSpec, PythonModule
from test_infra.verdict.evidence import Outcome

QUICK = Hop(p50_s=0.2, p95_s=0.3, p99_s=0.4, max_s=0.5)
SLOW = Hop(p50_s=1, p95_s=9, p99_s=10, max_s=11)
SINCE = datetime(2026, 11, 21, tzinfo=UTC)

ACTIVE = CaptureState.ACTIVE


def hops(mirror: Hop) -> dict[str, Hop]:
    return {"commit_to_kafka": QUICK, "commit_to_changes": QUICK, "commit_to_mirror": mirror}


@pytest.mark.parametrize("verdict", list(Verdict))
def test_any_verdict_of_parity_is_red(verdict: Verdict) -> None:
    found = findings.parity(TableParity("public.orders", counts={verdict: 1}))
    assert found.outcome is (Outcome.UNKNOWN if verdict is Verdict.UNKNOWN else Outcome.FAILED)
    assert found.verdicts == (verdict.value,)


def test_parity_names_key_column_and_both_values() -> None:
    difference = Difference("public.orders", {"id": "7"}, "amount", "1.00", None, Verdict.VALUE, "source with mirror")
    found = findings.parity(
        TableParity("public.orders", counts={Verdict.VALUE: 1}, clean_keys=10, dirty_keys=3, differences=(difference,))
    )
    [row] = found.rows
    assert (row["key"], row["column"], row["source"], row["mirror"]) == ("id=7", "amount", "1.00", "NULL")
    assert (found.numbers["clean_keys"], found.numbers["dirty_keys"], found.numbers["faults_value"]) == (10, 3, 1)


def test_equal_tables_are_green() -> None:
    assert findings.parity(TableParity("public.orders", source_rows=3, mirror_rows=3, clean_keys=3)).passed


@pytest.mark.parametrize(
    ("report", "outcome"),
    [
        (LagReport(count=9, hops=hops(QUICK), since=SINCE), Outcome.PASSED),
        (LagReport(count=9, hops=hops(SLOW), since=SINCE), Outcome.FAILED),
        (LagReport(since=SINCE), Outcome.UNKNOWN),
        (LagReport(count=9, hops=hops(QUICK), unmeasured=1, since=SINCE), Outcome.UNKNOWN),
        (LagReport(since=SINCE, behind="the sink is not there"), Outcome.FAILED),
    ],
    ids=["in time", "too slow", "nothing measured", "partly measured", "behind"],
)
def test_lag(report: LagReport, outcome: Outcome) -> None:
    found = findings.lag(report, LagThresholds())
    assert found.outcome is outcome
    assert found.summary


def test_idle_table_says_so_and_how_late_the_heart_beat_was() -> None:
    beats = LagReport(count=3, hops=hops(QUICK), since=SINCE)
    found = findings.lag(LagReport(since=SINCE, heartbeat=beats), LagThresholds())
    assert found.passed
    assert found.summary.startswith("idle: no change of its own; 3 heart-beats, visible in the mirror after p50 0.20 s")
    red = findings.lag(LagReport(since=SINCE, heartbeat=beats), LagThresholds(idle="red"))
    assert (red.outcome, red.verdicts) == (Outcome.UNKNOWN, ("UNKNOWN",))
    assert "idle: red" in red.summary


def test_empty_tables_say_so_and_what_showed_that_the_pipeline_moves() -> None:
    moved = "heart-beat visible after 0.40 s"
    compared = findings.parity(TableParity("public.t", mirror_version=0, moved=moved))
    accounted = findings.offsets(OffsetAccount("t", upto={0: 0}, moved=moved))
    assert (compared.passed, accounted.passed) == (True, True)
    assert compared.summary == f"equal: empty on both sides, and it never changed; {moved}"
    assert accounted.summary.startswith("empty: ")
    assert accounted.summary.endswith(moved)


def test_lag_says_which_threshold_was_passed() -> None:
    found = findings.lag(LagReport(count=9, hops=hops(SLOW), since=SINCE), LagThresholds(mirror_p95_s=5))
    assert "mirror_p95_s is 9.00 s, allowed 5 s" in found.summary
    assert found.numbers["commit_to_mirror_p95_s"] == 9


def test_an_offset_that_is_nowhere_is_red_and_named() -> None:
    fault = OffsetFault(0, 41, Verdict.MISSING, "a record in Kafka")
    found = findings.offsets(OffsetAccount("t", {"change": 40}, {Verdict.MISSING: 1}, (fault,), {0: 42}))
    assert found.outcome is Outcome.FAILED
    assert found.rows[0]["offset"] == "41"
    assert findings.offsets(OffsetAccount("t", {"change": 42}, upto={0: 42})).passed


def test_one_quarantined_record_is_red_also_when_the_stream_is_behind() -> None:
    rows = [{"topic": "t", "partition": "0", "offset": "7", "reason": "no JSON"}]
    assert findings.quarantine(1, rows, {"orders": "late"}).outcome is Outcome.FAILED
    assert findings.quarantine(1, rows, {}).rows == tuple(rows)
    assert findings.quarantine(0, [], {"orders": "late"}).verdicts == ("LAG",)
    assert findings.quarantine(0, [], {}).passed


@pytest.mark.parametrize(
    ("status", "capture", "passed"),
    [
        (ConnectorStatus("RUNNING", {0: "RUNNING"}, {}), ACTIVE, True),
        (ConnectorStatus("RUNNING", {0: "FAILED"}, {0: "org.postgresql.PSQLException: gone"}), ACTIVE, False),
        (ConnectorStatus("RUNNING", {}, {}), ACTIVE, False),
        (ConnectorStatus("RUNNING", {0: "RUNNING"}, {}), CaptureState.NOT_ACTIVE, False),
        (ConnectorStatus("RUNNING", {0: "RUNNING"}, {}), CaptureState.NOT_THERE, False),
        (ConnectorStatus("PAUSED", {0: "PAUSED"}, {}), ACTIVE, False),
        (None, ACTIVE, False),
    ],
)
def test_connector(status: ConnectorStatus | None, capture: CaptureState, passed: bool) -> None:
    found = findings.connector("ti-1-shop", status, "slot ti_1_shop", capture)
    assert found.passed is passed
    assert passed or found.summary


def test_the_trace_of_a_failed_task_is_shown() -> None:
    status = ConnectorStatus("RUNNING", {0: "FAILED"}, {0: "org.postgresql.PSQLException: gone"})
    assert "PSQLException" in findings.connector("c", status, "slot s", ACTIVE).details["trace of task 0"]


@pytest.mark.parametrize("state", list(JobState))
def test_a_stream_that_does_not_run_is_red(state: JobState) -> None:
    spec = JobSpec(name="ti-1-shop", team="test_infra", application=PythonModule(module="m"))
    execution = Execution("e1", "k", spec, state, submitted_at=0.0, error="CommitFailedError: no\nmore")
    found = findings.stream(execution, Path("driver.log"))
    assert found.passed is (state is JobState.RUNNING)
    assert found.passed or "CommitFailedError: no" in found.summary


def test_an_acknowledged_key_that_is_absent_is_red_and_named() -> None:
    fault = witness.WitnessFault((7,), Verdict.LOST, 41, "no row, though its insert was acknowledged")
    found = findings.witness(witness.Testimony("orders", keys=9, counts={Verdict.LOST: 1}, faults=(fault,)))
    assert found.outcome is Outcome.FAILED
    assert (found.rows[0]["key"], found.rows[0]["operation"]) == ("7", "41")
    assert findings.witness(witness.Testimony("orders", keys=9)).passed
    nothing = findings.witness(witness.Testimony("orders", counts={Verdict.UNKNOWN: 1}, reason="no operation"))
    assert nothing.outcome is Outcome.UNKNOWN
