"""Begins a driver where it runs: ``python -m test_infra.spark.driver.container_entrypoint FOLDER [UI_PORT]``.

A container has its own Spark, jars and Java at places of its own, so the properties are written there and not by the
gateway; then this process becomes the driver.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from test_infra.spark.driver.session import command, job_spec, spark_environment, wheel_of, write_properties

VALUES = "values.json"
"""In the job's folder, until the driver begins: what its environment references stand for."""

EVERY_ADDRESS = "0.0.0.0"  # noqa: S104 - in a container, whose ports are published on loopback


def main(argv: list[str]) -> None:
    """Write the properties, become the driver.

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
            "SPARK_LOCAL_IP": EVERY_ADDRESS,
            "PYSPARK_PYTHON": sys.executable,
            "PYTHONPATH": os.pathsep.join(filter(None, (wheel_of(spec), os.environ.get("PYTHONPATH")))),
        }
    )
    program = command(spec, properties)
    os.execve(program[0], program, {**os.environ, **environment})  # noqa: S606 - no shell; the gateway checked the spec


if __name__ == "__main__":
    main(sys.argv[1:])
