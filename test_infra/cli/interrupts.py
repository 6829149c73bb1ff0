"""Ctrl-C once ends cleanly, twice ends hard.

Dagster replaces the handlers of SIGINT and SIGTERM while it executes, and a main thread inside a C library runs no
handler at all. So the signals are counted apart from any handler, by a thread that reads the wake-up pipe.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

from test_infra.cli.exit_codes import ExitCode

COUNTED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_INTERRUPTED = b"\ninterrupted: ending cleanly; once more ends at once\n"
_TOO_LONG = b"\nthe deadline has passed: ending cleanly\n"


class Interrupts:
    """How often this process was asked to end, and what is done before it ends hard."""

    def __init__(self) -> None:
        self.count = 0
        self.deadline_passed = False
        self._last_acts: list[Callable[[], None]] = []

    @property
    def received(self) -> bool:
        """Whether somebody asked this process to end."""
        return self.count > self.deadline_passed

    @contextlib.contextmanager
    def before_hard_end(self, act: Callable[[], None]) -> Iterator[None]:
        """While the block runs, a second interrupt calls ``act`` before the process ends."""
        self._last_acts.append(act)
        try:
            yield
        finally:
            self._last_acts.remove(act)

    @contextlib.contextmanager
    def deadline(self, timeout_s: float) -> Iterator[None]:
        """Interrupt the block, as Ctrl-C would, when it takes longer than ``timeout_s``."""

        def pass_it() -> None:
            self.deadline_passed = True
            os.kill(os.getpid(), signal.SIGINT)

        timer = threading.Timer(timeout_s, pass_it)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    @contextlib.contextmanager
    def counted(self) -> Iterator[None]:
        """Count interrupts while the block runs; the first raises KeyboardInterrupt, the second ends the process."""
        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        former_fd = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        former = {signum: signal.signal(signum, _raise) for signum in COUNTED if not _kept_ignored(signum)}
        watcher = threading.Thread(target=self._watch, args=(reading,), name="interrupts", daemon=True)
        watcher.start()
        try:
            yield
        finally:
            for signum, handler in former.items():
                signal.signal(signum, handler)
            signal.set_wakeup_fd(former_fd)
            os.close(writing)
            watcher.join(timeout=1)
            os.close(reading)

    def _watch(self, reading: int) -> None:
        while received := os.read(reading, 64):
            self.count += sum(signum in COUNTED for signum in received)
            if self.count == 1:
                with contextlib.suppress(OSError):  # the terminal may be gone: that is what SIGHUP says
                    os.write(2, _TOO_LONG if self.deadline_passed else _INTERRUPTED)
            if self.count > 1:
                for act in reversed(self._last_acts):
                    with contextlib.suppress(Exception):
                        act()
                os._exit(ExitCode.INTERRUPTED)


def _raise(_signum: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _kept_ignored(signum: signal.Signals) -> bool:
    # nohup means it. An ignored SIGINT, which a script's `&` leaves behind, does not: inside Dagster it would make
    # SIGTERM deaf as well.
    return signum == signal.SIGHUP and signal.getsignal(signum) == signal.SIG_IGN


interrupts = Interrupts()
"""The interrupts of this process."""
