"""What the image of each Spark version is made of: ``python docker/lock_sets.py [VERSION ...]`` writes the locks anew.

A version is a folder below ``spark/`` that holds only what differs from the project's own locks:

- ``requirements.txt``: packages that stand in the place of those of the project's requirements.txt,
- ``jars.lock.json``: groups of jars that stand in the place of those of ``test_infra/jvm/jars.lock.json``,
- ``cloud-jars.lock.json``: what target `spark` adds to Spark's own jars. They are too many megabytes (AWS has one
  bundle) for the cache of everybody who only runs a stack.

A build only reads them.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from packaging.utils import canonicalize_name

from test_infra.base.errors import InfrastructureError
from test_infra.jvm import jars
from test_infra.jvm.jars import JarLock, LockedJar, parts_of

HERE = Path(__file__).parent
PACKAGES = HERE.parent / "requirements.txt"


@dataclass(frozen=True)
class LockSet:
    """What is wanted for one Spark version, before it is resolved.

    Args:
        cloud: group -> coordinates of the jars that target `spark` adds; what else they need is in Spark's own jars.
        packages: requirements that differ from the project's.
        jars: group -> coordinates that stand in the place of the jar lock's group.
    """

    cloud: Mapping[str, tuple[str, ...]]
    packages: tuple[str, ...] = ()
    jars: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


UNITY = (
    "io.unitycatalog:unitycatalog-client:0.6.0",
    "io.unitycatalog:unitycatalog-hadoop:0.6.0",
    # Named by the client's POM, though no class of 0.6.0 refers to it.
    "org.openapitools:jackson-databind-nullable:0.2.6",
)

SETS: dict[str, LockSet] = {
    # The project's own version. Clients as hadoop-project 3.5.0 manages them.
    "4.2": LockSet(
        cloud={
            "s3": (
                "org.apache.hadoop:hadoop-aws:3.5.0",
                "software.amazon.awssdk:bundle:2.35.4",
                "software.amazon.s3.analyticsaccelerator:analyticsaccelerator-s3:1.3.1",
                "org.wildfly.openssl:wildfly-openssl:2.2.5.Final",
            ),
            "azure": (
                "org.apache.hadoop:hadoop-azure:3.5.0",
                "com.microsoft.azure:azure-storage:7.0.1",
                "com.microsoft.azure:azure-keyvault-core:1.0.0",
                "org.hdrhistogram:HdrHistogram:2.1.12",
                "org.wildfly.openssl:wildfly-openssl:2.2.5.Final",
            ),
            "unity": UNITY,
        },
    ),
    # The newest 4.1 that a Kafka source resolves for; it has Hadoop 3.4.2.
    "4.1": LockSet(
        cloud={
            "s3": (
                "org.apache.hadoop:hadoop-aws:3.4.2",
                "software.amazon.awssdk:bundle:2.29.52",
                "software.amazon.s3.analyticsaccelerator:analyticsaccelerator-s3:1.2.1",
                "org.wildfly.openssl:wildfly-openssl:2.1.4.Final",
            ),
            "azure": (
                "org.apache.hadoop:hadoop-azure:3.4.2",
                "com.microsoft.azure:azure-storage:7.0.1",
                "com.microsoft.azure:azure-keyvault-core:1.0.0",
                "org.wildfly.openssl:wildfly-openssl:2.1.4.Final",
            ),
            "unity": UNITY,
        },
        packages=("pyspark==4.1.3",),
        jars={
            "spark-kafka": (
                "org.apache.spark:spark-sql-kafka-0-10_2.13:4.1.3",
                "org.apache.spark:spark-token-provider-kafka-0-10_2.13:4.0.0",
                "org.apache.kafka:kafka-clients:3.9.2",
                "org.apache.commons:commons-pool2:2.13.1",
            ),
            "spark-delta": (
                "io.delta:delta-spark_4.1_2.13:4.4.0",
                "io.delta:delta-storage:4.4.0",
                "io.delta:delta-kernel-api:4.4.0",
                "io.delta:delta-kernel-defaults:4.4.0",
                "io.delta:delta-kernel-unitycatalog:4.4.0",
            ),
        },
    ),
}
OURS = "4.2"
"""The version of the project's own locks."""
DELTA = "spark-delta"
"""The group of the jar lock that target `spark` also has in Spark's own jars."""


def packages(version: str) -> str:
    """The hashed lock of all packages of an image."""
    differing = HERE / "spark" / version / "requirements.txt"
    return with_others(PACKAGES.read_text(), differing.read_text() if differing.exists() else "")


def with_others(lock: str, others: str) -> str:
    """A hashed lock in which the entries of ``others`` stand in the place of those of the same packages."""
    replacing = entries_of(others)
    replaced = {package_of(entry) for entry in replacing}
    kept = [entry for entry in entries_of(lock) if package_of(entry) not in replaced]
    return "\n".join([*kept, *replacing]) + "\n"


