"""Starts, follows and ends the load of a pipeline, as a process of its stack."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from test_infra.base.deadline import Deadline, StillWaiting, wait_for
from test_infra.base.errors import InfrastructureError, UsageError
from test_infra.base.paths import private_dir, write_private
from test_infra.cdc.load.prepare import WRITERS
from test_infra.cdc.load.run import LoadConfig, LoadStatus
from test_infra.cdc.load.traffic import TrafficConfig
from test_infra.runtime.local import UnknownProcess
from test_infra.runtime.process import ProcessSpec

if TYPE_CHECKING:
    from test_infra.cdc.pipeline.running import RunningPipeline
    from test_infra.cdc.pipeline.spec import LoadSpec

MEMORY_LIMIT_MIB = 512
BULK_WITHIN_S = 300.0
OVERHEAD_S = 30.0
_MODULES = {True: "test_infra.cdc.load.run", False: "test_infra.cdc.load.traffic"}
"""Whether the load is generated -> what runs it."""


class LoadFailed(InfrastructureError):
    """The load ended before it had written what it was asked for."""


def start(pipeline: RunningPipeline, operations: int | None = None, rate_per_s: float | None = None) -> None:
    """Start the load; one that runs already goes on.

    Args:
        pipeline: whose tables are written.
        operations: of the first, fast part; None is the pipeline's own number.
        rate_per_s: operations per second after it; None is the pipeline's own rate.

    Raises:
        UsageError: the pipeline has no load, or a column for which no values can be made.
    """
    stack, spec = pipeline.stack, pipeline.spec
    if spec.load is None:
        raise UsageError(f"pipeline {spec.name} has no load", hint="give it one under `load:`")
    if _running(pipeline):
        return
    config = (
        _generated(pipeline, spec.load, operations, rate_per_s) if spec.load.generated else _own(pipeline, spec.load)
    )
    config_path = _folder(pipeline) / "config.json"
    _status_path(pipeline).unlink(missing_ok=True)
    write_private(config_path, config.model_dump_json(indent=1))
    stack.host_runtime.start(
        ProcessSpec(
            name=_name(pipeline),
            argv=(sys.executable, "-m", _MODULES[spec.load.generated], str(config_path)),
            env=stack.process_env(),
            cwd=_folder(pipeline),
            log_path=log_path(pipeline),
            memory_limit_mib=MEMORY_LIMIT_MIB if spec.load.generated else None,
            stop_timeout_s=10.0,
        )
    )


def _generated(
    pipeline: RunningPipeline, load: LoadSpec, operations: int | None, rate_per_s: float | None
) -> LoadConfig:
    return LoadConfig(
        endpoint=pipeline.endpoint(pipeline.spec.source.service),
        schemas=pipeline.schemas(),
        constraints=pipeline.source.constraints(),
        values=load.values,
        seed=load.seed,
        operations=load.operations if operations is None else operations,
        rate_per_s=load.background_rate_per_s if rate_per_s is None else rate_per_s,
        limit_s=load.background_limit_s,
        writers=WRITERS,
        history=pipeline.folders.history,
        status=_status_path(pipeline),
    )


def _own(pipeline: RunningPipeline, load: LoadSpec) -> TrafficConfig:
    folder = _folder(pipeline)
    ours = {
        "TEST_INFRA_PIPELINE": pipeline.spec.name,
        "TEST_INFRA_TABLES": "\n".join(schema.qualified for schema in pipeline.schemas()),
        "TEST_INFRA_SEED": str(load.seed),
        **({"TEST_INFRA_HISTORY": str(pipeline.folders.history)} if load.history else {}),
    }
    return TrafficConfig(
        endpoint=pipeline.endpoint(pipeline.spec.source.service),
        sql=load.sql or [],
        command=load.command or [],
        folder=load.folder,
        env={"HOME": str(Path.home()), **pipeline.stack.process_env(), **ours},
        repeat=load.repeat,
        background=load.background,
        timeout_s=load.timeout_s,
        limit_s=load.background_limit_s,
        pass_file=folder / "pgpass",
        status=_status_path(pipeline),
    )


def longest_s(load: LoadSpec) -> float:
    """How long the first part of a load may take, seconds."""
    return BULK_WITHIN_S if load.generated else load.repeat * load.timeout_s + OVERHEAD_S


def wait_bulk(pipeline: RunningPipeline, deadline: Deadline) -> LoadStatus:
    """Wait until the first, fast part is done.

    Raises:
        LoadFailed: the load ended before.
        NotReady: it was not done in time.
    """

    def done() -> LoadStatus:
        alive = _running(pipeline)
        seen = status(pipeline)
        if seen.bulk_done_at is not None:
            return seen
        if seen.error or seen.ended_at is not None or (not alive and seen.started_at is not None):
            raise LoadFailed(
                _ended_after(pipeline, seen),
                details={"error": seen.error or "it was stopped"},
                log=log_path(pipeline),
            )
        raise StillWaiting(
            f"{seen.operations_done or seen.runs} {'operations' if seen.operations_done else 'runs'} done"
        )

    return wait_for(
        done, deadline, what=f"the load of {pipeline.spec.name}", awaited="its bulk", log=log_path(pipeline)
    )


def _ended_after(pipeline: RunningPipeline, seen: LoadStatus) -> str:
    generated = pipeline.spec.load is None or pipeline.spec.load.generated
    much = f"{seen.operations_done} operations" if generated else f"{seen.runs} runs"
    return f"the load of {pipeline.spec.name} ended after {much}"


def status(pipeline: RunningPipeline) -> LoadStatus:
    """How far the load is; all zero before it began."""
    try:
        return LoadStatus.model_validate_json(_status_path(pipeline).read_bytes())
    except FileNotFoundError:
        return LoadStatus()


def stop(pipeline: RunningPipeline) -> LoadStatus:
    """End the load after its running transactions; one that ended, or never began, is left as it is."""
    try:
        pipeline.stack.host_runtime.stop(_name(pipeline))
    except UnknownProcess:
        return LoadStatus()
    return status(pipeline)


def _running(pipeline: RunningPipeline) -> bool:
    try:
        return pipeline.stack.host_runtime.observe(_name(pipeline)).running
    except UnknownProcess:
        return False


def _name(pipeline: RunningPipeline) -> str:
    return f"load-{pipeline.spec.name}"


def _folder(pipeline: RunningPipeline) -> Path:
    return private_dir(pipeline.stack.dir / "jobs" / _name(pipeline))


def _status_path(pipeline: RunningPipeline) -> Path:
    return _folder(pipeline) / "status.json"


def log_path(pipeline: RunningPipeline) -> Path:
    """What the load's process says."""
    return pipeline.stack.logs / f"{_name(pipeline)}.log"
