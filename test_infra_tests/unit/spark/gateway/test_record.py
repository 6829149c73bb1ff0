from __future__ import annotations

import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from test_infra.spark.gateway.record import JobRecord, KeyConflict, StaleAttempt, UnknownJob
from test_infra.spark.gateway.record_schema import RecordTooNew
from test_infra.spark.gateway.states import IllegalTransition, JobState, Step
from test_infra.spark.job.spec import JobSpec, PythonModule

if TYPE_CHECKING:
    from pathlib import Path

SPEC = JobSpec(name="job", application=PythonModule(module="a.b"), conf={"spark.x": "1", "spark.y": "2"})


@pytest.fixture
def record(tmp_path: Path) -> JobRecord:
    return JobRecord(tmp_path / "record.sqlite")


def test_same_key_and_spec_is_the_same_execution(record: JobRecord) -> None:
    first = record.add("one", "key", SPEC)
    again = record.add(
        "two", "key", JobSpec(name="job", application=PythonModule(module="a.b"), conf={"spark.y": "2", "spark.x": "1"})
    )
    assert again.execution_id == first.execution_id == "one"
    assert len(record.all()) == 1


def test_same_key_and_other_spec_is_a_conflict(record: JobRecord) -> None:
    record.add("one", "key", SPEC)
    with pytest.raises(KeyConflict, match="belongs to another job"):
        record.add("two", "key", SPEC.model_copy(update={"args": ("x",)}))


def test_the_record_survives_and_is_private(tmp_path: Path, record: JobRecord) -> None:
    record.add("one", "key", SPEC)
    assert record.claim("one", most_active=None)
    record.move("one", Step(JobState.APPLICATION_FAILED, "exit code 3"), exit_code=3, error="it broke")
    found = JobRecord(tmp_path / "record.sqlite").get("one")
    assert (found.state, found.exit_code, found.error, found.spec) == (JobState.APPLICATION_FAILED, 3, "it broke", SPEC)
    assert found.ended_at is not None
    assert (tmp_path / "record.sqlite").stat().st_mode & 0o777 == 0o600


def test_an_illegal_step_changes_nothing(record: JobRecord) -> None:
    record.add("one", "key", SPEC)
    record.move("one", Step(JobState.SUBMISSION_FAILED, "no"))
    with pytest.raises(IllegalTransition):
        record.move("one", Step(JobState.RUNNING, "late"))
    assert record.get("one").state is JobState.SUBMISSION_FAILED
    assert [event.state for event in record.history("one")] == [JobState.SUBMITTED, JobState.SUBMISSION_FAILED]
    assert record.history("one")[-1].reason == "no"


def test_an_unknown_execution_is_an_error(record: JobRecord) -> None:
    with pytest.raises(UnknownJob):
        record.get("none")
    with pytest.raises(UnknownJob):
        record.move("none", Step(JobState.RUNNING, ""))


def test_a_late_word_on_an_attempt_that_is_over_changes_nothing(record: JobRecord) -> None:
    record.add("one", "key", SPEC)
    record.claim("one", most_active=None)
    failed = Step(JobState.APPLICATION_FAILED, "exit code 1")
    queued = record.again("one", failed, attempt=1, pause_s=0, exit_code=1, ended_at=5.0)
    assert (queued.state, queued.attempt) == (JobState.QUEUED, 2)
    with pytest.raises(StaleAttempt):
        record.move("one", Step(JobState.SUCCEEDED, "late"), attempt=1)
    with pytest.raises(StaleAttempt):
        record.again("one", failed, attempt=1, pause_s=0, exit_code=1, ended_at=None)
    assert record.claim("one", most_active=None)
    first, second = record.attempts("one")
    assert (first.outcome, first.exit_code, first.ended_at, first.reason) == (failed.state, 1, 5.0, "exit code 1")
    assert (second.number, second.outcome) == (2, None)
    assert record.failures("one").application == 1


def test_a_job_whose_time_has_not_come_is_nobodys(record: JobRecord) -> None:
    record.add("one", "key", SPEC)
    record.claim("one", most_active=None)
    record.again("one", Step(JobState.EVICTED, ""), attempt=1, pause_s=60, exit_code=None, ended_at=None)
    assert not record.claim("one", most_active=None)


def test_of_many_who_want_to_start_a_job_one_does(record: JobRecord) -> None:
    record.add("one", "key", SPEC)
    with ThreadPoolExecutor(8) as pool:
        got = list(pool.map(lambda _: record.claim("one", most_active=None), range(16)))
    assert got.count(True) == 1


