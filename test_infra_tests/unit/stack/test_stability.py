"""What the gate on services takes for stable."""

from __future__ import annotations

import pytest

from test_infra.runtime.process import ProcessEvent
from test_infra.stack.stability import PLANNED, USABLE, ServiceState, judge_service
from test_infra.verdict.evidence import Outcome


def event(service: str, word: str) -> dict[str, object]:
    return {"time": 1, "service": service, "event": word, "detail": "told"}


@pytest.mark.parametrize("state", list(ServiceState))
def test_a_service_that_is_not_usable_is_red(state: ServiceState) -> None:
    found = judge_service("kafka", (state, "why"), [])
    assert found.outcome is (Outcome.PASSED if state in USABLE else Outcome.FAILED)


@pytest.mark.parametrize("word", [*ProcessEvent, "a word of another version"])
def test_what_nobody_asked_for_is_red_and_shown(word: str) -> None:
    found = judge_service("kafka", (ServiceState.USABLE, ""), [event("kafka", word)])
    assert found.passed is (word in PLANNED)
    assert found.passed or found.rows == ({"time": "1970-01-01T00:00:01.000+00:00", "event": word, "detail": "told"},)


def test_an_event_of_another_service_is_not_held_against_this_one() -> None:
    assert judge_service("kafka", (ServiceState.USABLE, ""), [event("postgres", ProcessEvent.ENDED)]).passed


def test_a_service_that_the_stack_does_not_know_is_unknown() -> None:
    assert judge_service("kafka", None, []).outcome is Outcome.UNKNOWN