def entries_of(lock: str) -> list[str]:
    """The entries of a hashed lock; each is a requirement with the lines of its hashes."""
    return [entry for entry in re.split(r"\n(?=\S)", lock.strip()) if entry]


def package_of(entry: str) -> str:
    """The canonical name of an entry's package."""
    return canonicalize_name(re.split(r"[=\[ ;]", entry, maxsplit=1)[0])


def jar_lock(version: str) -> JarLock:
    """The lock of the jars that jobs and services of an image load."""
    path = HERE / "spark" / version / "jars.lock.json"
    return with_groups(jars.lock(), JarLock.model_validate_json(path.read_text())) if path.exists() else jars.lock()


def with_groups(lock: JarLock, others: JarLock) -> JarLock:
    """A jar lock in which the groups of ``others`` stand in the place of those of the same names."""
    replaced = {group for jar in others.jars for group in jar.groups}
    kept = [
        jar.model_copy(update={"groups": groups})
        for jar in lock.jars
        if (groups := tuple(group for group in jar.groups if group not in replaced))
    ]
    jars_of_both = tuple(sorted([*kept, *others.jars], key=lambda jar: jar.coordinates))
    return lock.model_copy(update={"jars": jars_of_both})


def cloud_jars(version: str) -> list[Path]:
    """Verified local copies of what target `spark` adds: Delta, and the clients of S3, Azure and Unity Catalog."""
    lock = JarLock.model_validate_json((HERE / "spark" / version / "cloud-jars.lock.json").read_text())
    clouds = {path for group in SETS[version].cloud for path in jars.fetch(group, locked=lock)}
    return sorted(clouds | set(jars.fetch(DELTA, locked=jar_lock(version))))


def refuse_clashes(added: list[Path], present: list[Path]) -> None:
    """See to it that no added jar is a second version of one that is there: which of the two Java loads is chance.

    Raises:
        InfrastructureError: names every pair.
    """
    there = {_artifact(path): path.name for path in present}
    if clashes := {path.name: there[_artifact(path)] for path in added if _artifact(path) in there}:
        raise InfrastructureError(
            "jars of target spark are in Spark already",
            details=clashes,
            hint="take them out of SETS in docker/lock_sets.py, and write its locks anew",
        )


def _artifact(jar: Path) -> str:
    """The artifact's name: that of the file up to its version."""
    return re.split(r"-\d", jar.name, maxsplit=1)[0]


def main(versions: list[str]) -> None:
    """Resolve, fetch, hash, write. What is locked already keeps its hash and is not fetched again."""
    for version in versions or SETS:
        wanted, folder = SETS[version], HERE / "spark" / version
        folder.mkdir(parents=True, exist_ok=True)
        if wanted.packages:
            (folder / "requirements.txt").write_text(_resolved(wanted.packages))
        if wanted.jars:
            _write(folder / "jars.lock.json", wanted.jars)
        _write(folder / "cloud-jars.lock.json", wanted.cloud)


def _resolved(requirements: tuple[str, ...]) -> str:
    command = [
        str(Path(sys.executable).parent / "uv"), "pip", "compile", "--quiet", "--universal", "--generate-hashes",
        "--no-header", "--no-annotate", "--python-version", "3.11", "-",
    ]  # fmt: skip
    done = subprocess.run(command, input="\n".join(requirements), capture_output=True, text=True, timeout=300)
    if done.returncode != 0:
        raise InfrastructureError("the packages cannot be resolved", details={"seen": done.stderr[-800:]})
    return done.stdout


def _write(target: Path, wanted: Mapping[str, tuple[str, ...]]) -> None:
    from jgo.maven import MavenContext

    groups: dict[str, list[str]] = {}
    for group, all_coordinates in wanted.items():
        for coordinates in all_coordinates:
            groups.setdefault(coordinates, []).append(group)
    before = JarLock.model_validate_json(target.read_text()).jars if target.exists() else ()
    known = {jar.coordinates: jar for jar in (*before, *jars.lock().jars)}
    locked = []
    with tempfile.TemporaryDirectory() as work:
        context = MavenContext(repo_cache=Path(work), local_repos=[])
        for coordinates, needed_by in sorted(groups.items()):
            if coordinates in known:
                locked.append(known[coordinates].model_copy(update={"groups": tuple(sorted(needed_by))}))
                continue
            group, artifact, version, packaging, classifier = parts_of(coordinates)
            path = context.project(group, artifact).at_version(version).artifact(classifier, packaging).resolve()
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            size_bytes = path.stat().st_size
            sys.stderr.write(f"{coordinates}: {size_bytes / 1e6:.1f} MB\n")
            locked.append(
                LockedJar(
                    coordinates=coordinates, sha256=digest, size_bytes=size_bytes, groups=tuple(sorted(needed_by))
                )
            )
    target.write_text(JarLock(jars=tuple(locked)).model_dump_json(indent=1, exclude_defaults=True) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
