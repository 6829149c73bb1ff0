from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from test_infra.spark.gateway.restarts import Failures, pause_before_restart
from test_infra.spark.gateway.states import INFRASTRUCTURE, JobState
from test_infra.spark.job.spec import RestartPolicy, RestartWhen

ENDS = st.sampled_from([state for state in JobState if state.terminal])
ON_FAILURE = RestartPolicy(when=RestartWhen.ON_FAILURE, application_failures=1, infrastructure_failures=2, backoff_s=4)


def test_the_two_classes_of_failures_are_counted_apart() -> None:
    failures = Failures().plus(JobState.EVICTED).plus(JobState.APPLICATION_FAILED).plus(JobState.SUCCEEDED)
    assert failures == Failures(application=1, infrastructure=1)


@pytest.mark.parametrize(
    ("outcome", "failures", "pause_s"),
    [
        (JobState.APPLICATION_FAILED, Failures(1, 2), 4.0),
        (JobState.APPLICATION_FAILED, Failures(2, 0), None),
        (JobState.LOST, Failures(5, 1), 4.0),
        (JobState.EVICTED, Failures(0, 2), 8.0),
        (JobState.EVICTED, Failures(0, 3), None),
        (JobState.SUCCEEDED, Failures(), None),
        (JobState.CANCELLED, Failures(), None),
    ],
)
def test_a_failure_is_tried_again_within_the_limit_of_its_class(
    outcome: JobState, failures: Failures, pause_s: float | None
) -> None:
    assert pause_before_restart(ON_FAILURE, outcome, failures) == pause_s


@given(ENDS, st.integers(0, 10_000), st.integers(0, 10_000), st.sampled_from(RestartWhen))
def test_pauses_are_bounded_and_nothing_follows_a_cancel(
    outcome: JobState, application: int, infrastructure: int, when: RestartWhen
) -> None:
    policy = RestartPolicy(when=when, application_failures=20_000, infrastructure_failures=20_000)
    failures = Failures(application, infrastructure).plus(outcome)
    pause_s = pause_before_restart(policy, outcome, failures)
    assert pause_s is None or 0 <= pause_s <= policy.longest_backoff_s
    if outcome is JobState.CANCELLED or when is RestartWhen.NEVER:
        assert pause_s is None
    elif outcome in INFRASTRUCTURE | {JobState.APPLICATION_FAILED}:
        assert pause_s is not None


def test_always_starts_again_after_success_too() -> None:
    assert pause_before_restart(RestartPolicy(when=RestartWhen.ALWAYS), JobState.SUCCEEDED, Failures()) == 5.0
