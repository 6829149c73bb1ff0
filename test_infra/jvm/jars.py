"""Brings the locked jars of a group: fetched once per user in parallel, verified before every use, usable offline."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from test_infra.base.document import Document
from test_infra.base.errors import InfrastructureError, UsageError
from test_infra.base.paths import cache, private_dir
from test_infra.jvm.unpack import unpack

PARALLEL_DOWNLOADS = 12


class BadJar(InfrastructureError):
    """A file is not the one that the lock names."""


class JarUnavailable(InfrastructureError):
    """A locked file is neither in the cache nor to be fetched."""


class LockedJar(Document):
    """One file of the lock.

    Args:
        coordinates: ``group:artifact:version[:packaging[:classifier]]``.
        sha256: of the whole file, hex.
        size_bytes: of the whole file.
        groups: what it is needed for.
    """

    coordinates: str
    sha256: str
    size_bytes: int
    groups: tuple[str, ...]

    @property
    def file_name(self) -> str:
        """As a Maven repository names it."""
        _, artifact, version, packaging, classifier = parts_of(self.coordinates)
        return f"{artifact}-{version}{f'-{classifier}' if classifier else ''}.{packaging}"


class LockedArchive(Document):
    """An archive that is in no Maven repository; see `test_infra.jvm.archives`.

    Args:
        name: by which it is asked for.
        path: below the folder that the user's environment names.
        sha256: of the whole file, hex.
        size_bytes: of the whole file.
    """

    name: str
    path: str
    sha256: str
    size_bytes: int

    @property
    def file_name(self) -> str:
        """The last part of its path."""
        return self.path.rpartition("/")[2]


class JarLock(Document):
    """The lock file: every file from outside that a service or a JVM of ours loads.

    Args:
        jars: by Maven coordinates.
        archives: from a folder that the user names.
    """

    jars: tuple[LockedJar, ...]
    archives: tuple[LockedArchive, ...] = ()

    def archive(self, name: str) -> LockedArchive:
        """One archive.

        Raises:
            UsageError: the lock has no such archive.
        """
        for archive in self.archives:
            if archive.name == name:
                return archive
        known = ", ".join(archive.name for archive in self.archives) or "none"
        raise UsageError(f"the jar lock has no archive {name!r}", details={"known": known})

    def group(self, name: str) -> tuple[LockedJar, ...]:
        """The files of one group.

        Raises:
            UsageError: the lock has no such group.
        """
        found = tuple(jar for jar in self.jars if name in jar.groups)
        if not found:
            known = sorted({group for jar in self.jars for group in jar.groups})
            raise UsageError(f"the jar lock has no group {name!r}", details={"known": ", ".join(known)})
        return found


@dataclass(frozen=True)
class Download:
    """One file has arrived.

    Args:
        file_name: which.
        done: files here so far.
        total: files to bring.
        done_bytes: bytes here so far.
        total_bytes: bytes to bring.
    """

    file_name: str
    done: int
    total: int
    done_bytes: int
    total_bytes: int


def parts_of(coordinates: str) -> tuple[str, str, str, str, str]:
    """Group, artifact, version, packaging (``jar`` by default) and classifier (empty by default)."""
    parts = coordinates.split(":")
    group, artifact, version = parts[:3]
    return group, artifact, version, parts[3] if len(parts) > 3 else "jar", parts[4] if len(parts) > 4 else ""


def lock() -> JarLock:
    """The lock that this package ships."""
    return JarLock.model_validate_json(resources.files("test_infra.jvm").joinpath("jars.lock.json").read_text())


def fetch(
    group: str, *, progress: Callable[[Download], None] | None = None, locked: JarLock | None = None
) -> tuple[Path, ...]:
    """Local, verified files of a group, in the lock's order.

    Args:
        group: such as ``kafka``.
        progress: called after each file that had to be fetched.
        locked: another lock than the shipped one.

    Raises:
        BadJar: a file's hash differs from the lock's; both are shown and the file is not kept.
        JarUnavailable: a file is missing and cannot be fetched.
    """
    wanted = (locked or lock()).group(group)
    folder = private_dir(cache() / "jars")
    missing = [jar for jar in wanted if not _cached(jar).exists()]
    total_bytes = sum(jar.size_bytes for jar in missing)
    with ThreadPoolExecutor(PARALLEL_DOWNLOADS) as pool:
        done_bytes = 0
        for done, (jar, _) in enumerate(
            zip(missing, pool.map(lambda jar: _download(jar, folder), missing), strict=True), 1
        ):
            done_bytes += jar.size_bytes
            if progress is not None:
                progress(Download(jar.file_name, done, len(missing), done_bytes, total_bytes))
        paths = [_cached(jar) for jar in wanted]
        list(pool.map(verify, wanted, paths))
    return tuple(paths)


def all_cached() -> bool:
    """Whether every file of the shipped lock is in the cache; their hashes are another question."""
    return all(_cached(jar).exists() for jar in lock().jars)


def unpacked_group(group: str) -> Path:
    """The folder that holds what is in the one archive of a group, such as the ``plugin.path`` of a Connect plugin.

    Raises:
        BadJar: the archive differs from the lock.
        BadArchive: it holds a member outside its folder.
        JarUnavailable: see `fetch`.
    """
    (archive,) = fetch(group)
    digest = archive.parent.name
    target = private_dir(cache() / "plugins") / f"{group}-{digest[:16]}"
    if not target.exists():
        unpack(archive, target)
    return target


def _cached(jar: LockedJar) -> Path:
    return cache() / "jars" / jar.sha256 / jar.file_name


def _download(jar: LockedJar, folder: Path) -> None:
    from jgo.maven import MavenContext

    group, artifact, version, packaging, classifier = parts_of(jar.coordinates)
    with tempfile.TemporaryDirectory(dir=folder) as work:
        context = MavenContext(repo_cache=Path(work), local_repos=[])
        component = context.project(group, artifact).at_version(version)
        try:
            fetched = component.artifact(classifier, packaging).resolve()
        except Exception as error:  # jgo raises what its HTTP library raises
            raise JarUnavailable(
                f"{jar.file_name} cannot be fetched",
                details={"coordinates": jar.coordinates, "seen": f"{type(error).__name__}: {error}"[:300]},
                hint="connect to a Maven repository once; afterwards the cache serves offline",
            ) from error
        verify(jar, fetched)
        place = private_dir(folder / jar.sha256)
        fetched.replace(place / jar.file_name)


def verify(jar: LockedJar | LockedArchive, path: Path) -> None:
    """See to it that a file is the one that the lock names.

    Raises:
        BadJar: it is not, and was removed.
    """
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != jar.sha256:
        path.unlink()
        raise BadJar(
            f"{jar.file_name} is not the file that the lock names",
            details={"expected": f"sha256 {jar.sha256}, {jar.size_bytes} bytes", "seen": f"sha256 {digest}"},
            hint="the file was removed; run again, and if it happens again do not use this repository",
        )
