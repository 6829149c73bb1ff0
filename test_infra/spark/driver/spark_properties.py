"""The Spark properties of a job on this machine: ours, tuned for a fast start, then the job's own, which win."""

from __future__ import annotations

from pathlib import Path

from test_infra.base.paths import private_dir, write_private
from test_infra.jvm.properties import properties_text
from test_infra.spark.driver import event_log
from test_infra.spark.driver.class_archive import archive_of
from test_infra.spark.driver.class_path import driver_jars
from test_infra.spark.driver.job_folder import PROPERTIES
from test_infra.spark.job.spec import JobSpec


def write_properties(spec: JobSpec, folder: Path, *, ui_port: int | None = None) -> Path:
    """Write the properties file of a job and return its path.

    The jars of the spec's groups are on the class path, so Spark copies and fetches nothing later.

    Args:
        spec: the job.
        folder: of the attempt.
        ui_port: port of Spark's UI on loopback; None switches the UI off.

    Raises:
        JarUnavailable: a jar is not cached and cannot be downloaded.
    """
    properties = {**_local(spec, folder), **_ui(ui_port), **spec.conf}
    write_private(folder / PROPERTIES, properties_text(properties))
    return folder / PROPERTIES


def java_options(scratch: Path, archive: Path | None = None) -> str:
    """Options of a driver's Java. They favour a fast start and fast first micro-batches over peak speed.

    Args:
        scratch: for temporary files.
        archive: of `test_infra.spark.driver.class_archive`; left out where the file does not exist.
    """
    return " ".join(
        [
            # One compiler tier, and the collector that needs no threads.
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            # Without it an OutOfMemoryError in one thread leaves a driver that waits for ever and looks alive.
            "-XX:+ExitOnOutOfMemoryError",
            "-XX:-UsePerfData",
            f"-Djava.io.tmpdir={scratch}",
            "-Duser.timezone=UTC",
            *([f"-XX:SharedArchiveFile={archive}", "-Xshare:auto"] if archive is not None and archive.exists() else []),
        ]
    )


def _local(spec: JobSpec, folder: Path) -> dict[str, str]:
    scratch = private_dir(folder / "scratch")
    return {
        "spark.app.name": spec.name,
        "spark.master": f"local[{_cores(spec)}]",
        "spark.driver.memory": f"{spec.resources.driver.memory_mib}m",
        "spark.driver.extraJavaOptions": java_options(scratch, archive_of(spec.jar_groups)),
        "spark.driver.extraClassPath": ":".join(map(str, driver_jars(spec.jar_groups))),
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.local.dir": str(scratch),
        "spark.sql.warehouse.dir": str(scratch / "warehouse"),
        # Hadoop's own class runs chmod, readlink and rm as child processes, about ten for each micro-batch. The manager
        # of checkpoints is set too, because its default (FileContext) does not use the class that we replace.
        "spark.hadoop.fs.file.impl": "com.globalmentor.apache.hadoop.fs.BareLocalFileSystem",
        "spark.sql.streaming.checkpointFileManagerClass": (
            "org.apache.spark.sql.execution.streaming.checkpointing.FileSystemBasedCheckpointFileManager"
        ),
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.shuffle.partitions": "1",
        "spark.sql.adaptive.enabled": "false",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.catalogImplementation": "in-memory",
        "spark.sql.streaming.minBatchesToRetain": "20",
        "spark.sql.streaming.noDataMicroBatches.enabled": "false",
        "spark.sql.streaming.numRecentProgressUpdates": "10",
        **(_events(folder) if spec.ready_by == "events" else {"spark.eventLog.enabled": "false"}),
        **_streaming(spec),
    }


def _cores(spec: JobSpec) -> int:
    """On one machine executors are threads of the driver."""
    executor = spec.resources.executor
    return executor.instances * executor.cores if executor.instances else spec.resources.driver.cores


def _events(folder: Path) -> dict[str, str]:
    private_dir(folder / event_log.FOLDER)
    return event_log.properties(folder)


def _streaming(spec: JobSpec) -> dict[str, str]:
    if spec.streaming is None:
        return {}
    return {
        "spark.sql.streaming.checkpointLocation": spec.streaming.checkpoint,
        "spark.test_infra.trigger_interval": spec.streaming.trigger_interval,
    }


def _ui(port: int | None) -> dict[str, str]:
    if port is None:
        return {"spark.ui.enabled": "false"}
    return {"spark.ui.enabled": "true", "spark.ui.port": str(port), "spark.port.maxRetries": "0"}
