"""Starts, follows and ends the load of a pipeline, as a process of its stack."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from test_infra.base.deadline import Deadline, StillWaiting, wait_for
from test_infra.base.errors import InfrastructureError, UsageError
from test_infra.base.paths import private_dir, write_private
from test_infra.cdc.load import history
from test_infra.cdc.load.run import LoadConfig, LoadStatus
from test_infra.cdc.pipeline.names import PipelineFolders
from test_infra.cdc.sources import postgres
from test_infra.runtime.local import UnknownProcess
from test_infra.runtime.process import ProcessSpec

if TYPE_CHECKING:
    from test_infra.cdc.pipeline.spec import PipelineSpec
    from test_infra.stack import Stack

MEMORY_LIMIT_MIB = 512
WRITERS = 2
KILLED_MEANWHILE = 1_000
"""Keys that a killed load may have used without writing them down."""


class LoadFailed(InfrastructureError):
    """The load ended before it had written what it was asked for."""


def start(stack: Stack, spec: PipelineSpec, operations: int | None = None, rate_per_s: float | None = None) -> None:
    """Start the load; one that runs already goes on.

    Args:
        stack: the stack of the pipeline.
        spec: the pipeline.
        operations: of the first, fast part; None is the pipeline's own number.
        rate_per_s: operations per second after it; None is the pipeline's own rate.

    Raises:
        UsageError: the pipeline has no load, or a column for which no values can be made.
    """
    if spec.load is None:
        raise UsageError(f"pipeline {spec.name} has no load", hint="give it one under `load:`")
    if _running(stack, spec):
        return
    endpoint, folders = stack.endpoint(spec.source.service), PipelineFolders(stack.dir, spec.name)
    with postgres.connect(endpoint, "owner") as connection:
        schemas = postgres.schemas(connection, spec)
    phases = [operation.phase for operation in history.read(folders.history)]
    loaded = phases.count(history.Phase.LOAD)
    seeded = spec.load.rows_before if len(phases) > loaded else 0
    config = LoadConfig(
        endpoint=endpoint,
        schemas=schemas,
        seed=spec.load.seed,
        operations=spec.load.operations if operations is None else operations,
        rate_per_s=spec.load.background_rate_per_s if rate_per_s is None else rate_per_s,
        limit_s=spec.load.background_limit_s,
        writers=WRITERS,
        # Each operation of a former load used at most one number of its writer.
        first_key=spec.load.rows_before + (WRITERS * loaded + KILLED_MEANWHILE if loaded else 0),
        adopted_keys=0 if loaded else seeded,
        history=folders.history,
        status=_status_path(stack, spec),
    )
    config_path = _folder(stack, spec) / "config.json"
    _status_path(stack, spec).unlink(missing_ok=True)
    write_private(config_path, config.model_dump_json(indent=1))
    stack.host_runtime.start(
        ProcessSpec(
            name=_name(spec),
            argv=(sys.executable, "-m", "test_infra.cdc.load.run", str(config_path)),
            env=stack.process_env(),
            cwd=_folder(stack, spec),
            log_path=log_path(stack, spec),
            memory_limit_mib=MEMORY_LIMIT_MIB,
            stop_timeout_s=10.0,
        )
    )


def wait_bulk(stack: Stack, spec: PipelineSpec, deadline: Deadline) -> LoadStatus:
    """Wait until the first, fast part is done.

    Raises:
        LoadFailed: the load ended before.
        NotReady: it was not done in time.
    """

    def done() -> LoadStatus:
        alive = _running(stack, spec)
        seen = status(stack, spec)
        if seen.bulk_done_at is not None:
            return seen
        if seen.error or seen.ended_at is not None or (not alive and seen.started_at is not None):
            raise LoadFailed(
                f"the load of {spec.name} ended after {seen.operations_done} operations",
                details={"error": seen.error or "it was stopped"},
                log=log_path(stack, spec),
            )
        raise StillWaiting(f"{seen.operations_done} operations done")

    return wait_for(done, deadline, what=f"the load of {spec.name}", awaited="its bulk", log=log_path(stack, spec))


def status(stack: Stack, spec: PipelineSpec) -> LoadStatus:
    """How far the load is; all zero before it began."""
    try:
        return LoadStatus.model_validate_json(_status_path(stack, spec).read_bytes())
    except FileNotFoundError:
        return LoadStatus()


def stop(stack: Stack, spec: PipelineSpec) -> LoadStatus:
    """End the load after its running transactions; one that ended, or never began, is left as it is."""
    try:
        stack.host_runtime.stop(_name(spec))
    except UnknownProcess:
        return LoadStatus()
    return status(stack, spec)


def _running(stack: Stack, spec: PipelineSpec) -> bool:
    try:
        return stack.host_runtime.observe(_name(spec)).running
    except UnknownProcess:
        return False


def _name(spec: PipelineSpec) -> str:
    return f"load-{spec.name}"


def _folder(stack: Stack, spec: PipelineSpec) -> Path:
    return private_dir(stack.dir / "jobs" / _name(spec))


def _status_path(stack: Stack, spec: PipelineSpec) -> Path:
    return _folder(stack, spec) / "status.json"


def log_path(stack: Stack, spec: PipelineSpec) -> Path:
    """What the load's process says."""
    return stack.logs / f"{_name(spec)}.log"
