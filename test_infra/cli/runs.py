"""`test-infra run`: one Dagster job in this process; its stack ends with it."""

from __future__ import annotations

import json
import os
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from test_infra.base.errors import UsageError
from test_infra.cli.backends import backend_option
from test_infra.cli.durations import Duration, in_words
from test_infra.cli.interrupts import interrupts
from test_infra.cli.jars import bring_jars
from test_infra.cli.progress import Progress
from test_infra.cli.reports import ALL, show

if TYPE_CHECKING:
    import dagster as dg


@click.command()
@click.argument("job")
@click.option(
    "--only",
    multiple=True,
    metavar="TABLE",
    help="Only this table of the pipelines, and no suite: orders, sales.orders; may be given again.",
)
@click.option("--keep", is_flag=True, help="Leave the stack running; it ends by itself after --ttl.")
@click.option("--keep-on", type=click.Choice(["red"]), help="Leave the stack running only when the run is red.")
@click.option("--ttl", "ttl_s", type=Duration(), default="2h", show_default=True, help="Life of a kept stack.")
@click.option(
    "--deadline", "deadline_s", type=Duration(), default="30m", show_default=True, help="The run ends after this time."
)
@click.option("--json", "machine", is_flag=True, help="The verdict as one JSON document on stdout, nothing else.")
@ALL
@backend_option
def run(
    job: str,
    only: tuple[str, ...],
    keep_on: str | None,
    ttl_s: float,
    deadline_s: float,
    *,
    keep: bool,
    machine: bool,
    every_gate: bool,
) -> int:
    """Run a Dagster job of this project (e2e, smoke, parity), print its verdict, end the stack."""
    from test_infra.cli.instance import dagster_home
    from test_infra.verdict.report import report
    from test_infra.verdict.run import run_dir

    progress = Progress(_uncaptured_stderr())
    dagster_home()
    with progress.doing("reading the project's definitions"):
        to_run = ToRun.of(_job(job), only)
    bring_jars(progress)
    run_id = str(uuid.uuid4())
    folder = run_dir(run_id)
    progress.say(f"run {run_id} of {job}" + (f", only the part of {', '.join(only)}" if only else ""))
    with _stack_of_this_run(progress) as stack, interrupts.deadline(deadline_s):
        _execute(to_run, run_id, folder, progress)
        with progress.doing("writing the report"):
            result = report(folder)
        if keep or (keep_on == "red" and not result.green):
            stack.keep(ttl_s)
            _stop_loads()
    show(result, folder, machine=machine, every_gate=every_gate)
    for line in stack.words():
        progress.say(line)
    return result.exit_code


@dataclass(frozen=True)
class ToRun:
    """A Dagster job, or a part of one.

    Args:
        job: what is executed.
        config: its configuration.
        only: the tables of the part; empty for the whole.
    """

    job: dg.JobDefinition
    config: dict[str, Any]
    only: tuple[str, ...]

    @classmethod
    def of(cls, job: dg.JobDefinition, only: tuple[str, ...]) -> ToRun:
        """The job, or its part for these tables.

        Raises:
            UsageError: a table belongs to no pipeline of the job.
        """
        from test_infra.cli.part import part_of, run_config

        part = part_of(job, only) if only else job
        return cls(part, run_config(job, part), only)


def _job(name: str) -> dg.JobDefinition:
    from test_infra.cli.project import definitions

    loaded = definitions()
    known = {definition.name: definition for definition in loaded.resolve_all_job_defs()}
    if name not in known:
        raise UsageError(
            f"there is no Dagster job {name!r} here",
            details={"known": ", ".join(sorted(job for job in known if not job.startswith("__"))) or "none"},
            hint="run it in the project's folder",
        )
    return known[name]


