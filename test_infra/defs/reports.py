"""The report of every run, wherever the run was started."""

import dagster as dg

JOBS = frozenset({"e2e", "smoke", "parity"})


@dg.run_status_sensor(
    name="report_on_success",
    run_status=dg.DagsterRunStatus.SUCCESS,
    # Runs of the command line belong to no code location: without this they are not seen.
    monitor_all_code_locations=True,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Writes the report of a run that Dagster calls a success. The verdict may still be red: a gate may "
    "be missing.",
)
def report_on_success(context: dg.RunStatusSensorContext) -> dg.SkipReason:
    """Write the report of a run that ended well."""
    return _report(context, succeeded=True)


@dg.run_failure_sensor(
    name="report_on_failure",
    monitor_all_code_locations=True,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Writes the report of a run that failed, also when no step of it got as far as writing anything.",
)
def report_on_failure(context: dg.RunFailureSensorContext) -> dg.SkipReason:
    """Write the report of a run that failed."""
    return _report(context, succeeded=False)


def _report(context: dg.RunStatusSensorContext, *, succeeded: bool) -> dg.SkipReason:
    from test_infra.resources.finish import finish
    from test_infra.verdict.report import HTML, report

    run = context.dagster_run
    if run.job_name not in JOBS:
        return dg.SkipReason(f"{run.job_name} is no job of this project")
    folder = finish(context.instance, run, succeeded=succeeded)
    result = report(folder)
    return dg.SkipReason(f"{'green' if result.green else 'red'}: {folder / HTML}")
