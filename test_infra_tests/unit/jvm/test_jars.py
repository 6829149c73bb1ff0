"""The jar lock: nothing is loaded that it does not name."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from test_infra.base.errors import UsageError
from test_infra.jvm import jars
from test_infra.jvm.java import JavaMissing, find_java


@pytest.fixture
def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(jars, "cache", lambda: tmp_path)
    return tmp_path


def locked(content: bytes) -> jars.JarLock:
    jar = jars.LockedJar(
        coordinates="org.example:thing:1.0",
        sha256=hashlib.sha256(content).hexdigest(),
        size_bytes=len(content),
        groups=("demo",),
    )
    return jars.JarLock(jars=(jar,))


def put(cached: Path, lock: jars.JarLock, content: bytes) -> Path:
    path = cached / "jars" / lock.jars[0].sha256 / "thing-1.0.jar"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    return path


def test_a_cached_jar_serves_offline(cached: Path) -> None:
    lock = locked(b"right")
    path = put(cached, lock, b"right")
    assert jars.fetch("demo", locked=lock) == (path,)


def test_a_wrong_hash_stops_and_shows_both_and_removes_the_file(cached: Path) -> None:
    lock = locked(b"right")
    path = put(cached, lock, b"wrong")
    with pytest.raises(jars.BadJar) as refused:
        jars.fetch("demo", locked=lock)
    assert hashlib.sha256(b"right").hexdigest() in str(refused.value)
    assert hashlib.sha256(b"wrong").hexdigest() in str(refused.value)
    assert not path.exists()


def test_an_unfetchable_jar_is_named_with_its_coordinates(cached: Path) -> None:
    with pytest.raises(jars.JarUnavailable, match=r"org\.example:thing:1\.0"):
        jars.fetch("demo", locked=locked(b"right"))


def test_an_unknown_group_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="debezium-postgres, kafka, spark-delta, spark-kafka"):
        jars.lock().group("nonsense")


def test_the_shipped_lock_holds_what_the_services_need_at_safe_versions() -> None:
    lock = jars.lock()
    versions = {jars.parts_of(jar.coordinates)[1]: jars.parts_of(jar.coordinates)[2] for jar in lock.group("kafka")}
    assert versions["kafka_2.13"] == versions["kafka-clients"] == versions["connect-runtime"] == "4.3.1"
    assert [jar.coordinates for jar in lock.group("debezium-postgres")] == [
        "io.debezium:debezium-connector-postgres:3.7.0.Final:tar.gz:plugin"
    ]
    assert all(len(jar.sha256) == 64 and jar.size_bytes > 0 for jar in lock.jars)


def fake_java(folder: Path, version_text: str) -> Path:
    program = folder / "bin" / "java"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!/bin/sh\necho '{version_text}' >&2\n")
    program.chmod(0o755)
    return program


@pytest.mark.parametrize("text", ['openjdk version "17.0.15" 2025-04-15', 'java version "21" 2023-09-19'])
def test_a_new_enough_java_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    program = fake_java(tmp_path, text)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    assert find_java().path == program


@pytest.mark.parametrize("text", ['java version "1.8.0_402"', 'openjdk version "11.0.2"'])
def test_a_java_that_is_too_old_is_refused_with_the_install_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    fake_java(tmp_path, text)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(JavaMissing, match="install"):
        find_java()


def test_no_java_is_refused_with_where_it_was_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(JavaMissing, match=str(tmp_path)):
        find_java()
