"""`test-infra jobs`: Spark jobs of the running stack."""

from __future__ import annotations

import time
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from test_infra.base.redaction import redact
from test_infra.cli import tables
from test_infra.cli.exit_codes import ExitCode
from test_infra.cli.progress import Progress

if TYPE_CHECKING:
    from test_infra.spark.gateway.gateway import SparkGateway
    from test_infra.stack import Stack

FILE = click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
JOB = click.argument("execution_id")
TEAM = click.option("--team", default="test_infra", show_default=True, help="The team that cancels.")


@click.group()
def jobs() -> None:
    """Spark jobs: submit, run, test, list, check, cancel, follow, describe.

    FILE is a DCP manifest (kind SparkJob) or a JobSpec in YAML or JSON.
    """


@jobs.command()
@FILE
@click.option("--key", default=None, help="Idempotency key: the same key and file is the same job. Random by default.")
def submit(file: Path, key: str | None) -> None:
    """Submit a Spark job and print its execution id."""
    gateway = _gateway()[1]
    click.echo(_submit(gateway, file, key))


@jobs.command()
@FILE
@click.option("--key", default=None, help="Idempotency key: the same key and file is the same job. Random by default.")
def run(file: Path, key: str | None) -> int:
    """Submit a Spark job, follow its log to the end; exit code 1 unless it succeeded."""
    from test_infra.spark.gateway.states import JobState

    gateway = _gateway()[1]
    execution_id = _submit(gateway, file, key)
    for text, _ in gateway.follow(execution_id):
        click.echo(text, nl=False)
    execution = gateway.check(execution_id)
    green = execution.state is JobState.SUCCEEDED
    tables.verdict_line(f"{execution_id}: {execution.state}{_why(execution.error)}", green=green)
    return ExitCode.GREEN if green else ExitCode.RED


@jobs.command()
@FILE
def test(file: Path) -> None:
    """Check a DCP manifest over Spark Connect: schemas, EXPLAIN, LIMIT 0, sinks. Computes and writes nothing."""
    from test_infra.spark.dcp.dry_run import dry_run
    from test_infra.spark.dcp.manifest import read_manifest
    from test_infra.spark.gateway.connect_servers import ConnectServers

    manifest = read_manifest(file)
    stack, gateway = _gateway()
    progress, started = Progress(), time.monotonic()
    with progress.doing(f"testing {file.name}"):
        steps = dry_run(manifest, file, ConnectServers(stack, gateway))
    rows = [(one.step, ", ".join(f"{name} {kind}" for name, kind in one.columns.items())) for one in steps]
    tables.table(["step", "columns"], rows)
    tables.verdict_line(f"{file.name} would run; tested in {time.monotonic() - started:.1f} s", green=True)


@jobs.command(name="list")
@click.option("--name", default=None, help="Only of this job.")
@click.option("--team", default=None, help="Only of this team.")
@click.option("--limit", type=click.IntRange(min=1), default=200, show_default=True, help="Only this many, the newest.")
@click.option("--json", "machine", is_flag=True, help="One JSON document on stdout, nothing else.")
def list_jobs(name: str | None, team: str | None, limit: int, *, machine: bool) -> None:
    """List the Spark jobs of the stack, oldest first."""
    from test_infra.spark.gateway.execution import summary

    found = _gateway()[1].list(name=name, team=team, limit=limit)
    if machine:
        tables.as_json([summary(execution) for execution in found])
        return
    tables.table(
        ["execution", "job", "team", "state", "submitted", "error"],
        [
            [one.execution_id, one.spec.name, one.spec.team, str(one.state), _clock(one.submitted_at), one.error[:80]]
            for one in found
        ],
    )


@jobs.command()
@JOB
def check(execution_id: str) -> None:
    """Print the state of a Spark job."""
    execution = _gateway()[1].check(execution_id)
    click.echo(redact(f"{execution.state}{_why(execution.error)}"))


@jobs.command()
@JOB
@TEAM
def cancel(execution_id: str, team: str) -> int:
    """End a Spark job; exit code 1 when it had ended before."""
    done = _gateway()[1].cancel(execution_id, team=team)
    tables.verdict_line(f"{execution_id}: {done.message}", green=done.success)
    return ExitCode.GREEN if done.success else ExitCode.RED


@jobs.command()
@JOB
@click.option("--offset", type=click.IntRange(min=0), default=0, help="Byte from which to print.")
@click.option("-f", "--follow", is_flag=True, help="Keep printing until the job has ended.")
def logs(execution_id: str, offset: int, *, follow: bool) -> None:
    """Print the log of a Spark job."""
    gateway = _gateway()[1]
    if follow:
        for text, _ in gateway.follow(execution_id, offset):
            click.echo(text, nl=False)
        return
    while True:
        text, offset = gateway.logs(execution_id, offset)
        if not text:
            return
        click.echo(text, nl=False)


@jobs.command()
@JOB
def describe(execution_id: str) -> None:
    """Print everything known of a Spark job, as JSON."""
    tables.as_json(_gateway()[1].describe(execution_id))


def _gateway() -> tuple[Stack, SparkGateway]:
    from test_infra.spark.gateway.gateway import SparkGateway
    from test_infra.stack import attach

    stack = attach()
    return stack, SparkGateway(stack)


def _submit(gateway: SparkGateway, file: Path, key: str | None) -> str:
    from test_infra.spark.dcp.manifest import read_job

    return gateway.submit(read_job(file, gateway.folder / "specifications"), idempotency_key=key or uuid.uuid4().hex)


def _why(error: str) -> str:
    return f": {error.strip().splitlines()[0]}" if error.strip() else ""


def _clock(moment: float) -> Any:
    return datetime.fromtimestamp(moment, tz=UTC).strftime("%Y-%m-%d %H:%M:%S")
