"""Drivers as kept processes: any Python module may be one, so these need no Spark."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from test_infra.base.deadline import Deadline, StillWaiting, wait_for
from test_infra.spark.gateway import NotYourJob, SparkGateway
from test_infra.spark.record import Execution
from test_infra.spark.spec import JobSpec
from test_infra.spark.states import JobState
from test_infra.stack import AttachedLease, Stack, StackSpec, down, up
from test_infra.stack.spec import Services

STACK = "testspark"
SLEEPS = JobSpec(name="sleeps", team="ours", module="http.server", args=("0", "--bind", "127.0.0.1"), stop_timeout_s=2)


@pytest.fixture(scope="module")
def stack(test_home: Path) -> Iterator[Stack]:
    yield up(StackSpec(services=Services(kafka=None, connect=None)), stack_id=STACK, lease=AttachedLease())
    down(STACK)


def awaited(gateway: SparkGateway, execution_id: str, *states: JobState) -> Execution:
    def there() -> Execution:
        execution = gateway.check(execution_id)
        if execution.state not in states:
            raise StillWaiting(execution.state)
        return execution

    return wait_for(there, Deadline(20), what=f"job {execution_id}", awaited=" or ".join(states))


@pytest.mark.parametrize(
    ("module", "state", "exit_code"), [("this", JobState.SUCCEEDED, 0), ("none_such", JobState.FAILED, 1)]
)
def test_the_exit_code_decides(stack: Stack, module: str, state: JobState, exit_code: int) -> None:
    gateway = SparkGateway(stack)
    execution_id = gateway.submit(JobSpec(name="ends", module=module), idempotency_key=module)
    ended = awaited(gateway, execution_id, JobState.SUCCEEDED, JobState.FAILED)
    assert (ended.state, ended.exit_code) == (state, exit_code)
    text, offset = gateway.logs(execution_id)
    assert offset > 0
    assert ("Namespaces are one honking great idea" in text) == (state is JobState.SUCCEEDED)


def test_a_running_job_is_found_again_by_another_gateway_and_cancelled_by_its_team(stack: Stack) -> None:
    gateway = SparkGateway(stack)
    execution_id = gateway.submit(SLEEPS, idempotency_key="sleeps")
    assert gateway.submit(SLEEPS, idempotency_key="sleeps") == execution_id
    awaited(gateway, execution_id, JobState.STARTING)
    other = SparkGateway(stack)
    assert [execution.execution_id for execution in other.list(name="sleeps")] == [execution_id]
    with pytest.raises(NotYourJob):
        other.cancel(execution_id, team="theirs")
    assert other.cancel(execution_id, team="ours").state is JobState.CANCELLED
    assert gateway.check(execution_id).state is JobState.CANCELLED
    assert gateway.cancel(execution_id, team="ours").state is JobState.CANCELLED


def test_a_driver_that_is_never_ready_times_out_and_is_ended(stack: Stack) -> None:
    gateway = SparkGateway(stack)
    spec = SLEEPS.model_copy(update={"name": "slow", "start_timeout_s": 0.5})
    execution_id = gateway.submit(spec, idempotency_key="slow")
    awaited(gateway, execution_id, JobState.START_TIMED_OUT)
    assert not stack.runtime.observe(f"spark-{execution_id}").running
