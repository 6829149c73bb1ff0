"""Unpacks an archive: whole or not at all, and nothing of it outside its folder."""

from __future__ import annotations

import shutil
import stat
import tarfile
import tempfile
import zipfile
from pathlib import Path, PurePosixPath
from typing import IO

from test_infra.base.errors import InfrastructureError, UsageError
from test_infra.base.paths import move_into_place, safe_join


class BadArchive(InfrastructureError):
    """An archive cannot be unpacked: a member leaves its folder, or it is none of the forms that are known."""


def unpack(archive: Path, target: Path) -> None:
    """Unpack a tar (compressed or not), zip or jar file; programs in it stay executable.

    Args:
        archive: the file.
        target: folder that appears when everything is unpacked; another process that was first wins.

    Raises:
        BadArchive: a member would leave the folder or is no file, folder or link within it.
    """
    with tempfile.TemporaryDirectory(dir=target.parent) as work:
        unpacked = Path(work) / "unpacked"
        unpacked.mkdir(mode=0o755)
        try:
            if tarfile.is_tarfile(archive):
                with tarfile.open(archive) as tar:
                    _untar(tar, unpacked)
            else:
                with zipfile.ZipFile(archive) as zipped:
                    _unzip(zipped, unpacked)
        except (tarfile.TarError, zipfile.BadZipFile, FileExistsError, UsageError) as error:
            raise BadArchive(
                f"{archive.name} cannot be unpacked",
                details={"seen": str(error).splitlines()[0]},
                hint="nothing of it was kept; ask the maintainer of the lock",
            ) from error
        move_into_place(unpacked, target)


def _untar(tar: tarfile.TarFile, folder: Path) -> None:
    """Without `tarfile.TarFile.extractall`, whose filters are missing in Python 3.11.2 of Debian 12."""
    for member in tar:
        if member.isdir() and PurePosixPath(member.name) == PurePosixPath("."):
            continue
        path = safe_join(folder, member.name)
        if member.isdir():
            path.mkdir(parents=True, exist_ok=True)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        content = tar.extractfile(member) if member.isreg() else None
        if content is not None:
            with content:
                _write(content, path, member.mode)
        elif member.issym():
            safe_join(folder, str(PurePosixPath(member.name).parent / member.linkname))
            path.symlink_to(member.linkname)
        elif member.islnk():
            path.hardlink_to(safe_join(folder, member.linkname))
        else:
            raise tarfile.TarError(f"{member.name!r} is neither a file nor a folder nor a link")


def _unzip(zipped: zipfile.ZipFile, folder: Path) -> None:
    """`zipfile` itself renames members that leave the folder, and forgets which ones are programs."""
    for member in zipped.infolist():
        mode = member.external_attr >> 16
        if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise zipfile.BadZipFile(f"{member.filename!r} is neither a file nor a folder")
        path = safe_join(folder, member.filename)
        if member.is_dir():
            path.mkdir(parents=True, exist_ok=True)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        with zipped.open(member) as content:
            _write(content, path, mode)


def _write(content: IO[bytes], path: Path, mode: int) -> None:
    with path.open("xb") as file:
        shutil.copyfileobj(content, file, 1024 * 1024)
    path.chmod(0o755 if mode & 0o111 else 0o644)
