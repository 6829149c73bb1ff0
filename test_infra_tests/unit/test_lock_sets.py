"""What images of other Spark versions are made of: merged locks, and jars that are in Spark already."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

from test_infra.base.errors import InfrastructureError
from test_infra.jvm import jars
from test_infra.jvm.jars import JarLock, LockedJar
from test_infra.spark.driver.class_path import spark_home

DOCKER = Path(__file__).parents[2] / "docker"


@pytest.fixture(scope="module")
def lock_sets() -> ModuleType:
    spec = importlib.util.spec_from_file_location("lock_sets", DOCKER / "lock_sets.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look for their module there
    spec.loader.exec_module(module)
    return module


def jar(coordinates: str, *groups: str) -> LockedJar:
    return LockedJar(coordinates=coordinates, sha256="0", size_bytes=1, groups=groups)


def test_packages_of_another_version_stand_in_the_place_of_ours(lock_sets: ModuleType) -> None:
    ours = "a==1 \\\n    --hash=sha256:1\nPy_Spark==4.2.0 \\\n    --hash=sha256:2\nb==1 ; x\nb==2 ; y\n"
    merged = lock_sets.with_others(ours, "py-spark==4.1.1 \\\n    --hash=sha256:3\n")
    assert merged == "a==1 \\\n    --hash=sha256:1\nb==1 ; x\nb==2 ; y\npy-spark==4.1.1 \\\n    --hash=sha256:3\n"


def test_groups_of_another_version_stand_in_the_place_of_ours(lock_sets: ModuleType) -> None:
    ours = JarLock(jars=(jar("g:kafka:4", "kafka", "spark-kafka"), jar("g:delta:4", "spark-delta")))
    merged = lock_sets.with_groups(ours, JarLock(jars=(jar("g:delta:3", "spark-delta"), jar("g:k:3", "spark-kafka"))))
    assert {one.coordinates: one.groups for one in merged.jars} == {
        "g:kafka:4": ("kafka",), "g:delta:3": ("spark-delta",), "g:k:3": ("spark-kafka",)
    }  # fmt: skip


def test_a_jar_that_is_in_spark_in_another_version_is_refused(lock_sets: ModuleType) -> None:
    added = [Path("hadoop-aws-3.5.0.jar"), Path("jackson-core-2.15.0.jar")]
    present = [Path("jackson-core-2.21.2.jar"), Path("hadoop-client-api-3.5.0.jar"), Path("delta-x_4.2_2.13-4.4.0.jar")]
    with pytest.raises(InfrastructureError, match=r"jackson-core-2\.15\.0\.jar: *jackson-core-2\.21\.2\.jar"):
        lock_sets.refuse_clashes(added, present)
    lock_sets.refuse_clashes(added[:1], present)


def test_every_version_has_its_locks_and_they_hold_what_is_wanted(lock_sets: ModuleType) -> None:
    assert {path.name for path in (DOCKER / "spark").iterdir()} == set(lock_sets.SETS)
    for version, wanted in lock_sets.SETS.items():
        folder = DOCKER / "spark" / version
        for name, groups in (("cloud-jars.lock.json", wanted.cloud), ("jars.lock.json", wanted.jars)):
            locked = JarLock.model_validate(json.loads((folder / name).read_text())) if groups else JarLock(jars=())
            assert {one.coordinates for one in locked.jars} == {one for all_ in groups.values() for one in all_}
        lines = lock_sets.packages(version).splitlines()
        assert [line.split("==")[1].startswith(f"{version}.") for line in lines if line.startswith("pyspark==")] == [
            True
        ]
        assert {group for one in lock_sets.jar_lock(version).jars for group in one.groups} == {
            group for one in jars.lock().jars for group in one.groups
        }


def test_what_target_spark_adds_to_ours_is_not_in_it_already(lock_sets: ModuleType) -> None:
    locked = JarLock.model_validate_json((DOCKER / "spark" / lock_sets.OURS / "cloud-jars.lock.json").read_text())
    added = [*locked.jars, *jars.lock().group(lock_sets.DELTA)]
    lock_sets.refuse_clashes([Path(one.file_name) for one in added], sorted((spark_home() / "jars").glob("*.jar")))
