"""Locked archives from a file server on loopback: fetched once, verified, unpacked, afterwards used offline."""

from __future__ import annotations

import hashlib
import io
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from test_infra.base.errors import UsageError
from test_infra.jvm import archives, jars


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on a file server that the environment names, and an empty cache."""
    folder = tmp_path / "served"
    folder.mkdir()
    monkeypatch.setattr(archives, "cache", lambda: tmp_path / "cache")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Silent, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setenv(archives.INDEX_VARIABLE, f"http://127.0.0.1:{server.server_port}/")
        yield folder
        server.shutdown()
        thread.join()


class Silent(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def put(folder: Path, text: str = "hello") -> jars.JarLock:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as zipped:
        zipped.writestr("etc/text", text)
    (folder / "tool").mkdir()
    (folder / "tool" / "tool-1.0.zip").write_bytes(content.getvalue())
    archive = jars.LockedArchive(
        name="tool",
        path="tool/tool-1.0.zip",
        sha256=hashlib.sha256(content.getvalue()).hexdigest(),
        size_bytes=len(content.getvalue()),
    )
    return jars.JarLock(jars=(), archives=(archive,))


def test_an_archive_is_fetched_once_and_unpacked(served: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = put(served)
    folder = archives.unpacked("tool", locked=lock)
    assert (folder / "etc" / "text").read_text() == "hello"
    monkeypatch.delenv(archives.INDEX_VARIABLE)
    assert archives.unpacked("tool", locked=lock) == folder


def test_a_changed_archive_is_refused_with_both_hashes_and_not_kept(served: Path, tmp_path: Path) -> None:
    lock = put(served)
    (served / "tool" / "tool-1.0.zip").write_bytes(b"another")
    with pytest.raises(jars.BadJar) as refused:
        archives.unpacked("tool", locked=lock)
    assert lock.archives[0].sha256 in str(refused.value)
    assert hashlib.sha256(b"another").hexdigest() in str(refused.value)
    assert not list((tmp_path / "cache").rglob("tool-1.0.zip"))


def test_an_archive_that_is_not_there_is_named(served: Path) -> None:
    lock = put(served)
    (served / "tool" / "tool-1.0.zip").unlink()
    with pytest.raises(jars.JarUnavailable, match=r"tool-1\.0\.zip cannot be fetched"):
        archives.unpacked("tool", locked=lock)


def test_without_a_place_to_fetch_from_the_variable_is_named(served: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(archives.INDEX_VARIABLE)
    with pytest.raises(jars.JarUnavailable, match=archives.INDEX_VARIABLE):
        archives.unpacked("tool", locked=put(served))


def test_an_archive_that_the_lock_does_not_name_is_refused() -> None:
    with pytest.raises(UsageError, match="no archive 'tool'"):
        archives.unpacked("tool")
