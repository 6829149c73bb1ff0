"""Says on stderr what goes on: a line that moves on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TextIO

from test_infra.base.redaction import redact

if TYPE_CHECKING:
    from rich.console import Console

STILL_EVERY_S = 15.0


class Progress:
    """What goes on now, and what is done.

    Args:
        stream: where to write; stderr when left out. Give a duplicate of it where something captures stderr meanwhile.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._moving = self._stream.isatty() and os.environ.get("TERM") != "dumb"
        self._lock = threading.Lock()

    def say(self, text: str) -> None:
        """One finished fact on a line of its own."""
        line = redact(text)
        with self._lock:
            if self._moving:
                self.console.print(line, markup=False, highlight=False)
            else:
                print(line, file=self._stream, flush=True)

    @contextlib.contextmanager
    def doing(self, text: str) -> Iterator[Callable[[str], None]]:
        """Show ``text`` and the seconds gone by while the block runs.

        Yields:
            Call it with another text when something else goes on.
        """
        now = _Now(text)
        if self._moving:
            with self.console.status(now.line()) as status, _every(0.5, lambda: status.update(now.line())):
                yield now.change
        else:
            self.say(f"{text} ...")
            with _every(STILL_EVERY_S, lambda: self.say(f"  still {now.line()}")):
                yield now.change

    @functools.cached_property
    def console(self) -> Console:
        """A rich console on the same stream."""
        from rich.console import Console

        return Console(file=self._stream, soft_wrap=True)


class _Now:
    """A text and the moment it became true."""

    def __init__(self, text: str) -> None:
        self.change(text)

    def change(self, text: str) -> None:
        self._text, self._since = redact(text), time.monotonic()

    def line(self) -> str:
        return f"{self._text} ({time.monotonic() - self._since:.0f} s)"


@contextlib.contextmanager
def _every(interval_s: float, act: Callable[[], None]) -> Iterator[None]:
    """Call ``act`` again and again, from another thread, until the block ends."""
    ended = threading.Event()

    def again() -> None:
        while not ended.wait(interval_s):
            act()

    thread = threading.Thread(target=again, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(timeout=1)
