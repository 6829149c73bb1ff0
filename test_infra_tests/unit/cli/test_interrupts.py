"""Ctrl-C once ends cleanly, twice ends hard, whatever handlers others install meanwhile."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

PATIENCE_S = 20

ONCE = """
import signal, sys, time
from test_infra.cli.interrupts import interrupts

signal.signal(signal.SIGHUP, signal.SIG_DFL)  # ignored where the tests are run by nohup, and then kept so
with interrupts.counted(), interrupts.before_hard_end(lambda: print("hard end", flush=True)):
    try:
        print("ready", flush=True)
        time.sleep(60)
    except KeyboardInterrupt:
        print("clean end", flush=True)
sys.exit(130 if interrupts.received else 0)
"""

DEAF = """
import os, signal, time
from test_infra.cli.interrupts import interrupts

with interrupts.counted(), interrupts.before_hard_end(lambda: os.write(1, b"hard end\\n")):
    signal.signal(signal.SIGINT, lambda *_: os.write(1, b"swallowed\\n"))  # as Dagster does between two steps
    print("ready", flush=True)
    while True:
        time.sleep(60)
"""

TOO_LONG = """
import time
from test_infra.cli.interrupts import interrupts

with interrupts.counted():
    try:
        with interrupts.deadline(0.2):
            time.sleep(60)
    except KeyboardInterrupt:
        print("passed" if interrupts.deadline_passed else "not passed", interrupts.received, flush=True)
"""


@contextmanager
def started(program: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_first_interrupt_lets_the_command_end_cleanly(signum: signal.Signals) -> None:
    with started(ONCE) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signum)
        printed, said = process.communicate(timeout=PATIENCE_S)

    assert printed == "clean end\n"
    assert "once more ends at once" in said
    assert process.returncode == 130


def test_second_interrupt_ends_at_once_even_when_the_first_was_swallowed() -> None:
    with started(DEAF) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "swallowed\n"
        process.send_signal(signal.SIGINT)
        printed, _ = process.communicate(timeout=PATIENCE_S)

    assert "hard end" in printed.splitlines()
    assert process.returncode == 130


def test_a_passed_deadline_interrupts_but_is_nobodys_ctrl_c() -> None:
    with started(TOO_LONG) as process:
        printed, _ = process.communicate(timeout=PATIENCE_S)

    assert printed == "passed False\n"
    assert process.returncode == 0
