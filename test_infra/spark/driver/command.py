"""The command and the environment with which a driver's process begins."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from test_infra.base.errors import InfrastructureError
from test_infra.spark.driver.class_path import spark_home
from test_infra.spark.job.spec import Jar, JobSpec, PythonFile


class FileMissing(InfrastructureError):
    """A file of a job is not where its driver would run."""


def command(spec: JobSpec, properties: Path) -> tuple[str, ...]:
    """Program and arguments of a job's driver.

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


def spark_environment(properties: Path) -> dict[str, str]:
    """Variables through which a session that any Python program builds gets the properties of a file."""
    return {
        "SPARK_HOME": str(spark_home()),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "PYSPARK_SUBMIT_ARGS": shlex.join(["--properties-file", str(properties), "pyspark-shell"]),
        # Spark's launcher is a Java process of its own that runs for half a second.
        "SPARK_LAUNCHER_OPTS": "-XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:-UsePerfData",
    }


def wheel_of(spec: JobSpec) -> str | None:
    """The wheel that holds a job's module; None where there is no wheel.

    Raises:
        FileMissing: the wheel is not there.
    """
    wheel: str | None = getattr(spec.application, "wheel", None)
    return None if wheel is None else existing(wheel)


def existing(path: str) -> str:
    """The path, after checking that the file is there.

    Raises:
        FileMissing: it is not.
    """
    if not Path(path).is_file():
        raise FileMissing(f"there is no file {path} where the driver would run")
    return path
