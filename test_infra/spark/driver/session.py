"""The driver's side of a Spark job: its folder, its properties, its status file, its Spark session."""

from __future__ import annotations

import os
import shlex
import sys
from importlib import util
from pathlib import Path
from typing import TYPE_CHECKING

from test_infra.base.document import Document
from test_infra.base.errors import InfrastructureError
from test_infra.base.paths import private_dir, write_private
from test_infra.spark.driver import event_log
from test_infra.spark.driver.class_archive import archive_of
from test_infra.spark.job.spec import Jar, JobSpec, PythonFile

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

JOB_DIR_VARIABLE = "TEST_INFRA_JOB_DIR"
PROPERTIES = "spark.properties"
LOCAL_FILES = "spark-local-files"
"""Jar group: Hadoop's local file system in pure Java."""


class FileMissing(InfrastructureError):
    """A file of a job's application is not where its driver would run."""


class DriverStatus(Document):
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
    """Start the Spark session of a job of ours; any other application builds its own and gets the same properties."""
    from pyspark.sql import SparkSession

    properties = folder / PROPERTIES
    if not properties.exists():
        write_properties(job_spec(folder), folder)
    os.environ.update(spark_environment(properties))
    return SparkSession.builder.getOrCreate()


def spark_home() -> Path:
    """Where the installed Spark is, found without importing it.

    Raises:
        InfrastructureError: there is none.
    """
    spec = util.find_spec("pyspark")
    if spec is None or spec.origin is None:
        raise InfrastructureError("Spark is not installed", details={"package": "pyspark"}, hint="make setup")
    return Path(spec.origin).parent


def spark_environment(properties: Path) -> dict[str, str]:
    """Variables by which a session that any Python program builds takes the properties of a file."""
    return {
        "SPARK_HOME": str(spark_home()),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "PYSPARK_SUBMIT_ARGS": shlex.join(["--properties-file", str(properties), "pyspark-shell"]),
        # The launcher is a Java of its own, which lives for half a second.
        "SPARK_LAUNCHER_OPTS": "-XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:-UsePerfData",
    }


def write_properties(spec: JobSpec, folder: Path, *, ui_port: int | None = None) -> Path:
    """Write the Spark properties of a job on this machine: ours, tuned for a fast start, then the spec's, which win.

    The jars of the spec's groups come by class path, so nothing is copied or fetched later.

    Args:
        spec: the job.
        folder: of the attempt.
        ui_port: where Spark's UI listens on loopback; None: nowhere.

    Raises:
        JarUnavailable: a jar is neither cached nor to be had.
    """
    conf = {**_local(spec, folder), **_interface(ui_port), **spec.conf}
    write_private(folder / PROPERTIES, "".join(f"{_escaped(name)}={_escaped(value)}\n" for name, value in conf.items()))
    return folder / PROPERTIES


def command(spec: JobSpec, properties: Path) -> tuple[str, ...]:
    """Program and arguments of a job's driver, where it runs.

    Raises:
        FileMissing: the application is not there.
    """
    application = spec.application
    if isinstance(application, Jar):
        submit = [str(spark_home() / "bin" / "spark-submit"), "--properties-file", str(properties)]
        return (*submit, "--class", application.main_class, existing(application.jar), *spec.args)
    if isinstance(application, PythonFile):
        return (sys.executable, existing(application.python_file), *spec.args)
    return (sys.executable, "-m", application.module, *spec.args)


def wheel_of(spec: JobSpec) -> str | None:
    """The wheel that holds a job's module; None where it has none.

    Raises:
        FileMissing: it is not there.
    """
    wheel: str | None = getattr(spec.application, "wheel", None)
    return None if wheel is None else existing(wheel)


def existing(path: str) -> str:
    """The path of a file that is there.

    Raises:
        FileMissing: it is not.
    """
    if not Path(path).is_file():
        raise FileMissing(f"there is no file {path} where the driver would run")
    return path


def _escaped(text: str) -> str:
    """As Java reads a properties file: no character of a name or a value ends it or begins a comment."""
    special = {"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\f": "\\f"}
    return _unicode("".join(special.get(one, f"\\{one}" if one in " :=#!" else one) for one in text))


def _unicode(text: str) -> str:
    units = text.encode("utf-16-be")
    codes = [int.from_bytes(units[at : at + 2]) for at in range(0, len(units), 2)]
    return "".join(chr(code) if code < 128 else f"\\u{code:04x}" for code in codes)


def java_options(scratch: Path, archive: Path | None = None) -> str:
    """Options of a driver's Java: start and first micro-batches count here, not peak speed.

    Args:
        scratch: for temporary files.
        archive: of `test_infra.spark.driver.class_archive`; used when it is there.
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
        # Hadoop's own class runs chmod, readlink and rm as child processes, about ten for a micro-batch. The manager of
        # checkpoints has to be told, because its default goes another way (FileContext) to the class we replace.
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


def _interface(ui_port: int | None) -> dict[str, str]:
    if ui_port is None:
        return {"spark.ui.enabled": "false"}
    return {"spark.ui.enabled": "true", "spark.ui.port": str(ui_port), "spark.port.maxRetries": "0"}
