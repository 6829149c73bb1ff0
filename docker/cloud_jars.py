"""The jars that the image's target `spark` adds: ``python docker/cloud_jars.py`` writes their lock anew.

They are too many megabytes (AWS has one bundle) for the cache of everybody who only runs a stack, so they have a lock
of their own, cloud-jars.lock.json. For maintainers; a build only reads it.
"""

from __future__ import annotations

import hashlib
import sys
import tempfile
from pathlib import Path

from test_infra.jvm.jars import JarLock, LockedJar, parts_of

LOCK = Path(__file__).with_name("cloud-jars.lock.json")
WANTED = {
    # Versions as hadoop-project 3.5.0 manages them; what is missing here is in pyspark's own jars.
    "s3": [
        "org.apache.hadoop:hadoop-aws:3.5.0",
        "software.amazon.awssdk:bundle:2.35.4",
        "software.amazon.s3.analyticsaccelerator:analyticsaccelerator-s3:1.3.1",
        "org.wildfly.openssl:wildfly-openssl:2.2.5.Final",
    ],
    "azure": [
        "org.apache.hadoop:hadoop-azure:3.5.0",
        "com.microsoft.azure:azure-storage:7.0.1",
        "com.microsoft.azure:azure-keyvault-core:1.0.0",
        "org.hdrhistogram:HdrHistogram:2.1.12",
        "org.wildfly.openssl:wildfly-openssl:2.2.5.Final",
    ],
    "unity": [
        "io.delta:delta-spark_4.2_2.13:4.4.0",
        "io.delta:delta-storage:4.4.0",
        "io.delta:delta-kernel-api:4.4.0",
        "io.delta:delta-kernel-defaults:4.4.0",
        "io.delta:delta-kernel-unitycatalog:4.4.0",
        "io.unitycatalog:unitycatalog-client:0.6.0",
        "io.unitycatalog:unitycatalog-hadoop:0.6.0",
    ],
}


def lock() -> JarLock:
    """The lock that stands beside this file."""
    return JarLock.model_validate_json(LOCK.read_text())


def main() -> None:
    """Fetch, hash, write."""
    from jgo.maven import MavenContext

    groups: dict[str, list[str]] = {}
    for group, all_coordinates in WANTED.items():
        for coordinates in all_coordinates:
            groups.setdefault(coordinates, []).append(group)
    locked = []
    with tempfile.TemporaryDirectory() as work:
        context = MavenContext(repo_cache=Path(work), local_repos=[])
        for coordinates, needed_by in sorted(groups.items()):
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
    LOCK.write_text(JarLock(jars=tuple(locked)).model_dump_json(indent=1) + "\n")


if __name__ == "__main__":
    main()
