"""A class-data archive for drivers: Java loads Spark's classes parsed and verified, in half the time.

Made once per Java, class path and user by a short training session:
``python -m test_infra.spark.driver.class_archive FILE``.
It is a matter of speed alone: without an archive, or with one that Java refuses, a driver starts as it always did.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from test_infra.base.paths import cache, private_dir

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

TRAINING_TIMEOUT_S = 300.0
TRAINED_BATCHES = 3


def archive_of(jar_groups: tuple[str, ...]) -> Path:
    """Where the archive for drivers with these jars is, whether it is there or not.

    Named by what Java compares when it opens one: its own build and the class path with sizes and times.
    """
    from test_infra.jvm.java import find_java
    from test_infra.spark.driver.session import driver_jars, spark_home

    java = find_java().path.resolve()
    files = [java, *driver_jars(jar_groups), *sorted((spark_home() / "jars").glob("*.jar"))]
    told = "\n".join(f"{path} {path.stat().st_size} {path.stat().st_mtime_ns}" for path in files)
    key = hashlib.sha256(told.encode()).hexdigest()[:16]
    return private_dir(cache() / "archives") / f"spark-{key}.jsa"


def make_archive(jar_groups: tuple[str, ...]) -> Path | None:
    """Train a session and keep its archive; returns None when Java made none.

    Takes some 20 s. Two makers at once do no harm: each writes a file of its own, and the last one stays.
    """
    wanted = archive_of(jar_groups)
    with tempfile.TemporaryDirectory(prefix="training-", dir=wanted.parent) as scratch:
        made = Path(scratch) / "spark.jsa"
        command = [sys.executable, "-m", "test_infra.spark.driver.class_archive", str(made), *jar_groups]
        with (Path(scratch) / "training.log").open("w") as log, suppress(subprocess.SubprocessError):
            subprocess.run(
                command,
                cwd=scratch,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                timeout=TRAINING_TIMEOUT_S,
                check=True,
            )
            made.replace(wanted)
    return wanted if wanted.exists() else None


def main(argv: list[str]) -> int:
    """Run a session that loads what a streaming job loads; Java writes the archive ``argv[0]`` when it ends."""
    from test_infra.base.paths import write_private
    from test_infra.spark.driver.session import java_options, session
    from test_infra.spark.job.spec import JobSpec, PythonModule

    made, folder = Path(argv[0]), Path.cwd()
    options = f"{java_options(folder)} -XX:ArchiveClassesAtExit={made} -Xlog:cds*=error"
    spec = JobSpec(
        name="archive",
        team="test_infra",
        application=PythonModule(module="test_infra.spark.driver.class_archive"),
        jar_groups=tuple(argv[1:]),
        conf={"spark.driver.extraJavaOptions": options},
        ready_by="status",
    )
    write_private(folder / "job.json", spec.model_dump_json())
    spark = session(folder)
    _train(spark, folder / "checkpoint")
    # PySpark's types do not know its own gateway.
    gateway: Any = spark.sparkContext._gateway  # noqa: SLF001 - the only handle on the Java process
    spark.stop()
    # Java ends with its standard input, and writes the archive then.
    gateway.proc.stdin.close()
    gateway.proc.wait(TRAINING_TIMEOUT_S)
    return 0


def _train(spark: SparkSession, checkpoint: Path) -> None:
    """A streaming query whose batches go to Python as Arrow, and the classes of the Kafka source."""
    records = spark.readStream.format("rate-micro-batch").option("rowsPerBatch", 10).load()
    query = (
        records.selectExpr("CAST(value AS STRING) AS value")
        .writeStream.foreachBatch(lambda batch, _: batch.toArrow())
        .option("checkpointLocation", str(checkpoint))
        .start()
    )
    while len(query.recentProgress) < TRAINED_BATCHES and query.isActive:
        query.awaitTermination(1)
    query.stop()
    # No broker is needed to load the classes: a consumer connects when it is asked to.
    spark.readStream.format("kafka").option("kafka.bootstrap.servers", "127.0.0.1:1").option("subscribe", "none").load()
    jvm: Any = spark._jvm  # noqa: SLF001 - PySpark's documented way to Java classes
    settings = jvm.java.util.Properties()
    for name, value in {
        "bootstrap.servers": "127.0.0.1:1",
        "key.deserializer": "org.apache.kafka.common.serialization.ByteArrayDeserializer",
        "value.deserializer": "org.apache.kafka.common.serialization.ByteArrayDeserializer",
        "group.id": "none",
    }.items():
        settings.setProperty(name, value)
    jvm.org.apache.kafka.clients.consumer.KafkaConsumer(settings).close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
