from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from test_infra.spark.states import LEGAL, IllegalTransition, JobState, Observation, observed, transition

OBSERVATIONS = st.builds(
    Observation,
    found=st.booleans(),
    running=st.booleans(),
    exit_code=st.none() | st.integers(-15, 143),
    driver_ready=st.booleans(),
    at_work=st.booleans(),
    age_s=st.floats(0, 1_000),
)
STATES = st.sampled_from(JobState)


def test_the_table_names_every_state() -> None:
    assert set(LEGAL) == set(JobState)


@given(STATES, st.lists(OBSERVATIONS, max_size=20))
def test_any_order_of_observations_takes_legal_steps_only(state: JobState, seen: list[Observation]) -> None:
    for observation in seen:
        new = observed(state, observation, start_timeout_s=100)
        assert new is state or new in LEGAL[state]
        state = new


@given(STATES.filter(lambda state: state.terminal), OBSERVATIONS)
def test_terminal_states_never_leave(state: JobState, seen: Observation) -> None:
    assert observed(state, seen, start_timeout_s=100) is state
    with pytest.raises(IllegalTransition, match="none, it is terminal"):
        transition(state, JobState.RUNNING)


@given(STATES, OBSERVATIONS)
def test_success_needs_a_seen_exit_code_of_zero(state: JobState, seen: Observation) -> None:
    new = observed(state, seen, start_timeout_s=100)
    if new is JobState.SUCCEEDED and state is not JobState.SUCCEEDED:
        assert seen.found
        assert seen.exit_code == 0
        assert not seen.running


@given(STATES.filter(lambda state: not state.terminal))
def test_not_found_and_unknown_are_lost(state: JobState) -> None:
    assert observed(state, Observation(found=False), start_timeout_s=100) is JobState.LOST
    if state is not JobState.CANCELLING:
        assert observed(state, Observation(found=True), start_timeout_s=100) is JobState.LOST


@pytest.mark.parametrize(
    ("state", "seen", "expected"),
    [
        (JobState.SUBMITTED, Observation(True, True), JobState.STARTING),
        (JobState.STARTING, Observation(True, True, driver_ready=True), JobState.DRIVER_READY),
        (JobState.DRIVER_READY, Observation(True, True, driver_ready=True, at_work=True), JobState.RUNNING),
        (JobState.RUNNING, Observation(True, True), JobState.RUNNING),
        (JobState.RUNNING, Observation(True, False, 1), JobState.FAILED),
        (JobState.RUNNING, Observation(True, False, 0), JobState.SUCCEEDED),
        (JobState.STARTING, Observation(True, True, age_s=101), JobState.START_TIMED_OUT),
        (JobState.DRIVER_READY, Observation(True, True, driver_ready=True, age_s=101), JobState.DRIVER_READY),
        (JobState.CANCELLING, Observation(True, True, at_work=True), JobState.CANCELLING),
        (JobState.CANCELLING, Observation(True, False, 143), JobState.CANCELLED),
        (JobState.CANCELLED, Observation(True, False, 1), JobState.CANCELLED),
    ],
)
def test_an_observation_moves_the_state(state: JobState, seen: Observation, expected: JobState) -> None:
    assert observed(state, seen, start_timeout_s=100) is expected
