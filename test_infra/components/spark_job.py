"""The YAML form of a Spark job."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

import dagster as dg
from pydantic import Field, model_validator

from test_infra.assets.spark_job import spark_job_asset
from test_infra.base.document import Document
from test_infra.base.errors import BadDocument
from test_infra.components.attributes import attributes_are
from test_infra.components.scaffold import SparkJobScaffolder
from test_infra.resources.spark_gateway import SparkGatewayResource
from test_infra.spark.dcp.manifest import read_job, read_manifest
from test_infra.spark.job.conf import check_conf
from test_infra.spark.job.spec import JobSpec

if TYPE_CHECKING:
    from collections.abc import Callable

GATEWAY = SparkGatewayResource()
"""One for all jobs of a project: Dagster does not merge definitions with two resources of one name."""


class SparkJobSpec(Document):
    """A Spark job as an asset."""

    asset: str = Field(pattern=r"^[A-Za-z0-9_]+(/[A-Za-z0-9_]+)*$", description="Key of the asset, such as shop/daily.")
    description: str = Field(default="", description="What exists afterwards and where to look at it.")
    after: list[str] = Field(default_factory=list, description="Keys of assets that must exist before.")
    job: JobSpec | None = Field(default=None, description="The job.")
    manifest: str | None = Field(default=None, description="Path of a DCP manifest instead; relative to this file.")
    retries: int = Field(default=0, ge=0, description="How often Dagster tries the step again after a failure.")
    retry_delay_s: float = Field(default=5.0, ge=0, description="Pause before each, seconds.")

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.job is None) is (self.manifest is None):
            raise ValueError("give either job or manifest")
        return self


@dg.scaffold_with(SparkJobScaffolder)
@attributes_are(SparkJobSpec)
@dataclass
class SparkJob(dg.Component, dg.Resolvable):
    """An asset that submits a Spark job to the stack's gateway, streams its log, and cancels it with the run."""

    spec: SparkJobSpec
    declared_at: str = ""

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """The asset, and the resource ``spark_gateway``. Relative paths start at the folder of the YAML."""
        spec = self.spec
        asset = spark_job_asset(
            dg.AssetKey(spec.asset.split("/")),
            _reader(spec, context.path),
            description=spec.description,
            after=[dg.AssetKey(path.split("/")) for path in spec.after],
            retry_policy=dg.RetryPolicy(max_retries=spec.retries, delay=spec.retry_delay_s) if spec.retries else None,
        )
        return dg.Definitions(assets=[asset], resources={"spark_gateway": GATEWAY})


def _reader(spec: SparkJobSpec, folder: Path) -> "Callable[[Path], JobSpec]":
    """A function that reads the job when a step runs; mistakes are reported when the definitions load.

    Raises:
        BadDocument: a field of the manifest or a property of the job is refused.
    """
    if spec.manifest is not None:
        manifest = (folder / spec.manifest).resolve()
        read_manifest(manifest)
        return lambda scratch: read_job(manifest, scratch)
    job = spec.job
    if job is None:
        raise BadDocument("the Spark job", [])
    check_conf(job.conf)
    return lambda _: job.placed(folder.resolve())
