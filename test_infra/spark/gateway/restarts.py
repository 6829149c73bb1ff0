"""Whether and when a job is started again after an attempt ended. Pure time arithmetic."""

from __future__ import annotations

from dataclasses import dataclass

from test_infra.spark.gateway.states import INFRASTRUCTURE, JobState
from test_infra.spark.job.spec import RestartPolicy, RestartWhen


@dataclass(frozen=True)
class Failures:
    """How often attempts of one job failed, the present one included.

    Args:
        application: failures that the application caused.
        infrastructure: all others.
    """

    application: int = 0
    infrastructure: int = 0

    def plus(self, outcome: JobState) -> Failures:
        """The count with the outcome of one more attempt."""
        if outcome in INFRASTRUCTURE:
            return Failures(self.application, self.infrastructure + 1)
        if outcome is JobState.APPLICATION_FAILED:
            return Failures(self.application + 1, self.infrastructure)
        return self


def pause_before_restart(policy: RestartPolicy, outcome: JobState, failures: Failures) -> float | None:
    """Seconds until the next attempt; None when there will be none.

    Args:
        policy: of the job.
        outcome: how the attempt ended, a terminal state.
        failures: of all attempts, this one included.
    """
    if policy.when is RestartWhen.NEVER or outcome is JobState.CANCELLED:
        return None
    if outcome is JobState.SUCCEEDED:
        return policy.backoff_s if policy.when is RestartWhen.ALWAYS else None
    infrastructure = outcome in INFRASTRUCTURE
    count = failures.infrastructure if infrastructure else failures.application
    if count > (policy.infrastructure_failures if infrastructure else policy.application_failures):
        return None
    # The exponent is bounded, or the float would overflow before the longest pause applies.
    return min(policy.longest_backoff_s, policy.backoff_s * 2.0 ** min(count - 1, 60))
