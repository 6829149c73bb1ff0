"""A service that does not stay up is told with the cause: how it ended, its last words, what it may use."""

from __future__ import annotations

from pathlib import Path

import pytest

from test_infra.runtime.process import ProcessEvent
from test_infra.stack.stability import judge_service
from test_infra.stack.status import ServiceState
from test_infra.stack.unasked_ends import last_words, said_of

LOG = """[2026-11-27] INFO started
Terminating due to java.lang.OutOfMemoryError: Java heap space
[2026-11-27] INFO Kafka Connect starting
[2026-11-27] ERROR task threw an exception
[2026-11-27] INFO joined the group
"""


def event(word: str, detail: str = "exited with 3", service: str = "connect") -> dict[str, object]:
    return {"time": 1, "service": service, "event": word, "detail": detail}


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "connect.log"
    path.write_text(LOG)
    return path


def test_cause_is_in_the_first_line_of_the_gate(log: Path) -> None:
    events = [event(word, "exited with 1") for word in [ProcessEvent.ENDED, ProcessEvent.RESTARTED] * 13]
    cause = said_of("connect", events, log)
    assert cause == (
        "connect ended by itself 13 times, last: exited with 1; its log: Terminating due to "
        "java.lang.OutOfMemoryError: Java heap space"
    )
    found = judge_service("connect", (ServiceState.NOT_ANSWERING, "refused"), events, cause)
    assert (found.passed, found.summary) == (False, cause)


def test_what_the_keeper_knows_of_the_memory_is_enough(log: Path) -> None:
    detail = "exited with 3: java.lang.OutOfMemoryError: Java heap space, with a heap of 512m"
    assert said_of("connect", [event(ProcessEvent.ENDED, detail)], log) == (
        f"connect ended by itself once, last: {detail}"
    )


def test_that_it_is_not_started_again_is_said(log: Path) -> None:
    events = [event(ProcessEvent.ENDED), event(ProcessEvent.GIVEN_UP, "it ended 6 times within 60 s")]
    assert said_of("connect", events, log).endswith("it is not started again, for it ended 6 times within 60 s")


@pytest.mark.parametrize("word", [ProcessEvent.STARTED, ProcessEvent.RESTARTED, ProcessEvent.FAULT])
def test_service_that_did_not_end_has_no_cause(log: Path, word: ProcessEvent) -> None:
    assert said_of("connect", [event(word), event(ProcessEvent.ENDED, service="kafka")], log) == ""


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("all is well\nERROR it broke\nstarting again\n", "ERROR it broke"),
        ("one\ntwo\n\n", "two"),
        ("java.lang.IllegalStateException: gone\n\tat a.b.C\n", "java.lang.IllegalStateException: gone"),
        ("", ""),
    ],
)
def test_last_words_are_the_most_telling_line(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "s.log"
    path.write_text(text)
    assert last_words(path) == words
    assert last_words(tmp_path / "none.log") == ""
