"""Where the installed Spark is, and the jars that a job adds to it."""

from __future__ import annotations

from importlib import util
from pathlib import Path

from test_infra.base.errors import InfrastructureError

LOCAL_FILES = "spark-local-files"
"""Jar group: Hadoop's local file system in pure Java."""


def spark_home() -> Path:
    """Folder of the installed Spark, found without importing it.

    Raises:
        InfrastructureError: Spark is not installed.
    """
    spec = util.find_spec("pyspark")
    if spec is None or spec.origin is None:
        raise InfrastructureError("Spark is not installed", details={"package": "pyspark"}, hint="make setup")
    return Path(spec.origin).parent


def driver_jars(jar_groups: tuple[str, ...]) -> list[Path]:
    """The jars of a job beyond Spark's own, fetched where they are not cached.

    Raises:
        JarUnavailable: a jar is not cached and cannot be downloaded.
    """
    from test_infra.jvm.jars import fetch

    return [jar for group in (*jar_groups, LOCAL_FILES) for jar in fetch(group)]
