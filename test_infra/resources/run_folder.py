"""The folder of the current Dagster run."""

import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import dagster as dg

from test_infra.base.errors import TestInfraError
from test_infra.resources.stack import StackResource
from test_infra.verdict import run as runs
from test_infra.verdict.evidence import gate_id

Context = dg.AssetExecutionContext | dg.AssetCheckExecutionContext | dg.OpExecutionContext
NAMED = ("test-infra", "dagster", "pyspark", "deltalake", "duckdb", "kafka-python")


def run_folder(context: Context, stack: StackResource) -> Path:
    """The folder of this run, with the record of what is expected of it. The first step of a run writes the record."""
    folder = runs.run_dir(context.run.run_id)
    if runs.read_record(folder) is None:
        runs.begin(folder, record(context, stack))
    return folder


def record(context: Context, stack: StackResource) -> runs.RunRecord:
    """What is known of a run before its first step: above all, every gate of its Dagster job."""
    return runs.RunRecord(
        run_id=context.run.run_id,
        job=context.run.job_name,
        stack_id=stack.resolved_id,
        versions=versions(),
        expected=tuple(expected_gates(context.job_def)),
        started_at=datetime.now(UTC),
    )


def expected_gates(job: dg.JobDefinition) -> list[str]:
    """Every gate of a Dagster job, as ``asset path:gate``."""
    keys = job.asset_layer.asset_graph.asset_check_keys
    return sorted(gate_id(key.asset_key.to_user_string(), key.name) for key in keys)


def record_services(folder: Path, stack: StackResource) -> None:
    """Keep which services this run meets, when the stack can be reached; a report without them is still a report."""
    try:
        endpoints = stack.attach().endpoints
    except TestInfraError:
        return
    runs.write_services(
        folder,
        [
            runs.ServiceRecord(
                name=endpoint.service,
                version=endpoint.version,
                url=endpoint.url,
                start_s=endpoint.start_s,
                log=str(endpoint.log_path or ""),
            )
            for endpoint in endpoints.values()
        ],
    )


def versions() -> dict[str, str]:
    """Versions of what takes part, read without importing it."""
    found = {"python": platform.python_version()}
    for package in NAMED:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