def test_jobs_beyond_the_limit_wait_and_the_oldest_comes_first(record: JobRecord) -> None:
    for number in range(3):
        record.add(f"job{number}", f"key{number}", SPEC)
    assert record.claim("job0", most_active=1)
    assert not record.claim("job2", most_active=1)
    assert not record.claim("job1", most_active=1)
    assert record.get("job1").state is JobState.QUEUED
    assert "1 may run at once" in record.history("job1")[-1].reason
    record.move("job0", Step(JobState.SUCCEEDED, ""))
    assert not record.claim("job2", most_active=1)
    assert record.claim("job1", most_active=1)


def test_a_list_is_filtered_limited_and_in_a_stable_order(record: JobRecord) -> None:
    for number in range(6):
        spec = SPEC.model_copy(update={"name": f"job{number % 2}", "team": "ours" if number < 4 else "theirs"})
        record.add(f"e{number}", f"key{number}", spec)
    record.ask_cancel("e0", "ours")
    ids = [execution.execution_id for execution in record.all()]
    assert ids == [f"e{number}" for number in range(6)] == [one.execution_id for one in record.all()]
    assert [one.execution_id for one in record.all(name="job1")] == ["e1", "e3", "e5"]
    assert [one.execution_id for one in record.all(team="ours", state=JobState.SUBMITTED)] == ["e1", "e2", "e3"]
    assert [one.execution_id for one in record.all(limit=2)] == ["e4", "e5"]
    assert [one.execution_id for one in record.all(alive=True)] == ["e1", "e2", "e3", "e4", "e5"]
    assert [one.execution_id for one in record.all(kept=True)] == ["e0"]


def test_a_record_of_before_is_brought_up_to_date(tmp_path: Path) -> None:
    path = tmp_path / "record.sqlite"
    old = (
        '{"name":"ti-1-shop","team":"test_infra","module":"a.b","args":["x"],"conf":{"spark.a":"1"},'
        '"jar_groups":["spark-kafka"],"driver_memory_mib":2048,"start_timeout_s":90.0,"stop_timeout_s":7.0}'
    )
    with closing(sqlite3.connect(path)) as database:
        database.executescript(
            "CREATE TABLE job (execution_id TEXT PRIMARY KEY, idempotency_key TEXT NOT NULL UNIQUE,"
            " fingerprint TEXT NOT NULL, spec TEXT NOT NULL, state TEXT NOT NULL, submitted_at REAL NOT NULL,"
            " ended_at REAL, exit_code INTEGER, error TEXT);"
            "CREATE TABLE history (execution_id TEXT NOT NULL REFERENCES job, state TEXT NOT NULL, at REAL NOT NULL);"
        )
        for name, state in (("e1", "failed"), ("e2", "starting"), ("e3", "start_timed_out"), ("e4", "submitted")):
            ended = 9.0 if state == "failed" else None
            row = [name, f"key-{name}", "old", old, state, 1.0, ended, 1 if ended else None, "why"]
            database.execute("INSERT INTO job VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
            database.execute("INSERT INTO history VALUES (?, ?, ?)", [name, state, 2.0])
        database.commit()
    record = JobRecord(path)
    assert [one.state for one in record.all()] == [
        JobState.APPLICATION_FAILED, JobState.DRIVER_STARTED, JobState.READY_TIMED_OUT, JobState.SUBMITTED,
    ]  # fmt: skip
    spec = record.get("e1").spec
    assert spec.application == PythonModule(module="a.b")
    assert (spec.resources.driver.memory_mib, spec.timeouts.ready_s, spec.timeouts.stop_s) == (2048, 90.0, 7.0)
    assert record.add("e9", "key-e1", spec).execution_id == "e1"
    assert record.all(name="ti-1-shop", limit=1)[0].execution_id == "e4"
    assert [(one.number, one.outcome) for one in record.attempts("e1")] == [(1, JobState.APPLICATION_FAILED)]
    assert record.attempts("e4") == []
    assert JobRecord(path).get("e1") == record.get("e1")


def test_a_record_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "record.sqlite"
    JobRecord(path)
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA user_version = 99")
    with pytest.raises(RecordTooNew, match="newer version"):
        JobRecord(path)


def test_submissions_at_the_same_moment_become_one(record: JobRecord) -> None:
    found: list[str] = []
    threads = [
        threading.Thread(target=lambda name=f"id{number}": found.append(record.add(name, "key", SPEC).execution_id))
        for number in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1
