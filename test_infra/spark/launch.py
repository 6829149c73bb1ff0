"""Starts the application of a job that is not ours: ``python -m test_infra.spark.launch`` in the attempt's folder.

It writes the Spark properties where the driver runs - the jars of a container lie elsewhere than those of this
machine - and becomes the application: no process of ours stays.
"""

from __future__ import annotations

import os
import sys

from test_infra.spark.driver import UI_PORT_VARIABLE, job_dir, job_spec, spark_environment, spark_home, write_properties
from test_infra.spark.spec import Jar, JobSpec, PythonFile


def command(spec: JobSpec, properties: str) -> tuple[str, ...]:
    """Program and arguments of a job's application; never a shell line.

    Args:
        spec: the job.
        properties: path of its Spark properties.
    """
    application = spec.application
    if isinstance(application, Jar):
        submit = (str(spark_home() / "bin" / "spark-submit"), "--properties-file", properties)
        return (*submit, "--class", application.main_class, application.jar, *spec.args)
    if isinstance(application, PythonFile):
        return (sys.executable, application.python_file, *spec.args)
    return (sys.executable, "-m", application.module, *spec.args)


def main() -> None:
    """Become the application."""
    folder = job_dir()
    spec, ui_port = job_spec(folder), os.environ.get(UI_PORT_VARIABLE)
    properties = write_properties(spec, folder, ui_port=int(ui_port) if ui_port else None)
    program, *arguments = command(spec, str(properties))
    environment = {**os.environ, **spark_environment(properties), **_python_path(spec)}
    os.execve(program, [program, *arguments], environment)  # noqa: S606 - no shell is what we want


def _python_path(spec: JobSpec) -> dict[str, str]:
    """A wheel is a zip file, from which Python imports as it is."""
    found = [getattr(spec.application, "wheel", None), os.environ.get("PYTHONPATH")]
    return {"PYTHONPATH": os.pathsep.join(path for path in found if path)}


if __name__ == "__main__":
    main()
