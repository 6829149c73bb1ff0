from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from test_infra.spark.record import JobRecord, KeyConflict, UnknownJob
from test_infra.spark.spec import JobSpec
from test_infra.spark.states import IllegalTransition, JobState

if TYPE_CHECKING:
    from pathlib import Path

SPEC = JobSpec(name="job", module="a.b", conf={"x": "1", "y": "2"})


@pytest.fixture
def record(tmp_path: Path) -> JobRecord:
    return JobRecord(tmp_path / "record.sqlite")


def test_same_key_and_spec_is_the_same_execution(record: JobRecord) -> None:
    first = record.add("one", "key", SPEC)
    again = record.add("two", "key", JobSpec(name="job", module="a.b", conf={"y": "2", "x": "1"}))
    assert again.execution_id == first.execution_id == "one"
    assert len(record.all()) == 1


def test_same_key_and_other_spec_is_a_conflict(record: JobRecord) -> None:
    record.add("one", "key", SPEC)
    with pytest.raises(KeyConflict, match="belongs to another job"):
        record.add("two", "key", SPEC.model_copy(update={"args": ("x",)}))


def test_the_record_survives_and_is_private(tmp_path: Path, record: JobRecord) -> None:
    record.add("one", "key", SPEC)
    record.move("one", JobState.FAILED, exit_code=3, error="it broke")
    found = JobRecord(tmp_path / "record.sqlite").get("one")
    assert (found.state, found.exit_code, found.error, found.spec) == (JobState.FAILED, 3, "it broke", SPEC)
    assert found.ended_at is not None
    assert (tmp_path / "record.sqlite").stat().st_mode & 0o777 == 0o600


def test_an_illegal_step_changes_nothing(record: JobRecord) -> None:
    record.add("one", "key", SPEC)
    record.move("one", JobState.LOST)
    with pytest.raises(IllegalTransition):
        record.move("one", JobState.SUCCEEDED)
    assert record.get("one").state is JobState.LOST
    assert [state for state, _ in record.history("one")] == [JobState.SUBMITTED, JobState.LOST]


def test_an_unknown_execution_is_an_error(record: JobRecord) -> None:
    with pytest.raises(UnknownJob):
        record.get("none")
    with pytest.raises(UnknownJob):
        record.move("none", JobState.RUNNING)


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
