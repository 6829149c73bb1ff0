"""`test-infra up`, `down`, `status`, `env`, `logs`: the stack of this checkout."""

from __future__ import annotations

import os
import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from test_infra.base.errors import UsageError
from test_infra.base.redaction import redact
from test_infra.cli.backends import backend_option
from test_infra.cli.durations import Duration, in_words
from test_infra.cli.exit_codes import ExitCode
from test_infra.cli.jars import bring_jars
from test_infra.cli.progress import Progress

if TYPE_CHECKING:
    from test_infra.stack import StackStatus


@click.command()
@click.option(
    "--ttl", "ttl_s", type=Duration(), default="8h", show_default=True, help="The stack ends by itself after this time."
)
@backend_option
def up(ttl_s: float) -> None:
    """Start every service of the stack, or attach when it runs; it lives until its expiry or `down`."""
    from test_infra.cli.hard_stop import end_stack_at_once
    from test_infra.cli.interrupts import interrupts
    from test_infra.cli.project import stack_spec
    from test_infra.stack import DetachedLease
    from test_infra.stack import up as stack_up

    progress = Progress()
    started = time.monotonic()
    with progress.doing("reading the project's definitions"):
        spec = stack_spec()
    bring_jars(progress)
    with interrupts.before_hard_end(end_stack_at_once), progress.doing("starting the stack"):
        stack = stack_up(
            spec,
            lease=DetachedLease(ttl_s=ttl_s),
            progress=lambda step: progress.say(f"  {step.service}: {step.text}"),
        )
    progress.say(
        f"stack {stack.id} is usable after {time.monotonic() - started:.1f} s and ends by itself in {in_words(ttl_s)}; "
        'try: eval "$(test-infra env)"'
    )


@click.command()
def down() -> None:
    """End the stack and delete its data; logs stay. External services lose what the pipelines made in them."""
    from test_infra.cdc.pipeline.withdraw import withdraw
    from test_infra.stack import current_stack_id
    from test_infra.stack import down as stack_down

    progress = Progress()
    with progress.doing(f"ending stack {current_stack_id()}"):
        left_behind = withdraw()
        ended = stack_down()
    for problem in left_behind:
        progress.say(problem)
    progress.say(f"stack {current_stack_id()} {'has ended' if ended else 'was not running'}")


@click.command()
@click.option("--json", "machine", is_flag=True, help="One JSON document on stdout, nothing else.")
def status(*, machine: bool) -> int:
    """Probe every service now; exit code 3 unless all are usable."""
    from test_infra.cli import tables
    from test_infra.stack import attach
    from test_infra.stack.status import USABLE

    seen = attach().status()
    if machine:
        tables.as_json(_status_document(seen))
    else:
        red = [index for index, service in enumerate(seen.services) if service.state not in USABLE]
        tables.table(
            ["service", "state", "version", "address", "pid", "restarts", "detail"],
            [
                [
                    service.name,
                    service.state,
                    service.endpoint.version if service.endpoint else "",
                    f"{service.endpoint.host}:{service.endpoint.port}" if service.endpoint else "",
                    str(service.pid or ""),
                    str(service.restarts),
                    service.detail,
                ]
                for service in seen.services
            ],
            red=red,
        )
        tables.verdict_line(f"stack {seen.id}: {_life(seen)}", green=seen.usable)
    return ExitCode.GREEN if seen.usable else ExitCode.INFRASTRUCTURE


@click.command()
@click.option(
    "--pipeline", default=None, help="Pipeline whose topic and tables are named; the first one when left out."
)
@click.option("--table", default=None, help="Table of that pipeline; its first one when left out.")
def env(pipeline: str | None, table: str | None) -> None:
    """Print shell exports for programs of yours: eval "$(test-infra env)".

    POSTGRES_PASSWORD is among them, in the clear: that is what it is for. Do not send this output to a log.
    """
    from test_infra.cli.exports import exports
    from test_infra.stack import attach

    for name, value in exports(attach(), pipeline, table).items():
        click.echo(f"export {name}={shlex.quote(value)}")


@click.command()
@click.argument("service")
@click.option("-f", "--follow", is_flag=True, help="Go on with what is written from now on, until Ctrl-C.")
@click.option(
    "-n", "--lines", default=50, show_default=True, type=click.IntRange(min=0), help="How many of the last lines."
)
def logs(service: str, lines: int, *, follow: bool) -> None:
    """Print the log of a service, of the keeper or of a Spark job. Works after the stack has ended, too."""
    from test_infra.stack import StackFolders, current_stack_id

    folder = StackFolders(current_stack_id()).logs
    path = _log(folder, service)
    for line in _tail(path, lines):
        click.echo(redact(line))
    if follow:
        _follow(path)


def _life(seen: StackStatus) -> str:
    if not seen.running:
        return "not running"
    expiries = [lease.expires_at for lease in seen.leases if lease.expires_at is not None]
    held = sum(lease.kind == "attached" for lease in seen.leases)
    parts = [f"held by {held} running command{'s' if held > 1 else ''}"] if held else []
    parts += [f"ends by itself in {in_words(max(expiries) - time.time())}"] if expiries else []
    return "; ".join(parts) or "about to end: no lease is left"


def _status_document(seen: StackStatus) -> dict[str, Any]:
    return {
        "stack": seen.id,
        "running": seen.running,
        "usable": seen.usable,
        "services": [
            {
                "name": service.name,
                "state": service.state,
                "detail": service.detail,
                "pid": service.pid,
                "restarts": service.restarts,
                "endpoint": service.endpoint.model_dump(mode="json", exclude={"secret_files"})
                if service.endpoint
                else None,
            }
            for service in seen.services
        ],
        "leases": [lease.model_dump(mode="json") for lease in seen.leases],
    }


def _log(folder: Path, service: str) -> Path:
    known = {path.stem: path for path in sorted(folder.glob("*.log"))}
    if service not in known:
        raise UsageError(
            f"there is no log of {service!r}", details={"known": ", ".join(known) or "none"}, hint="test-infra up"
        )
    return known[service]


def _tail(path: Path, count: int) -> list[str]:
    from collections import deque

    with path.open(errors="replace") as log:
        return [line.rstrip("\n") for line in deque(log, maxlen=count)] if count else []


def _follow(path: Path) -> None:
    """Prints what is appended; a rotated log is followed into its new file. Only Ctrl-C ends it, as with `tail -F`."""
    log = path.open(errors="replace")
    log.seek(0, 2)
    while True:
        line = log.readline()
        if line:
            click.echo(redact(line), nl=False)
            continue
        time.sleep(0.2)
        if path.exists() and path.stat().st_ino != os.fstat(log.fileno()).st_ino:
            log.close()
            log = path.open(errors="replace")
