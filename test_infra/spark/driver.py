"""The driver's side of a Spark job: its folder, its status file, its Spark session."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from test_infra.base.paths import write_private
from test_infra.spark.archive import archive_of
from test_infra.spark.spec import JobSpec

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

JOB_DIR_VARIABLE = "TEST_INFRA_JOB_DIR"
LOCAL_FILES = "spark-local-files"
"""Jar group: Hadoop's local file system in pure Java."""


class DriverStatus(BaseModel):
    """What a driver says of itself, in ``status.json`` of its folder.

    Args:
        driver_ready_at: epoch seconds when its Spark session answered; None before.
        ready_at: epoch seconds of the application's first progress; None before.
        last_batch_id: last micro-batch of a streaming application.
        last_progress_at: epoch seconds of the last progress.
        records: Kafka records applied since the driver started.
        refused: of these, put into quarantine.
        error: why it ended, in words.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    driver_ready_at: float | None = None
    ready_at: float | None = None
    last_batch_id: int | None = None
    last_progress_at: float | None = None
    records: int = 0
    refused: int = 0
    error: str = ""


def read_status(job_dir: Path) -> DriverStatus:
    """The driver's last word; an empty one while it has said nothing."""
    try:
        return DriverStatus.model_validate_json((job_dir / "status.json").read_text())
    except FileNotFoundError:
        return DriverStatus()


def write_status(job_dir: Path, status: DriverStatus) -> None:
    """Replace the driver's status file, whole or not at all."""
    write_private(job_dir / "status.json", status.model_dump_json())


def job_dir() -> Path:
    """Folder of the job that this process is the driver of."""
    return Path(os.environ[JOB_DIR_VARIABLE])


def job_spec(folder: Path) -> JobSpec:
    """The spec that was submitted."""
    return JobSpec.model_validate_json((folder / "job.json").read_text())


def session(folder: Path) -> SparkSession:
    """Start the Spark session of a job on this machine: two cores, no UI, tuned for small micro-batches.

    The jars of the spec's groups come by class path, so nothing is copied or fetched. The spec's properties win.
    """
    from pyspark.sql import SparkSession

    # The launcher is a Java of its own, which lives for half a second.
    os.environ.setdefault("SPARK_LAUNCHER_OPTS", "-XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:-UsePerfData")
    spec = job_spec(folder)
    conf = {**_local(spec, folder), **spec.conf}
    builder = SparkSession.builder.appName(spec.name).master(conf.pop("spark.master", "local[2]"))
    for name, value in conf.items():
        builder = builder.config(name, value)
    return builder.getOrCreate()


def java_options(scratch: Path, archive: Path | None = None) -> str:
    """Options of a driver's Java: start and first micro-batches count here, not peak speed.

    Args:
        scratch: for temporary files.
        archive: of `test_infra.spark.archive`; used when it is there.
    """
    return " ".join(
        [
            # One compiler tier, the collector without threads.
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            # Without it an out-of-memory in one thread leaves a driver that waits for ever and looks alive.
            "-XX:+ExitOnOutOfMemoryError",
            "-XX:-UsePerfData",
            f"-Djava.io.tmpdir={scratch}",
            "-Duser.timezone=UTC",
            *([f"-XX:SharedArchiveFile={archive}", "-Xshare:auto"] if archive is not None and archive.exists() else []),
        ]
    )


def driver_jars(jar_groups: tuple[str, ...]) -> list[Path]:
    """The jars of a job beyond Spark's own, fetched where they are not cached.

    Raises:
        JarUnavailable: one is neither cached nor to be had.
    """
    from test_infra.jvm.jars import fetch

    return [jar for group in (*jar_groups, LOCAL_FILES) for jar in fetch(group)]


def _local(spec: JobSpec, folder: Path) -> dict[str, str]:
    scratch = folder / "scratch"
    scratch.mkdir(mode=0o700, exist_ok=True)
    return {
        "spark.driver.memory": f"{spec.driver_memory_mib}m",
        # Start and first micro-batches count here, not peak speed: one compiler tier, the collector without threads.
        "spark.driver.extraJavaOptions": java_options(scratch, archive_of(spec.jar_groups)),
        "spark.driver.extraClassPath": ":".join(map(str, driver_jars(spec.jar_groups))),
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.local.dir": str(scratch),
        "spark.sql.warehouse.dir": str(scratch / "warehouse"),
        # Hadoop's own class runs chmod, readlink and rm as child processes, about ten for a micro-batch. The manager of
        # checkpoints has to be told, because its default goes another way (FileContext) to the class we replace.
        "spark.hadoop.fs.file.impl": "com.globalmentor.apache.hadoop.fs.BareLocalFileSystem",
        "spark.sql.streaming.checkpointFileManagerClass": (
            "org.apache.spark.sql.execution.streaming.checkpointing.FileSystemBasedCheckpointFileManager"
        ),
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.eventLog.enabled": "false",
        "spark.sql.shuffle.partitions": "1",
        "spark.sql.adaptive.enabled": "false",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.catalogImplementation": "in-memory",
        "spark.sql.streaming.minBatchesToRetain": "20",
        "spark.sql.streaming.noDataMicroBatches.enabled": "false",
        "spark.sql.streaming.numRecentProgressUpdates": "10",
    }
