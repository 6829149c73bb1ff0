"""Completes the record of a Dagster run from the event log of its instance."""

from datetime import UTC, datetime
from pathlib import Path

import dagster as dg

from test_infra.resources.run_folder import record_services_and_pipelines
from test_infra.verdict import run as runs


def finish(instance: dg.DagsterInstance, run: dg.DagsterRun, *, succeeded: bool) -> Path:
    """Complete the record of a run and return its folder, ready for `verdict.report`.

    Args:
        instance: the Dagster instance that ran it.
        run: the run that ended.
        succeeded: whether Dagster calls the run a success.
    """
    folder = runs.run_dir(run.run_id)
    stats = instance.get_run_stats(run.run_id)
    started_at = datetime.fromtimestamp(stats.start_time, UTC) if stats.start_time else datetime.now(UTC)
    never_begun = runs.RunRecord(run_id=run.run_id, job=run.job_name, started_at=started_at)
    record = runs.finish(folder, never_begun, succeeded=succeeded, failures=_failures(instance, run.run_id))
    if record.stack_id is not None and not runs.read_pipelines(folder):
        record_services_and_pipelines(folder, record.stack_id)
    return folder


def _failures(instance: dg.DagsterInstance, run_id: str) -> list[str]:
    """The failed steps; the failure of the run where no step failed."""
    for kind in (dg.DagsterEventType.STEP_FAILURE, dg.DagsterEventType.RUN_FAILURE):
        records = instance.get_records_for_run(run_id, of_type=kind).records
        events = [record.event_log_entry.dagster_event for record in records]
        if events:
            return [_text(event) for event in events if event is not None]
    return []


def _text(event: dg.DagsterEvent) -> str:
    error = getattr(event.event_specific_data, "error", None)
    cause = getattr(error, "cause", None) or error
    where = f"{event.step_key}: " if event.step_key else ""
    return where + (cause.message.strip() if cause is not None else event.message or "failed")
