"""The training session of a class archive: ``python -m test_infra.spark.driver.archive_training FILE [JAR_GROUP ...]``.

Runs in an empty working folder and loads what a streaming job loads; Java writes the archive when it ends.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from test_infra.base.paths import write_private
from test_infra.spark.driver.class_archive import TRAINING, TRAINING_TIMEOUT_S
from test_infra.spark.driver.job_folder import SPEC
from test_infra.spark.driver.session import session
from test_infra.spark.driver.spark_properties import java_options
from test_infra.spark.job.spec import JobSpec, PythonModule

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

TRAINED_BATCHES = 3


def main(argv: list[str]) -> int:
    """Run the session; Java writes the archive to ``argv[0]`` when it ends."""
    made, folder = Path(argv[0]), Path.cwd()
    options = f"{java_options(folder)} -XX:ArchiveClassesAtExit={made} -Xlog:cds*=error"
    spec = JobSpec(
        name="archive",
        team="test_infra",
        application=PythonModule(module=TRAINING),
        jar_groups=tuple(argv[1:]),
        conf={"spark.driver.extraJavaOptions": options},
        ready_by="status",
    )
    write_private(folder / SPEC, spec.model_dump_json())
    spark = session(folder)
    _train(spark, folder / "checkpoint")
    # PySpark's type stubs lack its own gateway.
    gateway: Any = spark.sparkContext._gateway  # noqa: SLF001 - the only handle on the Java process
    spark.stop()
    # Java ends when its standard input is closed, and writes the archive then.
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
    # Loading the classes needs no broker: a consumer connects only when it is asked for records.
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
