"""`test-infra report`, and how a verdict is shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from test_infra.base.errors import UsageError
from test_infra.cli import tables

if TYPE_CHECKING:
    from test_infra.verdict.result import GateResult, Result

MOST_PASSES = 30
"""More gates than this that passed are one line."""

ALL = click.option("--all", "every_gate", is_flag=True, help="Show every gate, also when many passed.")


@click.command()
@click.argument("run_id", metavar="RUN")
@click.option("--json", "machine", is_flag=True, help="One JSON document on stdout, nothing else.")
@ALL
def report(run_id: str, *, machine: bool, every_gate: bool) -> int:
    """Judge a run again from what it left behind and write its report.

    RUN is a run's id, the start of one, or `latest`.
    """
    from test_infra.verdict.report import report as judge

    folder = find_run(run_id)
    result = judge(folder)
    show(result, folder, machine=machine, every_gate=every_gate)
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


def show(result: Result, folder: Path, *, machine: bool, every_gate: bool = False) -> None:
    """The verdict as JSON; or a table, then the errors of failed steps whole, then verdict and report.

    Args:
        result: the verdict.
        folder: of the run.
        machine: as JSON.
        every_gate: show every gate, however many passed or did not look.
    """
    from test_infra.verdict.report import HTML, JSON

    if machine:
        tables.json_text((folder / JSON).read_text())
        return
    passed = [gate for gate in result.gates if gate.passed]
    folded = len(passed) > MOST_PASSES and not every_gate
    shown = [
        gate for gate in result.gates if every_gate or (gate.evidence is not None and not (folded and gate.passed))
    ]
    if shown:
        tables.table(
            ["asset", "gate", "outcome", "verdict", "summary"],
            [_row(gate) for gate in shown],
            red=[index for index, gate in enumerate(shown) if not gate.passed],
        )
    if folded:
        tables.verdict_line(f"{len(passed)} gates passed: {_by_name(passed)} (--all shows them)", green=True)
    for gate in result.gates:
        if not gate.passed and gate.evidence is not None:
            tables.differing(f"{gate.asset} {gate.gate}", gate.evidence.rows, all_of_them="the report")
    if result.green:
        tables.verdict_line(f"GREEN  {result.subject}: {len(result.gates)} gates passed", green=True)
    else:
        _why_red(result)
    click.echo(f"report: {folder / HTML}")


def _why_red(result: Result) -> None:
    """Gates that did not look, one line a reason; then the errors of the failed steps, the first one last; then the
    verdict.
    """
    from test_infra.verdict.page.headline import first_fault
    from test_infra.verdict.page.words import elapsed_s, seconds

    for group in result.not_judged:
        tables.verdict_line(f"  {group.summary}", green=False)
    for reason in _of_no_gate_and_no_step(result):
        tables.verdict_line(f"  {reason}", green=False)
    for step in reversed(result.failed_steps):
        after = seconds(elapsed_s(result.started_at, step.ended_at))
        tables.error(f"step {step.step} failed {after} after the start", step.error)
    fault = first_fault(result)
    if fault is not None and fault.anchor:  # a step's error is above, whole
        when = f", seen {fault.after} after the start" if fault.after else ""
        seen = fault.seen.strip().partition("\n")[0]
        tables.verdict_line(f"failed first: {fault.what}{when}" + (f": {seen}" if seen else ""), green=False)
        if error := _error_of(result, fault.anchor):
            tables.error(f"{fault.what} raised", error)
    tables.verdict_line(f"RED  {result.subject}: exit code {result.exit_code}", green=False)


def _row(gate: GateResult) -> list[str]:
    verdicts = " ".join(gate.evidence.verdicts) if gate.evidence else ""
    return [gate.asset, gate.gate, gate.outcome, verdicts, gate.summary]


def _by_name(gates: Sequence[GateResult]) -> str:
    return ", ".join(f"{name} {count}" for name, count in Counter(gate.gate for gate in gates).items())


def _error_of(result: Result, anchor: str) -> str:
    """The error that a gate raised instead of judging; empty when it judged, or when the fault is of no gate."""
    for gate in result.gates:
        if gate.evidence is not None and f"{gate.asset}:{gate.gate}" == anchor:
            return gate.evidence.details.get("error", "")
    return ""


def _of_no_gate_and_no_step(result: Result) -> list[str]:
    """Reasons for red that are shown nowhere else, such as a run without gates."""
    shown = tuple(f"{gate.asset} {gate.gate}:" for gate in result.gates)
    shown += tuple(f"step {step.step} failed:" for step in result.failed_steps)
    shown += tuple(group.summary for group in result.not_judged)
    return [reason for reason in result.reasons if not reason.startswith(shown)]
