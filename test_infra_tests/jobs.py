"""Waiting for Spark jobs, for tests that submit some."""

from __future__ import annotations

from test_infra.base.deadline import Deadline, StillWaiting, wait_for
from test_infra.spark.gateway.execution import Execution
from test_infra.spark.gateway.gateway import SparkGateway
from test_infra.spark.gateway.states import JobState


def awaited(gateway: SparkGateway, execution_id: str, *states: JobState, within_s: float = 30) -> Execution:
    """The job, as soon as it is in one of these states."""

    def there() -> Execution:
        execution = gateway.check(execution_id)
        if execution.state not in states:
            raise StillWaiting(execution.state)
        return execution

    return wait_for(there, Deadline(within_s), what=f"job {execution_id}", awaited=" or ".join(states))
