"""What is submitted to Spark, independent of where it runs."""

from __future__ import annotations

import hashlib
import json
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, Self

from pydantic import (
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    field_validator,
    model_validator,
)

from test_infra.base.document import Document
from test_infra.spark.job.conf import forbidden_variable

JobName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_.-]{0,99}$")]
TeamName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.@-]{0,99}$")]
Module = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$")]
MainClass = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_$][\w$]*(\.[A-Za-z_$][\w$]*)*$")]
VariableName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,127}$")]
ConfKey = Annotated[str, StringConstraints(pattern=r"^spark\.[A-Za-z0-9_.-]+$", max_length=200)]
FilePath = Annotated[str, StringConstraints(pattern=r"^[^\x00]+$")]
Argument = Annotated[str, StringConstraints(pattern=r"^[^\x00]*$")]
Port = Annotated[int, Field(ge=1, le=65_535)]


class PythonFile(Document):
    """A Python program in one file."""

    python_file: FilePath = Field(description="Path of the file, as the driver sees it.")


class PythonModule(Document):
    """A Python module, run as ``python -m`` does; of a wheel, or of what is installed."""

    module: Module = Field(description="Python module that is run as the driver.")
    wheel: FilePath | None = Field(default=None, description="Path of a pure Python wheel that holds the module.")


class Jar(Document):
    """A class of a jar."""

    jar: FilePath = Field(description="Path of the jar, as the driver sees it.")
    main_class: MainClass = Field(description="Class whose main method is the driver.")


def _kind(given: Any) -> str | None:
    names = given if isinstance(given, dict) else getattr(type(given), "model_fields", {})
    return next((kind for kind in ("python_file", "module", "jar") if kind in names), None)


Application = Annotated[
    Annotated[PythonFile, Tag("python_file")] | Annotated[PythonModule, Tag("module")] | Annotated[Jar, Tag("jar")],
    Discriminator(
        _kind,
        custom_error_type="application",
        custom_error_message="name one of python_file, module (with wheel), or jar (with main_class)",
    ),
]


class Driver(Document):
    """Size of the driver."""

    cores: int = Field(default=2, ge=1, le=256, description="Cores.")
    memory_mib: int = Field(default=1_024, ge=512, description="Java heap, MiB.")
    overhead_mib: int = Field(default=512, ge=0, description="Memory beside the heap (Python, native), MiB.")


class Executors(Document):
    """Number and size of the executors."""

    instances: int = Field(default=0, ge=0, le=1_000, description="How many; 0 works in the driver.")
    cores: int = Field(default=1, ge=1, le=256, description="Cores of each.")
    memory_mib: int = Field(default=1_024, ge=512, description="Java heap of each, MiB.")
    overhead_mib: int = Field(default=384, ge=0, description="Memory of each beside the heap, MiB.")


class Resources(Document):
    """What a job may use. On one machine executors are threads of the driver: their cores, in the driver's heap."""

    driver: Driver = Driver()
    executor: Executors = Executors()


class Streaming(Document):
    """What a streaming job needs in addition."""

    checkpoint: str = Field(description="Folder or URL of checkpoints, handed over as Spark's default location.")
    trigger_interval: str = Field(
        default="0 seconds",
        pattern=r"^\d+ (milliseconds|seconds|minutes|hours)$",
        description="Pause between micro-batches; the application reads it as spark.test_infra.trigger_interval.",
    )


class JobType(StrEnum):
    """Whether a job ends by itself."""

    BATCH = "BATCH"
    STREAMING = "STREAMING"


class FromVariable(Document):
    """A value from the gateway's environment, read when the driver starts."""

    from_variable: VariableName = Field(description="Environment variable of the gateway.")


class FromFile(Document):
    """A value from a file of mode 0600, read when the driver starts."""

    from_file: str = Field(description="Absolute path of the file.")

    @field_validator("from_file")
    @classmethod
    def _absolute(cls, path: str) -> str:
        return _absolute(path)


class Timeouts(Document):
    """Longest times, in seconds."""

    queue_s: float = Field(default=3_600.0, gt=0, description="Until a driver is requested.")
    driver_start_s: float = Field(default=60.0, gt=0, description="From then until the driver's process runs.")
    ready_s: float = Field(default=180.0, gt=0, description="From then until its Spark session answered.")
    run_s: float | None = Field(default=None, gt=0, description="From then until its end; null: as long as it takes.")
    stop_s: float = Field(default=30.0, gt=0, description="Patience between SIGTERM and SIGKILL.")


class RestartWhen(StrEnum):
    """After which ends a job is started again."""

    NEVER = "Never"
    ON_FAILURE = "OnFailure"
    ALWAYS = "Always"


