"""`test-infra load`, `parity`, `lag`: one pipeline of the running stack."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from test_infra.cli import tables
from test_infra.cli.durations import Duration
from test_infra.cli.exit_codes import ExitCode
from test_infra.cli.progress import Progress

if TYPE_CHECKING:
    from test_infra.cdc.lag import LagReport
    from test_infra.cdc.parity import ParityReport
    from test_infra.cdc.pipeline import LagThresholds

MOST_ROWS = 20


@click.command()
@click.argument("pipeline")
@click.option("--operations", type=click.IntRange(min=1), default=None, help="How many; the pipeline's own number when left out.")
@click.option("--seed", type=int, default=None, help="Same seed, same operations; the pipeline's own when left out.")
def load(pipeline: str, operations: int | None, seed: int | None) -> None:
    """Write a seeded workload into the pipeline's tables and wait until it is done."""
    from test_infra.cdc.load import control
    from test_infra.cli.project import running_pipeline
    from test_infra.stack import attach

    stack = attach()
    spec = running_pipeline(stack, pipeline)
    progress = Progress()
    with progress.doing(f"loading {pipeline}"):
        ...


@click.command()
@click.argument("pipeline")
@click.option("--table", "only", multiple=True, help="Only this table; may be given again.")
@click.option("--timeout", "timeout_s", type=Duration(), default="90s", show_default=True, help="Wait at most so long for the cut, then LAG.")
@click.option("--json", "machine", is_flag=True, help="One JSON document on stdout, nothing else.")
def parity(pipeline: str, only: tuple[str, ...], timeout_s: float, *, machine: bool) -> int:
    """Compare every committed row with the lake, at one cut, under live load; exit code 1 when anything differs."""
    raise NotImplementedError


@click.command()
@click.argument("pipeline")
@click.option("--json", "machine", is_flag=True, help="One JSON document on stdout, nothing else.")
def lag(pipeline: str, *, machine: bool) -> int:
    """Show the lag of every change since the stream was ready; exit code 1 beyond the pipeline's thresholds."""
    raise NotImplementedError
