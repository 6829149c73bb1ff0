"""Entry point of `test-infra`: parse, run one command, return its exit code."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from typing import Any, NoReturn

import click

from test_infra import __version__
from test_infra.base.errors import TestInfraError
from test_infra.base.redaction import redact
from test_infra.cli import tables
from test_infra.cli.check import check
from test_infra.cli.dev import dev
from test_infra.cli.doctor import doctor
from test_infra.cli.draft import draft
from test_infra.cli.exit_codes import ExitCode
from test_infra.cli.housekeeping import prune, reap
from test_infra.cli.init import init
from test_infra.cli.interrupts import interrupts
from test_infra.cli.jobs import jobs
from test_infra.cli.pipelines import lag, load, parity
from test_infra.cli.reports import report
from test_infra.cli.runs import run
from test_infra.cli.services import down, env, logs, status, up

EPILOG = (
    "Exit codes: 0 green; 1 a gate or test failed, LAG and UNKNOWN included; 2 usage or YAML; "
    "3 the stack could not be made; 130 interrupted. State lives in $TEST_INFRA_HOME."
)


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog=EPILOG,
    no_args_is_help=True,
)
@click.version_option(__version__, prog_name="test-infra")
def cli() -> None:
    """Prove that a pipeline database -> Debezium -> Kafka -> Spark -> Delta loses nothing."""


for command in (
    init,
    check,
    draft,
    up,
    down,
    status,
    env,
    logs,
    run,
    load,
    parity,
    lag,
    jobs,
    report,
    reap,
    prune,
    doctor,
    dev,
):
    cli.add_command(command)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one command and exit with its code."""
    with interrupts.counted():
        code = execute(arguments)
    sys.exit(code)


def execute(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Every error becomes an exit code and a message without secrets; where a JSON document was asked
    for, there is one, whatever happens.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    context: click.Context | None = None
    try:
        with cli.make_context("test-infra", given.copy()) as context:
            ended_with = cli.invoke(context)
        sys.stdout.flush()
    except click.exceptions.Exit as done:
        return done.exit_code
    except BaseException as error:
        code = _exit_code_of(error)
        printed = context is not None and context.meta.get(tables.DOCUMENT_PRINTED)
        if "--json" in given and not printed and not isinstance(error, BrokenPipeError):
            tables.as_json({"green": False, "exit_code": int(code), "error": _document_of(error)})
        return code
    return ended_with if isinstance(ended_with, int) else ExitCode.GREEN


def _document_of(error: BaseException) -> dict[str, Any]:
    """An error as part of a document."""
    if isinstance(error, TestInfraError):
        log = None if error.log is None else str(error.log)
        return {"what": error.what, "details": error.details, "log": log, "hint": error.hint}
    if isinstance(error, click.ClickException):
        return {"what": error.format_message(), "details": {}, "log": None, "hint": None}
    what = "interrupted" if isinstance(error, KeyboardInterrupt | click.Abort) else f"unexpected {type(error).__name__}"
    return {"what": what, "details": {"seen": str(error)} if str(error) else {}, "log": None, "hint": None}


def _exit_code_of(error: BaseException) -> int:
    """Print the error for the user; returns the exit code."""
    if isinstance(error, TestInfraError):
        click.echo(redact(str(error)), err=True)
    if interrupts.received or isinstance(error, KeyboardInterrupt | click.Abort):
        return ExitCode.INTERRUPTED
    if isinstance(error, TestInfraError):
        return error.exit_code
    if isinstance(error, click.ClickException):
        error.show()
        return ExitCode.USAGE
    if isinstance(error, BrokenPipeError):
        # The reader has ended (`test-infra status | head -1`); that is no fault.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.GREEN
    if isinstance(error, SystemExit):
        raise error
    click.echo(redact("".join(traceback.format_exception(error))), err=True)
    click.echo(f"unexpected {type(error).__name__}: a fault of test-infra; its traceback is above", err=True)
    return ExitCode.INFRASTRUCTURE
