"""`test-infra report`, and how a verdict is shown."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from test_infra.base.errors import UsageError
from test_infra.cli import tables

if TYPE_CHECKING:
    from test_infra.verdict.result import GateResult, Result


@click.command()
@click.argument("run_id", metavar="RUN")
@click.option("--json", "machine", is_flag=True, help="One JSON document on stdout, nothing else.")
def report(run_id: str, *, machine: bool) -> int:
    """Judge a run again from what it left behind and write its report.

    RUN is a run's id, the start of one, or `latest`.
    """
    from test_infra.verdict.report import report as judge

    folder = find_run(run_id)
    result = judge(folder)
    show(result, folder, machine=machine)
    return result.exit_code


def find_run(wanted: str) -> Path:
    """The folder of a run.

    Raises:
        UsageError: no run, or more than one, has this id or an id that begins with it.
    """
    from test_infra.verdict.run import RECORD, runs

    known = {path.parent.name: path for path in runs().glob(f"*/{RECORD}")}
    if wanted == "latest" and known:
        return max(known.values(), key=lambda path: path.stat().st_mtime).parent
    matching = [path.parent for name, path in known.items() if name == wanted] or [
        path.parent for name, path in known.items() if name.startswith(wanted)
    ]
    if len(matching) == 1:
        return matching[0]
    newest = sorted(known, key=lambda name: known[name].stat().st_mtime, reverse=True)[:5]
    raise UsageError(
        f"there is no run {wanted!r}" if not matching else f"the ids of {len(matching)} runs begin with {wanted!r}",
        details={"newest": ", ".join(newest) or "there is none yet"},
        hint="test-infra run e2e" if not known else "test-infra report latest",
    )


def show(result: Result, folder: Path, *, machine: bool) -> None:
    """The verdict as JSON, or as a table with the path of the report and the verdict in its last line."""
    from test_infra.verdict.report import HTML, JSON

    if machine:
        click.echo((folder / JSON).read_text())
        return
    tables.table(
        ["asset", "gate", "outcome", "verdict", "summary"],
        [_row(gate) for gate in result.gates],
        red=[index for index, gate in enumerate(result.gates) if not gate.passed],
    )
    for gate in result.gates:
        if not gate.passed and gate.evidence is not None:
            tables.differing(f"{gate.asset} {gate.gate}", gate.evidence.rows, all_of_them="the report")
    if result.green:
        tables.verdict_line(f"GREEN  {result.job}: {len(result.gates)} gates passed", green=True)
    else:
        for reason in _not_in_the_table(result):
            tables.verdict_line(f"  {reason}", green=False)
        tables.verdict_line(_failed_first(result), green=False)
        tables.verdict_line(f"RED  {result.job}: exit code {result.exit_code}", green=False)
    click.echo(f"report: {folder / HTML}")


def _row(gate: GateResult) -> list[str]:
    verdicts = " ".join(gate.evidence.verdicts) if gate.evidence else ""
    return [gate.asset, gate.gate, gate.outcome, verdicts, gate.summary]


def _failed_first(result: Result) -> str:
    """The first fault, in the words of the report."""
    from test_infra.verdict.page.headline import first_fault

    fault = first_fault(result)
    if fault is None:
        return ""
    when = f", seen {fault.after} after the start" if fault.after else ""
    seen = fault.seen.strip().partition("\n")[0]
    return f"failed first: {fault.what}{when}" + (f": {seen}" if seen else "")


def _not_in_the_table(result: Result) -> list[str]:
    """Reasons for red that the table of gates does not show: failed steps, a run without gates."""
    of_gates = tuple(f"{gate.asset} {gate.gate}:" for gate in result.gates)
    return [reason for reason in result.reasons if not reason.startswith(of_gates)]