class StackOfRun:
    """The stack in which a run takes place, and whether it outlives the run."""

    def __init__(self, *, ours: bool) -> None:
        self._ours = ours
        self.kept_s: float | None = None

    def keep(self, ttl_s: float) -> None:
        """Let the stack run on for this time, when there is one; a stack that ran before runs on anyway."""
        from test_infra.stack import DetachedLease, StackFolders, StackNotRunning, attach

        if self._ours:
            with suppress(StackNotRunning):
                DetachedLease(ttl_s=ttl_s).take(StackFolders(attach().id).leases)
                self.kept_s = ttl_s

    def words(self) -> list[str]:
        """How to look at a stack that was kept, and how to end it; nothing for one that was not."""
        if self.kept_s is None:
            return []
        return [
            f"the stack runs on and ends by itself in {in_words(self.kept_s)}",
            '  look at it: test-infra status; test-infra logs SERVICE; eval "$(test-infra env)"',
            "  judge again: test-infra parity PIPELINE; test-infra run parity",
            "  end it: test-infra down",
        ]


@contextmanager
def _stack_of_this_run(progress: Progress) -> Iterator[StackOfRun]:
    """End the stack with the block, unless it is kept or ran before."""
    from test_infra.cli.hard_stop import end_stack_at_once
    from test_infra.resources.stack import ATTACHED, LEASE_VARIABLE
    from test_infra.stack import StackNotRunning, attach, current_stack_id, down

    try:
        ours = not attach().id
    except StackNotRunning:
        ours = True
    stack = StackOfRun(ours=ours)
    if not ours:
        progress.say(f"stack {current_stack_id()} runs already and will run on")
        yield stack
        return
    os.environ[LEASE_VARIABLE] = ATTACHED
    with interrupts.before_hard_end(end_stack_at_once):
        whole = False
        try:
            yield stack
            whole = True
        finally:
            if stack.kept_s is None or not whole or interrupts.received:
                with progress.doing("ending the stack"):
                    down()


def _stop_loads() -> None:
    """Stop the loads of a kept stack; `test-infra load` starts one again."""
    from test_infra.cdc.load import control
    from test_infra.cli.project import pipelines_of
    from test_infra.stack import StackNotRunning, attach

    with suppress(StackNotRunning):
        for pipeline in pipelines_of(attach()).values():
            control.stop(pipeline)


def _execute(to_run: ToRun, run_id: str, folder: Path, progress: Progress) -> None:
    """Execute the job, or the part of it, and record whether Dagster calls it a success; the report judges."""
    import dagster as dg

    from test_infra.cli.steps import watched
    from test_infra.resources.run_folder import expected_gates, record_services_and_pipelines, versions
    from test_infra.stack import current_stack_id
    from test_infra.verdict.run import RunRecord, finish

    job = to_run.job
    record = RunRecord(
        run_id=run_id,
        job=job.name,
        stack_id=current_stack_id(),
        versions=versions(),
        expected=tuple(expected_gates(job)),
        started_at=datetime.now(UTC),
        only=to_run.only,
    )
    succeeded, failures = False, ["the run was interrupted"]
    try:
        with dg.DagsterInstance.get() as instance, watched(instance, run_id, progress):
            result = job.execute_in_process(
                instance=instance,
                run_id=run_id,
                raise_on_error=False,
                run_config=_quiet(to_run.config),
                tags=_tags(to_run.only),
            )
        succeeded, failures = result.success, [_failure(event) for event in result.get_step_failure_events()]
    except BaseException as error:
        if not interrupts.deadline_passed:
            raise
        failures = ["the run's deadline passed", str(error)]
    finally:
        finish(folder, record, succeeded=succeeded, failures=failures)
    if interrupts.received:  # Dagster may have recorded the interrupt as a failed step
        raise KeyboardInterrupt
    record_services_and_pipelines(folder, record.stack_id)


def _failure(event: dg.DagsterEvent) -> str:
    error = event.step_failure_data.error
    text = (error.cause or error).message if error else "no reason was recorded"
    return f"step {event.step_key}: {text.strip()}"


def _quiet(config: dict[str, Any]) -> dict[str, Any]:
    # Every event at DEBUG would hide the progress on the console; the event log has them all.
    return {**config, "loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def _tags(only: tuple[str, ...]) -> dict[str, str]:
    from test_infra.resources.run_folder import ONLY

    return {"test_infra/started_by": "command line", **({ONLY: json.dumps(only)} if only else {})}


def _uncaptured_stderr() -> Any:
    """A duplicate of stderr, because Dagster captures stderr while a step runs."""
    return os.fdopen(os.dup(sys.stderr.fileno()), "w", buffering=1)
