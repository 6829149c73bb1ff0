"""Makes the jar lock anew: ``python -m test_infra.jvm.locking``. For maintainers; a run never does this.

jgo resolves what each group needs; the files are fetched once and their hashes written down.
"""

from __future__ import annotations

import hashlib
import sys
import tempfile
from pathlib import Path
from typing import Any

from test_infra.jvm.jars import JarLock, LockedJar, lock, parts_of

RESOLVED: dict[str, list[str]] = {
    "kafka": [
        "org.apache.kafka:kafka_2.13:4.3.1",
        "org.apache.kafka:connect-runtime:4.3.1",
        "org.apache.kafka:connect-json:4.3.1",
        # Without a binding every log line of broker and Connect is lost.
        "org.apache.logging.log4j:log4j-slf4j-impl:2.25.4",
    ],
}
"""Groups with all they depend on."""

AS_THEY_ARE: dict[str, list[str]] = {
    "debezium-postgres": ["io.debezium:debezium-connector-postgres:3.7.0.Final:tar.gz:plugin"],
    # What pyspark 4.2.0 lacks to read Kafka; the rest of their dependencies are in its own jars folder.
    "spark-kafka": [
        "org.apache.spark:spark-sql-kafka-0-10_2.13:4.2.0",
        "org.apache.spark:spark-token-provider-kafka-0-10_2.13:4.0.0",
        "org.apache.kafka:kafka-clients:3.9.2",
        "org.apache.commons:commons-pool2:2.13.1",
    ],
    # What pyspark 4.2.0 lacks to read and write Delta tables; Scala is in its own jars folder.
    "spark-delta": [
        "io.delta:delta-spark_4.2_2.13:4.4.0",
        "io.delta:delta-storage:4.4.0",
        "io.delta:delta-kernel-api:4.4.0",
        "io.delta:delta-kernel-defaults:4.4.0",
        "io.delta:delta-kernel-unitycatalog:4.4.0",
    ],
    # Hadoop's local file system without its child processes (chmod, readlink, rm): see spark.driver.spark_properties.
    "spark-local-files": ["com.globalmentor:hadoop-bare-naked-local-fs:0.1.0"],
}
"""Groups of exactly these files."""


def main() -> None:
    """Resolve, fetch, hash, write."""
    from jgo.maven import MavenContext
    from jgo.maven._core import Dependency

    groups: dict[str, set[str]] = {}
    files: dict[str, Path] = {}
    with tempfile.TemporaryDirectory() as work:
        context = MavenContext(repo_cache=Path(work), local_repos=[])

        def artifact_of(coordinates: str) -> Any:
            group, artifact, version, packaging, classifier = parts_of(coordinates)
            return context.project(group, artifact).at_version(version).artifact(classifier, packaging)

        wanted = {name: list(coordinates) for name, coordinates in AS_THEY_ARE.items()}
        for name, roots in RESOLVED.items():
            # raw: else log4j's BOM would manage kafka-clients down to 3.9.1.
            inputs, needed = context.resolver.resolve([Dependency(artifact_of(root), raw=True) for root in roots])
            wanted[name] = [f"{d.groupId}:{d.artifactId}:{d.version}" for d in (*inputs, *needed)]
        for name, all_coordinates in wanted.items():
            for coordinates in all_coordinates:
                groups.setdefault(coordinates, set()).add(name)
                files[coordinates] = artifact_of(coordinates).resolve()
                sys.stderr.write(f"{name}: {coordinates}\n")
        locked = [
            LockedJar(
                coordinates=coordinates,
                sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
                size_bytes=path.stat().st_size,
                groups=tuple(sorted(groups[coordinates])),
            )
            for coordinates, path in sorted(files.items())
        ]
    target = Path(__file__).with_name("jars.lock.json")
    target.write_text(
        JarLock(jars=tuple(locked), archives=lock().archives).model_dump_json(indent=1, exclude_defaults=True) + "\n"
    )


if __name__ == "__main__":
    main()
