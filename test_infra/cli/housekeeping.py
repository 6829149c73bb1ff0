"""`test-infra reap` and `prune`: end and delete what is no longer used."""

from __future__ import annotations

import shutil
import time
from datetime import UTC, datetime
from pathlib import Path

import click

from test_infra.cli.durations import Duration, in_words
from test_infra.cli.progress import Progress


@click.command()
def reap() -> None:
    """End what dead stacks of this home left behind: processes and containers, known by their stack's tag, and data."""
    from test_infra.stack import StackFolders, StackNotRunning, attach
    from test_infra.stack import down as stack_down
    from test_infra.stack.sweep import leftovers, stack_tag

    progress = Progress()
    reaped = 0
    for stack_id in _stack_ids():
        try:
            attach(stack_id)
        except StackNotRunning:
            pass
        else:
            progress.say(f"stack {stack_id}: running, left alone")
            continue
        found = len(leftovers(stack_tag(stack_id)))
        data = StackFolders(stack_id).data.exists()
        if found or data:
            stack_down(stack_id)
            reaped += 1
            progress.say(f"stack {stack_id}: {found} processes ended{', data deleted' if data else ''}")
    for stack_id, containers in _containers_of_dead_stacks().items():
        reaped += 1
        progress.say(f"stack {stack_id}: {containers} containers removed, their network with them")
    progress.say(f"{reaped} stacks reaped" if reaped else "nothing was left behind")


@click.command()
@click.option(
    "--older-than",
    "age_s",
    type=Duration(),
    default="14d",
    show_default=True,
    help="Age of what is deleted, since its last change.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be deleted, delete nothing.")
def prune(age_s: float, *, dry_run: bool) -> None:
    """Delete old runs, their Dagster history, and the folders of stacks that no longer run."""
    from test_infra.verdict.run import runs

    progress = Progress()
    before = time.time() - age_s
    old_runs = [path for path in runs().iterdir() if path.is_dir() and path.stat().st_mtime < before]
    old_stacks = [path for path in _dead_stacks() if path.stat().st_mtime < before]
    dagster_runs = _dagster_runs(before)
    verb = "would delete" if dry_run else "deleted"
    if not dry_run:
        for folder in (*old_runs, *old_stacks):
            shutil.rmtree(folder, ignore_errors=True)
        _delete_dagster_runs(dagster_runs)
    counted = f"{len(old_runs)} runs, {len(dagster_runs)} Dagster runs and {len(old_stacks)} stack folders"
    progress.say(f"{verb} {counted} older than {in_words(age_s)}")


def _containers_of_dead_stacks() -> dict[str, int]:
    """Remove what backends still have of stacks of this home that no longer run; stack id -> containers."""
    from test_infra.base.paths import home
    from test_infra.runtime.factory import backend_names, backend_of
    from test_infra.stack import StackNotRunning, attach
    from test_infra.stack.sweep import stack_tag

    removed = {}
    for backend in map(backend_of, backend_names()):
        for stack_id in backend.stacks(home()):
            try:
                attach(stack_id)
            except StackNotRunning:
                removed[stack_id] = backend.remove_all(stack_tag(stack_id))
    return removed


def _stack_ids() -> list[str]:
    from test_infra.base.paths import home

    return sorted(path.name for path in (home() / "stacks").glob("*") if path.is_dir())


def _dead_stacks() -> list[Path]:
    from test_infra.stack import StackFolders, StackNotRunning, attach

    dead = []
    for stack_id in _stack_ids():
        try:
            attach(stack_id)
        except StackNotRunning:
            dead.append(StackFolders(stack_id).root)
    return dead


def _dagster_runs(before: float) -> list[str]:
    import dagster as dg

    from test_infra.cli.instance import dagster_home

    dagster_home()
    with dg.DagsterInstance.get() as instance:
        finished = dg.RunsFilter(
            statuses=[dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED],
            created_before=datetime.fromtimestamp(before, UTC),
        )
        return [record.dagster_run.run_id for record in instance.get_run_records(finished)]


def _delete_dagster_runs(run_ids: list[str]) -> None:
    import dagster as dg

    with dg.DagsterInstance.get() as instance:
        for run_id in run_ids:
            instance.delete_run(run_id)
