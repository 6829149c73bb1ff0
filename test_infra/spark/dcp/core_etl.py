"""The driver of a CoreETL job: ``python -m test_infra.spark.dcp.core_etl SPECIFICATION.json``."""

from __future__ import annotations

import sys
from pathlib import Path

from test_infra.spark.dcp import etl


def main(argv: list[str]) -> int:
    """Read the sources, apply the transformations, write the last result to every sink."""
    from pyspark.sql import SparkSession

    spec = etl.EtlSpec.model_validate_json(Path(argv[0]).read_text())
    spark = SparkSession.builder.getOrCreate()
    try:
        for source in spec.sources:
            rows = etl.read(spark, source)
        for transformation in spec.transformations:
            rows = etl.transform(spark, transformation)
        for sink in spec.sinks:
            etl.write(rows, sink)
            print(f"written: {sink.path or sink.identifier} ({sink.mode})", flush=True)  # noqa: T201 - the job's log
    finally:
        spark.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
