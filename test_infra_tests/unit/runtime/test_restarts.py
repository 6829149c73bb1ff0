"""Restart decisions are time arithmetic."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from test_infra.runtime.process import Restart, ended_as
from test_infra.runtime.restarts import LONGEST_DELAY_S, MOST_IN_WINDOW, WINDOW_S, Again, Enough, decide


@pytest.mark.parametrize("exit_code", [0, 1, -9])
def test_never_means_never(exit_code: int) -> None:
    assert decide(Restart.NEVER, exit_code, [1.0]) == Enough("its policy", gave_up=False)


def test_on_failure_leaves_a_success_alone_and_repeats_a_failure() -> None:
    assert decide(Restart.ON_FAILURE, 0, [1.0]) == Enough("its policy", gave_up=False)
    assert isinstance(decide(Restart.ON_FAILURE, 1, [1.0]), Again)


def test_delays_double_up_to_the_longest() -> None:
    ends = [float(second) for second in range(MOST_IN_WINDOW)]
    delays = [decide(Restart.ALWAYS, 1, ends[: count + 1]) for count in range(MOST_IN_WINDOW)]
    assert delays == [Again(0.2), Again(0.4), Again(0.8), Again(1.6), Again(3.2)]


@given(st.lists(st.floats(0, 1_000), min_size=1, max_size=50).map(sorted))
def test_it_gives_up_exactly_when_too_many_ends_fall_in_one_window(ends: list[float]) -> None:
    answer = decide(Restart.ALWAYS, 1, ends)
    recent = sum(1 for moment in ends if ends[-1] - moment < WINDOW_S)
    if recent > MOST_IN_WINDOW:
        assert isinstance(answer, Enough)
        assert answer.gave_up
    else:
        assert isinstance(answer, Again)
        assert 0 < answer.delay_s <= LONGEST_DELAY_S


def test_ends_are_told_in_words() -> None:
    assert ended_as(3) == "exited with 3"
    assert ended_as(-9) == "killed by SIGKILL"
    assert ended_as(-99) == "killed by signal 99"
