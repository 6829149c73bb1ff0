"""The supervisor with real processes, in a process of its own as in a keeper: output, ends, restarts and stops."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from test_infra.base.deadline import Deadline, StillWaiting, wait_for
from test_infra.base.paths import private_dir
from test_infra.runtime.local import LocalRuntime
from test_infra.runtime.process import ProcessEvent, ProcessSpec, ProcessState, Restart

SUPERVISES = """
import json, sys
from pathlib import Path
from test_infra.runtime.supervisor import Supervisor
control = Path(sys.argv[1])
def event(*told):
    with (control / "events").open("a") as file:
        file.write(json.dumps(told) + "\\n")
Supervisor(control, event, namespaced=True).run(every=lambda: None)
"""
IGNORES_SIGTERM = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); "
WITHIN_S = 30.0


class Supervised:
    """A supervisor in a process of its own, and the runtime that asks it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.control = private_dir(folder / "control")
        private_dir(self.control / "requests")
        self.process = subprocess.Popen([sys.executable, "-c", SUPERVISES, str(self.control)])
        self.runtime = LocalRuntime(self.control, self.process.pid)

    def start(self, name: str, *argv: str, **further: object) -> None:
        spec = {"name": name, "argv": argv, "cwd": self.folder, "log_path": self.log_path(name), **further}
        self.runtime.start(ProcessSpec.model_validate(spec))

    def python(self, name: str, code: str, **further: object) -> None:
        self.start(name, sys.executable, "-I", "-S", "-c", code, **further)

    def log_path(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def log(self, name: str) -> bytes:
        return self.log_path(name).read_bytes()

    def events(self, name: str) -> list[tuple[str, str]]:
        path = self.control / "events"
        told = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        return [(event, detail) for process, event, detail in told if process == name]

    def ended(self, name: str) -> ProcessState:
        self.seen(lambda: self.runtime.observe(name).exit_code is not None, f"the end of {name} on record")
        return self.runtime.observe(name)

    def says(self, name: str, text: bytes) -> None:
        self.seen(lambda: text in self.log(name), f"{text!r} in the log of {name}")

    def seen(self, look: Callable[[], bool], awaited: str) -> None:
        def observe() -> None:
            if not look():
                raise StillWaiting("not yet")

        wait_for(observe, Deadline(WITHIN_S), what="the supervisor", awaited=awaited)


def supervising(folder: Path) -> Iterator[Supervised]:
    made = Supervised(folder)
    made.seen((made.control / "processes.json").exists, "its first state")
    yield made
    made.process.terminate()
    assert made.process.wait(WITHIN_S) == 0


@pytest.fixture(scope="module")
def supervised(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Supervised]:
    """One for all tests; their processes have names of their own."""
    yield from supervising(tmp_path_factory.mktemp("supervised"))


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Supervised]:
    """One for a test that ends it."""
    yield from supervising(tmp_path)


def lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_output_is_in_the_log_byte_for_byte_once_the_end_is_seen(supervised: Supervised) -> None:
    supervised.python("writes", "import os; [os.write(1, bytes(range(256)) * 100) for _ in range(40)]")
    assert supervised.ended("writes").exit_code == 0
    assert supervised.log("writes") == bytes(range(256)) * 4_000
    assert supervised.log_path("writes").stat().st_mode & 0o777 == 0o600


def test_stdout_and_stderr_are_in_the_order_in_which_they_were_written(supervised: Supervised) -> None:
    supervised.python("both", "import os; [os.write(1 + n % 2, b'%d ' % n) for n in range(100)]")
    supervised.ended("both")
    assert supervised.log("both") == b"".join(b"%d " % n for n in range(100))


def test_what_a_left_behind_process_writes_is_logged_too(supervised: Supervised) -> None:
    (supervised.folder / "here").touch()
    supervised.start("leaves", "/bin/sh", "-c", "{ while [ -e here ]; do sleep 0.05; done; echo later; } &")
    assert supervised.ended("leaves").exit_code == 0
    assert supervised.log("leaves") == b""
    (supervised.folder / "here").unlink()
    supervised.says("leaves", b"later\n")


def test_of_many_short_processes_every_exit_code_is_kept(supervised: Supervised) -> None:
    codes = {f"exits-{code}": code for code in range(20)}
    for name, code in codes.items():
        supervised.start(name, "/bin/sh", "-c", f"exit {code}")
    assert {name: supervised.ended(name).exit_code for name in codes} == codes


def test_a_process_has_the_environment_it_was_given_and_nothing_on_stdin(supervised: Supervised) -> None:
    supervised.python("told", "import os, sys; print(dict(os.environ), sys.stdin.read(), os.getsid(0) == os.getpid())",
                      env={"MINE": "$(not) {a} template"})  # fmt: skip
    supervised.ended("told")
    said = supervised.log("told")
    assert b"'MINE': '$(not) {a} template'" in said
    assert b"TEST_INFRA" not in said
    assert said.endswith(b"}  True\n")


