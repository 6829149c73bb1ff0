"""`test-infra check`: everything that keeps pipelines from being captured exactly, before anything of them starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import click

from test_infra.cli import tables
from test_infra.cli.exit_codes import ExitCode
from test_infra.cli.progress import Progress

if TYPE_CHECKING:
    from test_infra.cdc.sources.preflight import PreflightFinding


@click.command()
@click.argument("pipelines", nargs=-1, metavar="[PIPELINE]...")
@click.option("--json", "machine", is_flag=True, help="One JSON document on stdout, nothing else.")
def check(pipelines: tuple[str, ...], *, machine: bool) -> int:
    """Look at a pipeline's database and tables, all pipelines when none is named; starts and changes nothing.

    Lists everything at once: server settings, roles and row level security, keys, identities, types, names, row
    filters, transactions that hold a slot back. Every run does the same first. The database must be there: an external
    one, or that of a running stack.

    Exit code 0: nothing is in the way; 2: something is; 3: the database cannot be reached.
    """
    from test_infra.base.errors import InfrastructureError, UsageError
    from test_infra.cdc.pipeline import preflight
    from test_infra.cdc.sources.preflight import errors_of
    from test_infra.cli.project import pipeline_specs, stack_spec
    from test_infra.stack import current_stack_id
    from test_infra.stack.reach import endpoint_now

    known = pipeline_specs()
    if unknown := [name for name in pipelines if name not in known]:
        raise UsageError(
            f"there is no pipeline {unknown[0]!r} here", details={"known": ", ".join(sorted(known)) or "none"}
        )
    if not known:
        raise UsageError("this project has no pipeline", hint="test-infra init, or docs/own-tables.md")
    chosen = [known[name] for name in dict.fromkeys(pipelines)] or list(known.values())
    found: dict[str, Sequence[PreflightFinding]] = {}
    unreachable: dict[str, InfrastructureError] = {}
    stack = stack_spec()
    for spec in chosen:
        with Progress().doing(f"checking {spec.name}"):
            try:
                with endpoint_now(stack, spec.source.service) as endpoint:
                    found[spec.name] = preflight.findings(spec, current_stack_id(), endpoint)
            except InfrastructureError as error:
                # The other pipelines may be of another database.
                unreachable[spec.name] = error
    refused = [name for name, findings in found.items() if errors_of(findings)]
    if machine:
        documents = {name: [finding.document() for finding in findings] for name, findings in found.items()}
        not_looked_at = {name: str(problem) for name, problem in unreachable.items()}
        green = not (refused or unreachable)
        tables.as_json({"green": green, "pipelines": documents, "not_looked_at": not_looked_at})
    else:
        _show(found)
        for name, problem in unreachable.items():
            tables.error(f"{name} was not looked at", str(problem))
        errors = sum(len(errors_of(findings)) for findings in found.values())
        said = [f"{errors} errors keep {', '.join(refused)} from being captured exactly"] if refused else []
        said += [f"not looked at: {', '.join(unreachable)}"] if unreachable else []
        verdict = f"RED  check: {'; '.join(said)}" if said else f"GREEN  check: {', '.join(found)}"
        tables.verdict_line(verdict, green=not said)
    if unreachable:
        return ExitCode.INFRASTRUCTURE
    return ExitCode.USAGE if refused else ExitCode.GREEN


def _show(found: Mapping[str, Sequence[PreflightFinding]]) -> None:
    for name, findings in found.items():
        tables.table(
            [name, "about", "what", "try"],
            [
                [finding.severity.value, finding.subject, _said(finding), finding.problem.hint or ""]
                for finding in findings
            ],
            red=[index for index, finding in enumerate(findings) if finding.severity.value == "error"],
        )


def _said(finding: PreflightFinding) -> str:
    details = (f"{label}: {text}" for label, text in finding.problem.details.items())
    return "\n".join([finding.problem.what, *details])
