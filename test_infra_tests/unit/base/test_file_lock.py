"""Locks of files: one holder, who it is, and that its death lets go."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from test_infra.base.file_lock import LockHeld, create_locked, is_held, take_lock, wait_for_lock

HOLDS = """
import sys, time
from pathlib import Path
from test_infra.base.file_lock import take_lock
lock = take_lock(Path(sys.argv[1]))
lock.write_holder("pid 4711")
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.lock"


def test_a_second_taker_is_refused_and_told_who_holds_it(path: Path) -> None:
    with take_lock(path) as lock:
        lock.write_holder("a longer former text")
        lock.write_holder("pid 12")
        with pytest.raises(LockHeld) as refused:
            take_lock(path)
    assert refused.value.holder == "pid 12"


def test_a_released_lock_can_be_taken_again_and_released_twice(path: Path) -> None:
    lock = take_lock(path)
    lock.release()
    lock.release()
    assert not is_held(path)
    take_lock(path).release()


def test_asking_whether_a_lock_is_held_takes_none(path: Path) -> None:
    assert not is_held(path)
    assert not path.exists()
    with wait_for_lock(path):
        assert is_held(path)
    assert not is_held(path)


def test_a_created_file_is_locked_private_and_leaves_no_other_file(path: Path) -> None:
    with create_locked(path, "mine"):
        assert is_held(path)
        assert path.read_text() == "mine"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert list(path.parent.iterdir()) == [path]


def test_a_killed_holder_lets_go(path: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLDS, str(path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    with holder.stdout as said:
        assert said.readline() == "held\n"
    assert is_held(path)
    with pytest.raises(LockHeld, match="pid 4711"):
        take_lock(path)
    holder.kill()
    holder.wait()
    wait_for_lock(path).release()
