"""DCP manifests (``dcp.pedregal.doordash.com/v1``, kind SparkJob): read, checked, turned into a Spark job.

Field names are those of the published example (github:laxmanmamididd/spark-platform-docker-images
dcp-example/manifest.yaml).
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

from test_infra.base.document import Document
from test_infra.base.errors import BadDocument
from test_infra.base.paths import private_dir, write_private
from test_infra.spark.dcp.etl import DELTA_CONF, DELTA_JARS, MODULE, EtlSpec
from test_infra.spark.dcp.yaml_document import YamlDocument
from test_infra.spark.job.conf import refused_properties
from test_infra.spark.job.spec import (
    ConfKey,
    Driver,
    Executors,
    Jar,
    JobName,
    JobSpec,
    JobType,
    MainClass,
    PythonModule,
    Resources,
    RestartPolicy,
    RestartWhen,
    TeamName,
)

_MEMORY = re.compile(r"(\d+)([mg])")


def _mib(text: object) -> int:
    size = _MEMORY.fullmatch(text) if isinstance(text, str) else None
    if size is None:
        raise ValueError(f"{text!r} is no size such as 512m or 4g")
    return int(size[1]) * (1_024 if size[2] == "g" else 1)


MemoryMib = Annotated[int, BeforeValidator(_mib)]
"""MiB, written as Spark writes sizes: ``4g``, ``512m``."""


class _Part(Document):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class Metadata(_Part):
    """Name and owners."""

    name: JobName
    namespace: str = "default"
    team: TeamName
    owner: str = ""


class Engine(_Part):
    """Version of Spark."""

    version: str = Field(default="", pattern=r"^(\d+\.\d+(\.\d+)?)?$")
    image_override: str | None = Field(default=None, alias="image_override")


class DriverResources(_Part):
    """Size of the driver."""

    cores: int = Field(default=2, ge=1)
    memory: MemoryMib = 1_024
    memory_overhead: MemoryMib = 512


class ExecutorResources(_Part):
    """Number and size of the executors."""

    instances: int = Field(default=0, ge=0)
    cores: int = Field(default=1, ge=1)
    memory: MemoryMib = 1_024
    memory_overhead: MemoryMib = 384


class ManifestResources(_Part):
    """Sizes of driver and executors."""

    driver: DriverResources = DriverResources()
    executors: ExecutorResources = ExecutorResources()


class SparkConnect(_Part):
    """Whether people use it over Spark Connect; a dry run does in any case."""

    enabled: bool = False
    port: int | None = Field(default=None, ge=1, le=65535)


class TestingMode(_Part):
    """Whether dry runs keep a Connect server."""

    __test__ = False

    use_hot_cluster: bool = True
    sandbox_enabled: bool = False


class CoreEtl(_Part):
    """The job itself."""

    jar_path: str | None = None
    main_class: MainClass | None = None
    job_spec: EtlSpec


class RetryPolicy(_Part):
    """Restarts after failures."""

    max_retries: int = Field(default=0, ge=0)
    retry_delay_minutes: float = Field(default=5.0, ge=0)


class Alerting(_Part):
    """Whom a scheduler notifies."""

    on_failure: bool = False
    channels: tuple[str, ...] = ()


class Orchestration(_Part):
    """When it runs. Schedule and channels are for a scheduler: they become labels of the job."""

    schedule: str | None = None
    retry_policy: RetryPolicy = RetryPolicy()
    alerting: Alerting = Alerting()


class Observability(_Part):
    """What a platform collects; it becomes labels of the job."""

    otel_enabled: bool = False
    metrics_prefix: str = ""
    logs_enabled: bool = True


class ManifestSpec(_Part):
    """The job, and how it runs."""

    engine: Engine = Engine()
    resources: ManifestResources = ManifestResources()
    job_type: Literal["batch", "streaming"] = "batch"
    spark_connect: SparkConnect = SparkConnect()
    testing_mode: TestingMode = TestingMode()
    core_etl: CoreEtl
    spark_config: dict[ConfKey, str] = Field(default_factory=dict)
    orchestration: Orchestration = Orchestration()
    observability: Observability = Observability()


class Manifest(_Part):
    """One DCP manifest."""

    api_version: Literal["dcp.pedregal.doordash.com/v1"]
    kind: Literal["SparkJob"]
    metadata: Metadata
    spec: ManifestSpec


def read_job(path: Path, folder: Path) -> JobSpec:
    """The Spark job of a file: a DCP manifest, or a `JobSpec` as YAML or JSON. Relative paths start at its folder.

    Args:
        path: the file.
        folder: for the CoreETL specification of a manifest.

    Raises:
        UsageError: the file does not exist, or a variable that it refers to is not set.
        BadDocument: names every field that is refused, with file and line.
    """
    document = YamlDocument(path)
    if "apiVersion" in document.values or "kind" in document.values:
        return job_of(read_manifest(path), folder, base=path.resolve().parent)
    return document.read(JobSpec).placed(path.resolve().parent)


def read_manifest(path: Path) -> Manifest:
    """The manifest of a file.

    Raises:
        UsageError: the file cannot be read.
        BadDocument: names every field that is refused, with file and line.
    """
    document = YamlDocument(path)
    manifest = document.read(Manifest)
    problems = [
        document.problem(("spec", "sparkConfig", found.where.removeprefix("conf.")), found.message)
        for found in refused_properties(manifest.spec.spark_config)
    ]
    core = manifest.spec.core_etl
    if (core.jar_path is None) is not (core.main_class is None):
        problems.append(document.problem(("spec", "coreEtl"), "jarPath and mainClass belong together; leave out both"))
    if manifest.spec.job_type == "streaming" and core.jar_path is None:
        problems.append(document.problem(("spec", "jobType"), "our own CoreETL runner is for batch; name a jarPath"))
    if manifest.spec.engine.image_override is not None:
        problems.append(document.problem(("spec", "engine", "image_override"), "images are the container backend's"))
    if problems:
        raise BadDocument(str(path), problems)
    return manifest


def job_of(manifest: Manifest, folder: Path, *, base: Path) -> JobSpec:
    """The Spark job of a manifest; writes its CoreETL specification, with variables replaced, below ``folder``.

    Without a jar `test_infra.spark.dcp.core_etl` runs the specification; a jar gets the file as its argument.

    Args:
        manifest: as it was read.
        folder: for the specification's file, whose name is made from its content.
        base: folder from which a relative jarPath is taken.

    Raises:
        UsageError: a path refers to an environment variable that is not set.
    """
    spec, core = manifest.spec, manifest.spec.core_etl
    etl = core.job_spec.filled()
    text = etl.model_dump_json(by_alias=True, indent=1)
    path = private_dir(folder) / f"{manifest.metadata.name}-{hashlib.sha256(text.encode()).hexdigest()[:12]}.json"
    write_private(path, text)
    application = (
        PythonModule(module=MODULE)
        if core.jar_path is None or core.main_class is None
        else Jar(jar=core.jar_path, main_class=core.main_class)
    )
    retries = spec.orchestration.retry_policy
    return JobSpec(
        name=manifest.metadata.name,
        team=manifest.metadata.team,
        owner=manifest.metadata.owner,
        application=application,
        args=(str(path),),
        files=(str(path),),
        spark_version=spec.engine.version,
        conf={**(DELTA_CONF if etl.uses_delta else {}), **spec.spark_config},
        jar_groups=(DELTA_JARS,) if etl.uses_delta else (),
        resources=resources_of(manifest),
        type=JobType(spec.job_type.upper()),
        labels=_labels(manifest),
        restart=RestartPolicy(
            when=RestartWhen.ON_FAILURE if retries.max_retries else RestartWhen.NEVER,
            application_failures=retries.max_retries,
            infrastructure_failures=retries.max_retries,
            backoff_s=retries.retry_delay_minutes * 60,
            longest_backoff_s=max(300.0, retries.retry_delay_minutes * 60),
        ),
    ).placed(base)


def resources_of(manifest: Manifest) -> Resources:
    """A manifest's resources as a job's."""
    driver, executors = manifest.spec.resources.driver, manifest.spec.resources.executors
    return Resources(
        driver=Driver(cores=driver.cores, memory_mib=driver.memory, overhead_mib=driver.memory_overhead),
        executor=Executors(
            instances=executors.instances,
            cores=executors.cores,
            memory_mib=executors.memory,
            overhead_mib=executors.memory_overhead,
        ),
    )


def _labels(manifest: Manifest) -> dict[str, str]:
    orchestration, observability = manifest.spec.orchestration, manifest.spec.observability
    labels = {
        "namespace": manifest.metadata.namespace,
        "schedule": orchestration.schedule or "",
        "alert-on-failure": ",".join(orchestration.alerting.channels) if orchestration.alerting.on_failure else "",
        "metrics-prefix": observability.metrics_prefix,
    }
    return {name: text for name, text in labels.items() if text}
