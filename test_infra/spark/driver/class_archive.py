"""A class-data archive for drivers: Java loads Spark's classes already parsed and verified, in half the time.

Made once per Java, class path and user by a short training session, `test_infra.spark.driver.archive_training`.
The archive only affects speed: without one, or with one that Java refuses, a driver starts as it would anyway.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from test_infra.base.paths import cache, private_dir
from test_infra.spark.driver.class_path import driver_jars, spark_home

TRAINING = "test_infra.spark.driver.archive_training"
TRAINING_TIMEOUT_S = 300.0


def archive_of(jar_groups: tuple[str, ...]) -> Path:
    """Path of the archive for drivers with these jars, whether the file exists or not.

    Its name is a hash of what Java compares when it opens an archive: the build of Java, and the class path with sizes
    and times.
    """
    from test_infra.jvm.java import find_java

    java = find_java().path.resolve()
    files = [java, *driver_jars(jar_groups), *sorted((spark_home() / "jars").glob("*.jar"))]
    compared = "\n".join(f"{path} {path.stat().st_size} {path.stat().st_mtime_ns}" for path in files)
    key = hashlib.sha256(compared.encode()).hexdigest()[:16]
    return private_dir(cache() / "archives") / f"spark-{key}.jsa"


def make_archive(jar_groups: tuple[str, ...]) -> Path | None:
    """Run a training session and keep its archive; None when Java made none.

    Takes about 20 s. Two processes may do it at once: each writes a file of its own, and the last one is kept.
    """
    wanted = archive_of(jar_groups)
    with tempfile.TemporaryDirectory(prefix="training-", dir=wanted.parent) as scratch:
        made = Path(scratch) / "spark.jsa"
        with (Path(scratch) / "training.log").open("w") as log, suppress(subprocess.SubprocessError):
            subprocess.run(
                [sys.executable, "-m", TRAINING, str(made), *jar_groups],
                cwd=scratch,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                timeout=TRAINING_TIMEOUT_S,
                check=True,
            )
            made.replace(wanted)
    return wanted if wanted.exists() else None