class RestartPolicy(Document):
    """Whether and when a job that ended is started again; a cancelled one never is."""

    when: RestartWhen = Field(default=RestartWhen.NEVER, description="After which ends.")
    application_failures: int = Field(default=3, ge=0, description="Restarts after failures of the application.")
    infrastructure_failures: int = Field(
        default=3, ge=0, description="Restarts after failures of everything else: no start, evicted, lost."
    )
    backoff_s: float = Field(default=5.0, ge=0, description="Pause before the first restart; doubles with each.")
    longest_backoff_s: float = Field(default=300.0, ge=0, description="Longest pause.")


class Retain(StrEnum):
    """Which ended jobs keep their logs and files."""

    ALWAYS = "Always"
    ON_FAILURE = "OnFailure"
    NEVER = "Never"


class Retention(Document):
    """What is kept of an ended job. Its record (states, times, exit code) always is."""

    retain: Retain = Field(default=Retain.ALWAYS, description="Which ends keep logs and files.")
    ttl_s: float | None = Field(
        default=None, ge=0, description="How long they are kept, seconds; null: with the stack."
    )


class JobSpec(Document):
    """One Spark application."""

    name: JobName = Field(description="Name of the job; several submissions may share it.")
    team: TeamName = Field(default="test_infra", description="Who may cancel it.")
    owner: str = Field(default="", max_length=200, description="Who answers for it.")
    user: str = Field(default="", max_length=200, description="Who submitted it.")
    application: Application = Field(description="python_file, module (with wheel), or jar with main_class.")
    args: tuple[Argument, ...] = Field(default=(), description="Arguments of the application.")
    files: tuple[FilePath, ...] = Field(
        default=(), description="Absolute paths of further files that it reads; a container sees no others."
    )
    spark_version: str = Field(
        default="",
        pattern=r"^(\d+\.\d+(\.\d+)?)?$",
        description="Such as 4.2 or 4.2.0; empty: the backend's own. In containers others have images of their own.",
    )
    conf: dict[ConfKey, str] = Field(default_factory=dict, description="Spark properties; they win over ours.")
    resources: Resources = Resources()
    type: JobType = Field(default=JobType.BATCH, description="Whether it ends by itself.")
    streaming: Streaming | None = Field(default=None, description="Checkpoint and trigger of a STREAMING job.")
    labels: dict[JobName, str] = Field(default_factory=dict, description="Free text by name; shown in lists.")
    environment: dict[VariableName, FromVariable | FromFile] = Field(
        default_factory=dict, description="Variables of the driver, by reference: values are never recorded."
    )
    timeouts: Timeouts = Timeouts()
    restart: RestartPolicy = RestartPolicy()
    retention: Retention = Retention()
    ui: bool = Field(default=False, description="Serve Spark's own UI on loopback while it runs.")
    ports: tuple[Port, ...] = Field(
        default=(), description="TCP ports at which the driver serves clients; a container publishes them on loopback."
    )
    jar_groups: tuple[str, ...] = Field(default=(), description="Groups of the jar lock on the driver's class path.")
    ready_by: Literal["events", "status"] = Field(
        default="events",
        description="What shows readiness: Spark's event log, or a status.json that the application writes itself.",
    )

    @model_validator(mode="after")
    def _fields_agree(self) -> Self:
        if self.streaming is not None and self.type is JobType.BATCH:
            raise ValueError("streaming is set, but type is BATCH; set type: STREAMING")
        for name in self.environment:
            if forbidden_variable(name):
                raise ValueError(f"environment.{name} decides how programs are loaded; use a name of the application's")
        return self

    @property
    def application_files(self) -> dict[str, str]:
        """The files of the application: field -> path."""
        found: dict[str, str] = self.application.model_dump(include={"python_file", "jar", "wheel"}, exclude_none=True)
        return found

    def placed(self, folder: Path) -> JobSpec:
        """The job with absolute paths of its application; relative ones are taken from ``folder``."""
        paths = {name: str(folder / path) for name, path in self.application_files.items() if "://" not in path}
        return self.model_copy(update={"application": self.application.model_copy(update=paths)})

    def relative_paths(self) -> list[str]:
        """Fields whose path is relative; a gateway cannot know from which folder."""
        own = [(f"application.{name}", path) for name, path in self.application_files.items()]
        paths = [*own, *(("files", path) for path in self.files)]
        return [name for name, path in paths if not PurePosixPath(path).is_absolute()]

    @property
    def fingerprint(self) -> str:
        """Hash of the spec; it does not depend on the order in which fields were given."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def _absolute(path: str) -> str:
    if not PurePosixPath(path).is_absolute() or "\x00" in path:
        raise ValueError(f"{path!r} is no absolute path")
    return path
