"""A Spark job as an asset: submitted once per run, followed to its end, cancelled with the run."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from test_infra.assets.step import OWNERS
from test_infra.base.errors import TestInfraError
from test_infra.base.redaction import redact
from test_infra.resources.spark_gateway import SparkGatewayResource

if TYPE_CHECKING:
    from test_infra.spark.gateway.execution import Execution
    from test_infra.spark.gateway.gateway import SparkGateway
    from test_infra.spark.job.spec import JobSpec

GROUP = "spark"


def spark_job_asset(
    key: dg.AssetKey,
    read: Callable[[Path], "JobSpec"],
    *,
    description: str = "",
    after: Sequence[dg.AssetKey] = (),
    retry_policy: dg.RetryPolicy | None = None,
) -> dg.AssetsDefinition:
    """The asset that a Spark job makes.

    A retried step follows its job while that has not ended, and submits another one after a failure. A terminated run
    cancels its job.

    Args:
        key: of the asset.
        read: returns the job when the step runs; gets a folder for files that it writes.
        description: what exists afterwards and where to look at it.
        after: assets that must exist before.
        retry_policy: of the step.
    """

    @dg.asset(
        key=key,
        deps=list(after),
        group_name=GROUP,
        kinds={"spark"},
        owners=[*OWNERS],
        description=description or f"What the Spark job {key.to_user_string()} makes; its log is the step's output.",
        retry_policy=retry_policy,
    )
    def spark_job(context: dg.AssetExecutionContext, spark_gateway: SparkGatewayResource) -> dg.MaterializeResult:  # type: ignore[type-arg]
        try:
            gateway = spark_gateway.attach()
            spec = read(gateway.folder / "specifications")
            execution = follow(gateway, spec, scope=f"{context.run.root_run_id or context.run.run_id}/{key}")
        except TestInfraError as error:
            raise dg.Failure(redact(str(error))) from error
        metadata: dict[str, dg.MetadataValue | str | int | float] = {
            "execution_id": execution.execution_id,
            "state": str(execution.state),
            "attempts": execution.attempt,
            "seconds": round((execution.ended_at or execution.submitted_at) - execution.submitted_at, 3),
            "log": dg.MetadataValue.path(str(gateway.log_path(execution.execution_id))),
        }
        if not execution.succeeded:
            raise dg.Failure(f"Spark job {execution.execution_id} {execution.state}: {execution.error}", metadata)
        return dg.MaterializeResult(metadata=metadata)

    return spark_job


def follow(gateway: "SparkGateway", spec: "JobSpec", *, scope: str) -> "Execution":
    """Submit a job, or find the one of this scope that has not failed, and write its log to stdout until it ended.

    An interrupt (Dagster's termination, Ctrl-C) cancels the job. After a kill of this process the job goes on, and the
    next call with the same scope finds it.

    Args:
        gateway: that runs it.
        spec: the job.
        scope: the run and the asset; at most one job of a scope runs at a time.
    """
    earlier = [one for one in gateway.list(name=spec.name) if one.idempotency_key.startswith(f"{scope}#")]
    failed = [one for one in earlier if one.state.terminal and not one.succeeded]
    execution_id = gateway.submit(spec, idempotency_key=f"{scope}#{len(failed)}")
    try:
        for text, _ in gateway.follow(execution_id):
            sys.stdout.write(text)
            sys.stdout.flush()
        return gateway.check(execution_id)
    except TestInfraError:
        raise
    except BaseException:
        gateway.cancel(execution_id, team=spec.team)
        raise
