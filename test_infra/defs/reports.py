"""The report of every run of this project's Dagster jobs, wherever the run was started."""

import dagster as dg

from test_infra.assets.jobs import PROJECT


@dg.run_status_sensor(
    name="report_on_success",
    run_status=dg.DagsterRunStatus.SUCCESS,
    # Runs of the command line belong to no code location; without this the sensor does not see them.
    monitor_all_code_locations=True,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Writes the report of a run that Dagster calls a success. The verdict may be red: a gate may be "
    "missing.",
)
def report_on_success(context: dg.RunStatusSensorContext) -> dg.SkipReason:
    """Write the report of a run that ended well."""
    return _report(context, succeeded=True)


@dg.run_failure_sensor(
    name="report_on_failure",
    monitor_all_code_locations=True,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Writes the report of a run that failed, also when it failed before its first step.",
)
def report_on_failure(context: dg.RunFailureSensorContext) -> dg.SkipReason:
    """Write the report of a run that failed."""
    return _report(context, succeeded=False)


def _report(context: dg.RunStatusSensorContext, *, succeeded: bool) -> dg.SkipReason:
    from test_infra.resources.finish import finish
    from test_infra.verdict.report import HTML, report

    run = context.dagster_run
    if not _is_of_this_project(run, context.repository_def):
        return dg.SkipReason(f"this run of {run.job_name} is not of this project")
    folder = finish(context.instance, run, succeeded=succeeded)
    result = report(folder)
    return dg.SkipReason(f"{'green' if result.green else 'red'}: {folder / HTML}")


def _is_of_this_project(run: dg.DagsterRun, repository: dg.RepositoryDefinition | None) -> bool:
    """Whether the run is of one of the project's Dagster jobs; other code locations may have jobs of the same name.

    Our jobs have a tag that names the project. A job that the project defines itself has none: its run counts when one
    of our steps has begun its record.
    """
    from test_infra.verdict.run import read_record, run_dir

    if repository is None or not repository.has_job(run.job_name) or run.job_name.startswith("__"):
        return False
    project = repository.get_job(run.job_name).tags.get(PROJECT)
    if project is not None:
        return run.tags.get(PROJECT) == project
    return read_record(run_dir(run.run_id)) is not None
