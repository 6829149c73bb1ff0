"""The folder of one run: what was expected, which steps ran, on which services."""

import hashlib
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from test_infra.base.document import Document
from test_infra.base.paths import home, private_dir, safe_join, write_private
from test_infra.base.redaction import redact
from test_infra.verdict.measures import Series

RECORD = "run.json"
SERVICES = "services.json"
PIPELINES = "pipelines.json"
STEPS = "steps"


class RunRecord(Document):
    """What a run is, written by its first step and completed at its end.

    Args:
        run_id: Dagster's run id.
        job: the Dagster job.
        stack_id: the stack the run uses.
        versions: component -> version.
        expected: every gate of the Dagster job, as ``asset path:gate``.
        started_at: when the first step of ours began.
        finished_at: when the end was recorded; None while it runs or when nobody saw the end.
        succeeded: whether Dagster calls the run a success; None while unknown.
        failures: what Dagster reported as failed, one line each.
        only: the tables whose part of the Dagster job was run; empty when it was run whole.
    """

    schema_version: int = 1
    run_id: str
    job: str
    stack_id: str | None = None
    versions: dict[str, str] = {}
    expected: tuple[str, ...] = ()
    started_at: datetime
    finished_at: datetime | None = None
    succeeded: bool | None = None
    failures: tuple[str, ...] = ()
    only: tuple[str, ...] = ()


class ServiceRecord(Document):
    """One service that the run used.

    Args:
        start_s: seconds until usable.
        usable_at: when it first answered; None for an external one.
    """

    name: str
    version: str
    url: str
    start_s: float
    usable_at: datetime | None = None
    log: str = ""


class PipelineRecord(Document):
    """A pipeline of the run, and the load on it.

    Args:
        name: of the pipeline.
        tables: captured tables.
        seed: of the load; None when the pipeline has traffic of its own.
        operations: of the load's first, fast part.
        rows_before: rows of each table before the connector, the snapshot.
        outcomes: ``ok``, ``failed``, ``unknown`` -> operations after the snapshot.
        load: the same over time.
        files: label -> where to look further, such as the history and the logs.
    """

    name: str
    tables: tuple[str, ...]
    seed: int | None = None
    operations: int | None = None
    rows_before: int | None = None
    outcomes: dict[str, int] = {}
    load: Series | None = None
    files: dict[str, str] = {}


class StepRecord(Document):
    """One step that makes an asset.

    Args:
        exit_code: what the error asks for: 2 usage, 3 infrastructure or an error that nobody foresaw; None when the
            step succeeded.
        error: the text for the person who must act; empty when the step succeeded.
    """

    step: str
    assets: tuple[str, ...]
    started_at: datetime
    ended_at: datetime
    exit_code: int | None = None
    error: str = ""


_SERVICES = TypeAdapter(list[ServiceRecord])
_PIPELINES = TypeAdapter(list[PipelineRecord])


def runs() -> Path:
    """The folder of all runs of this user."""
    return private_dir(home() / "runs")


def run_dir(run_id: str) -> Path:
    """The folder of one run; created when missing.

    Raises:
        UsageError: the id would leave the folder of all runs.
    """
    return private_dir(safe_join(runs(), run_id))


def begin(folder: Path, record: RunRecord) -> RunRecord:
    """Write the run's record unless there is one; returns the one on disk."""
    existing = read_record(folder)
    if existing is not None:
        return existing
    write_private(folder / RECORD, record.model_dump_json(indent=1))
    return record


def expect(folder: Path, gates: Iterable[str]) -> RunRecord:
    """Add gates that must have evidence for the run to be green.

    Raises:
        FileNotFoundError: the run has no record yet.
    """
    record = read_record(folder)
    if record is None:
        raise FileNotFoundError(folder / RECORD)
    updated = record.model_copy(update={"expected": tuple(sorted({*record.expected, *gates}))})
    write_private(folder / RECORD, updated.model_dump_json(indent=1))
    return updated


def finish(folder: Path, record: RunRecord, *, succeeded: bool, failures: Sequence[str] = ()) -> RunRecord:
    """Record how the run ended.

    Args:
        folder: the run's folder.
        record: written when no step of the run has written one.
        succeeded: whether Dagster calls the run a success.
        failures: what failed, one text each.
    """
    current = read_record(folder) or record
    updated = current.model_copy(
        update={
            "finished_at": current.finished_at or datetime.now(UTC),
            "succeeded": succeeded,
            "failures": tuple(redact(text) for text in failures),
        }
    )
    write_private(folder / RECORD, updated.model_dump_json(indent=1))
    return updated


def read_record(folder: Path) -> RunRecord | None:
    """The run's record; None when there is none that can be read."""
    try:
        return RunRecord.model_validate_json((folder / RECORD).read_bytes())
    except (OSError, ValidationError):
        return None


def write_services(folder: Path, services: Sequence[ServiceRecord]) -> None:
    """Write which services the run used."""
    write_private(folder / SERVICES, _SERVICES.dump_json(list(services), indent=1).decode())


def read_services(folder: Path) -> list[ServiceRecord]:
    """The services the run used; empty when none are recorded."""
    try:
        return _SERVICES.validate_json((folder / SERVICES).read_bytes())
    except (OSError, ValidationError):
        return []


def write_pipelines(folder: Path, pipelines: Sequence[PipelineRecord]) -> None:
    """Write which pipelines the run had, and their load."""
    write_private(folder / PIPELINES, _PIPELINES.dump_json(list(pipelines), indent=1).decode())


def read_pipelines(folder: Path) -> list[PipelineRecord]:
    """The pipelines of the run; empty when none are recorded."""
    try:
        return _PIPELINES.validate_json((folder / PIPELINES).read_bytes())
    except (OSError, ValidationError):
        return []


def write_step(folder: Path, step: StepRecord) -> None:
    """Write how a step went."""
    name = (
        f"{re.sub(r'[^A-Za-z0-9_.-]', '_', step.step)[:100]}.{hashlib.sha256(step.step.encode()).hexdigest()[:8]}.json"
    )
    masked = step.model_copy(update={"error": redact(step.error)})
    write_private(private_dir(folder / STEPS) / name, masked.model_dump_json(indent=1))


def read_steps(folder: Path) -> list[StepRecord]:
    """The steps of the run in the order they began."""
    steps = []
    for path in (folder / STEPS).glob("*.json"):
        try:
            steps.append(StepRecord.model_validate_json(path.read_bytes()))
        except (OSError, ValidationError):
            continue
    return sorted(steps, key=lambda step: step.started_at)
