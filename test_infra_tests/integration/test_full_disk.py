"""A disk that is full while jobs log and end: nobody stands still, and no end is lost or made up.

The disk is a small file system of its own, with a whole stack's folder on it, and really full: ENOSPC, not a quota.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from test_infra.base.backend import Backend
from test_infra.base.deadline import Deadline, StillWaiting, wait_for
from test_infra.base.paths import HOME_VARIABLE
from test_infra.runtime.process import ProcessSpec, Restart
from test_infra.spark.gateway.execution import Execution
from test_infra.spark.gateway.gateway import SparkGateway
from test_infra.spark.gateway.record_file import RecordUnusable
from test_infra.spark.gateway.states import JobState
from test_infra.spark.job.spec import JobSpec, PythonFile
from test_infra.stack import AttachedLease, Stack, StackSpec, down, up
from test_infra.stack.spec import Services

pytestmark = pytest.mark.needs_root  # who mounts the small disk

SIZE = "16m"
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
WITHIN_S = 30.0
# Files are taken away as signals: that needs no room.
LOGS_MORE_THAN_FITS = """
import pathlib, time
def until_gone(name):
    while pathlib.Path(name).exists(): time.sleep(0.05)
for name in ("to-log", "logging", "to-end"): pathlib.Path(name).touch()
print("before", flush=True)
until_gone("to-log")
for _ in range(4_000): print("x" * 1_000)
print(flush=True)
pathlib.Path("logging").unlink()
until_gone("to-end")
print("after", flush=True)
raise SystemExit(5)
"""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=0755", "tmpfs", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture(
    params=[Backend.LOCAL, pytest.param(Backend.DOCKER, marks=pytest.mark.ci(reason="a full disk below containers"))]
)
def stack(
    request: pytest.FixtureRequest, disk: Path, test_home: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Stack]:
    """A stack whose folder is on the small disk."""
    if request.param is Backend.DOCKER:
        request.getfixturevalue("docker_image")
    monkeypatch.setenv(HOME_VARIABLE, str(disk / "home"))
    spec = StackSpec(backend=request.param, services=Services(postgres=None, kafka=None, connect=None))
    yield up(spec, stack_id="full", lease=AttachedLease())
    down("full")


@contextmanager
def full(disk: Path) -> Iterator[None]:
    """Not one more byte fits, as long as the block lasts."""
    for file in disk.rglob("*.jsonl"):  # what is appended to a page that is begun would find room nevertheless
        file.write_bytes(file.read_bytes().ljust(-(-file.stat().st_size // PAGE_BYTES) * PAGE_BYTES))
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        for piece in (b"\0" * 65_536, b"\0"):
            with suppress(OSError):
                while True:
                    file.write(piece)
    try:
        with pytest.raises(OSError, match="No space left"):
            (disk / "probe").write_bytes(b"\0")
        yield
    finally:
        filler.unlink()


def seen(look: Callable[[], bool], awaited: str, within_s: float = WITHIN_S) -> None:
    def observe() -> None:
        if not look():
            raise StillWaiting("not yet")

    wait_for(observe, Deadline(within_s), what="the full disk", awaited=awaited)


def events_of(stack: Stack, service: str) -> set[object]:
    return {event["event"] for event in stack.events() if event["service"] == service}


def begun(gateway: SparkGateway, tmp_path: Path) -> tuple[str, Path]:
    """A job that has said its first word, and its folder."""
    program = tmp_path / "job.py"
    program.write_text(LOGS_MORE_THAN_FITS)
    spec = JobSpec(name="logs", application=PythonFile(python_file=str(program)))
    execution_id = gateway.submit(spec, idempotency_key=uuid.uuid4().hex)
    seen(lambda: gateway.logs(execution_id)[0] == "before\n", "its first word")
    return execution_id, gateway.attempt_dir(execution_id)


def ended(gateway: SparkGateway, execution_id: str) -> Execution:
    seen(lambda: gateway.check(execution_id).state.terminal, "its end")
    return gateway.check(execution_id)


def test_a_job_that_logs_onto_a_full_disk_goes_on_and_its_log_says_what_is_missing(
    stack: Stack, disk: Path, tmp_path: Path
) -> None:
    gateway = SparkGateway(stack)
    execution_id, folder = begun(gateway, tmp_path)
    with full(disk):
        (folder / "to-log").unlink()
        seen(lambda: not (folder / "logging").exists(), "it has logged, and was not held up")
        with pytest.raises(RecordUnusable, match="make room"):
            gateway.submit(
                JobSpec(name="more", application=PythonFile(python_file=str(tmp_path / "job.py"))),
                idempotency_key=uuid.uuid4().hex,
            )
    assert gateway.list(name="more") == ()
    (folder / "to-end").unlink()
    end = ended(gateway, execution_id)
    assert (end.state, end.exit_code) == (JobState.APPLICATION_FAILED, 5)
    text = "".join(piece for piece, _ in gateway.follow(execution_id))
    assert text.startswith("before\n")
    assert " bytes of this log are missing: they could not be written]" in text
    assert text.endswith("after\n")


def test_an_end_on_a_full_disk_is_on_record_once_there_is_room(stack: Stack, disk: Path, tmp_path: Path) -> None:
    gateway = SparkGateway(stack)
    execution_id, folder = begun(gateway, tmp_path)
    pid = stack.runtime.observe(f"spark-{execution_id}").pid
    assert pid is not None
    with full(disk):
        (folder / "to-end").unlink()
        (folder / "to-log").unlink()
        seen(lambda: not psutil.pid_exists(pid), "its process is gone")
        with suppress(RecordUnusable):
            assert not gateway.check(execution_id).state.terminal
        assert not (folder / "exit.json").exists()
    end = ended(gateway, execution_id)
    assert (end.state, end.exit_code) == (JobState.APPLICATION_FAILED, 5)
    seen(lambda: "ended" in events_of(stack, f"spark-{execution_id}"), "its end among the stack's events")


@pytest.mark.parametrize("stack", [Backend.LOCAL], indirect=True)
def test_a_process_that_dies_on_a_full_disk_is_started_again(stack: Stack, disk: Path, tmp_path: Path) -> None:
    stack.runtime.start(
        ProcessSpec(
            name="service",
            argv=(sys.executable, "-c", "import sys, time; time.sleep(300)", stack.id),
            cwd=tmp_path,
            log_path=disk / "service.log",
            restart=Restart.ALWAYS,
        )
    )
    keeper = psutil.Process(stack.keeper.pid)

    def running() -> list[int]:
        with suppress(psutil.NoSuchProcess):
            return [one.pid for one in keeper.children(recursive=True) if one.cmdline()[-1:] == [stack.id]]
        return []

    seen(lambda: len(running()) == 1, "its process")
    (pid,) = running()
    with full(disk):
        os.kill(pid, signal.SIGKILL)
        seen(lambda: running() not in ([], [pid]), "another process")
    seen(lambda: stack.runtime.observe("service").restarts == 1, "the restart on record")
    assert stack.runtime.observe("service").exit_code == -signal.SIGKILL
    seen(lambda: {"ended", "restarted"} <= events_of(stack, "service"), "both among the stack's events")
