"""The verdict on a run: red unless every expected gate has evidence and every evidence says passed."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from pydantic import computed_field

from test_infra.base.document import Document
from test_infra.verdict.evidence import Evidence, Outcome
from test_infra.verdict.run import PipelineRecord, RunRecord, ServiceRecord, StepRecord

MISSING = "MISSING EVALUATION"
SCHEMA_VERSION: Literal[3] = 3
"""Of ``result.json``; raised when a reader of the former version would be misled or refused."""


class GateResult(Document):
    """One gate in the verdict.

    Args:
        outcome: the evidence's outcome, or that there is no evidence.
        evidence: None when the gate has no evaluation in this run.
        because: why it has none; empty where it has one.
    """

    gate: str
    asset: str
    outcome: str
    evidence: Evidence | None = None
    because: str = ""

    @property
    def passed(self) -> bool:
        """Whether this gate is green."""
        return self.outcome == Outcome.PASSED

    @property
    def summary(self) -> str:
        """The evidence's sentence, or why there is none."""
        return self.evidence.summary if self.evidence else f"did not look, {self.because}"


class NotJudged(Document):
    """Gates that did not look, all for one reason.

    Args:
        because: the reason, such as ``because billing__source failed``.
        gates: as ``asset path:gate``.
    """

    because: str
    gates: tuple[str, ...]

    @computed_field  # type: ignore[prop-decorator]
    @property
    def summary(self) -> str:
        """All of them in one line."""
        return f"{_many(len(self.gates), 'gate')} did not look, {self.because}"


class Result(Document):
    """The verdict on one run.

    Args:
        reasons: why it is red, most telling first; empty when green.
        exit_code: 0 green; 1 a gate or test is red; 2 usage; 3 the stack could not be made.
        not_judged: gates without evidence, by the reason.
        only: the tables whose part of the Dagster job was run; empty when it was run whole.
    """

    schema_version: Literal[3] = SCHEMA_VERSION
    run_id: str
    job: str
    stack_id: str | None
    exit_code: int
    reasons: tuple[str, ...]
    started_at: datetime
    finished_at: datetime | None
    versions: dict[str, str]
    gates: tuple[GateResult, ...]
    steps: tuple[StepRecord, ...]
    services: tuple[ServiceRecord, ...]
    pipelines: tuple[PipelineRecord, ...] = ()
    not_judged: tuple[NotJudged, ...] = ()
    only: tuple[str, ...] = ()

    @computed_field  # type: ignore[prop-decorator]
    @property
    def green(self) -> bool:
        """Whether the run is green."""
        return self.exit_code == 0

    @computed_field  # type: ignore[prop-decorator]
    @property
    def counts(self) -> dict[str, int]:
        """Outcome -> number of gates."""
        return dict(Counter(gate.outcome for gate in self.gates))

    @property
    def subject(self) -> str:
        """What was run, for people: the Dagster job, or the part of it."""
        return f"{self.job}, only the part of {', '.join(self.only)}" if self.only else self.job

    @property
    def failed_steps(self) -> list[StepRecord]:
        """The steps that failed, in the order in which they did."""
        return _failed(self.steps)


def judge(
    record: RunRecord,
    evidence: Sequence[Evidence],
    steps: Sequence[StepRecord] = (),
    services: Sequence[ServiceRecord] = (),
    pipelines: Sequence[PipelineRecord] = (),
) -> Result:
    """The verdict on what a run left behind. Nothing expected and nothing found is red: a run without gates proves
    nothing.
    """
    found = {item.gate_id: item for item in evidence}
    failed_steps = _failed(steps)
    gates = [
        _gate(identity, found.get(identity), record, failed_steps) for identity in sorted({*record.expected, *found})
    ]
    not_judged = _not_judged(gates)
    exit_code, reasons = _exit(record, gates, failed_steps, not_judged)
    return Result(
        run_id=record.run_id,
        job=record.job,
        only=record.only,
        stack_id=record.stack_id,
        exit_code=exit_code,
        reasons=tuple(reasons),
        started_at=record.started_at,
        finished_at=record.finished_at,
        versions=record.versions,
        gates=tuple(gates),
        steps=tuple(steps),
        services=tuple(services),
        pipelines=tuple(pipelines),
        not_judged=tuple(not_judged),
    )


def _gate(
    identity: str, evidence: Evidence | None, record: RunRecord, failed_steps: Sequence[StepRecord]
) -> GateResult:
    asset, _, gate = identity.rpartition(":")
    if evidence is not None:
        return GateResult(gate=gate, asset=asset, outcome=evidence.outcome.value, evidence=evidence)
    return GateResult(gate=gate, asset=asset, outcome=MISSING, because=_why(asset, record, failed_steps))


def _why(asset: str, record: RunRecord, failed_steps: Sequence[StepRecord]) -> str:
    """Why a gate has no evidence: a step of its own pipeline failed, or else the first one that did."""
    root = asset.partition("/")[0]
    own = [step for step in failed_steps if any(made.partition("/")[0] == root for made in step.assets)]
    if failed_steps:
        return f"because {(own or failed_steps)[0].step} failed"
    if record.succeeded is False and (seen := next(filter(None, map(_first_line, record.failures)), "")):
        return f"because {seen}"
    return "and no step failed: the gate belongs to the Dagster job but left no evidence in this run"


def _not_judged(gates: Sequence[GateResult]) -> list[NotJudged]:
    by_reason: dict[str, list[str]] = {}
    for gate in gates:
        if gate.evidence is None:
            by_reason.setdefault(gate.because, []).append(f"{gate.asset}:{gate.gate}")
    return [NotJudged(because=because, gates=tuple(found)) for because, found in by_reason.items()]


def _failed(steps: Sequence[StepRecord]) -> list[StepRecord]:
    return sorted((step for step in steps if step.exit_code is not None), key=lambda step: step.ended_at)


def _exit(
    record: RunRecord,
    gates: Sequence[GateResult],
    failed_steps: Sequence[StepRecord],
    not_judged: Sequence[NotJudged],
) -> tuple[int, list[str]]:
    """Exit code and reasons. A red gate wins over a failed step: it is what the run was made for."""
    red = [gate for gate in gates if gate.evidence is not None and not gate.passed]
    reasons = [f"{gate.asset} {gate.gate}: {gate.summary}" for gate in red]
    reasons += [f"step {step.step} failed: {_first_line(step.error)}" for step in failed_steps]
    if record.succeeded is False and not reasons:
        reasons += [text for text in map(_first_line, record.failures) if text] or ["Dagster reports the run as failed"]
    reasons += [group.summary for group in not_judged]
    if not gates:
        reasons.append("the run has no gate, so it proves nothing")
    if not reasons:
        return 0, []
    if not red and failed_steps:
        return max(step.exit_code or 1 for step in failed_steps), reasons
    return 1, reasons


def _first_line(text: str) -> str:
    return text.strip().splitlines()[0] if text.strip() else ""


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
