from __future__ import annotations

from pathlib import Path

from test_infra.spark.driver.event_log import EventLogStatus, delete_old_pieces, read_event_log

START = '{"Event":"SparkListenerApplicationStart","App ID":"local-1"}\n'
JOB = '{"Event":"SparkListenerJobStart","Job ID":0}\n'


def log(folder: Path, *pieces: str) -> Path:
    made = folder / "events" / "eventlog_v2_local-1"
    made.mkdir(parents=True)
    for number, text in enumerate(pieces, 1):
        (made / f"events_{number}_local-1").write_text(text)
    return made


def test_nothing_is_known_before_there_is_a_log(tmp_path: Path) -> None:
    assert read_event_log(tmp_path) == EventLogStatus()
    log(tmp_path, "")
    assert read_event_log(tmp_path) == EventLogStatus()


def test_a_context_is_ready_and_a_job_is_work(tmp_path: Path) -> None:
    folder = log(tmp_path, START)
    assert read_event_log(tmp_path) == EventLogStatus(ready=True, application_id="local-1")
    (folder / "events_1_local-1").write_text(START + JOB)
    assert read_event_log(tmp_path) == EventLogStatus(ready=True, at_work=True, application_id="local-1")


def test_old_pieces_go_and_what_they_said_is_still_known(tmp_path: Path) -> None:
    folder = log(tmp_path, START, *["x"] * 11)
    delete_old_pieces(tmp_path)
    assert sorted(path.name for path in folder.iterdir()) == [
        "events_11_local-1", "events_12_local-1", "events_1_local-1",
    ]  # fmt: skip
    assert read_event_log(tmp_path).at_work
