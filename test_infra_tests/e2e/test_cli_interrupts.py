"""Ctrl-C in the middle of `run e2e`: once cleanly, twice hard, and nothing is left either way."""

from __future__ import annotations

import signal
import subprocess

import psutil
import pytest

from test_infra.base.deadline import Deadline, StillWaiting, wait_for
from test_infra_tests.e2e.shell import Shell

NOTHING_LEFT_WITHIN_S = 15
TAG = "TEST_INFRA_STACK_TAG"


def processes_of(shell: Shell) -> list[psutil.Process]:
    """Everything that carries the stack's tag; zombies do not count."""
    found = []
    for process in psutil.process_iter():
        try:
            tag = process.environ().get(TAG)
            if tag == f"{shell.stack}@{shell.home}" and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def nothing_left(shell: Shell) -> None:
    def gone() -> None:
        if left := processes_of(shell):
            raise StillWaiting(", ".join(map(str, left)))

    wait_for(gone, Deadline(NOTHING_LEFT_WITHIN_S), what="the end of the stack", awaited="no process of it")


def services_run(shell: Shell, command: subprocess.Popen[str]) -> None:
    """The keeper and at least one service run, so there is something to leave behind."""

    def running() -> None:
        assert command.poll() is None, command.communicate()
        if len(found := processes_of(shell)) < 3:
            raise StillWaiting(f"{len(found)} processes")

    wait_for(running, Deadline(60), what="the stack", awaited="three processes of it")


@pytest.mark.timeout(450)
@pytest.mark.parametrize(
    "signum", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.ci(reason="more ways to end a run"))]
)
def test_once_ends_cleanly(shell: Shell, signum: signal.Signals) -> None:
    command = shell.start("run", "e2e")
    try:
        services_run(shell, command)
        command.send_signal(signum)
        _, said = command.communicate(timeout=60)
    finally:
        command.kill()

    assert command.returncode == 130, said
    assert "ending the stack" in said
    assert "Traceback" not in said
    assert processes_of(shell) == []


@pytest.mark.timeout(450)
def test_twice_ends_hard(shell: Shell) -> None:
    command = shell.start("run", "e2e")
    try:
        services_run(shell, command)
        command.send_signal(signal.SIGINT)
        command.send_signal(signal.SIGTERM)  # another signal: two pending ones of a kind are one
        command.communicate(timeout=15)
    finally:
        command.kill()

    assert command.returncode == 130
    nothing_left(shell)


@pytest.mark.ci(reason="more ways to end a run")
@pytest.mark.timeout(450)
def test_a_killed_dagster_run_leaves_nothing(shell: Shell) -> None:
    command = shell.start("run", "e2e")
    services_run(shell, command)
    command.kill()
    command.communicate(timeout=15)

    nothing_left(shell)


@pytest.mark.ci(reason="more ways to end a run")
@pytest.mark.timeout(300)
def test_the_next_up_works(shell: Shell) -> None:
    assert shell.run("up", "--ttl", "2m").returncode == 0
    assert shell.run("down").returncode == 0


@pytest.mark.ci(reason="more ways to end a run")
@pytest.mark.timeout(450)
def test_a_passed_deadline_is_red_and_leaves_nothing(shell: Shell) -> None:
    ended = shell.run("run", "e2e", "--deadline", "8s", timeout_s=400)

    assert ended.returncode in {1, 3}, ended.stderr
    assert "the deadline has passed" in ended.stderr
    assert "RED  e2e" in ended.stdout
    assert processes_of(shell) == []
