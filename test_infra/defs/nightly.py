"""The nightly: the Dagster job e2e on a stack of its own, and the end of that stack."""

import json
from datetime import UTC, datetime

import dagster as dg

from test_infra.base.ids import stack_id_of
from test_infra.base.project import project_root

NIGHTLY = "test_infra/nightly"
"""Tag of the nightly's runs; its value is the id of the stack that ends with the run."""
ENDED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
TTL_S = 2 * 3_600.0


def nightly_stack_id() -> str:
    """Id of the nightly's stack; not the checkout's own, which somebody may be using."""
    return f"{stack_id_of(project_root())}-nightly"


@dg.schedule(
    name="nightly_e2e",
    job_name="e2e",
    cron_schedule="0 3 * * *",
    execution_timezone="UTC",
    # Stopped: opening the UI on a laptop must not start a load test at night. Switch it on where it should run.
    default_status=dg.DefaultScheduleStatus.STOPPED,
    description="Every night at 03:00 UTC: e2e on a stack of its own, which ends with the run.",
)
def nightly_e2e() -> dg.RunRequest:
    """The nightly run."""
    stack_id = nightly_stack_id()
    return dg.RunRequest(
        run_config={"resources": {"stack": {"config": {"stack_id": stack_id, "ttl_s": TTL_S}}}},
        tags={NIGHTLY: stack_id},
    )


@dg.sensor(
    name="end_nightly_stack",
    minimum_interval_seconds=30,
    # Running: without it the nightly's stack would run until its expiry.
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Ends the nightly's stack when its run has ended, whether green, red or cancelled.",
)
def end_nightly_stack(context: dg.SensorEvaluationContext) -> dg.SensorResult:
    """End the stack of every nightly run that ended since the last tick."""
    handled = set(json.loads(context.cursor)) if context.cursor else set()
    since = datetime.fromtimestamp(datetime.now(UTC).timestamp() - 24 * 3_600, UTC)
    records = context.instance.get_run_records(dg.RunsFilter(statuses=ENDED, updated_after=since))
    nightly = [record.dagster_run for record in records if NIGHTLY in record.dagster_run.tags]
    ended = [run for run in nightly if run.run_id not in handled]
    if not ended:
        return dg.SensorResult(skip_reason="no nightly run has ended", cursor=context.cursor)
    stacks = {run.tags[NIGHTLY] for run in ended} - _in_use(context.instance)
    for stack_id in sorted(stacks):
        _end(context, stack_id)
    kept = [run for run in nightly if run.run_id in handled or run.tags[NIGHTLY] in stacks]
    return dg.SensorResult(
        skip_reason=f"ended: {', '.join(sorted(stacks)) or 'none, a nightly still runs'}",
        cursor=json.dumps(sorted(run.run_id for run in kept)),
    )


def _in_use(instance: dg.DagsterInstance) -> set[str]:
    """Stacks of nightly runs that have not ended: a new nightly may use the same stack."""
    begun = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]
    return {run.tags[NIGHTLY] for run in instance.get_runs(dg.RunsFilter(statuses=begun)) if NIGHTLY in run.tags}


def _end(context: dg.SensorEvaluationContext, stack_id: str) -> None:
    from test_infra.stack import down

    context.log.info(f"stack {stack_id} {'ended' if down(stack_id) else 'had ended already'}")
