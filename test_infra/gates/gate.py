"""How every gate is built: evidence first, then the recorded evaluation, then the failure.

Dagster leaves a run green when a check fails, unless the check is blocking, and a blocking check also stops its
siblings. A generator that yields the failed result and then raises does neither: the evaluation is kept, siblings go
on, the run fails.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from test_infra.resources.run_folder import run_folder
from test_infra.resources.stack import StackResource
from test_infra.verdict import evidence

if TYPE_CHECKING:
    from test_infra.stack import Stack


@dataclass(frozen=True)
class JudgeContext:
    """What a judge is given.

    Args:
        stack: the running stack.
        run_dir: the folder of this run, where suites leave their reports.
    """

    stack: "Stack"
    run_dir: Path


Judge = Callable[[JudgeContext, Sequence[str]], Mapping[str, evidence.Finding]]
"""Judges the named subjects (tables, mostly). A subject without a finding counts as unknown."""

SOON = "10"
"""Priority of gates that must judge before a suite disturbs the pipeline."""
LATE = "-50"
"""Priority of gates that judge the run as a whole."""


@dataclass(frozen=True)
class Gate:
    """A promise about one or several assets.

    Args:
        name: name of the check, such as ``parity``.
        step: name of the step that judges all subjects at once.
        promise: the promise, the threshold, what a failure means, where to look first: read in the UI at 3 a.m.
        subjects: what the judge calls it (a table's name) -> the asset the gate sits on.
        judge: finds out.
        priority: order among steps that are ready, higher first.
        after: assets that must be there before judging makes sense, besides the subjects.
    """

    name: str
    step: str
    promise: str
    subjects: Mapping[str, dg.AssetKey]
    judge: Judge
    priority: str = SOON
    after: tuple[dg.AssetKey, ...] = ()

    def check_key(self, subject: str) -> dg.AssetCheckKey:
        """Dagster's key of the gate on one subject."""
        return dg.AssetCheckKey(self.subjects[subject], self.name)


def gate(definition: Gate) -> dg.AssetChecksDefinition:
    """The asset checks of a gate: one step, one evaluation per subject."""
    specs = [
        dg.AssetCheckSpec(
            definition.name,
            asset=key,
            description=definition.promise,
            additional_deps=[dep for dep in definition.after if dep != key],
        )
        for key in definition.subjects.values()
    ]

    @dg.multi_asset_check(
        name=definition.step,
        specs=specs,
        description=definition.promise,
        can_subset=True,
        op_tags={"dagster/priority": definition.priority},
    )
    def judged(context: dg.AssetCheckExecutionContext, stack: StackResource) -> Iterator[dg.AssetCheckResult]:
        yield from evaluate(context, stack, definition)

    return judged


def evaluate(
    context: dg.AssetCheckExecutionContext, stack: StackResource, definition: Gate
) -> Iterator[dg.AssetCheckResult]:
    """Judge, keep the evidence, record the evaluations, and fail the step if any is not passed.

    Raises:
        Failure: a subject failed, is unknown, or got no finding. Never retried: a second look that passes would hide
            the first.
    """
    subjects = [
        subject for subject in definition.subjects if definition.check_key(subject) in context.selected_asset_check_keys
    ]
    folder = run_folder(context, stack)
    started_at = datetime.now(UTC)
    cause: Exception | None = None
    try:
        findings = judge(definition, JudgeContext(stack.attach(), folder), subjects)
    except Exception as error:
        cause = error
        findings = dict.fromkeys(subjects, evidence.unknown(error))
    kept = [_evidence(definition, subject, findings.get(subject), started_at) for subject in subjects]
    for item in kept:
        evidence.write(folder, item)
    for subject, item in zip(subjects, kept, strict=True):
        yield evaluation(definition.check_key(subject), item)
    red = [item for item in kept if not item.passed]
    if red:
        raise dg.Failure(
            "\n".join(f"{item.asset} {item.gate}: {item.summary}" for item in red), allow_retries=False
        ) from cause


def judge(definition: Gate, context: JudgeContext, subjects: Sequence[str]) -> Mapping[str, evidence.Finding]:
    """The findings of the gate's judge. A place of its own so that a test can plant a failing judge behind every
    gate.
    """
    return definition.judge(context, subjects)


def evaluation(key: dg.AssetCheckKey, item: evidence.Evidence) -> dg.AssetCheckResult:
    """Evidence as Dagster shows it: numbers are plotted over time, rows are a table."""
    metadata: dict[str, dg.MetadataValue] = {
        "outcome": dg.MetadataValue.text(item.outcome.value),
        **{name: _number(name, value) for name, value in item.numbers.items()},
        **{label: dg.MetadataValue.text(text) for label, text in item.details.items()},
    }
    if item.rows:
        metadata["rows"] = dg.MetadataValue.table(
            [dg.TableRecord(row) for row in item.rows], schema=_columns(item.rows)
        )
    return dg.AssetCheckResult(
        passed=item.passed, asset_key=key.asset_key, check_name=key.name, description=item.summary, metadata=metadata
    )


def _evidence(
    definition: Gate, subject: str, finding: evidence.Finding | None, started_at: datetime
) -> evidence.Evidence:
    found = finding or evidence.Finding(
        outcome=evidence.Outcome.UNKNOWN, verdicts=("UNKNOWN",), summary=f"the gate has no finding for {subject}"
    )
    return evidence.Evidence(
        gate=definition.name,
        asset=definition.subjects[subject].to_user_string(),
        started_at=started_at,
        ended_at=datetime.now(UTC),
        promise=definition.promise,
        **found.redacted().model_dump(include=set(evidence.Finding.model_fields)),
    )


def _number(name: str, value: float) -> dg.MetadataValue:
    # By the name and not by the value: a lag of exactly two seconds is still no count.
    return dg.MetadataValue.float(value) if name.endswith("_s") or value % 1 else dg.MetadataValue.int(int(value))


def _columns(rows: Sequence[Mapping[str, str]]) -> dg.TableSchema:
    names = dict.fromkeys(name for row in rows for name in row)
    return dg.TableSchema(columns=[dg.TableColumn(name, "string") for name in names])
