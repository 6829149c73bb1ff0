"""Locked archives that are in no Maven repository, such as a program's distribution: fetched, verified, unpacked once.

The lock names an archive by its path, size and sha256. Where it lies is the user's choice: the environment variable
``TEST_INFRA_ARCHIVES`` is the URL of a folder that holds these paths. An archive that is in a Maven repository needs no
such variable: it is a jar of the lock like any other, see `test_infra.jvm.jars.unpacked_group`.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

from test_infra.base.paths import cache, private_dir
from test_infra.jvm.jars import JarLock, JarUnavailable, LockedArchive, lock, verify
from test_infra.jvm.unpack import unpack

INDEX_VARIABLE = "TEST_INFRA_ARCHIVES"
TIMEOUT_S = 30.0
"""For a connection, and for each piece of an answer."""


def unpacked(name: str, *, folder: Path | None = None, locked: JarLock | None = None) -> Path:
    """The folder that holds what is in an archive of the lock; fetched and unpacked when it is not there yet.

    Args:
        name: of the archive in the lock.
        folder: keeps the unpacked archive; None is this user's cache, which only this user can reach.
        locked: another lock than the shipped one.

    Raises:
        BadJar: the archive's hash differs from the lock's; both are shown and the file is not kept.
        BadArchive: it holds a member that would leave its folder.
        JarUnavailable: it is neither in the cache nor to be fetched.
    """
    archive = (locked or lock()).archive(name)
    target = (folder or private_dir(cache() / "unpacked")) / f"{name}-{archive.sha256[:16]}"
    if not target.exists():
        unpack(fetch(archive), target)
    return target


def fetch(archive: LockedArchive) -> Path:
    """The verified file of an archive, in this user's cache.

    Raises:
        BadJar: its hash differs from the lock's.
        JarUnavailable: it is neither in the cache nor to be fetched.
    """
    place = private_dir(cache() / "archives") / archive.sha256
    path = place / archive.file_name
    if not path.exists():
        _download(archive, private_dir(place))
    verify(archive, path)
    return path


def _download(archive: LockedArchive, place: Path) -> None:
    import pooch
    import requests

    index = os.environ.get(INDEX_VARIABLE)
    if not index:
        raise JarUnavailable(
            f"{archive.file_name} is not in the cache, and nothing says where it can be fetched",
            details={"looked in": f"environment variable {INDEX_VARIABLE}"},
            hint=f"set {INDEX_VARIABLE} to the URL of a folder that holds {archive.path}",
        )
    pooch.get_logger().setLevel(logging.WARNING)  # it tells every download on stderr
    try:
        pooch.retrieve(
            f"{index.rstrip('/')}/{archive.path}",
            known_hash=None,  # `verify` follows, and says what both hashes are
            fname=archive.file_name,
            path=place,
            downloader=pooch.HTTPDownloader(timeout=TIMEOUT_S),
        )
    except (requests.RequestException, OSError, ValueError) as error:
        raise JarUnavailable(
            f"{archive.file_name} cannot be fetched",
            details={"path": archive.path, "seen": f"{type(error).__name__}: {error}"[:300]},
            hint=f"{INDEX_VARIABLE} must be the URL of a folder that holds it; afterwards the cache serves offline",
        ) from error
