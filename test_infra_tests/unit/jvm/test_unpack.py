"""Archives are unpacked whole or not at all, and nothing of them leaves their folder."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from test_infra.jvm.unpack import BadArchive, unpack


def tar_of(path: Path, name: str, *, link: str | None = None) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        member = tarfile.TarInfo(name)
        member.mode = 0o755
        if link is not None:
            member.type, member.linkname = tarfile.SYMTYPE, link
            tar.addfile(member)
        else:
            member.size = 4
            tar.addfile(member, io.BytesIO(b"text"))
    return path


def zip_of(path: Path, name: str, mode: int = 0o100644) -> Path:
    with zipfile.ZipFile(path, "w") as zipped:
        member = zipfile.ZipInfo(name)
        member.external_attr = mode << 16
        zipped.writestr(member, "text")
    return path


def test_a_tar_is_unpacked_with_its_programs(tmp_path: Path) -> None:
    unpack(tar_of(tmp_path / "a.tar.gz", "bin/program"), tmp_path / "out")
    program = tmp_path / "out" / "bin" / "program"
    assert (program.read_text(), program.stat().st_mode & 0o111) == ("text", 0o111)


def test_a_zip_is_unpacked_with_its_programs(tmp_path: Path) -> None:
    unpack(zip_of(tmp_path / "a.jar", "bin/program", 0o100755), tmp_path / "out")
    program = tmp_path / "out" / "bin" / "program"
    assert (program.read_text(), program.stat().st_mode & 0o111) == ("text", 0o111)


@pytest.mark.parametrize("name", ["../outside", "/outside", "in/../../outside"])
@pytest.mark.parametrize("form", [zip_of, tar_of])
def test_a_member_that_leaves_the_folder_is_refused_and_nothing_is_kept(tmp_path: Path, name: str, form) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    with pytest.raises(BadArchive, match="cannot be unpacked"):
        unpack(form(tmp_path / "bad", name), inner / "out")
    assert list(inner.iterdir()) == []
    assert not (tmp_path / "outside").exists()


def test_a_link_that_leaves_the_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadArchive):
        unpack(tar_of(tmp_path / "bad.tar.gz", "link", link="/etc/passwd"), tmp_path / "out")
    with pytest.raises(BadArchive, match="neither a file nor a folder"):
        unpack(zip_of(tmp_path / "bad.zip", "link", 0o120777), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_links_of_a_tar_that_stay_inside_are_kept(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for name, kind, link in (
            (".", tarfile.DIRTYPE, ""),
            ("lib", tarfile.DIRTYPE, ""),
            ("lib/one", tarfile.REGTYPE, ""),
            ("lib/soft", tarfile.SYMTYPE, "one"),
            ("hard", tarfile.LNKTYPE, "lib/one"),
        ):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, link
            member.size = 4 if kind == tarfile.REGTYPE else 0
            tar.addfile(member, io.BytesIO(b"text") if member.size else None)
    unpack(tmp_path / "a.tar", tmp_path / "out")
    assert [(tmp_path / "out" / name).read_text() for name in ("lib/soft", "hard")] == ["text", "text"]


@pytest.mark.parametrize(
    ("kind", "link"), [(tarfile.SYMTYPE, "../../outside"), (tarfile.LNKTYPE, "../outside"), (tarfile.FIFOTYPE, "")]
)
def test_a_tar_with_a_member_that_could_reach_further_is_refused(tmp_path: Path, kind: bytes, link: str) -> None:
    (tmp_path / "outside").write_text("not for it")
    with tarfile.open(tmp_path / "bad.tar", "w") as tar:
        member = tarfile.TarInfo("in/member")
        member.type, member.linkname = kind, link
        tar.addfile(member)
    with pytest.raises(BadArchive, match="cannot be unpacked"):
        unpack(tmp_path / "bad.tar", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_tar_that_names_a_file_twice_is_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "bad.tar", "w") as tar:
        for _ in range(2):
            tar.addfile(tarfile.TarInfo("twice"))
    with pytest.raises(BadArchive):
        unpack(tmp_path / "bad.tar", tmp_path / "out")


def test_no_python_of_ours_is_asked_for_what_only_newer_ones_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Debian 12 has Python 3.11.2, whose tarfile has no filters.
    monkeypatch.delattr(tarfile.TarFile, "extractall")
    monkeypatch.delattr(tarfile.TarFile, "extract")
    unpack(tar_of(tmp_path / "a.tar.gz", "bin/program"), tmp_path / "out")
    assert (tmp_path / "out" / "bin" / "program").exists()


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bad.zip").write_text("no archive")
    with pytest.raises(BadArchive):
        unpack(tmp_path / "bad.zip", tmp_path / "out")


def test_what_another_process_unpacked_meanwhile_stays(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "theirs").touch()
    unpack(zip_of(tmp_path / "a.zip", "ours"), tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["theirs"]
