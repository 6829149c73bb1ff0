from __future__ import annotations

import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from test_infra.spark.gateway.record import JobRecord, KeyConflict, StaleAttempt
from test_infra.spark.gateway.record_file import RecordOfAnotherVersion
from test_infra.spark.gateway.record_rows import UnknownJob
from test_infra.spark.gateway.states import IllegalTransition, JobState, Transition
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
    assert again.execution.execution_id == first.execution.execution_id == "one"
    assert (first.created, again.created) == (True, False)
    assert len(record.find()) == 1


def test_same_key_and_other_spec_is_a_conflict(record: JobRecord) -> None:
    record.add("one", "key", SPEC)
    with pytest.raises(KeyConflict, match="belongs to another job"):
        record.add("two", "key", SPEC.model_copy(update={"args": ("x",)}))


def test_the_record_survives_and_is_private(tmp_path: Path, record: JobRecord) -> None:
    record.add("one", "key", SPEC)
    assert record.request_driver("one", most_active=None)
    record.move("one", Transition(JobState.APPLICATION_FAILED, "exit code 3"), exit_code=3, error="it broke")
    found = JobRecord(tmp_path / "record.sqlite").get("one")
    assert (found.state, found.exit_code, found.error, found.spec) == (JobState.APPLICATION_FAILED, 3, "it broke", SPEC)
    assert found.ended_at is not None
    assert (tmp_path / "record.sqlite").stat().st_mode & 0o777 == 0o600


def test_an_illegal_step_changes_nothing(record: JobRecord) -> None:
    record.add("one", "key", SPEC)
    record.move("one", Transition(JobState.SUBMISSION_FAILED, "no"))
    with pytest.raises(IllegalTransition):
        record.move("one", Transition(JobState.RUNNING, "late"))
    assert record.get("one").state is JobState.SUBMISSION_FAILED
    assert [event.state for event in record.history("one")] == [JobState.SUBMITTED, JobState.SUBMISSION_FAILED]
    assert record.history("one")[-1].reason == "no"


def test_an_unknown_execution_is_an_error(record: JobRecord) -> None:
    with pytest.raises(UnknownJob):
        record.get("none")
    with pytest.raises(UnknownJob):
        record.move("none", Transition(JobState.RUNNING, ""))


def test_a_late_word_on_an_attempt_that_is_over_changes_nothing(record: JobRecord) -> None:
    record.add("one", "key", SPEC)
    record.request_driver("one", most_active=None)
    failed = Transition(JobState.APPLICATION_FAILED, "exit code 1")
    queued = record.queue_next_attempt("one", failed, attempt=1, pause_s=0, exit_code=1, ended_at=5.0)
    assert (queued.state, queued.attempt) == (JobState.QUEUED, 2)
    with pytest.raises(StaleAttempt):
        record.move("one", Transition(JobState.SUCCEEDED, "late"), attempt=1)
    with pytest.raises(StaleAttempt):
        record.queue_next_attempt("one", failed, attempt=1, pause_s=0, exit_code=1, ended_at=None)
    assert record.request_driver("one", most_active=None)
    first, second = record.attempts("one")
    assert (first.outcome, first.exit_code, first.ended_at, first.reason) == (failed.state, 1, 5.0, "exit code 1")
    assert (second.number, second.outcome) == (2, None)
    assert record.failures("one").application == 1


def test_a_job_whose_time_has_not_come_is_nobodys(record: JobRecord) -> None:
    record.add("one", "key", SPEC)
    record.request_driver("one", most_active=None)
    record.queue_next_attempt(
        "one", Transition(JobState.EVICTED, ""), attempt=1, pause_s=60, exit_code=None, ended_at=None
    )
    assert not record.request_driver("one", most_active=None)


def test_of_many_who_want_to_start_a_job_one_does(record: JobRecord) -> None:
    record.add("one", "key", SPEC)
    with ThreadPoolExecutor(8) as pool:
        got = list(pool.map(lambda _: record.request_driver("one", most_active=None), range(16)))
    assert got.count(True) == 1


def test_jobs_beyond_the_limit_wait_and_the_oldest_comes_first(record: JobRecord) -> None:
    for number in range(3):
        record.add(f"job{number}", f"key{number}", SPEC)
    assert record.request_driver("job0", most_active=1)
    assert not record.request_driver("job2", most_active=1)
    assert not record.request_driver("job1", most_active=1)
    assert record.get("job1").state is JobState.QUEUED
    assert "1 may run at once" in record.history("job1")[-1].reason
    record.move("job0", Transition(JobState.SUCCEEDED, ""))
    assert not record.request_driver("job2", most_active=1)
    assert record.request_driver("job1", most_active=1)


def test_a_list_is_filtered_limited_and_in_a_stable_order(record: JobRecord) -> None:
    for number in range(6):
        spec = SPEC.model_copy(update={"name": f"job{number % 2}", "team": "ours" if number < 4 else "theirs"})
        record.add(f"e{number}", f"key{number}", spec)
    record.request_cancel("e0", "ours")
    ids = [execution.execution_id for execution in record.find()]
    assert ids == [f"e{number}" for number in range(6)] == [one.execution_id for one in record.find()]
    assert [one.execution_id for one in record.find(name="job1")] == ["e1", "e3", "e5"]
    assert [one.execution_id for one in record.find(team="ours", state=JobState.SUBMITTED)] == ["e1", "e2", "e3"]
    assert [one.execution_id for one in record.find(limit=2)] == ["e4", "e5"]
    assert [one.execution_id for one in record.alive()] == ["e1", "e2", "e3", "e4", "e5"]
    assert [one.execution_id for one in record.ended_with_files()] == ["e0"]


@pytest.mark.parametrize("version", [0, 2, 99])
def test_a_record_of_another_version_is_refused_and_left_alone(tmp_path: Path, version: int) -> None:
    path = tmp_path / "record.sqlite"
    JobRecord(path).add("one", "key", SPEC)
    with closing(sqlite3.connect(path)) as database:
        database.execute(f"PRAGMA user_version = {version}")
    with pytest.raises(RecordOfAnotherVersion, match="another version") as refused:
        JobRecord(path)
    assert refused.value.details["found"] == str(version)
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (version,)
        assert database.execute("SELECT execution_id FROM job").fetchall() == [("one",)]


def test_a_record_made_by_many_at_once_is_made_once(tmp_path: Path) -> None:
    path = tmp_path / "record.sqlite"
    with ThreadPoolExecutor(8) as pool:
        records = list(pool.map(lambda _: JobRecord(path), range(8)))
    records[0].add("one", "key", SPEC)
    assert {record.get("one").execution_id for record in records} == {"one"}


def test_submissions_at_the_same_moment_become_one(record: JobRecord) -> None:
    found: list[str] = []
    threads = [
        threading.Thread(
            target=lambda name=f"id{number}": found.append(record.add(name, "key", SPEC).execution.execution_id)
        )
        for number in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1
