from __future__ import annotations

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from test_infra.runtime.logfile import LogFile
from test_infra.spark.gateway.logs import read_log, whole_lines


def written(folder: Path, pieces: list[bytes], max_bytes: int = 40) -> Path:
    path = folder / "driver.log"
    log = LogFile(path, max_bytes, backups=1_000)
    for piece in pieces:
        log.append(piece)
    log.close()
    return path


@settings(deadline=None)  # it writes files, and a busy disk is no fault of ours
@given(st.lists(st.binary(min_size=1, max_size=30), max_size=20), st.integers(0, 400), st.integers(1, 60))
def test_an_offset_is_the_same_byte_whatever_was_rotated(pieces: list[bytes], offset: int, size_bytes: int) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path, whole = written(Path(folder), pieces), b"".join(pieces)
        assert read_log(path, offset, size_bytes) == whole[offset : offset + size_bytes]


def test_a_log_that_is_not_there_yet_is_empty(tmp_path: Path) -> None:
    assert read_log(tmp_path / "driver.log", 0, 10) == b""


def test_old_files_beyond_the_number_that_is_kept_go(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "a.log", 10, backups=2)
    for piece in (b"1" * 9, b"2" * 9, b"3" * 9, b"4" * 9):
        log.append(piece)
    log.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.log", "a.log.1", "a.log.2"]
    assert (tmp_path / "a.log.2").read_bytes() == b"2" * 9
    assert (tmp_path / "a.log").stat().st_mode & 0o777 == 0o600


def test_a_full_disk_loses_lines_and_says_so_and_never_raises(tmp_path: Path) -> None:
    path = tmp_path / "driver.log"
    path.symlink_to("/dev/full")
    log = LogFile(path, 10_000, backups=0)
    log.append(b"lost\n")
    log.append(b"lost as well\n")
    path.unlink()
    log.close()
    log.append(b"there is room again\n")
    log.close()
    assert (
        path.read_bytes() == b"\n[18 bytes of this log are missing: they could not be written]\nthere is room again\n"
    )


def test_a_piece_ends_with_a_line_so_that_nothing_is_cut_in_two() -> None:
    half = "größe\nhal".encode()[:-1]
    assert whole_lines(half, most_bytes=100, final=False) == "größe\n".encode()
    assert whole_lines(b"no end yet", most_bytes=100, final=False) == b""
    assert whole_lines(b"no end", most_bytes=100, final=True) == b"no end"
    assert whole_lines(b"x" * 100, most_bytes=100, final=False) == b"x" * 100
