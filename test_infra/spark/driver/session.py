"""The Spark session of our own applications."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from test_infra.spark.driver.command import spark_environment
from test_infra.spark.driver.job_folder import PROPERTIES, job_spec
from test_infra.spark.driver.spark_properties import write_properties

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def session(folder: Path) -> SparkSession:
    """Start the Spark session of the job in this folder.

    Only our own applications call it. Any other builds its session itself and gets the same properties through
    `test_infra.spark.driver.command.spark_environment`.
    """
    from pyspark.sql import SparkSession

    properties = folder / PROPERTIES
    if not properties.exists():
        write_properties(job_spec(folder), folder)
    os.environ.update(spark_environment(properties))
    return SparkSession.builder.getOrCreate()
