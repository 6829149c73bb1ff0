"""`test-infra load`, `parity`, `lag`: one pipeline of the running stack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import click

from test_infra.cli import tables
from test_infra.cli.durations import Duration
from test_infra.cli.exit_codes import ExitCode
from test_infra.cli.progress import Progress

if TYPE_CHECKING:
    from test_infra.verdict.evidence import Finding

PARITY_FIGURES = {"rows": "source_rows", "clean keys": "clean_keys", "dirty keys": "dirty_keys", "faults": "faults"}
LAG_FIGURES = {
    "changes": "changes_measured",
    "kafka p95 s": "commit_to_kafka_p95_s",
    "log p50 s": "commit_to_changes_p50_s",
    "log p95 s": "commit_to_changes_p95_s",
    "mirror p50 s": "commit_to_mirror_p50_s",
    "mirror p95 s": "commit_to_mirror_p95_s",
    "mirror max s": "commit_to_mirror_max_s",
}


@click.command()
@click.argument("pipeline")
@click.option("--operations", type=click.IntRange(min=1), help="How many; the pipeline's own number when left out.")
@click.option(
    "--timeout", "timeout_s", type=Duration(), default="10m", show_default=True, help="Give up after this time."
)
def load(pipeline: str, operations: int | None, timeout_s: float) -> int:
    """Write a seeded workload into the pipeline's tables, and wait; exit code 1 when the source refused too much."""
    from test_infra.base.deadline import Deadline
    from test_infra.cdc.load import control
    from test_infra.cli.project import running_pipeline
    from test_infra.stack import attach

    running = running_pipeline(attach(), pipeline)
    progress = Progress()
    with progress.doing(f"loading {pipeline}"):
        control.stop(running)  # a load that a run left behind would be taken for this one
        control.start(running, operations=operations)
        try:
            done = control.wait_bulk(running, Deadline(timeout_s))
        finally:
            control.stop(running)
    if running.spec.load is not None and not running.spec.load.generated:
        progress.say(f"{done.runs} runs of the pipeline's own traffic, log in {control.log_path(running)}")
        return ExitCode.GREEN
    progress.say(
        f"{done.ok} operations committed, {done.failed - done.refused} rolled back on purpose, {done.refused} refused "
        f"by the source, {done.unknown} with an unknown end"
    )
    for table, refusals in done.refusals.items():
        for refusal in refusals:
            progress.say(f"{table}: {refusal.count} times {refusal.words}")
    least = running.spec.load.least_committed if running.spec.load else 0.0
    meant = done.ok + done.refused + done.unknown
    return ExitCode.GREEN if done.ok and done.ok >= least * meant else ExitCode.RED


@click.command()
@click.argument("pipeline")
@click.option(
    "--table", "only", multiple=True, help="Only this table, or the tables of this pattern; may be given again."
)
@click.option(
    "--timeout",
    "timeout_s",
    type=Duration(),
    default="90s",
    show_default=True,
    help="Longest wait for the sink; LAG when it is not as far by then.",
)
@click.option("--json", "machine", is_flag=True, help="One JSON document on stdout, nothing else.")
def parity(pipeline: str, only: tuple[str, ...], timeout_s: float, *, machine: bool) -> int:
    """Compare every committed row with the lake, at one exact cut, under live load; exit code 1 when any differs."""
    from test_infra.base.errors import UsageError
    from test_infra.cdc.judge import findings
    from test_infra.cdc.judge import parity as judging
    from test_infra.cdc.judge.ddl import explained
    from test_infra.cdc.judge.table_by_table import judged
    from test_infra.cli.project import running_pipeline
    from test_infra.stack import attach

    running = running_pipeline(attach(), pipeline)
    if unknown := [written for written in only if not running.tables_called(written)]:
        raise UsageError(
            f"pipeline {pipeline} has no table {', '.join(unknown)}",
            details={"known": ", ".join(running.tables)},
        )
    meant = [table for written in only for table in running.tables_called(written)]
    chosen = list(dict.fromkeys(meant)) or running.tables

    def compared(tables: Sequence[str]) -> dict[str, Finding]:
        report = judging.check(running, tables=tables, timeout_s=timeout_s)
        return {table: findings.parity(result) for table, result in report.tables.items()}

    with Progress().doing(f"comparing {', '.join(chosen)}"):
        found = explained(running, judged(compared, chosen))
    return _judged(found, "parity", PARITY_FIGURES, machine=machine)


@click.command()
@click.argument("pipeline")
@click.option("--json", "machine", is_flag=True, help="One JSON document on stdout, nothing else.")
def lag(pipeline: str, *, machine: bool) -> int:
    """Show the lag of every change since the stream was ready; exit code 1 beyond the pipeline's thresholds."""
    from test_infra.cdc.judge import findings
    from test_infra.cdc.judge import lag as judging
    from test_infra.cdc.judge.ddl import explained
    from test_infra.cdc.judge.table_by_table import judged_together
    from test_infra.cli.project import running_pipeline
    from test_infra.stack import attach

    running = running_pipeline(attach(), pipeline)

    def measured(tables: Sequence[str]) -> dict[str, Finding]:
        lags = judging.check(running)
        return {table: findings.lag(lags[table], running.spec.lag) for table in tables}

    with Progress().doing(f"measuring {', '.join(running.tables)}"):
        found = explained(running, judged_together(measured, running.tables))
    return _judged(found, "lag", LAG_FIGURES, machine=machine)


def _judged(found: Mapping[str, Finding], subject: str, figures: Mapping[str, str], *, machine: bool) -> int:
    """Show what was found out about each table, ``figures`` being heading -> number; the exit code that follows."""
    red = [table for table, finding in found.items() if not finding.passed]
    if machine:
        judged = {table: finding.redacted().model_dump(mode="json") for table, finding in found.items()}
        tables.as_json({"green": bool(found) and not red, "tables": judged})
    else:
        tables.table(
            ["table", "outcome", "verdict", *figures, "summary"],
            [
                [
                    table,
                    finding.outcome,
                    " ".join(finding.verdicts),
                    *(_figure(finding.numbers.get(number)) for number in figures.values()),
                    finding.summary,
                ]
                for table, finding in found.items()
            ],
            red=[index for index, table in enumerate(found) if table in red],
        )
        for table in red:
            tables.differing(table, found[table].rows, all_of_them="--json")
        tables.verdict_line(f"{'RED' if red else 'GREEN'}  {subject} of {', '.join(red or found)}", green=not red)
    return ExitCode.RED if red or not found else ExitCode.GREEN


def _figure(number: float | None) -> str:
    if number is None:
        return ""
    return f"{number:,.0f}" if number == int(number) else f"{number:.3f}"
