"""Starts a driver in its container: ``python -m test_infra.spark.driver.container_entrypoint FOLDER [UI_PORT]``.

A container has its own Spark, jars and Java at other paths than this machine, so the properties are written there and
not by the gateway. Then this process becomes the driver.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from test_infra.spark.driver.command import command, spark_environment, wheel_of
from test_infra.spark.driver.job_folder import job_spec
from test_infra.spark.driver.spark_properties import write_properties

VALUES = "values.json"
"""File in the job's folder that holds the values of its environment references; removed when the driver begins."""

ALL_ADDRESSES = "0.0.0.0"  # noqa: S104 - inside a container whose ports are published on loopback


def main(argv: list[str]) -> None:
    """Write the properties, then become the driver.

    Raises:
        JarUnavailable: a jar of the spec's groups is not in the image.
    """
    folder, ui_port = Path(argv[0]), int(argv[1]) if len(argv) > 1 else None
    spec = job_spec(folder)
    properties = write_properties(spec, folder, ui_port=ui_port)
    values: dict[str, str] = json.loads((folder / VALUES).read_text())
    (folder / VALUES).unlink()
    environment = (
        values
        | spark_environment(properties)
        | {
            "SPARK_LOCAL_IP": ALL_ADDRESSES,
            "PYSPARK_PYTHON": sys.executable,
            "PYTHONPATH": os.pathsep.join(filter(None, (wheel_of(spec), os.environ.get("PYTHONPATH")))),
        }
    )
    program = command(spec, properties)
    os.execve(program[0], program, {**os.environ, **environment})  # noqa: S606 - no shell; the gateway checked the spec


if __name__ == "__main__":
    main(sys.argv[1:])
