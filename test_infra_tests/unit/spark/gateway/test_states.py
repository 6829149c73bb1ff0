from __future__ import annotations

import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from test_infra.spark.gateway.states import (
    INFRASTRUCTURE,
    LEGAL,
    Clock,
    DriverState,
    IllegalTransition,
    JobState,
    Observation,
    check_legal,
    next_transition,
)

S, A, D = JobState, Observation, DriverState
TIMES = st.none() | st.floats(0, 1_000)
OBSERVATIONS = st.builds(
    Observation,
    driver=st.sampled_from(DriverState),
    exit_code=st.none() | st.integers(-15, 143),
    ended_at=TIMES,
    driver_ready=st.booleans(),
    at_work=st.booleans(),
    reason=st.sampled_from(["", "out of memory"]),
)
CLOCKS = st.builds(
    Clock,
    now=st.floats(0, 1_000),
    requested_at=st.floats(0, 1_000),
    started_at=TIMES,
    ready_at=TIMES,
    cancel_at=TIMES,
    driver_start_s=st.just(60.0),
    ready_s=st.just(100.0),
    run_s=st.none() | st.just(200.0),
)
STATES = st.sampled_from(JobState)
DRIVEN = STATES.filter(lambda state: not state.terminal and not state.waiting)
NOW = Clock(now=10.0, requested_at=0.0, started_at=1.0)


def after(state: JobState, seen: Observation, clock: Clock = NOW) -> JobState:
    new = next_transition(state, seen, clock)
    return state if new is None else new.state


def test_the_table_names_every_state() -> None:
    assert set(LEGAL) == set(JobState)


def test_every_end_is_reached_and_none_leads_on() -> None:
    ends = {state for state in JobState if state.terminal}
    assert ends == INFRASTRUCTURE | {JobState.SUCCEEDED, JobState.APPLICATION_FAILED, JobState.CANCELLED}
    assert ends <= {state for follows in LEGAL.values() for state in follows}


@given(STATES, st.lists(st.tuples(OBSERVATIONS, CLOCKS), max_size=20))
def test_any_order_of_observations_takes_legal_steps_only(
    state: JobState, seen: list[tuple[Observation, Clock]]
) -> None:
    for observation, clock in seen:
        new = after(state, observation, clock)
        assert new is state or new in LEGAL[state]
        assert new is not JobState.QUEUED or state is JobState.QUEUED  # only a restart policy queues again
        state = new


@given(STATES.filter(lambda state: state.terminal), OBSERVATIONS, CLOCKS)
def test_terminal_states_never_leave(state: JobState, seen: Observation, clock: Clock) -> None:
    assert next_transition(state, seen, clock) is None
    with pytest.raises(IllegalTransition, match="none, it is terminal"):
        check_legal(state, JobState.RUNNING)


@given(STATES.filter(lambda state: not state.terminal), OBSERVATIONS, CLOCKS)
def test_success_needs_a_seen_exit_code_of_zero(state: JobState, seen: Observation, clock: Clock) -> None:
    if after(state, seen, clock) is JobState.SUCCEEDED:
        assert seen.driver is DriverState.ENDED
        assert seen.exit_code == 0


@given(DRIVEN, CLOCKS)
def test_not_found_is_never_success_and_never_the_applications_fault(state: JobState, clock: Clock) -> None:
    assert after(state, Observation(D.ABSENT), clock) in {
        state, JobState.LOST, JobState.DRIVER_START_TIMED_OUT, JobState.CANCELLED,
    }  # fmt: skip


@given(DRIVEN, CLOCKS)
def test_a_backend_that_does_not_answer_changes_nothing(state: JobState, clock: Clock) -> None:
    assert next_transition(state, Observation(D.UNREACHABLE, reason="it restarts"), clock) is None


