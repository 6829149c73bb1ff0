"""Delta tables as Spark writes them, one for each feature that changes how a table must be read.

``python -m test_infra_tests.unit.cdc.lake.spark_tables FOLDER`` writes them with real Spark, and beside each the rows
that Spark itself reads (``<table>.json``). ``tables/`` here is what one run wrote, so that unit tests need no Spark;
integration/test_lake_tables.py writes them anew.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from test_infra.jvm import jars

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

MAPPED = "'delta.columnMapping.mode' = '{}'"
SHAPED = (
    "INSERT INTO {t} VALUES (1, 'one', named_struct('x', 10, 'y', array('p', NULL))), (2, NULL, NULL)",
    "ALTER TABLE {t} RENAME COLUMN note TO `the note`",
    "ALTER TABLE {t} RENAME COLUMN inner.x TO z",
    "ALTER TABLE {t} ADD COLUMN (more BIGINT)",
    "INSERT INTO {t} VALUES (3, 'three', named_struct('z', 30, 'y', array()), 300)",
    "ALTER TABLE {t} ADD COLUMN (gone INT)",
    "INSERT INTO {t} VALUES (4, 'four', NULL, NULL, 4)",
    "ALTER TABLE {t} DROP COLUMN gone",
    "ALTER TABLE {t} ADD COLUMN (gone STRING)",
    "INSERT INTO {t} VALUES (5, 'five', NULL, 500, 'again')",
)
"""A column of a struct and one with a space renamed, one added, one dropped and made again with another type."""
NESTED = "id BIGINT, note STRING, inner STRUCT<x: INT, y: ARRAY<STRING>>"
NO_VECTORS = "'delta.enableDeletionVectors' = 'false'"
VECTORS = "'delta.enableDeletionVectors' = 'true'"
TEN = "INSERT INTO {t} SELECT id, concat('note ', id) FROM range(0, 10, 1, 1)"

TABLES: dict[str, tuple[str, ...]] = {
    "plain": (f"CREATE TABLE {{t}} (id BIGINT, note STRING) USING delta TBLPROPERTIES ({NO_VECTORS})", TEN),
    "mapped_by_name": (
        (
            f"CREATE TABLE {{t}} ({NESTED}) USING delta TBLPROPERTIES ({NO_VECTORS}, {MAPPED.format('name')}, "
            "'delta.minReaderVersion' = '2', 'delta.minWriterVersion' = '5')"
        ),
        *SHAPED,
    ),
    "mapped_by_id": (
        (
            f"CREATE TABLE {{t}} ({NESTED}) USING delta TBLPROPERTIES ({NO_VECTORS}, {MAPPED.format('id')}, "
            "'delta.minReaderVersion' = '2', 'delta.minWriterVersion' = '5')"
        ),
        *SHAPED,
    ),
    "mapped_later": (
        f"CREATE TABLE {{t}} (id BIGINT, note STRING) USING delta TBLPROPERTIES ({NO_VECTORS})",
        TEN,
        (
            f"ALTER TABLE {{t}} SET TBLPROPERTIES ({MAPPED.format('name')}, "
            "'delta.minReaderVersion' = '2', 'delta.minWriterVersion' = '5')"
        ),
        "ALTER TABLE {t} RENAME COLUMN note TO remark",
        "INSERT INTO {t} VALUES (10, 'after')",
    ),
    "mapped_partitioned": (
        (
            f"CREATE TABLE {{t}} (id BIGINT, day STRING) USING delta PARTITIONED BY (day) "
            f"TBLPROPERTIES ({NO_VECTORS}, {MAPPED.format('name')}, "
            "'delta.minReaderVersion' = '2', 'delta.minWriterVersion' = '5')"
        ),
        "INSERT INTO {t} VALUES (1, 'a'), (2, NULL)",
        "ALTER TABLE {t} RENAME COLUMN day TO `the day`",
        "INSERT INTO {t} VALUES (3, 'a b/c')",
    ),
    "deleted": (
        f"CREATE TABLE {{t}} (id BIGINT, note STRING) USING delta TBLPROPERTIES ({VECTORS})",
        TEN,
        "DELETE FROM {t} WHERE id IN (3, 7)",
        "UPDATE {t} SET note = 'changed' WHERE id = 5",
    ),
    "mapped_and_deleted": (
        f"CREATE TABLE {{t}} (id BIGINT, note STRING) USING delta TBLPROPERTIES ({VECTORS}, {MAPPED.format('name')})",
        TEN,
        "ALTER TABLE {t} RENAME COLUMN note TO remark",
        "DELETE FROM {t} WHERE remark = 'note 3'",
    ),
    "partitioned": (
        (
            "CREATE TABLE {t} (id BIGINT, name STRING, day DATE, at TIMESTAMP, amount DECIMAL(5,2)) USING delta "
            f"PARTITIONED BY (name, day, at, amount) TBLPROPERTIES ({NO_VECTORS})"
        ),
        (
            "INSERT INTO {t} VALUES (1, 'a b/c=%20ü', DATE'2020-02-29', TIMESTAMP'2020-02-29 12:00:00.123456', 1.50), "
            "(2, NULL, NULL, NULL, NULL)"
        ),
    ),
    "without_time_zone": (
        f"CREATE TABLE {{t}} (id BIGINT, at TIMESTAMP_NTZ) USING delta TBLPROPERTIES ({NO_VECTORS})",
        "INSERT INTO {t} VALUES (1, TIMESTAMP_NTZ'2020-02-29 12:00:00.123456'), (2, NULL)",
    ),
    "checkpointed": (
        (
            "CREATE TABLE {t} (id BIGINT, note STRING) USING delta "
            f"TBLPROPERTIES ({NO_VECTORS}, 'delta.checkpointInterval' = '2')"
        ),
        "INSERT INTO {t} VALUES (1, 'a')",
        "INSERT INTO {t} VALUES (2, 'b')",
        "ALTER TABLE {t} ADD COLUMN (more BIGINT)",
        "INSERT INTO {t} VALUES (3, 'c', 30)",
        "INSERT INTO {t} VALUES (4, 'd', 40)",
    ),
    "checkpoint_2": (
        (
            f"CREATE TABLE {{t}} (id BIGINT, note STRING) USING delta TBLPROPERTIES ({NO_VECTORS}, "
            "'delta.checkpointPolicy' = 'v2', 'delta.checkpointInterval' = '2')"
        ),
        "INSERT INTO {t} VALUES (1, 'a')",
        "INSERT INTO {t} VALUES (2, 'b')",
        "INSERT INTO {t} VALUES (3, 'c')",
    ),
    "widened": (
        (
            f"CREATE TABLE {{t}} (id INT, note STRING) USING delta TBLPROPERTIES ({NO_VECTORS}, "
            "'delta.enableTypeWidening' = 'true')"
        ),
        "INSERT INTO {t} VALUES (1, 'narrow')",
        "ALTER TABLE {t} CHANGE COLUMN id TYPE BIGINT",
        "INSERT INTO {t} VALUES (5000000000, 'wide')",
    ),
    "commit_times": (
        (
            f"CREATE TABLE {{t}} (id BIGINT) USING delta TBLPROPERTIES ({NO_VECTORS}, "
            "'delta.enableInCommitTimestamps' = 'true')"
        ),
        "INSERT INTO {t} VALUES (1)",
    ),
    "clustered": (
        f"CREATE TABLE {{t}} (id BIGINT, note STRING) USING delta CLUSTER BY (id) TBLPROPERTIES ({NO_VECTORS})",
        TEN,
    ),
    "variant": (
        f"CREATE TABLE {{t}} (id BIGINT, doc VARIANT) USING delta TBLPROPERTIES ({NO_VECTORS})",
        "INSERT INTO {t} SELECT 1, parse_json('{{\"a\": 1}}')",
    ),
}
OLD_LOG_FILES_GONE = {"checkpointed": 4}
"""Table -> first version whose log file is kept; what is older is in the checkpoint only."""
TIME = "yyyy-MM-dd HH:mm:ss.SSSSSS"
JSON = ("ignoreNullFields", "false", "timestampFormat", TIME, "timestampNTZFormat", TIME)
"""Options of the rows that are written beside a table."""


def write_tables(folder: Path) -> None:
    """Write every table of `TABLES` below the folder, and beside it the rows that Spark reads from it."""
    spark = _spark()
    try:
        for name, statements in TABLES.items():
            table = f"delta.`{folder / name}`"
            for statement in statements:
                spark.sql(statement.format(t=table))
            as_json = f"to_json(struct(*), map({', '.join(map(repr, JSON))}))"
            rows = spark.sql(f"SELECT {as_json} FROM {table} ORDER BY id").collect()
            found = [json.loads(row[0]) for row in rows]
            (folder / f"{name}.json").write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    finally:
        spark.stop()
    for name, kept in OLD_LOG_FILES_GONE.items():
        for log in (folder / name / "_delta_log").glob("*.json"):
            if log.stem.isdigit() and int(log.stem) < kept:
                log.unlink()
    # Checksums of Hadoop and of Spark; no other reader of a Delta table looks at them.
    for checksum in folder.rglob("*.crc"):
        checksum.unlink()


def _spark() -> SparkSession:
    from pyspark.sql import SparkSession

    return (
        SparkSession.builder.master("local[1]")
        .config("spark.jars", ",".join(map(str, jars.fetch("spark-delta"))))
        .config("spark.sql.extensions", "io.delta.sql.DeltaSparkSessionExtension")
        .config("spark.sql.catalog.spark_catalog", "org.apache.spark.sql.delta.catalog.DeltaCatalog")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.sql.jsonGenerator.ignoreNullFields", "false")
        .config("spark.sql.shuffle.partitions", "1")
        .config("spark.databricks.delta.snapshotPartitions", "1")
        # Some dozens of statements on a few rows: compiling costs more than it brings.
        .config("spark.driver.extraJavaOptions", "-XX:TieredStopAtLevel=1 -Dlog4j2.level=ERROR")
        .config("spark.sql.codegen.wholeStage", "false")
        .config("spark.sql.codegen.factoryMode", "NO_CODEGEN")
        .config("spark.sql.adaptive.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .getOrCreate()
    )


if __name__ == "__main__":
    write_tables(Path(sys.argv[1]).resolve())