def test_a_program_that_is_not_there_ends_at_once_and_its_log_says_why(supervised: Supervised) -> None:
    supervised.start("none", "/no/such/program")
    assert supervised.ended("none").exit_code == 127
    assert b"No such file or directory: '/no/such/program'" in supervised.log("none")
    assert supervised.events("none") == [(ProcessEvent.ENDED, "exited with 127")]


def test_what_cannot_be_started_leaves_no_file_open(own: Supervised) -> None:
    def open_files() -> int:
        return psutil.Process(own.process.pid).num_fds()

    own.start("none", "/no/such/program")
    before = open_files()
    for _ in range(5):
        own.start("none", "/no/such/program")
    assert open_files() == before


def test_a_killed_process_is_started_again_and_reported(supervised: Supervised) -> None:
    supervised.start("service", "/bin/sleep", "60", restart=Restart.ALWAYS)
    pid = supervised.runtime.observe("service").pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    supervised.seen(lambda: supervised.runtime.observe("service").pid not in (None, pid), "another process")
    state = supervised.runtime.observe("service")
    assert (state.restarts, state.exit_code) == (1, -signal.SIGKILL)
    assert supervised.events("service") == [
        (ProcessEvent.ENDED, "killed by SIGKILL"), (ProcessEvent.RESTARTED, "after 0.2 s")
    ]  # fmt: skip


def test_a_jvm_that_ends_for_want_of_memory_is_reported_with_its_words_and_its_heap(supervised: Supervised) -> None:
    said = "Terminating due to java.lang.OutOfMemoryError: Java heap space"
    code = f"import sys; print({said!r}, flush=True); sys.exit(3)"
    supervised.start("jvm", sys.executable, "-I", "-S", "-c", code, "-Xmx512m")
    supervised.ended("jvm")
    detail = "exited with 3: java.lang.OutOfMemoryError: Java heap space, with a heap of 512m"
    supervised.seen(lambda: ("ended", detail) in supervised.events("jvm"), detail)
    supervised.python("other", "import sys; sys.exit(3)")
    supervised.seen(lambda: ("ended", "exited with 3") in supervised.events("other"), "its end as an event")


def test_stopping_a_process_that_waits_for_its_restart_leaves_it_ended_as_it_ended(supervised: Supervised) -> None:
    supervised.start("flaps", "/bin/sh", "-c", "exit 3", restart=Restart.ALWAYS)
    supervised.seen(lambda: supervised.runtime.observe("flaps").restarts >= 3, "a longer delay")
    state = supervised.runtime.stop("flaps")
    assert (state.running, state.exit_code) == (False, 3)


def test_a_stopped_process_ends_by_its_stop_signal_and_is_no_event(supervised: Supervised) -> None:
    supervised.start("stops", "/bin/sleep", "60", stop_signal=signal.SIGINT, restart=Restart.ALWAYS)
    state = supervised.runtime.stop("stops")
    assert (state.running, state.exit_code, state.restarts) == (False, -signal.SIGINT, 0)
    assert supervised.events("stops") == []


def test_what_outlasts_its_patience_is_killed_with_its_group_and_its_other_sessions(supervised: Supervised) -> None:
    code = (
        "import subprocess; children = [subprocess.Popen(['sleep', '60'], start_new_session=own) for own in (0, 1)]; "
        f"print(*(child.pid for child in children)); {IGNORES_SIGTERM} time.sleep(60)"
    )
    supervised.start("stubborn", sys.executable, "-c", code, stop_timeout_s=0.2)
    supervised.says("stubborn", b"ready\n")
    below = [int(pid) for pid in supervised.log("stubborn").splitlines()[0].split()]
    assert all(map(lives, below))
    assert supervised.runtime.stop("stubborn").exit_code == -signal.SIGKILL
    supervised.seen(lambda: not any(map(lives, below)), "the end of what was below it")


def test_at_the_end_everything_is_ended_also_what_ignores_its_signal(own: Supervised) -> None:
    names = [f"stubborn-{number}" for number in range(3)]
    for name in names:
        own.python(name, IGNORES_SIGTERM + "time.sleep(300)", stop_timeout_s=300)
    for name in names:
        own.says(name, b"ready")
    pids = [own.runtime.observe(name).pid for name in names]
    own.process.terminate()
    assert own.process.wait(WITHIN_S) == 0
    assert not any(lives(pid) for pid in pids if pid is not None)
    states = json.loads((own.control / "processes.json").read_text())
    assert {states[name]["exit_code"] for name in names} == {-signal.SIGKILL}
    assert not any(states[name]["running"] for name in names)


def test_a_request_that_cannot_be_read_is_reported_and_the_next_one_is_carried_out(supervised: Supervised) -> None:
    bad = supervised.control / "requests" / "0.json"
    bad.write_text('{"verb": "start", "spec": {}}')
    supervised.seen(lambda: not bad.exists(), "the request is taken")
    supervised.start("after", "/bin/sh", "-c", "exit 4")
    assert supervised.ended("after").exit_code == 4
    ((event, detail),) = supervised.events("keeper")
    assert event == ProcessEvent.FAULT
    assert "ValidationError" in detail