@given(DRIVEN, st.lists(st.tuples(OBSERVATIONS, CLOCKS), max_size=10))
def test_a_job_that_is_cancelling_never_runs_again(state: JobState, seen: list[tuple[Observation, Clock]]) -> None:
    state = JobState.CANCELLING
    for observation, clock in seen:
        state = after(state, observation, clock)
        assert state is JobState.CANCELLING or state.terminal


@pytest.mark.parametrize(
    ("state", "seen", "clock", "expected"),
    [
        (S.DRIVER_REQUESTED, A(D.RUNNING), NOW, S.DRIVER_STARTED),
        (S.DRIVER_REQUESTED, A(D.ABSENT), Clock(now=10, requested_at=0), S.DRIVER_REQUESTED),
        (S.DRIVER_REQUESTED, A(D.ABSENT), Clock(now=61, requested_at=0), S.DRIVER_START_TIMED_OUT),
        (S.DRIVER_REQUESTED, A(D.REFUSED, reason="no image"), NOW, S.SUBMISSION_FAILED),
        (S.DRIVER_REQUESTED, A(D.ENDED, 0), NOW, S.SUCCEEDED),
        (S.DRIVER_STARTED, A(D.RUNNING, driver_ready=True), NOW, S.DRIVER_READY),
        (S.DRIVER_STARTED, A(D.RUNNING), Clock(now=200, requested_at=0, started_at=1), S.READY_TIMED_OUT),
        (S.DRIVER_STARTED, A(D.ABSENT), NOW, S.LOST),
        (S.DRIVER_READY, A(D.RUNNING, driver_ready=True, at_work=True), NOW, S.RUNNING),
        (S.DRIVER_READY, A(D.RUNNING), Clock(now=200, requested_at=0, started_at=1, ready_at=2), S.DRIVER_READY),
        (S.RUNNING, A(D.RUNNING), NOW, S.RUNNING),
        (S.RUNNING, A(D.ENDED, 1), NOW, S.APPLICATION_FAILED),
        (S.RUNNING, A(D.ENDED, 0), NOW, S.SUCCEEDED),
        (S.RUNNING, A(D.ENDED, None), NOW, S.LOST),
        (S.RUNNING, A(D.ENDED, -signal.SIGKILL), NOW, S.EVICTED),
        (S.RUNNING, A(D.ENDED, 143), NOW, S.EVICTED),  # Java, killed by SIGTERM
        (S.RUNNING, A(D.ENDED, 142), NOW, S.APPLICATION_FAILED),
        (S.RUNNING, A(D.ENDED, -signal.SIGSEGV), NOW, S.APPLICATION_FAILED),
        (S.RUNNING, A(D.EVICTED, 137, reason="out of memory"), NOW, S.EVICTED),
        (S.RUNNING, A(D.RUNNING), Clock(now=99, requested_at=0, started_at=1, ready_at=2, run_s=50),
         S.APPLICATION_FAILED),
        (S.CANCELLING, A(D.RUNNING, at_work=True), NOW, S.CANCELLING),
        (S.CANCELLING, A(D.ENDED, 143, 9.0), Clock(now=10, requested_at=0, started_at=1, cancel_at=8), S.CANCELLED),
        (S.CANCELLING, A(D.ENDED, 0, 9.0), Clock(now=10, requested_at=0, started_at=1, cancel_at=8), S.CANCELLED),
        (S.CANCELLING, A(D.ENDED, 0, 7.0), Clock(now=10, requested_at=0, started_at=1, cancel_at=8), S.SUCCEEDED),
        (S.CANCELLED, A(D.ENDED, 1), NOW, S.CANCELLED),
    ],
)  # fmt: skip
def test_an_observation_moves_the_state(state: JobState, seen: Observation, clock: Clock, expected: JobState) -> None:
    assert after(state, seen, clock) is expected


def test_every_transition_has_a_reason() -> None:
    step = next_transition(JobState.RUNNING, Observation(D.ENDED, 3), NOW)
    assert step is not None
    assert step.reason == "exit code 3"
