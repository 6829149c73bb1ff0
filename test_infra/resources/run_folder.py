"""The folder of the current Dagster run."""

import json
import os
import platform
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from test_infra.base.errors import TestInfraError
from test_infra.base.project import project_root
from test_infra.base.redaction import redact
from test_infra.resources.stack import StackResource
from test_infra.verdict import run as runs
from test_infra.verdict.evidence import gate_id

if TYPE_CHECKING:
    from test_infra.cdc.pipeline.running import RunningPipeline
    from test_infra.stack import Stack

Context = dg.AssetExecutionContext | dg.AssetCheckExecutionContext | dg.OpExecutionContext
NAMED = ("test-infra", "dagster", "pyspark", "deltalake", "duckdb", "kafka-python")
GIT_TIMEOUT_S = 5.0
ONLY = "test_infra/only"
"""Tag of a run of a part of its Dagster job: the tables, as a JSON list."""


def run_folder(context: Context, stack: StackResource) -> Path:
    """The folder of this run. The first step of a run writes its record, with every gate that is expected."""
    folder = runs.run_dir(context.run.run_id)
    if runs.read_record(folder) is None:
        runs.begin(folder, record(context, stack))
    return folder


def record(context: Context, stack: StackResource) -> runs.RunRecord:
    """The record of a run before its first step; it names every gate of the Dagster job."""
    return runs.RunRecord(
        run_id=context.run.run_id,
        job=context.run.job_name,
        stack_id=stack.resolved_id,
        versions=versions(),
        expected=tuple(expected_gates(context.job_def)),
        started_at=datetime.now(UTC),
        only=only_tables(context.run.tags),
    )


def only_tables(tags: Mapping[str, str]) -> tuple[str, ...]:
    """The tables whose part of its Dagster job a run with these tags is of; empty when it is of the whole."""
    return tuple(json.loads(tags.get(ONLY, "[]")))


def expected_gates(job: dg.JobDefinition) -> list[str]:
    """Every gate of a Dagster job, as ``asset path:gate``."""
    keys = job.asset_layer.asset_graph.asset_check_keys
    return sorted(gate_id(key.asset_key.to_user_string(), key.name) for key in keys)


def record_services_and_pipelines(folder: Path, stack_id: str | None) -> None:
    """Write which services and pipelines the run used, for the report. Nothing is written, and nothing is raised, when
    the stack cannot be reached.
    """
    from test_infra.stack import attach

    # The verdict must not depend on what only explains it.
    with suppress(Exception):
        record_services(folder, attach(stack_id))
    with suppress(Exception):
        record_pipelines(folder, attach(stack_id))


def record_services(folder: Path, stack: "Stack") -> None:
    """Write which services the stack has, and when they became usable."""
    runs.write_services(
        folder,
        [
            runs.ServiceRecord(
                name=endpoint.service,
                version=endpoint.version,
                url=redact(endpoint.url),
                start_s=endpoint.start_s,
                usable_at=datetime.fromtimestamp(endpoint.usable_at, UTC) if endpoint.usable_at else None,
                log=str(endpoint.log_path or ""),
            )
            for endpoint in stack.endpoints.values()
        ],
    )


def record_pipelines(folder: Path, stack: "Stack") -> None:
    """Write which pipelines the stack has, and what their load did so far."""
    from test_infra.cdc.pipeline.running import running_pipelines

    runs.write_pipelines(folder, [_pipeline(pipeline) for pipeline in running_pipelines(stack)])


def _pipeline(pipeline: "RunningPipeline") -> runs.PipelineRecord:
    from test_infra.cdc.load import control as load
    from test_infra.cdc.load.profile import profile
    from test_infra.cdc.stream.stream import stream_of

    spec, folders = pipeline.spec, pipeline.folders
    files = {"lake": folders.lake}
    with suppress(TestInfraError):
        files["log of the stream"] = stream_of(pipeline).log_path()
    if spec.load is None:
        return runs.PipelineRecord(name=spec.name, tables=tuple(pipeline.tables), files=_existing(files))
    files |= {"history of the load": folders.history, "log of the load": load.log_path(pipeline)}
    done = profile(folders.history)
    return runs.PipelineRecord(
        name=spec.name,
        tables=tuple(pipeline.tables),
        seed=spec.load.seed,
        operations=spec.load.operations,
        rows_before=spec.load.rows_before,
        outcomes=done.outcomes,
        load=done.over_time,
        files=_existing(files),
    )


def _existing(files: dict[str, Path]) -> dict[str, str]:
    return {label: str(path) for label, path in files.items() if path.exists()}


def versions() -> dict[str, str]:
    """Versions of Python, the system, the main packages and the project; no package is imported."""
    found = {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} on {platform.machine()}, {os.cpu_count()} cores",
    }
    for package in NAMED:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found | _commit()


def _commit() -> dict[str, str]:
    """The commit of the project, marked ``-dirty`` when files differ from it; empty without git."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        said = subprocess.run(command, cwd=project_root(), capture_output=True, text=True, timeout=GIT_TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired):
        return {}
    return {"commit": said.stdout.strip()} if said.returncode == 0 else {}
